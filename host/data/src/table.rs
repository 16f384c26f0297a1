//! Texts in one file: a line of plain text, a line of JSON, or a row of CSV each.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::media::open_regular;
use crate::{Error, MediaError, text};

/// The longest row that is read, in bytes.
const MAX_ROW: u64 = 16 << 20;
/// The member of a line of JSON, or the column of a CSV file, that is taken if none is named.
const TEXT: &str = "text";
/// What the name of a table ends in, in lower case.
pub(crate) const EXTENSIONS: [&str; 4] = ["csv", "jsonl", "ndjson", "txt"];

/// A file of texts, and where in it each is.
pub(crate) struct Table {
    path: PathBuf,
    /// Where it is read is not shared between threads.
    file: Mutex<File>,
    format: Format,
    rows: Vec<Row>,
}

enum Format {
    Lines,
    Json { member: String },
    Csv { columns: Vec<String>, column: usize },
}

#[derive(Clone, Copy)]
struct Row {
    start: u64,
    length: u64,
    /// Counted from 1.
    line: u64,
}

impl Table {
    /// Whether a path is one of a table, by its name.
    pub(crate) fn is_one(path: &Path) -> bool {
        path.extension().is_some_and(|extension| {
            EXTENSIONS
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        })
    }

    /// Opens a table and finds its rows. `field` names the member of JSON or the column.
    pub(crate) fn open(path: &Path, field: Option<&str>) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        let file = open_regular(&path).map_err(Error::io("open", &path))?;
        let is = |end: &str| {
            path.extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case(end))
        };
        let name = field.unwrap_or(TEXT);
        let (format, rows) = if is("txt") {
            if field.is_some() {
                return Err(Error::NoColumn {
                    path,
                    column: name.to_owned(),
                    columns: Vec::new(),
                });
            }
            (Format::Lines, lines(&path, &file)?)
        } else if is("csv") {
            csv_rows(&path, &file, name)?
        } else {
            let member = name.to_owned();
            (Format::Json { member }, lines(&path, &file)?)
        };
        if rows.is_empty() {
            return Err(Error::NoTexts { path });
        }
        Ok(Self {
            path,
            file: Mutex::new(file),
            format,
            rows,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The name of a row: the file's name and the line.
    pub(crate) fn name(&self, index: usize) -> Option<String> {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        let row = self.rows.get(index)?;
        Some(format!("{file}:{}", row.line))
    }

    /// What tells a row from others: its name and a digest of its contents.
    pub(crate) fn key(&self, index: usize) -> Result<Option<String>, Error> {
        let (Some(name), Some(row)) = (self.name(index), self.read(index)?) else {
            return Ok(None);
        };
        // Another column of the same row is another text.
        let column = match &self.format {
            Format::Lines => "",
            Format::Json { member } => member,
            Format::Csv { columns, column } => columns.get(*column).map_or("", String::as_str),
        };
        let mut hash = Sha256::new();
        hash.update((column.len() as u64).to_le_bytes());
        hash.update(column);
        hash.update(&row);
        let digest = hex::encode(hash.finalize());
        Ok(Some(format!(
            "{name} {}",
            digest.get(..16).unwrap_or_default()
        )))
    }

    /// The text of a row.
    pub(crate) fn text(&self, index: usize) -> Result<Result<String, MediaError>, Error> {
        let name = self.name(index).unwrap_or_default();
        let no_text = |reason: String| MediaError::NoText { row: name, reason };
        let Some(row) = self.read(index)? else {
            return Ok(Err(no_text("there is no such row".to_owned())));
        };
        Ok(self.take(&row).map_err(no_text))
    }

    fn take(&self, row: &[u8]) -> Result<String, String> {
        match &self.format {
            Format::Lines => String::from_utf8(row.to_vec()).map_err(|_| "not UTF-8".to_owned()),
            Format::Json { member } => match object(row)?.remove(member) {
                Some(Value::String(text)) => Ok(text),
                Some(_) => Err(format!("`{}` is not a string", text::escape(member))),
                None => Err(format!("it has no `{}`", text::escape(member))),
            },
            Format::Csv { column, .. } => {
                let mut cells = cells(row)?;
                if *column >= cells.len() {
                    return Err(format!("it has {} columns only", cells.len()));
                }
                Ok(cells.swap_remove(*column))
            }
        }
    }

    /// A row as an object of JSON: what a line of JSON is, the columns of CSV by their names, or
    /// a plain text.
    pub(crate) fn object(&self, index: usize) -> Result<Map<String, Value>, Error> {
        let row = self.read(index)?.unwrap_or_default();
        let object = match &self.format {
            Format::Lines => [(TEXT.to_owned(), json!(String::from_utf8_lossy(&row)))]
                .into_iter()
                .collect(),
            Format::Json { .. } => object(&row).unwrap_or_else(|_| {
                // What the line is instead is in the file still.
                let name = self.name(index).unwrap_or_default();
                [("row".to_owned(), name.into())].into_iter().collect()
            }),
            Format::Csv { columns, .. } => {
                let cells = cells(&row).unwrap_or_default();
                let named = columns
                    .iter()
                    .cloned()
                    .zip(cells.into_iter().map(Value::from));
                named.collect()
            }
        };
        Ok(object)
    }

    fn read(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some(&Row { start, length, .. }) = self.rows.get(index) else {
            return Ok(None);
        };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = || Error::io("read", &self.path);
        file.seek(SeekFrom::Start(start)).map_err(failed())?;
        let mut row = Vec::new();
        (&mut *file)
            .take(length)
            .read_to_end(&mut row)
            .map_err(failed())?;
        Ok(Some(row))
    }
}

fn object(row: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(row) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the line is not an object of JSON".to_owned()),
        Err(error) => Err(format!("the line is not JSON: {error}")),
    }
}

