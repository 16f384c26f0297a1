//! A line of the log, which a crash may have torn, or another version may have written.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// How every record begins. A string cannot contain it, because quotation marks are escaped.
const START: &[u8] = b"{\"";

/// The event of a record that counts others which are gone.
pub(super) const CUT: &str = "cut";

/// One record.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) source: String,
    pub(super) event: String,
    fields: Map<String, Value>,
}

/// What a line holds.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) record: Option<Record>,
    /// Whether some of the line cannot be read.
    pub(super) torn: bool,
}

impl Record {
    /// Reads a line. If a crash cut off a record, the next one follows it on the same line.
    pub(super) fn read(line: &[u8]) -> Read {
        if let Some(record) = Self::parse(line) {
            return Read {
                record: Some(record),
                torn: false,
            };
        }
        let mut starts = (1..line.len()).filter_map(|at| line.get(at..));
        let record = starts
            .by_ref()
            .filter(|rest| rest.starts_with(START))
            .find_map(Self::parse);
        Read { record, torn: true }
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_slice(line).ok()?;
        let text = |name: &str| Some(fields.get(name)?.as_str()?.to_owned());
        Some(Self {
            time: text("time")?.parse().ok()?,
            source: text("source")?,
            event: text("event")?,
            fields,
        })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        let number = self.fields.get(name).and_then(Value::as_u64);
        number.unwrap_or_default()
    }

    /// The strings of a list.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.items(name).filter_map(Value::as_str)
    }

    /// The URLs that were sent for a request, in order, each as it has to be granted: where the
    /// user's mirror was asked, the one that the mirror stands for.
    pub(super) fn hops(&self) -> impl Iterator<Item = &str> {
        self.items("hops")
            .filter_map(|hop| hop.get("mirrored").or_else(|| hop.get("url"))?.as_str())
    }

    fn items(&self, name: &str) -> impl Iterator<Item = &Value> {
        let items = self.fields.get(name).and_then(Value::as_array);
        items.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"time":"2026-01-02T03:04:05Z","source":"file:/s","event":"request","hops":[{"url":"https://a.example/x","status":200}],"bytes":7,"what":{"is":"new"}}"#;

    #[test]
    fn unknown_fields_are_ignored() {
        let read = Record::read(LINE.as_bytes());
        let record = read.record.unwrap();
        assert!(!read.torn);
        assert_eq!(record.event, "request");
        assert_eq!(record.number("bytes"), 7);
        assert_eq!(record.hops().collect::<Vec<_>>(), ["https://a.example/x"]);
        let mirrored = LINE.replace("\"url\"", "\"mirrored\":\"https://b.example/x\",\"url\"");
        let record = Record::read(mirrored.as_bytes()).record.unwrap();
        assert_eq!(record.hops().collect::<Vec<_>>(), ["https://b.example/x"]);
        assert_eq!(record.text("bytes"), None);
        assert_eq!(record.texts("what").count(), 0);
    }

    #[test]
    fn record_after_a_torn_one_is_read() {
        for cut in 1..LINE.len() {
            let line = format!("{}{LINE}", &LINE[..cut]);
            let read = Record::read(line.as_bytes());
            assert!(read.torn, "{line}");
            assert_eq!(read.record.unwrap().source, "file:/s", "{line}");
        }
        // A string that looks like a record is not one.
        let fake = LINE.replace('"', "\\\"");
        let line = format!("{{\"time\":\"{fake}\",");
        assert!(Record::read(line.as_bytes()).record.is_none(), "{line}");
    }

    #[test]
    fn bad_line_is_torn() {
        for line in [
            "",
            "{",
            "[]",
            "\u{0}\u{0}",
            r#"{"time":"yesterday","source":"s","event":"e"}"#,
            r#"{"source":"s","event":"e"}"#,
        ] {
            let read = Record::read(line.as_bytes());
            assert!(read.record.is_none() && read.torn, "{line}");
        }
        assert!(Record::read(b"\xff\xfe").torn);
    }
}
