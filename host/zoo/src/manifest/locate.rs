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
    let mut wanted = field;
    loop {
        if let Some(offset) = offset_of(text, wanted) {
            return place_at(text, offset);
        }
        wanted = match wanted.rfind(['.', '[']) {
            Some(end) => wanted.get(..end).unwrap_or_default(),
            None => "",
        };
        if wanted.is_empty() {
            let start = text.iter().position(|b| !b.is_ascii_whitespace());
            return place_at(text, start.unwrap_or(0));
        }
    }
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
    field(&walk(text.get(..end).unwrap_or(text), |_, _| ()))
}

fn offset_of(text: &[u8], wanted: &str) -> Option<usize> {
    let depth = wanted.matches(['.', '[']).count() + 1;
    let mut found = None;
    walk(text, |frames, offset| {
        // Names with dots make several paths look alike; the first is as good as any.
        if found.is_none() && frames.len() == depth && field(frames) == wanted {
            found = usize::try_from(offset).ok();
        }
    });
    found
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

/// A container around the current place, and where in it that is.
enum Frame {
    Object { key: Option<String> },
    Array { index: usize },
}

/// The field that the frames lead to, such as `models[2].license`.
fn field(frames: &[Frame]) -> String {
    let mut path = String::new();
    for frame in frames {
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

/// Walks over the text, to its end or to where it is not JSON, and gives the containers around
/// that place, the outermost first. `at_value` gets those around each value, and its offset.
fn walk(text: &[u8], at_value: impl FnMut(&[Frame], u64)) -> Vec<Frame> {
    let mut walk = Walk {
        frames: Vec::new(),
        at_value,
    };
    // The text is either known to be JSON or is only walked to the place of an error.
    let _ = Scanner::over(text).walk(&mut walk);
    walk.frames
}

struct Walk<F> {
    frames: Vec<Frame>,
    at_value: F,
}

impl<F: FnMut(&[Frame], u64)> Visitor for Walk<F> {
    fn value(&mut self, offset: u64) {
        (self.at_value)(&self.frames, offset);
    }

    fn object(&mut self) {
        self.frames.push(Frame::Object { key: None });
    }

    fn array(&mut self) {
        self.frames.push(Frame::Array { index: 0 });
    }

    fn key(&mut self, name: String) {
        if let Some(Frame::Object { key }) = self.frames.last_mut() {
            *key = Some(name);
        }
    }

    fn comma(&mut self) {
        match self.frames.last_mut() {
            Some(Frame::Object { key }) => *key = None,
            Some(Frame::Array { index }) => *index += 1,
            None => {}
        }
    }

    fn close(&mut self) {
        self.frames.pop();
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
