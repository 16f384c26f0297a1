//! What in the store can be removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::layout::{KEPT, Store, is_work, subdirs};
use super::usage::{entries, size_of};
use crate::error::Error;

/// A file or directory that can be removed.
#[derive(Debug, Clone, Serialize)]
pub struct Garbage {
    /// Its path.
    pub path: PathBuf,
    /// Why it is not needed.
    pub reason: &'static str,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Garbage {
    fn new(path: PathBuf, reason: &'static str) -> Result<Self, Error> {
        Ok(Self {
            bytes: size_of(&path)?,
            path,
            reason,
        })
    }
}

impl Store {
    /// What is not reachable from the lock: unfinished work, old snapshots, and models that no
    /// registered source declares.
    pub(crate) fn garbage(&self) -> Result<Vec<Garbage>, Error> {
        self.check_ours()?;
        let keep = self.reachable()?;
        let mut garbage = Vec::new();
        for part in ["sources", "models"] {
            let keys = entries(&self.home().join(part))?;
            for key in keys.into_iter().filter(|key| is_key(key)) {
                garbage.extend(unreachable(key, &keep)?);
            }
        }
        for path in self.unfinished()? {
            garbage.push(Garbage::new(path, "it was never finished")?);
        }
        Ok(garbage)
    }

    /// Removes what [`Store::garbage`] lists, also the unfinished work of another process.
    pub(crate) fn collect_garbage(&self) -> Result<Vec<Garbage>, Error> {
        self.check_ours()?;
        // No other process registers a source meanwhile.
        let _guard = self.change_lock()?;
        let garbage = self.garbage()?;
        for item in &garbage {
            let removed = if item.path.is_dir() {
                fs::remove_dir_all(&item.path)
            } else {
                fs::remove_file(&item.path)
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &item.path, error));
                }
                _ => {}
            }
        }
        for dir in subdirs(&self.staging_dir().join("partials")) {
            // If another process has started a download again, the directory is not empty.
            let _ = fs::remove_dir(dir);
        }
        Ok(garbage)
    }

    /// The snapshots and the directories of models that the lock leads to.
    fn reachable(&self) -> Result<BTreeSet<PathBuf>, Error> {
        let mut keep = BTreeSet::new();
        for source in self.lock()?.sources() {
            keep.insert(self.snapshot_dir(source));
            match self.models_of(source) {
                Ok(models) => keep.extend(models.into_iter().map(|record| record.dir)),
                // The source's models are not known: all directories may be needed.
                Err(_) => keep.extend(entries(&self.models_dir(&source.id.key()))?),
            }
        }
        Ok(keep)
    }

    fn unfinished(&self) -> Result<Vec<PathBuf>, Error> {
        let staging = self.staging_dir();
        let mut unfinished = entries(&staging)?;
        unfinished.retain(|path| is_work(path));
        for kept in KEPT {
            unfinished.extend(entries(&staging.join(kept))?);
        }
        // The files in the directory of a source are unfinished, the directory itself is not.
        let of_sources = subdirs(&staging.join("partials"));
        unfinished.retain(|path| !of_sources.contains(path));
        for dir in of_sources {
            unfinished.extend(entries(&dir)?);
        }
        Ok(unfinished)
    }

    /// Fails for a directory that is not empty and in which no command has ever changed a lock.
    fn check_ours(&self) -> Result<(), Error> {
        let ours = self.lock_path().exists() || self.guard_path().exists();
        for part in ["sources", "models"] {
            if !ours && !entries(&self.home().join(part))?.is_empty() {
                return Err(Error::NoStore(self.home().to_owned()));
            }
        }
        Ok(())
    }
}

/// What in the directory of one source is not to be kept: the directory itself, if that is all.
fn unreachable(key: PathBuf, keep: &BTreeSet<PathBuf>) -> Result<Vec<Garbage>, Error> {
    const REASON: &str = "modelzoo.lock does not lead to it";
    if key.is_symlink() {
        // Only the link is removed: its target is not part of the store.
        return Ok(vec![Garbage {
            bytes: 0,
            path: key,
            reason: "it is a link, and modelzoo makes none",
        }]);
    }
    let all = entries(&key)?;
    let lost: Vec<_> = all.iter().filter(|p| !keep.contains(*p)).cloned().collect();
    if lost.len() == all.len() {
        return Ok(vec![Garbage::new(key, REASON)?]);
    }
    let lost = lost.into_iter().map(|path| Garbage::new(path, REASON));
    lost.collect()
}

/// Whether a directory has a name as the directories of sources have.
fn is_key(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()))
}
