//! Where a store that may only be read lets its commands write.
//!
//! A store can be shared by users who may not change it, or lie on a disk that is mounted
//! read-only. What is in it is listed, verified and applied all the same; only what these commands
//! need for themselves goes somewhere else.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::layout::{Store, create_dir_all};
use super::work::WorkDir;
use crate::error::Error;

/// A directory for the results of interrupted runs over datasets.
#[derive(Debug)]
pub(crate) struct ResultsDir {
    path: PathBuf,
    /// Removes the directory when the run is over.
    _temporary: Option<TempDir>,
}

impl ResultsDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// A new directory for what is looked at and not kept; removed when the value is dropped.
    pub(crate) fn scratch(&self) -> Result<WorkDir, Error> {
        match self.stage() {
            Err(error) if is_read_only(&error) => WorkDir::create(&std::env::temp_dir())
                .map_err(|e| Error::io("create a directory in", &std::env::temp_dir(), e)),
            staged => staged,
        }
    }

    /// The directory for the results of interrupted runs: the store's; or the user's own cache,
    /// where the store may only be read; or one that is gone afterwards, where there is no cache
    /// either, so that a run which is interrupted begins again.
    pub(crate) fn results_dir(&self) -> Result<ResultsDir, Error> {
        let kept = |path| ResultsDir {
            path,
            _temporary: None,
        };
        let own = self.staging_dir().join("results");
        match writable(&own) {
            Err(error) if is_read_only(&error) => {}
            made => return made.map(|()| kept(own)),
        }
        if let Some(cache) = user_cache().filter(|cache| writable(cache).is_ok()) {
            return Ok(kept(cache));
        }
        let temporary = temporary()?;
        Ok(ResultsDir {
            path: temporary.path().to_owned(),
            _temporary: Some(temporary),
        })
    }
}

/// Makes a directory, and finds out whether files can be made in it.
fn writable(dir: &Path) -> Result<(), Error> {
    create_dir_all(dir)?;
    tempfile::tempfile_in(dir)
        .map(drop)
        .map_err(|error| Error::io("create a file in", dir, error))
}

/// The directory of the user's own for results.
fn user_cache() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
    Some(strategy.cache_dir().join("modelzoo").join("results"))
}

/// A directory of this user's alone.
fn temporary() -> Result<TempDir, Error> {
    tempfile::Builder::new()
        .prefix("modelzoo-")
        .tempdir()
        .map_err(|error| Error::io("create a directory in", &std::env::temp_dir(), error))
}

/// Whether something failed because this user may not write there.
fn is_read_only(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if matches!(
        source.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    ))
}
