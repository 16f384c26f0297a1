//! Who is using a downloaded model: a shared lock on its receipt for as long as it is loaded.
//!
//! The lock is advice. Nothing is wrong without it, where a file system has none: a model that is
//! deleted under somebody's hands is then gone for them. The system drops the lock of a process
//! that dies.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::store::receipt::RECEIPT;

/// Keeps a model from being deleted until it is dropped.
#[derive(Debug)]
pub(crate) struct InUse {
    _receipt: Option<File>,
}

impl InUse {
    /// Says that the model in a directory is used. Waits while it is being deleted; afterwards it
    /// is not there.
    pub(crate) fn hold(dir: &Path) -> Self {
        let receipt = File::open(dir.join(RECEIPT)).ok();
        Self {
            _receipt: receipt.filter(|file| file.lock_shared().is_ok()),
        }
    }
}

/// Keeps others from beginning to use a model until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    _receipt: Option<File>,
}

impl Claim {
    /// Claims the model in a directory; `None` when somebody is using it.
    pub(crate) fn take(dir: &Path) -> Option<Self> {
        // Nobody can use what has no receipt.
        let Ok(receipt) = File::open(dir.join(RECEIPT)) else {
            return Some(Self { _receipt: None });
        };
        match receipt.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            _ => Some(Self {
                _receipt: Some(receipt),
            }),
        }
    }

    /// Claims all models in a directory of models; or the names of the directories of those that
    /// somebody is using.
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
}
