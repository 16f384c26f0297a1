//! Which downloaded models are in use: a shared lock on a model's receipt while it is loaded.
//!
//! The lock is advisory. On a file system without locks, a model can be deleted while it is loaded.
//! The system releases the lock of a process that ends.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::store::receipt::RECEIPT;

/// Keeps a model from being deleted until it is dropped.
#[derive(Debug)]
pub(crate) struct InUse {
    _receipt: Option<File>,
}

impl InUse {
    /// Marks the model in a directory as used. Waits while it is being deleted.
    pub(crate) fn hold(dir: &Path) -> Self {
        let receipt = File::open(dir.join(RECEIPT)).ok();
        Self {
            _receipt: receipt.filter(|file| file.lock_shared().is_ok()),
        }
    }
}

/// Keeps other processes from loading a model until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    _receipt: Option<File>,
}

impl Claim {
    /// Claims the model in a directory; `None` if it is in use.
    pub(crate) fn take(dir: &Path) -> Option<Self> {
        // A model without a receipt cannot be loaded.
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
}
