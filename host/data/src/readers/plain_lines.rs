//! Plain text: one text per line.

use std::fs::File;
use std::path::Path;

use modelzoo_base::json;

use crate::error::Error;
use crate::extents::Extents;
use crate::readers::Format;
use crate::readers::text_file::{Rows, TEXT, TextFile, has_extension, lines};

pub(crate) const FORMAT: Format = Format {
    matches: |path| has_extension(path, "txt"),
    open: |path, options| Ok(Box::new(TextFile::<PlainLines>::open(path, options)?)),
};

struct PlainLines;

impl Rows for PlainLines {
    fn open(path: &Path, file: &File, column: Option<&str>) -> Result<(Self, Extents), Error> {
        if let Some(column) = column {
            return Err(Error::NoColumn {
                path: path.to_owned(),
                column: column.to_owned(),
                columns: Vec::new(),
            });
        }
        // Row i of what is written is line i, so a blank line is a text like any other.
        let mut any = false;
        let rows = lines(path, file, |line| {
            any |= !line.trim_ascii().is_empty();
            true
        })?;
        Ok((Self, if any { rows } else { Extents::default() }))
    }

    fn column(&self) -> &str {
        ""
    }

    fn text(&self, row: &[u8]) -> Result<String, String> {
        String::from_utf8(row.to_vec()).map_err(|_| "not UTF-8".to_owned())
    }

    fn object(&self, row: &[u8]) -> Option<Vec<u8>> {
        let text = String::from_utf8_lossy(row);
        Some(json::to_vec(&serde_json::json!({ TEXT: text })))
    }
}