/// The lines that are not blank, without their ends.
fn lines(path: &Path, file: &File) -> Result<Vec<Row>, Error> {
    let mut reader = BufReader::new(file);
    let (mut rows, mut start, mut number) = (Vec::new(), 0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut reader)
            .take(MAX_ROW + 1)
            .read_until(b'\n', &mut line)
            .map_err(Error::io("read", path))? as u64;
        if length == 0 {
            return Ok(rows);
        }
        check_length(path, length)?;
        number += 1;
        let mark = if start == 0 { b"\xef\xbb\xbf".len() } else { 0 };
        let skipped = if line.starts_with(b"\xef\xbb\xbf") {
            mark
        } else {
            0
        };
        let content = line.get(skipped..).unwrap_or_default();
        let content = content.strip_suffix(b"\n").unwrap_or(content);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if !content.trim_ascii().is_empty() {
            rows.push(Row {
                start: start + skipped as u64,
                length: content.len() as u64,
                line: number,
            });
        }
        start += length;
    }
}

/// The rows of a CSV file after its first, which names the columns.
fn csv_rows(path: &Path, file: &File, column: &str) -> Result<(Format, Vec<Row>), Error> {
    let malformed = |error: &csv::Error| Error::Malformed {
        path: path.to_owned(),
        offset: error.position().map_or(0, csv::Position::byte),
        reason: error.to_string(),
    };
    let allowance = Rc::new(Cell::new(0));
    let bounded = Bounded {
        inner: file,
        allowance: allowance.clone(),
    };
    // Begun anew for each row; what is read ahead counts to the one before.
    let begin_row = || allowance.set(MAX_ROW + (1 << 20));
    begin_row();
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(BufReader::new(bounded));
    let columns: Vec<String> = reader
        .headers()
        .map_err(|error| malformed(&error))?
        .iter()
        .map(str::to_owned)
        .collect();
    let Some(place) = columns.iter().position(|name| name == column) else {
        return Err(Error::NoColumn {
            path: path.to_owned(),
            column: column.to_owned(),
            columns,
        });
    };
    let mut rows = Vec::new();
    let mut record = csv::ByteRecord::new();
    loop {
        begin_row();
        if !reader
            .read_byte_record(&mut record)
            .map_err(|error| malformed(&error))?
        {
            break;
        }
        let Some(position) = record.position() else {
            continue;
        };
        let length = reader.position().byte() - position.byte();
        check_length(path, length)?;
        rows.push(Row {
            start: position.byte(),
            length,
            line: position.line(),
        });
    }
    let format = Format::Csv {
        columns,
        column: place,
    };
    Ok((format, rows))
}

/// Gives so many bytes and no more, so that a quote that is never closed does not take in the
/// whole file.
struct Bounded<R> {
    inner: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.get();
        if left == 0 {
            let reason = format!("a row of more than {MAX_ROW} bytes, or a quote without its end");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let count = self.inner.read(into.get_mut(..most).unwrap_or_default())?;
        self.allowance.set(left - count as u64);
        Ok(count)
    }
}

fn cells(row: &[u8]) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(row);
    match reader.records().next() {
        Some(Ok(record)) => Ok(record.iter().map(str::to_owned).collect()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("an empty row".to_owned()),
    }
}

fn check_length(path: &Path, bytes: u64) -> Result<(), Error> {
    if bytes > MAX_ROW {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            bytes,
            limit: MAX_ROW,
        });
    }
    Ok(())
}
