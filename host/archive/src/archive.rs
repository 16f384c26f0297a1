//! An archive that is unpacked in several parts.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::entry::{Entry, Extracted};
use crate::error::Error;
use crate::extract::{Opened, root};
use crate::ledger::Limits;
use crate::path::RelPath;

/// An archive of which every entry has been checked.
///
/// A compressed tar is decompressed only once, however often it is unpacked from.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    opened: Opened,
    entries: Vec<Entry>,
}

impl Archive {
    /// Opens an archive and checks every entry, as [`list`](crate::list) does.
    ///
    /// `spool` is an empty file, open for reading and writing. A compressed tar is decompressed to
    /// it, within the limits.
    ///
    /// # Errors
    /// The first thing that is wrong with the archive, that it passes the limits, or that the
    /// decompressed tar cannot be written.
    pub fn open(path: &Path, limits: Limits, spool: File) -> Result<Self, Error> {
        let opened = Opened::open(path, limits).and_then(|opened| opened.spooled(spool));
        let (opened, entries) = opened.map_err(|kind| Error::new(path, kind))?;
        Ok(Self {
            path: path.to_owned(),
            opened,
            entries,
        })
    }

    /// The files, in the archive's order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The one directory that every file lies in, if there is one.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        root(&self.entries)
    }

    /// Unpacks files into an existing directory, as [`extract`](crate::extract) does. `place` gives
    /// the path of a file below the directory from its path in the archive; files without one are
    /// left out.
    ///
    /// # Errors
    /// The first thing that is wrong with the contents of a file, or that a file cannot be written.
    pub fn extract(
        &self,
        into: &Path,
        place: &dyn Fn(&RelPath) -> Option<RelPath>,
    ) -> Result<Vec<Extracted>, Error> {
        self.opened
            .extract(&self.entries, into, place)
            .map_err(|kind| Error::new(&self.path, kind))
    }
}
