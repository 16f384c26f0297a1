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

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use modelzoo_base::file::{self, Access, AtomicFile};
use serde::{Deserialize, Serialize};

use super::exclusive::ExclusiveLock;
use super::layout::{Store, create_dir_all, sync_dir};
use super::locked::LockedSource;
use super::pin::{FileChange, Pin, changes};
use super::receipt::Receipt;
use super::seal;
use crate::config::toml_reason;
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

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::BadLock {
            path: path.to_owned(),
            reason,
        };
        let unreadable = |e: toml::de::Error| bad(toml_reason(&e, text));
        let file = toml::from_str::<LockFile>(text);
        // A lock of another version may lack these fields: only its number is looked for then.
        let format = match &file {
            Ok(file) => file.format,
            Err(_) => toml::from_str::<Version>(text).map_err(unreadable)?.format,
        };
        if format != FORMAT {
            return Err(Error::LockFormat {
                path: path.to_owned(),
                format,
                reads: FORMAT,
            });
        }
        let file = file.map_err(unreadable)?;
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

    /// Writes the lock beside its file, on the disk, to replace it.
    fn prepare(self, path: &Path) -> Result<AtomicFile, Error> {
        let file = LockFile {
            format: FORMAT,
            sources: self.sources,
        };
        let text = toml::to_string(&file).map_err(|e| Error::BadLock {
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
        create_dir_all(file::directory(path))?;
        let mut file =
            AtomicFile::create(path, Access::Private).map_err(|e| Error::io("write", path, e))?;
        file.write_all(seal::seal(HEADER, &text).as_bytes())
            .and_then(|()| file.sync())
            .map_err(|e| Error::io("write", path, e))?;
        Ok(file)
    }

    /// This lock with the changes that lead from `before` to `after`. Fails if a source that
    /// changed is not here as it was before.
    fn rebase(mut self, before: &Self, after: &Self) -> Result<Self, Error> {
        let ids: BTreeSet<_> = [before, after]
            .iter()
            .flat_map(|lock| lock.sources.iter().map(|source| &source.id))
            .collect();
        for id in ids {
            let (was, is) = (before.get(id), after.get(id));
            if was == is {
                continue;
            }
            if self.get(id) != was {
                return Err(Error::ChangedMeanwhile {
                    source_id: id.clone(),
                });
            }
            match is {
                Some(source) => self.insert(source.clone()),
                None => _ = self.remove(id),
            }
        }
        Ok(self)
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

    /// Waits until no other process changes the store, and reads the lock.
    pub(crate) fn change_lock(&self) -> Result<LockGuard<'_>, Error> {
        let exclusive = ExclusiveLock::acquire(&self.guard_path(), &self.turns_dir())?;
        let lock = self.lock()?;
        Ok(LockGuard {
            store: self,
            before: lock.clone(),
            lock,
            _exclusive: exclusive,
        })
    }

    /// Takes the lock as it is, although it was edited, and gives it the digest of its contents.
    pub(crate) fn accept_lock(&self) -> Result<(), Error> {
        let path = self.lock_path();
        let _exclusive = ExclusiveLock::acquire(&self.guard_path(), &self.turns_dir())?;
        let Some(text) = text_of(&path)? else {
            return Ok(());
        };
        match seal::problem(&text) {
            None => Ok(()),
            // The user accepts it as it is.
            Some(_) => Lock::parse(&path, &text)?
                .prepare(&path)?
                .replace()
                .map_err(|e| Error::io("write", &path, e)),
        }
    }
}

/// The store while this process changes it: no other process publishes, deletes or collects
/// anything until this is dropped.
pub(crate) struct LockGuard<'a> {
    store: &'a Store,
    before: Lock,
    /// The lock to write.
    pub(crate) lock: Lock,
    _exclusive: ExclusiveLock,
}

/// How often to write a lock that others write too, in spite of the exclusive lock.
const ATTEMPTS: u32 = 100;

impl LockGuard<'_> {
    pub(super) fn store(&self) -> &Store {
        self.store
    }

    /// Writes the changed lock. The guard stays valid, for the work that has to follow.
    ///
    /// A process that the exclusive lock does not keep out, such as one of another machine, may have
    /// written the lock meanwhile: then its changes are kept, and these added to them.
    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        let path = self.store.lock_path();
        for _ in 0..ATTEMPTS {
            if self.lock == self.before {
                return Ok(());
            }
            let file = self.lock.clone().prepare(&path)?;
            let now = self.store.lock()?;
            if now == self.before {
                file.replace().map_err(|e| Error::io("write", &path, e))?;
                self.before = self.lock.clone();
                return sync_dir(file::directory(&path));
            }
            self.lock = now.clone().rebase(&self.before, &self.lock)?;
            self.before = now;
        }
        Err(Error::LockContended { path })
    }

    /// Pins the files that a receipt lists, for the source as it was when they were fetched.
    /// Returns the source with the pin, and how the files differ from those that were pinned.
    pub(crate) fn pin(
        &mut self,
        tree: &str,
        receipt: &Receipt,
        pinning: Pinning,
    ) -> Result<(LockedSource, Vec<FileChange>), Error> {
        let source = self
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
        self.commit()?;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use modelzoo_net::policy::Permissions;

    use super::*;

    fn source(name: &str, tree: char) -> LockedSource {
        LockedSource {
            id: format!("file:/{name}").parse().unwrap(),
            reference: format!("/{name}"),
            commit: None,
            subdir: String::new(),
            tree: tree.to_string().repeat(64),
            manifests: vec![".".into()],
            granted: Permissions::none(),
            registered: "2026-01-02T03:04:05Z".into(),
            imported: false,
            imported_models: BTreeSet::new(),
            digests: BTreeMap::new(),
            receipts: BTreeMap::new(),
            artifacts: BTreeMap::new(),
        }
    }

    fn trees(store: &Store) -> Vec<String> {
        let lock = store.lock().unwrap();
        let shown = |s: &LockedSource| format!("{}={}", s.reference, &s.tree[..1]);
        lock.sources().iter().map(shown).collect()
    }

    /// What another machine does, which the exclusive lock does not keep out.
    fn elsewhere(store: &Store, change: impl FnOnce(&mut Lock)) {
        let mut lock = store.lock().unwrap();
        change(&mut lock);
        lock.prepare(&store.lock_path()).unwrap().replace().unwrap();
    }

    #[test]
    fn lock_that_was_changed_meanwhile_is_not_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path().to_owned());
        let mut guard = store.change_lock().unwrap();
        for name in ["a", "b"] {
            guard.lock.insert(source(name, '1'));
        }
        elsewhere(&store, |lock| lock.insert(source("c", '1')));
        guard.commit().unwrap();
        assert_eq!(trees(&store), ["/a=1", "/b=1", "/c=1"]);

        elsewhere(&store, |lock| lock.insert(source("c", '2')));
        guard.lock.insert(source("a", '2'));
        guard.lock.remove(&source("b", '1').id);
        guard.commit().unwrap();
        assert_eq!(trees(&store), ["/a=2", "/c=2"]);

        elsewhere(&store, |lock| lock.insert(source("a", '3')));
        guard.lock.insert(source("a", '4'));
        let error = guard.commit().unwrap_err();
        assert!(matches!(error, Error::ChangedMeanwhile { .. }), "{error}");
        assert_eq!(trees(&store), ["/a=3", "/c=2"]);
    }
}
