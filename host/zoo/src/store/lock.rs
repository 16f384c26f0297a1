//! `modelzoo.lock`: the registered sources.
//!
//! The file is the one commit point of the registry. A snapshot is written first, to a directory
//! named after its contents; then the lock that names it replaces the old one. A reader of the
//! lock therefore sees a complete registry, before or after.
//!
//! Everything else in the store is reached from here by digests: a source's files by `tree`, its
//! manifests and components also one by one, a model's receipt by `receipts`, and the model's files
//! by the receipt. The lock itself carries a digest of its text: a lock that was edited is refused
//! until the user accepts it.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::layout::{FileLock, Store, write_atomic};
use super::locked::LockedSource;
use super::pin::{FileChange, Pin, changes};
use super::receipt::Receipt;
use super::seal;
use crate::error::Error;
use crate::reference::SourceId;

/// The version of the file's format.
const FORMAT: u32 = 2;

const HEADER: &str = "\
# The registered sources. modelzoo writes this file; `digest` is over all of its other lines.

";

/// All registered sources, sorted by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    sources: Vec<LockedSource>,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct LockFile {
    format: u32,
    #[serde(default, rename = "source")]
    sources: Vec<LockedSource>,
}

impl Lock {
    /// Reads the lock of a store; a store without one has no sources.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let Some(text) = text_of(path)? else {
            return Ok(Self::default());
        };
        let changed = |reason: &str| Error::LockChanged {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let lock = Self::parse(path, &text);
        match (seal::problem(&text), lock) {
            (None, lock) => lock,
            // A lock of another version says so itself.
            (Some(_), Err(error @ Error::LockFormat { .. })) => Err(error),
            (Some(reason), _) => Err(changed(reason)),
        }
    }

    /// Reads the lock without checking its digest: the user accepts it as it is.
    fn read_changed(path: &Path) -> Result<Self, Error> {
        match text_of(path)? {
            Some(text) => Self::parse(path, &text),
            None => Ok(Self::default()),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::BadLock {
            path: path.to_owned(),
            reason,
        };
        let unreadable = |e: toml::de::Error| bad(e.to_string().trim_end().to_owned());
        let Version { format } = toml::from_str(text).map_err(unreadable)?;
        if format != FORMAT {
            return Err(Error::LockFormat {
                path: path.to_owned(),
                format,
                reads: FORMAT,
            });
        }
        let file: LockFile = toml::from_str(text).map_err(unreadable)?;
        for source in &file.sources {
            source.check().map_err(|what| {
                bad(format!(
                    "{what} of {} is not what modelzoo writes",
                    source.id
                ))
            })?;
        }
        Ok(Self {
            sources: file.sources,
        })
    }

    pub(crate) fn sources(&self) -> &[LockedSource] {
        &self.sources
    }

    pub(crate) fn get(&self, id: &SourceId) -> Option<&LockedSource> {
        self.sources.iter().find(|s| s.id == *id)
    }

    /// Adds a source, replacing the one of the same id.
    pub(crate) fn insert(&mut self, source: LockedSource) {
        self.remove(&source.id);
        self.sources.push(source);
        self.sources.sort_by(|a, b| a.id.cmp(&b.id));
    }

    pub(crate) fn remove(&mut self, id: &SourceId) -> Option<LockedSource> {
        let at = self.sources.iter().position(|s| s.id == *id)?;
        Some(self.sources.remove(at))
    }

    fn write(self, path: &Path) -> Result<(), Error> {
        let file = LockFile {
            format: FORMAT,
            sources: self.sources,
        };
        let text = toml::to_string(&file).map_err(|e| Error::BadLock {
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
        write_atomic(path, seal::seal(HEADER, &text).as_bytes())
    }
}

/// The text of a lock; `None` if there is none.
fn text_of(path: &Path) -> Result<Option<String>, Error> {
    match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(Some(text)),
        Ok(Err(_)) => Err(Error::LockChanged {
            path: path.to_owned(),
            reason: "it is not UTF-8".to_owned(),
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path, e)),
    }
}

impl Store {
    /// The registered sources.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        Lock::read(&self.lock_path())
    }

    /// Waits until no other process changes the lock, and reads it.
    pub(crate) fn change_lock(&self) -> Result<LockGuard<'_>, Error> {
        let file = FileLock::acquire(&self.guard_path())?;
        let lock = self.lock()?;
        Ok(LockGuard {
            store: self,
            before: lock.clone(),
            lock,
            _file: file,
        })
    }

    /// Takes the lock as it is, although it was edited, and gives it the digest of its contents.
    pub(crate) fn accept_lock(&self) -> Result<(), Error> {
        let path = self.lock_path();
        let _file = FileLock::acquire(&self.guard_path())?;
        let Some(text) = text_of(&path)? else {
            return Ok(());
        };
        match seal::problem(&text) {
            None => Ok(()),
            Some(_) => Lock::read_changed(&path)?.write(&path),
        }
    }

    /// Pins the files that a receipt lists, for the source as it was when they were fetched.
    /// Returns the source with the pin, and how the files differ from those that were pinned.
    pub(crate) fn pin(
        &self,
        tree: &str,
        receipt: &Receipt,
        pinning: Pinning,
    ) -> Result<(LockedSource, Vec<FileChange>), Error> {
        let mut guard = self.change_lock()?;
        let source = guard
            .lock
            .sources
            .iter_mut()
            .find(|s| s.id == receipt.source);
        // The hook of a source that was replaced meanwhile could download other files.
        let Some(source) = source.filter(|source| source.tree == tree) else {
            return Err(Error::ChangedMeanwhile {
                source_id: receipt.source.clone(),
            });
        };
        let (model, pin) = (&receipt.model, Pin::of(receipt));
        let before = source.pin(model);
        let changes = before
            .as_ref()
            .map(|before| changes(&before.files, &pin.files))
            .unwrap_or_default();
        if !changes.is_empty() && pinning != Pinning::Accept {
            return Err(Error::ArtifactChanged {
                model: model.clone(),
                source_id: receipt.source.clone(),
                changes,
            });
        }
        let known = before.is_some_and(|before| before.receipt == pin.receipt);
        if !known && pinning == Pinning::Frozen {
            return Err(Error::Frozen {
                model: model.clone(),
            });
        }
        if pinning != Pinning::Frozen {
            source.set_pin(model, pin);
        }
        let source = source.clone();
        guard.commit()?;
        Ok((source, changes))
    }
}

/// What may be pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinning {
    /// The files of a model of which none are pinned.
    New,
    /// Any: the user accepts what changed.
    Accept,
    /// Nothing: the files must be the pinned ones.
    Frozen,
}

/// The lock while this process changes it: no other process does so until this is dropped.
pub(crate) struct LockGuard<'a> {
    store: &'a Store,
    before: Lock,
    /// The lock to write.
    pub(crate) lock: Lock,
    _file: FileLock,
}

impl LockGuard<'_> {
    /// Writes the changed lock. The guard stays valid, for the work that has to follow.
    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        if self.lock != self.before {
            self.lock.clone().write(&self.store.lock_path())?;
            self.before = self.lock.clone();
        }
        Ok(())
    }
}
