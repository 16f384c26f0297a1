//! Which models and snapshots are in use: a shared lock on a model's receipt while it is loaded, and
//! on the directory of a snapshot while its hooks run.
//!
//! The lock is advisory. On a file system without locks, a model can be deleted while it is loaded.
//! The system releases the lock of a process that ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use modelzoo_base::file;

use super::exclusive::is_older;
use super::layout::{Store, create_dir_all};
use super::work::LATELY;
use crate::error::Error;
use crate::store::receipt::RECEIPT;

/// Keeps a model or a snapshot from being deleted until it is dropped.
#[derive(Debug)]
pub(crate) struct InUse {
    _file: Option<File>,
}

impl InUse {
    /// Marks the model in a directory as used. Waits while it is being deleted.
    pub(crate) fn hold(dir: &Path) -> Self {
        Self::of(&dir.join(RECEIPT))
    }

    /// Marks the snapshot in a directory as used, where the system can lock directories.
    pub(crate) fn hold_snapshot(dir: &Path) -> Self {
        Self::of(dir)
    }

    /// Makes a directory, if it does not exist, and marks it as used, so that [`remove_unused`]
    /// leaves it.
    fn hold_dir(dir: &Path) -> Result<Self, Error> {
        loop {
            create_dir_all(dir)?;
            let used = Self::of(dir);
            // Between making and marking it, another process may have removed it.
            let is_there = match &used._file {
                Some(file) => file::is_at(file, dir),
                None => dir.is_dir(),
            };
            if is_there {
                return Ok(used);
            }
        }
    }

    fn of(path: &Path) -> Self {
        let file = File::open(path).ok();
        Self {
            _file: file.filter(|file| file.lock_shared().is_ok()),
        }
    }
}

impl Store {
    /// The directory of a source's resumable downloads, in use until the second value is dropped. Its
    /// hooks' threads may write there.
    pub(crate) fn hold_partials(&self, key: &str) -> Result<(PathBuf, InUse), Error> {
        let dir = self.staging_dir().join("partials").join(key);
        let used = InUse::hold_dir(&dir)?;
        Ok((dir, used))
    }
}

/// Removes a directory that is empty and not in use. Where locks do nothing, one that was changed
/// lately counts as used.
pub(super) fn remove_unused(dir: &Path) {
    let (Ok(file), Ok(again)) = (File::open(dir), File::open(dir)) else {
        return;
    };
    let excludes = match file.try_lock() {
        Err(TryLockError::WouldBlock) => return,
        Err(TryLockError::Error(_)) => false,
        Ok(()) => matches!(again.try_lock(), Err(TryLockError::WouldBlock)),
    };
    if excludes || is_older(dir, LATELY) {
        // One that is not empty stays.
        let _ = fs::remove_dir(dir);
    }
}

/// Whether the snapshot or the model in a directory is in use.
pub(super) fn is_used(dir: &Path) -> bool {
    let snapshot = File::open(dir).map(|file| file.try_lock());
    let used = matches!(snapshot, Ok(Err(TryLockError::WouldBlock)));
    used || Claim::take(dir).is_none()
}

/// Keeps other processes from loading a model until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    _receipt: Option<File>,
}

impl Claim {
    /// Claims the model in a directory; `None` if it is in use.
    pub(crate) fn take(dir: &Path) -> Option<Self> {
        // Some network file systems lock exclusively only what is open for writing. A model without a
        // receipt cannot be loaded.
        let path = dir.join(RECEIPT);
        let open = OpenOptions::new().read(true).write(true).open(&path);
        let Ok(receipt) = open.or_else(|_| File::open(&path)) else {
            return Some(Self { _receipt: None });
        };
        match receipt.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            _ => Some(Self {
                _receipt: Some(receipt),
            }),
        }
    }

    /// Claims all models in a directory of models.
    ///
    /// # Errors
    /// The names of the directories of the models in use.
    pub(crate) fn take_all(models: &Path) -> Result<Vec<Self>, Vec<String>> {
        let mut claims = Vec::new();
        let mut used = Vec::new();
        for entry in fs::read_dir(models).into_iter().flatten().flatten() {
            match Self::take(&entry.path()) {
                Some(claim) => claims.push(claim),
                None => used.push(entry.file_name().to_string_lossy().into_owned()),
            }
        }
        match used.is_empty() {
            true => Ok(claims),
            false => {
                used.sort();
                Err(used)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_in_use_is_not_claimed() {
        let models = tempfile::tempdir().unwrap();
        let [a, b] = ["a~m@1", "b~m@1"].map(|name| models.path().join(name));
        for dir in [&a, &b] {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join(RECEIPT), "{}").unwrap();
        }
        let (one, two) = (InUse::hold(&a), InUse::hold(&a));
        drop(one);
        assert!(Claim::take(&a).is_none(), "the second still uses it");
        assert_eq!(Claim::take_all(models.path()).unwrap_err(), ["a~m@1"]);
        drop(two);
        assert_eq!(Claim::take_all(models.path()).unwrap().len(), 2);
        let claim = Claim::take(&a).unwrap();
        assert!(Claim::take(&a).is_none());
        drop(claim);
        assert!(Claim::take(&models.path().join("none")).is_some());
    }

    #[cfg(unix)]
    #[test]
    fn snapshot_in_use_is_seen() {
        let snapshot = tempfile::tempdir().unwrap();
        assert!(!is_used(snapshot.path()));
        let used = InUse::hold_snapshot(snapshot.path());
        assert!(is_used(snapshot.path()));
        drop(used);
        assert!(!is_used(snapshot.path()));
    }
}
