//! Files of datasets: read from any place, bounded, and told from what replaced them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use modelzoo_base::file::open_regular;
use modelzoo_base::json::ScanError;

use crate::error::Error;

/// The largest document that is read: masks make some of them large.
pub(crate) const MAX_DOCUMENT: u64 = 256 * 1024 * 1024;
/// What some editors put before UTF-8 text.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What tells one state of a file from the next.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    node: (u64, u64),
}

impl Stamp {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            node: (metadata.dev(), metadata.ino()),
        }
    }

    /// The state of what is at `path`.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

/// Reads a shared file from a place of its own.
pub(crate) struct At<'a> {
    pub(crate) file: &'a File,
    pub(crate) offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(self.file, into, self.offset)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(self.file, into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// The contents of one JSON file, without a byte order mark.
pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, Error> {
    let file = open_regular(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("look at", path))?.len();
    let mut text = Vec::with_capacity(length.min(MAX_DOCUMENT) as usize);
    file.take(MAX_DOCUMENT + 1)
        .read_to_end(&mut text)
        .map_err(Error::io("read", path))?;
    if text.len() as u64 > MAX_DOCUMENT {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            bytes: text.len() as u64,
            limit: MAX_DOCUMENT,
        });
    }
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(text)
}

/// For `map_err` on a scan of the file at `path`.
pub(crate) fn malformed(path: &Path, error: ScanError) -> Error {
    match error {
        ScanError::Io(source) => Error::io("read", path)(source),
        ScanError::Syntax { offset, reason } => Error::Malformed {
            path: path.to_owned(),
            offset,
            reason,
        },
    }
}
