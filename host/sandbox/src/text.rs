//! Text from a guest, made fit to be shown to people.

use std::fmt::Write as _;

/// The most bytes of a guest's error text that are kept.
pub(crate) const ERROR_BYTES: usize = 2048;

/// `text` on one line: every control character, and every character that changes the direction
/// of text, is written as an escape. What is over `max` bytes is cut off and marked with `…`.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let before = out.len();
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unprintable(c) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
        if out.len() > max {
            out.truncate(before);
            out.push('…');
            break;
        }
    }
    out
}

/// Whether a terminal could do something else with `c` than to show it.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Directional marks, embeddings, overrides and isolates; line and paragraph
            // separators; invisible operators; the byte order mark; tags.
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(clean("\u{1b}[31mred\u{7}", 99), "\\u{1b}[31mred\\u{7}");
        assert_eq!(clean("a\nb\tc\rd", 99), "a\\nb\\tc\\rd");
        assert_eq!(clean("\u{202e}gpj.exe", 99), "\\u{202e}gpj.exe");
        assert_eq!(clean("\u{9b}31m", 99), "\\u{9b}31m");
        assert_eq!(clean("größe ✓ 数", 99), "größe ✓ 数");
    }

    #[test]
    fn long_text_is_cut_on_a_character() {
        assert_eq!(clean("abcdef", 3), "abc…");
        assert_eq!(clean("ää", 3), "ä…");
        assert_eq!(clean("a\n", 2), "a…");
        assert_eq!(clean("abc", 3), "abc");
    }
}
