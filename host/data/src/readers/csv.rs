//! CSV: one text per row, in a column that the first row names.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use modelzoo_base::json;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::extents::{Extent, Extents};
use crate::files::At;
use crate::readers::Format;
use crate::readers::text_file::{MAX_ROW, Rows, TEXT, TextFile, check_length, has_extension};

pub(crate) const FORMAT: Format = Format {
    matches: |path| has_extension(path, "csv"),
    open: |path, options| Ok(Box::new(TextFile::<Csv>::open(path, options)?)),
};

/// The most columns that the first row names.
const MAX_COLUMNS: usize = 1 << 14;
/// The most cells of a row.
const MAX_CELLS: u64 = 1 << 20;

struct Csv {
    columns: Vec<String>,
    /// The column that holds the texts.
    column: usize,
}

impl Rows for Csv {
    fn open(path: &Path, file: &File, column: Option<&str>) -> Result<(Self, Extents), Error> {
        let column = column.unwrap_or(TEXT);
        let malformed = |error: &csv::Error| Error::Malformed {
            path: path.to_owned(),
            offset: error.position().map_or(0, csv::Position::byte),
            reason: error.to_string(),
        };
        let allowance = Rc::new(Cell::new([0; 2]));
        let bounded = Bounded {
            inner: At { file, offset: 0 },
            allowance: allowance.clone(),
        };
        // Set again for each row; what is read ahead counts to the one before.
        let begin_row = || allowance.set([MAX_ROW, MAX_CELLS].map(|most| most + (1 << 20)));
        begin_row();
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(BufReader::new(bounded));
        let headers = reader.headers().map_err(|error| malformed(&error))?;
        if headers.len() > MAX_COLUMNS {
            return Err(Error::Malformed {
                path: path.to_owned(),
                offset: 0,
                reason: format!(
                    "{} columns, and at most {MAX_COLUMNS} are read",
                    headers.len()
                ),
            });
        }
        let columns: Vec<String> = headers.iter().map(str::to_owned).collect();
        let place = columns.iter().position(|name| name == column);
        let Some(place) = place else {
            return Err(Error::NoColumn {
                path: path.to_owned(),
                column: column.to_owned(),
                columns,
            });
        };
        if columns.iter().filter(|name| *name == column).count() > 1 {
            return Err(Error::AmbiguousColumn {
                path: path.to_owned(),
                column: column.to_owned(),
            });
        }
        let mut rows = Extents::default();
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
            rows.push(Extent {
                start: position.byte(),
                length,
                line: position.line(),
            });
        }
        let format = Self {
            columns: distinct(columns),
            column: place,
        };
        Ok((format, rows))
    }

    fn column(&self) -> &str {
        self.columns.get(self.column).map_or("", String::as_str)
    }

    fn text(&self, row: &[u8]) -> Result<String, String> {
        let cells = cells(row)?;
        let cell = cells.get(self.column).map(str::to_owned);
        cell.ok_or_else(|| format!("it has {} columns only", cells.len()))
    }

    fn object(&self, row: &[u8]) -> Option<Vec<u8>> {
        let cells = cells(row).unwrap_or_default();
        let names = self.columns.iter().cloned();
        let object: Map<_, _> = names.zip(cells.iter().map(Value::from)).collect();
        Some(json::to_vec(&object))
    }
}

/// The names of columns, with a number added to those that were there before, as pandas does.
fn distinct(columns: Vec<String>) -> Vec<String> {
    let mut taken: HashSet<String> = columns.iter().cloned().collect();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut name = |column: String| {
        let Some(number) = numbers.get_mut(&column) else {
            numbers.insert(column.clone(), 1);
            return column;
        };
        loop {
            let numbered = format!("{column}.{number}");
            *number += 1;
            if taken.insert(numbered.clone()) {
                return numbered;
            }
        }
    };
    columns.into_iter().map(&mut name).collect()
}

/// Gives so many bytes and commas and no more, so that a quote that is never closed does not take
/// in the whole file, and a row has no more cells than there is memory for.
struct Bounded<R> {
    inner: R,
    allowance: Rc<Cell<[u64; 2]>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let [left, cells] = self.allowance.get();
        let failed = |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        if left == 0 {
            return failed(format!(
                "a row of more than {MAX_ROW} bytes, or a quote without its end"
            ));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let read = into.get_mut(..most).unwrap_or_default();
        let count = self.inner.read(read)?;
        let commas = read
            .iter()
            .take(count)
            .filter(|&&byte| byte == b',')
            .count();
        let Some(cells) = cells.checked_sub(commas as u64) else {
            return failed(format!("a row of more than {MAX_CELLS} cells"));
        };
        self.allowance.set([left - count as u64, cells]);
        Ok(count)
    }
}

fn cells(row: &[u8]) -> Result<csv::StringRecord, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(row);
    match reader.records().next() {
        Some(Ok(record)) => Ok(record),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("an empty row".to_owned()),
    }
}
