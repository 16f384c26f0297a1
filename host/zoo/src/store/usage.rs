//! Disk usage.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::layout::Store;
use crate::error::Error;

/// The disk usage of a part of the store.
#[derive(Debug, Clone, Serialize)]
pub struct Usage {
    /// The source's id, the model's name, or the part of the store.
    pub name: String,
    /// `source`, `model`, `cache` or `staging`.
    pub kind: &'static str,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Store {
    /// The disk usage of each source, each downloaded model, the cache and the staging area.
    pub(crate) fn usage(&self) -> Result<Vec<Usage>, Error> {
        let mut usage = Vec::new();
        for source in self.lock()?.sources() {
            usage.push(Usage {
                name: source.id.to_string(),
                kind: "source",
                bytes: size_of(&self.snapshot_dir(source))?,
            });
            let models = self.models_of(source).unwrap_or_default();
            for record in models.iter().filter(|record| record.receipt().is_some()) {
                usage.push(Usage {
                    name: record.name(),
                    kind: "model",
                    bytes: size_of(&record.dir)?,
                });
            }
        }
        for (kind, dir) in [("cache", self.cache_dir()), ("staging", self.staging_dir())] {
            usage.push(Usage {
                name: kind.into(),
                kind,
                bytes: size_of(&dir)?,
            });
        }
        Ok(usage)
    }
}

/// The entries of a directory, sorted; none if it does not exist or is a link.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    if dir.is_symlink() {
        return Ok(Vec::new());
    }
    let read = match fs::read_dir(dir) {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", dir, error)),
    };
    let mut paths = Vec::new();
    for entry in read {
        paths.push(entry.map_err(|e| Error::io("read", dir, e))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The bytes of all files below a path, links not followed.
pub(crate) fn size_of(path: &Path) -> Result<u64, Error> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => entries(path)?.iter().map(|p| size_of(p)).sum(),
        Ok(meta) => Ok(meta.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::io("read", path, error)),
    }
}
