//! `samples/`: one file per document.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use crate::error::Error;
use crate::files::{BYTE_ORDER_MARK, Stamp, read_bounded};

/// The files in `samples/`, in the order of their names.
pub(crate) struct Parts {
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
    names: Vec<OsString>,
}

impl Parts {
    pub(crate) fn open(path: PathBuf) -> Result<Self, Error> {
        let stamp = Stamp::of(&fs::metadata(&path).map_err(Error::io("look at", &path))?);
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let name = entry.map_err(Error::io("list", &path))?.file_name();
            let bytes = name.as_encoded_bytes();
            if bytes.ends_with(b".json") && !bytes.starts_with(b".") {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(Self { path, stamp, names })
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The file of one document.
    pub(crate) fn file(&self, index: usize) -> Option<PathBuf> {
        Some(self.path.join(self.names.get(index)?))
    }

    pub(crate) fn read(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some(file) = self.file(index) else {
            return Ok(None);
        };
        let mut text = read_bounded(&file)?;
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(Some(text))
    }
}
