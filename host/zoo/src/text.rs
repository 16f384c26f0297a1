//! Text from a source, made safe for a terminal.
//!
//! Descriptions, licences, tags, log lines and error messages of a source are written by somebody
//! who may not be friendly: a control sequence can rewrite the screen or fill the clipboard, a
//! direction override can make one name look like another, and a zero-width character can hide
//! anything. Everything of that kind is shown instead of sent: `\u{1b}`. JSON output keeps the
//! original text.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes everything that a terminal would act on or not show, for text that takes one line.
///
/// Line breaks and tabs become `\n`, `\r` and `\t`; other control characters (C0 and C1, and so
/// every ANSI or OSC sequence), direction marks and overrides, zero-width and other invisible
/// characters become `\u{…}` with the number in hexadecimal. All other text stays as it is.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_where(text, needs_escape)
}

/// Like [`escape`], for text that may take several lines: a line feed stays a line feed.
#[must_use]
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_where(text, |c| c != '\n' && needs_escape(c))
}

fn escape_where(text: &str, unsafe_here: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&unsafe_here) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !unsafe_here(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Writing to a `String` cannot fail.
            c => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

/// Whether a terminal would act on the character or show nothing for it.
fn needs_escape(c: char) -> bool {
    if c.is_control() {
        return true; // C0, DEL and C1
    }
    matches!(c,
        // Direction: marks, embeddings, overrides, isolates (Unicode Standard Annex 9).
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Zero width: soft hyphen, combining grapheme joiner, spaces and joiners, byte order mark.
        | '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        // Fillers that are letters by their category and blank on the screen.
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}'
        // Line and paragraph separator, interlinear annotation, shorthand and music controls.
        | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        // Tags and the supplementary variation selectors, which can carry hidden text.
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::{escape, escape_lines};
    use std::borrow::Cow;

    #[test]
    fn ordinary_text_is_borrowed_unchanged() {
        for text in [
            "",
            "Apache 2.0",
            "Größe: 3 µm",
            "数字の分類",
            "مدل",
            "C:\\models\\a",
            "a 👍🏽 b",
        ] {
            assert!(
                matches!(escape(text), Cow::Borrowed(same) if same == text),
                "{text:?}"
            );
        }
    }

    #[test]
    fn terminal_control_is_shown_not_sent() {
        let cases = [
            ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("\u{1b}]52;c;cm0gLXJm\u{7}", "\\u{1b}]52;c;cm0gLXJm\\u{7}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{9d}0;title\u{9c}", "\\u{9d}0;title\\u{9c}"),
            (
                "gone\r\nover\u{8}\u{7f}\0",
                "gone\\r\\nover\\u{8}\\u{7f}\\u{0}",
            ),
            ("a\tb", "a\\tb"),
        ];
        for (text, shown) in cases {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn direction_and_invisible_characters_are_shown() {
        let cases = [
            ("mit\u{202e}gpj.exe", "mit\\u{202e}gpj.exe"),
            (
                "\u{2066}x\u{2069}\u{200f}\u{61c}",
                "\\u{2066}x\\u{2069}\\u{200f}\\u{61c}",
            ),
            ("pay\u{200b}pal\u{feff}", "pay\\u{200b}pal\\u{feff}"),
            ("\u{3164}\u{ad}\u{2060}", "\\u{3164}\\u{ad}\\u{2060}"),
            ("a\u{e0041}\u{e01ef}", "a\\u{e0041}\\u{e01ef}"),
            ("one\u{2028}two", "one\\u{2028}two"),
        ];
        for (text, shown) in cases {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_survives() {
        for code in 0..=0x10_ffff_u32 {
            let Some(c) = char::from_u32(code) else {
                continue;
            };
            let shown = escape(c.encode_utf8(&mut [0; 4])).into_owned();
            assert!(!shown.chars().any(char::is_control), "U+{code:04X}");
            assert_eq!(
                escape(&shown),
                shown,
                "escaping twice changes nothing more, U+{code:04X}"
            );
        }
    }

    #[test]
    fn several_lines_keep_their_line_feeds_only() {
        assert_eq!(escape_lines("one\ntwo\r\n\u{1b}c"), "one\ntwo\\r\n\\u{1b}c");
        assert!(matches!(escape_lines("one\ntwo"), Cow::Borrowed(_)));
    }
}
