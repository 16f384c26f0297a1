//! `samples/`: one file per document.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use crate::error::Error;
use crate::files::{Stamp, read_bounded};
use crate::media::Root;

/// The files in `samples/`, in the order of their names.
pub(crate) struct Parts {
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
    names: Vec<OsString>,
}

impl Parts {
    /// Lists the files in `path`. None of them may be a link that leads out of `root`, unless
    /// that is allowed.
    pub(crate) fn open(root: &Root, path: PathBuf, allow_outside: bool) -> Result<Self, Error> {
        root.check(&path, allow_outside)?;
        let stamp = Stamp::of(&fs::metadata(&path).map_err(Error::io("look at", &path))?);
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let entry = entry.map_err(Error::io("list", &path))?;
            let name = entry.file_name();
            let bytes = name.as_encoded_bytes();
            if !bytes.ends_with(b".json") || bytes.starts_with(b".") {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                root.check(&entry.path(), allow_outside)?;
            }
            names.push(name);
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
        read_bounded(&file).map(Some)
    }
}
