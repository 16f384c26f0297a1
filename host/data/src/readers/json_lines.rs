//! Lines of JSON: one object per line, with the text in one of its members.

use std::fs::File;
use std::path::Path;

use modelzoo_base::text::escape;
use serde_json::{Map, Value};

use crate::Error;
use crate::readers::Format;
use crate::readers::text_file::{Row, Rows, TEXT, TextFile, has_extension, lines};

pub(crate) const FORMAT: Format = Format {
    matches: |path| has_extension(path, "jsonl") || has_extension(path, "ndjson"),
    open: |path, options| Ok(Box::new(TextFile::<JsonLines>::open(path, options)?)),
};

struct JsonLines {
    member: String,
}

impl Rows for JsonLines {
    fn open(path: &Path, file: &File, column: Option<&str>) -> Result<(Self, Vec<Row>), Error> {
        let member = column.unwrap_or(TEXT).to_owned();
        let rows = lines(path, file, |line| !line.trim_ascii().is_empty())?;
        Ok((Self { member }, rows))
    }

    fn column(&self) -> &str {
        &self.member
    }

    fn text(&self, row: &[u8]) -> Result<String, String> {
        match object(row)?.remove(&self.member) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("`{}` is not a string", escape(&self.member))),
            None => Err(format!("it has no `{}`", escape(&self.member))),
        }
    }

    fn object(&self, row: &[u8]) -> Option<Map<String, Value>> {
        object(row).ok()
    }
}

fn object(row: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(row) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the line is not a JSON object".to_owned()),
        Err(error) => Err(format!("the line is not JSON: {error}")),
    }
}
