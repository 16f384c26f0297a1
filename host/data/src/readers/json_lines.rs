//! Lines of JSON: one object per line, with the text in one of its members.

use std::fs::File;
use std::path::Path;

use modelzoo_base::json::{Object, ScanError, Scanner};
use modelzoo_base::text::escape;
use serde_json::Value;

use crate::error::Error;
use crate::extents::Extents;
use crate::readers::Format;
use crate::readers::text_file::{Rows, TEXT, TextFile, has_extension, lines};
use crate::text;

pub(crate) const FORMAT: Format = Format {
    matches: |path| has_extension(path, "jsonl") || has_extension(path, "ndjson"),
    open: |path, options| Ok(Box::new(TextFile::<JsonLines>::open(path, options)?)),
};

struct JsonLines {
    member: String,
}

impl Rows for JsonLines {
    fn open(path: &Path, file: &File, column: Option<&str>) -> Result<(Self, Extents), Error> {
        let member = column.unwrap_or(TEXT).to_owned();
        let rows = lines(path, file, |line| !line.trim_ascii().is_empty())?;
        Ok((Self { member }, rows))
    }

    fn column(&self) -> &str {
        &self.member
    }

    fn text(&self, row: &[u8]) -> Result<String, String> {
        let object = object(row)?;
        let member = || escape(&self.member);
        let Some(value) = object.get(row, &self.member) else {
            return Err(format!("it has no `{}`", member()));
        };
        match text::parse(value) {
            Ok(Value::String(text)) => Ok(text),
            Ok(_) => Err(format!("`{}` is not a string", member())),
            Err(error) => Err(format!("`{}` cannot be read: {error}", member())),
        }
    }

    /// The line as it is: a number that no `f64` holds stays what it was.
    fn object(&self, row: &[u8]) -> Option<Vec<u8>> {
        object(row).is_ok().then(|| row.to_vec())
    }
}

/// Finds the members of a line that is an object of JSON, with the liberties that Python takes.
fn object(row: &[u8]) -> Result<Object, String> {
    let bad = |error| match error {
        ScanError::Syntax { offset, reason } => {
            format!("the line is not JSON: byte {offset}: {reason}")
        }
        ScanError::Io(error) => error.to_string(),
    };
    if std::str::from_utf8(row).is_err() {
        return Err("the line is not UTF-8".to_owned());
    }
    let mut scanner = Scanner::over(row);
    scanner
        .skip_value()
        .and_then(|()| scanner.finish())
        .map_err(bad)?;
    Object::parse(row).map_err(|_| "the line is JSON but not an object".to_owned())
}
