//! Where in the text of a JSON document a field is, for messages.
//!
//! Errors are found in the parsed document, which has no places, or by the parser, which knows no
//! fields. Each direction is one more walk over the text, made only when there is an error.

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
    let mut walk = Walk::new(text.get(..end).unwrap_or(text));
    while walk.next_value().is_some() {}
    walk.path(walk.frames.len())
}

fn offset_of(text: &[u8], field: &str) -> Option<usize> {
    let depth = field.matches(['.', '[']).count() + 1;
    let mut walk = Walk::new(text);
    loop {
        let value = walk.next_value()?;
        // Names with dots make several paths look alike; the first is as good as any.
        if value.depth == depth && walk.path(depth) == field {
            return Some(value.offset);
        }
    }
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

/// What is open around the current place.
enum Frame {
    Object { key: Option<String>, in_value: bool },
    Array { index: usize },
}

/// The start of a value, and how many frames it lies in.
struct Started {
    offset: usize,
    depth: usize,
}

/// A walk from token to token. It checks nothing: the text is either known to be JSON or is only
/// walked to the place of an error.
struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    frames: Vec<Frame>,
}

impl<'a> Walk<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            frames: Vec::new(),
        }
    }

    /// Goes on to where the next value starts; `None` at the end.
    fn next_value(&mut self) -> Option<Started> {
        loop {
            let offset = self.at;
            let depth = self.frames.len();
            let first = *self.text.get(offset)?;
            self.at += 1;
            match first {
                b'{' => self.frames.push(Frame::Object {
                    key: None,
                    in_value: false,
                }),
                b'[' => self.frames.push(Frame::Array { index: 0 }),
                b'"' => {
                    let content = self.string();
                    if let Some(Frame::Object {
                        key,
                        in_value: false,
                    }) = self.frames.last_mut()
                    {
                        // Where the text ends within a name, there is no field yet.
                        *key = Some(content).filter(|_| self.at <= self.text.len());
                        continue;
                    }
                }
                b'}' | b']' => {
                    self.frames.pop();
                    continue;
                }
                b':' => {
                    if let Some(Frame::Object { in_value, .. }) = self.frames.last_mut() {
                        *in_value = true;
                    }
                    continue;
                }
                b',' => {
                    match self.frames.last_mut() {
                        Some(Frame::Object { key, in_value }) => (*key, *in_value) = (None, false),
                        Some(Frame::Array { index }) => *index += 1,
                        None => {}
                    }
                    continue;
                }
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                // A number, or one of the three words.
                _ => self.skip_while(|b| !b" \t\r\n,:{}[]\"".contains(&b)),
            }
            return Some(Started { offset, depth });
        }
    }

    /// The rest of a string whose first quote was taken, and its last quote.
    fn string(&mut self) -> String {
        let start = self.at;
        loop {
            self.skip_while(|b| b != b'"' && b != b'\\');
            match self.text.get(self.at) {
                Some(b'\\') => self.at += 2,
                _ => break,
            }
        }
        let content = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        let quoted = [&b"\""[..], content, b"\""].concat();
        serde_json::from_slice(&quoted)
            .unwrap_or_else(|_| String::from_utf8_lossy(content).into_owned())
    }

    fn skip_while(&mut self, more: impl Fn(u8) -> bool) {
        while self.text.get(self.at).is_some_and(|b| more(*b)) {
            self.at += 1;
        }
    }

    /// The field that the outermost frames lead to, such as `models[2].license`.
    fn path(&self, frames: usize) -> String {
        let mut path = String::new();
        for frame in self.frames.iter().take(frames) {
            match frame {
                Frame::Object { key: Some(key), .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Frame::Object { key: None, .. } => {}
                Frame::Array { index } => path.push_str(&format!("[{index}]")),
            }
        }
        path
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
            ("the whole", 2, 1),
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
