//! Where in the text of a JSON document a field is, for messages.
//!
//! Errors are found in the parsed document, which has no places, or by the parser, which knows no
//! fields. Each direction is one more walk over the text, made only when there is an error.

use modelzoo_base::json::{Scanner, Visitor};

/// A line and a column, from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Where the value of a field starts; of the nearest field around it, if it is not there itself.
pub(super) fn place_of(text: &[u8], field: &str) -> Place {
    let start = text.iter().position(|b| !b.is_ascii_whitespace());
    let mut search = Search {
        wanted: field,
        levels: Vec::new(),
        matched: 0,
        offset: start.unwrap_or(0),
    };
    // The text is known to be JSON.
    let _ = Scanner::over(text).walk(&mut search);
    place_at(text, search.offset)
}

/// The field that a place is in, empty outside of all fields.
pub(super) fn field_at(text: &[u8], line: usize, column: usize) -> String {
    let start = match line.checked_sub(2) {
        None => 0,
        Some(nth) => text
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'\n')
            .nth(nth)
            .map_or(text.len(), |(at, _)| at + 1),
    };
    let end = start
        .saturating_add(column.saturating_sub(1))
        .min(text.len());
    let mut trail = Trail::default();
    // The text is JSON up to the place of an error.
    let _ = Scanner::over(text.get(..end).unwrap_or(text)).walk(&mut trail);
    trail.field()
}

fn place_at(text: &[u8], offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = String::from_utf8_lossy(before.get(line_start..).unwrap_or_default());
    Place {
        line,
        column: column.chars().count() + 1,
    }
}

/// Looks for a field, and compares each key and index with its part of the field once.
struct Search<'w> {
    wanted: &'w str,
    levels: Vec<Level>,
    /// How much of the field the value matches that has been found, and where it starts.
    matched: usize,
    offset: usize,
}

/// A container around the current place.
struct Level {
    /// How many bytes of the field lead to it; none if it is elsewhere.
    own: Option<usize>,
    /// The same for its current member.
    member: Option<usize>,
    /// The number of its current element, if it is an array.
    index: usize,
    is_array: bool,
}

impl Search<'_> {
    /// How many bytes of the field lead to the current place.
    fn here(&self) -> Option<usize> {
        self.levels.last().map_or(Some(0), |level| level.member)
    }

    /// How many bytes of the field lead to the member `part` of what `own` bytes lead to.
    fn follow(&self, own: Option<usize>, separator: &str, part: &str) -> Option<usize> {
        let rest = self.wanted.get(own?..)?;
        let rest = rest.strip_prefix(separator)?.strip_prefix(part)?;
        Some(self.wanted.len() - rest.len())
    }

    fn enter(&mut self, is_array: bool) {
        let own = self.here();
        self.levels.push(Level {
            own,
            member: None,
            index: 0,
            is_array,
        });
        if is_array {
            self.at_element(0);
        }
    }

    fn at_element(&mut self, index: usize) {
        let own = self.levels.last().and_then(|level| level.own);
        let member = own.and_then(|own| self.follow(Some(own), "[", &format!("{index}]")));
        if let Some(level) = self.levels.last_mut() {
            (level.index, level.member) = (index, member);
        }
    }
}

impl Visitor for Search<'_> {
    fn value(&mut self, offset: u64) {
        let Some(here) = self.here() else {
            return;
        };
        let after = self.wanted.get(here..).unwrap_or_default();
        // Names with dots make several paths look alike; the first is as good as any.
        if here > self.matched && (after.is_empty() || after.starts_with(['.', '['])) {
            self.matched = here;
            self.offset = usize::try_from(offset).unwrap_or_default();
        }
    }

    fn object(&mut self) {
        self.enter(false);
    }

    fn array(&mut self) {
        self.enter(true);
    }

    fn key(&mut self, name: String) {
        let own = self.levels.last().and_then(|level| level.own);
        let separator = if own == Some(0) { "" } else { "." };
        let member = self.follow(own, separator, &name);
        if let Some(level) = self.levels.last_mut() {
            level.member = member;
        }
    }

    fn comma(&mut self) {
        match self.levels.last_mut() {
            Some(level) if level.is_array => {
                let next = level.index + 1;
                self.at_element(next);
            }
            Some(level) => level.member = None,
            None => {}
        }
    }

    fn close(&mut self) {
        self.levels.pop();
    }
}

/// The containers around the place that a walk has come to, the outermost first.
#[derive(Default)]
struct Trail(Vec<Frame>);

/// A container, and where in it the place is.
enum Frame {
    Object { key: Option<String> },
    Array { index: usize },
}

impl Trail {
    /// The field at the place, such as `models[2].license`.
    fn field(&self) -> String {
        let mut path = String::new();
        for frame in &self.0 {
            match frame {
                Frame::Object { key: Some(key) } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Frame::Object { key: None } => {}
                Frame::Array { index } => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }
}

impl Visitor for Trail {
    fn object(&mut self) {
        self.0.push(Frame::Object { key: None });
    }

    fn array(&mut self) {
        self.0.push(Frame::Array { index: 0 });
    }

    fn key(&mut self, name: String) {
        if let Some(Frame::Object { key }) = self.0.last_mut() {
            *key = Some(name);
        }
    }

    fn comma(&mut self) {
        match self.0.last_mut() {
            Some(Frame::Object { key }) => *key = None,
            Some(Frame::Array { index }) => *index += 1,
            None => {}
        }
    }

    fn close(&mut self) {
        self.0.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, field_at, place_of};

    const TEXT: &str = r#"
{
  "name": "a, \"b\": {[",
  "größe": [1, {"x": null}],
  "models": [
    {"base_name": "a"},
    { "ü": 1, "tags": ["x", "y"] }
  ]
}
"#;

    #[test]
    fn fields_have_places() {
        for (field, line, column) in [
            ("name", 3, 11),
            ("größe[1].x", 4, 22),
            ("models", 5, 13),
            ("models[0]", 6, 5),
            ("models[0].base_name", 6, 19),
            ("models[1].tags[1]", 7, 29),
            // The nearest one around what is not there.
            ("models[1].base_name", 7, 5),
            ("models[0].component.path", 6, 5),
            ("models[9].x", 5, 13),
            ("component", 2, 1),
            ("the manifest", 2, 1),
        ] {
            assert_eq!(
                place_of(TEXT.as_bytes(), field),
                Place { line, column },
                "{field}"
            );
        }
        assert_eq!(place_of(b"[1]", "x"), Place { line: 1, column: 1 });
        assert_eq!(place_of(b"", "x"), Place { line: 1, column: 1 });
    }

    #[test]
    fn places_have_fields() {
        for (line, column, field) in [
            (1, 0, ""),
            (2, 1, ""),
            (3, 5, ""),
            (3, 9, "name"),
            (3, 12, "name"),
            (4, 16, "größe[0]"),
            (6, 6, "models[0]"),
            (6, 22, "models[0].base_name"),
            (7, 32, "models[1].tags[1]"),
            (9, 1, "models"),
            (99, 99, ""),
        ] {
            assert_eq!(
                field_at(TEXT.as_bytes(), line, column),
                field,
                "{line}:{column}"
            );
        }
        assert_eq!(field_at(b"}]]:,\"\\", 1, 8), "");
    }
}
