//! JSON: text that is safe to show, a scanner that finds where values lie, and edits that change
//! nothing else.

mod python;
mod scan;
mod splice;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::text;

pub use python::without_nan;
pub use scan::{Scan, ScanError, Scanner, Visitor, count_values};
pub use splice::{MAX_VALUES, Object, SetError, push, set};

/// JSON text, as `serde_json` writes it, with every character that a terminal could act on
/// ([`text::is_unsafe`]) as a `\\u` escape. The value stays the same; line feeds between its parts
/// stay too.
#[must_use]
pub fn escape(json: &str) -> Cow<'_, str> {
    let is_unsafe = |c| c != '\n' && text::is_unsafe(c);
    if !json.contains(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// The JSON of `value` on one line with Python's separators (`, ` and `: `), [`escape`]d.
///
/// A value that JSON cannot hold (a map whose keys are not strings) becomes `null`.
#[must_use]
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut json = Vec::new();
    match value.serialize(&mut Serializer::with_formatter(&mut json, Line)) {
        Ok(()) => json,
        Err(_) => b"null".to_vec(),
    }
}

/// Python's separators, and escapes in strings.
struct Line;

impl Formatter for Line {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        writer.write_all(escape(fragment).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::{escape, to_vec};

    #[test]
    fn strings_are_escaped_and_read_back() {
        let text = "a\u{1b}[31m\u{9b}é\u{202e}\"\n\u{7f}\u{e0041}";
        let json = to_vec(text);
        assert_eq!(
            std::str::from_utf8(&json).unwrap(),
            r#""a\u001b[31m\u009bé\u202e\"\n\u007f\udb40\udc41""#,
        );
        assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
    }

    #[test]
    fn pretty_json_keeps_its_lines() {
        let value = serde_json::json!({"name": "x\u{9b}2J", "list": [1, "\u{200b}"]});
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let escaped = escape(&pretty);
        assert_eq!(
            escaped,
            "{\n  \"name\": \"x\\u009b2J\",\n  \"list\": [\n    1,\n    \"\\u200b\"\n  ]\n}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
            value
        );
    }

    #[test]
    fn separators_are_pythons() {
        let value = serde_json::json!({"a": [1, 2.5, null], "b": {}});
        assert_eq!(to_vec(&value), br#"{"a": [1, 2.5, null], "b": {}}"#);
    }
}
