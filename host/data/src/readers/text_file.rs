//! Texts in one file: what the formats that hold one text per row share.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use modelzoo_base::file::open_regular;
use modelzoo_base::json;
use sha2::{Digest, Sha256};

use crate::error::{Error, MediaError};
use crate::extents::{Extent, Extents};
use crate::files::{At, BYTE_ORDER_MARK};
use crate::media::Root;
use crate::options::OpenOptions;
use crate::readers::{Entry, Reader, Samples};

/// The longest row that is read, in bytes.
pub(crate) const MAX_ROW: u64 = 16 << 20;
/// The member of a line of JSON, or the column of a CSV file, that is read if none is named.
pub(crate) const TEXT: &str = "text";

/// What one format makes of a file of texts.
pub(crate) trait Rows: Sized + Send + Sync {
    /// Finds the rows of a file; `column` is the one that was asked for.
    fn open(path: &Path, file: &File, column: Option<&str>) -> Result<(Self, Extents), Error>;

    /// The column or member that holds the texts; empty where rows have none.
    fn column(&self) -> &str;

    /// The text of a row, or why it has none.
    fn text(&self, row: &[u8]) -> Result<String, String>;

    /// A row as the text of a JSON object with its columns; none if it has none.
    fn object(&self, row: &[u8]) -> Option<Vec<u8>>;
}

/// Whether the name of a file ends in `extension`, in upper or lower case.
pub(crate) fn has_extension(path: &Path, extension: &str) -> bool {
    let end = path.extension();
    end.is_some_and(|end| end.eq_ignore_ascii_case(extension)) && path.is_file()
}

/// A file of texts, and where in it each is.
pub(crate) struct TextFile<R> {
    root: Root,
    path: PathBuf,
    file: File,
    format: R,
    rows: Extents,
}

impl<R: Rows> TextFile<R> {
    /// Opens a file of texts and finds its rows.
    pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        let root = Root::open(directory).map_err(Error::io("open", directory))?;
        let file = open_regular(&path).map_err(Error::io("open", &path))?;
        let (format, rows) = R::open(&path, &file, options.text_field.as_deref())?;
        if rows.len() == 0 {
            return Err(Error::NoTexts { path });
        }
        Ok(Self {
            root,
            path,
            file,
            format,
            rows,
        })
    }

    /// The name of a row: the file's name and the line.
    fn name(&self, row: Extent) -> String {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!("{file}:{}", row.line)
    }

    /// A digest of a row's contents, and of the column that is read.
    fn digest(&self, row: &[u8]) -> String {
        let column = self.format.column();
        let mut hash = Sha256::new();
        hash.update((column.len() as u64).to_le_bytes());
        hash.update(column);
        hash.update(row);
        let digest = hex::encode(hash.finalize());
        digest.get(..16).unwrap_or_default().to_owned()
    }

    fn read(&self, row: Extent) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let from = At {
            file: &self.file,
            offset: row.start,
        };
        from.take(row.length)
            .read_to_end(&mut content)
            .map_err(Error::io("read", &self.path))?;
        Ok(content)
    }
}

impl<R: Rows> Reader for TextFile<R> {
    fn kind(&self) -> &'static str {
        "file of texts"
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn list(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn entry(&self, index: usize) -> Result<Option<Entry>, Error> {
        let Some(row) = self.rows.get(index) else {
            return Ok(None);
        };
        let content = self.read(row)?;
        let name = self.name(row);
        let text = self.format.text(&content);
        Ok(Some(Entry::Row {
            digest: self.digest(&content),
            text: text.map_err(|reason| MediaError::NoText {
                row: name.clone(),
                reason,
            }),
            name,
        }))
    }

    fn samples(&self) -> Samples<'_> {
        Samples::Rows
    }

    fn row(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some(row) = self.rows.get(index) else {
            return Ok(None);
        };
        let object = self.format.object(&self.read(row)?);
        // What the row is instead is in the file still.
        let named = || json::to_vec(&serde_json::json!({ "row": self.name(row) }));
        Ok(Some(object.unwrap_or_else(named)))
    }

    fn is_stale(&self) -> bool {
        false
    }
}

/// The lines of a file that `keep` wants, without their ends.
pub(crate) fn lines(
    path: &Path,
    file: &File,
    mut keep: impl FnMut(&[u8]) -> bool,
) -> Result<Extents, Error> {
    let mut reader = BufReader::new(At { file, offset: 0 });
    let (mut rows, mut start, mut number) = (Extents::default(), 0, 0);
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
        let marked = start == 0 && line.starts_with(BYTE_ORDER_MARK);
        let skipped = if marked { BYTE_ORDER_MARK.len() } else { 0 };
        let content = line.get(skipped..).unwrap_or_default();
        let content = content.strip_suffix(b"\n").unwrap_or(content);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if keep(content) {
            rows.push(Extent {
                start: start + skipped as u64,
                length: content.len() as u64,
                line: number,
            });
        }
        start += length;
    }
}

/// Refuses a row that is too long to be read.
pub(crate) fn check_length(path: &Path, bytes: u64) -> Result<(), Error> {
    if bytes > MAX_ROW {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            bytes,
            limit: MAX_ROW,
        });
    }
    Ok(())
}
