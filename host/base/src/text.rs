//! Untrusted text, made safe to show on a terminal.
//!
//! Descriptions, licences, tags, log lines and error messages come from sources that may be
//! hostile: a control sequence can rewrite the screen or fill the clipboard, a direction override
//! can make one name look like another, and a zero-width character can hide anything. Every such
//! character is shown as an escape: `\u{1b}`. [`json::escape`](crate::json::escape) does the same
//! in JSON, where the escapes keep the value.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// The most bytes of a message that is shown.
pub const MAX_MESSAGE: usize = 4096;
/// The most bytes of a name in a message: of a file, a tensor, a column, a field.
pub const MAX_NAME: usize = 256;

/// Text on one line, with every character escaped for which [`is_unsafe`] holds.
///
/// Line feeds, carriage returns and tabs become `\n`, `\r` and `\t`, all others `\u{…}` with the
/// code point in hexadecimal. Escaped text stays as it is when it is escaped again.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_where(text, is_unsafe)
}

/// Like [`escape`], for text of several lines: a line feed stays a line feed.
#[must_use]
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_where(text, |c| c != '\n' && is_unsafe(c))
}

/// A path as [`escape`]d text; bytes that are not UTF-8 become `U+FFFD`.
#[must_use]
pub fn escape_path(path: &Path) -> String {
    escape(&path.to_string_lossy()).into_owned()
}

/// The beginning of `text`, [`escape`]d: at most `max` bytes and, if anything is cut off, `…`.
///
/// The work is bounded by `max`, not by the length of `text`.
#[must_use]
pub fn excerpt(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let before = out.len();
        push_escaped(&mut out, c, is_unsafe);
        if out.len() > max {
            out.truncate(before);
            out.push('…');
            break;
        }
    }
    out
}

/// All of `text`, [`escape`]d, if that is at most `max` bytes; or else its beginning and its end
/// with `…` between them, together at most `max` bytes. A message begins with the thing that it is
/// about, and ends with the reason.
///
/// The work is bounded by `max`, not by the length of `text`.
#[must_use]
pub fn shorten(text: &str, max: usize) -> String {
    // Escaping makes no text shorter.
    if text.len() <= max {
        let whole = escape(text);
        if whole.len() <= max {
            return whole.into_owned();
        }
    }
    let (mut at, mut end_bytes) = (text.len(), 0);
    let mut one = String::new();
    for (start, c) in text.char_indices().rev() {
        one.clear();
        push_escaped(&mut one, c, is_unsafe);
        end_bytes += one.len();
        if end_bytes > max / 4 {
            break;
        }
        at = start;
    }
    let (beginning, end) = text.split_at_checked(at).unwrap_or((text, ""));
    let end = escape(end);
    let rest = max.saturating_sub(end.len() + '…'.len_utf8());
    excerpt(beginning, rest) + &end
}

fn escape_where(text: &str, is_unsafe: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        push_escaped(&mut out, c, is_unsafe);
    }
    Cow::Owned(out)
}

fn push_escaped(out: &mut String, c: char, is_unsafe: impl Fn(char) -> bool) {
    match c {
        c if !is_unsafe(c) => out.push(c),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // Writing to a `String` cannot fail.
        c => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
    }
}

/// Whether a terminal could act on the character or show nothing for it: control characters (C0
/// and C1, and so every ANSI and OSC sequence), direction marks and overrides, line separators,
/// zero-width and other invisible characters.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
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
    use super::{escape, escape_lines, escape_path, excerpt, shorten};
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
    fn control_characters_are_escaped() {
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
    fn direction_and_invisible_characters_are_escaped() {
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
    fn escaped_text_holds_no_control_characters() {
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
    fn lines_keep_only_their_line_feeds() {
        assert_eq!(escape_lines("one\ntwo\r\n\u{1b}c"), "one\ntwo\\r\n\\u{1b}c");
        assert!(matches!(escape_lines("one\ntwo"), Cow::Borrowed(_)));
    }

    #[test]
    fn paths_are_escaped() {
        let path = std::path::Path::new("data/\u{1b}[2J.png");
        assert_eq!(escape_path(path), "data/\\u{1b}[2J.png");
    }

    #[test]
    fn excerpt_escapes() {
        assert_eq!(excerpt("\u{1b}[31mred\u{7}", 99), "\\u{1b}[31mred\\u{7}");
        assert_eq!(excerpt("a\nb\tc\rd", 99), "a\\nb\\tc\\rd");
        assert_eq!(excerpt("\u{202e}gpj.exe", 99), "\\u{202e}gpj.exe");
        assert_eq!(excerpt("\u{9b}31m", 99), "\\u{9b}31m");
        assert_eq!(excerpt("größe ✓ 数", 99), "größe ✓ 数");
    }

    #[test]
    fn excerpt_cuts_between_characters() {
        assert_eq!(excerpt("abcdef", 3), "abc…");
        assert_eq!(excerpt("ää", 3), "ä…");
        assert_eq!(excerpt("a\n", 2), "a…");
        assert_eq!(excerpt("abc", 3), "abc");
    }

    #[test]
    fn long_text_keeps_its_beginning_and_its_end() {
        assert_eq!(shorten("a\nb", 99), "a\\nb");
        assert_eq!(shorten("abcdefghijklmnop", 16), "abcdefghijklmnop");
        assert_eq!(shorten("abcdefghijklmnopq", 16), "abcdefghi…nopq");
        let message = format!("cannot read {}: no such file", "\u{1b}ä".repeat(1 << 20));
        for max in [0, 1, 3, 64, 4096] {
            let shown = shorten(&message, max);
            assert!(shown.len() <= max.max('…'.len_utf8()), "{max}: {shown}");
            assert!(!shown.contains('\u{1b}'));
        }
        let shown = shorten(&message, 256);
        assert!(shown.starts_with("cannot read \\u{1b}ä"), "{shown}");
        assert!(shown.ends_with("ä: no such file"), "{shown}");
    }
}
