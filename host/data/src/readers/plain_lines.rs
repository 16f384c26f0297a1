//! Plain text: one text per line.

use std::fs::File;
use std::path::Path;

use serde_json::{Map, Value};

use crate::Error;
use crate::readers::Format;
use crate::readers::text_file::{Row, Rows, TEXT, TextFile, has_extension, lines};

pub(crate) const FORMAT: Format = Format {
    matches: |path| has_extension(path, "txt"),
    open: |path, options| Ok(Box::new(TextFile::<PlainLines>::open(path, options)?)),
};

struct PlainLines;

impl Rows for PlainLines {
    fn open(path: &Path, file: &File, column: Option<&str>) -> Result<(Self, Vec<Row>), Error> {
        if let Some(column) = column {
            return Err(Error::NoColumn {
                path: path.to_owned(),
                column: column.to_owned(),
                columns: Vec::new(),
            });
        }
        let rows = lines(path, file, |line| !line.trim_ascii().is_empty())?;
        Ok((Self, rows))
    }

    fn column(&self) -> &str {
        ""
    }

    fn text(&self, row: &[u8]) -> Result<String, String> {
        String::from_utf8(row.to_vec()).map_err(|_| "not UTF-8".to_owned())
    }

    fn object(&self, row: &[u8]) -> Option<Map<String, Value>> {
        let text = String::from_utf8_lossy(row).into_owned();
        Some([(TEXT.to_owned(), text.into())].into_iter().collect())
    }
}
