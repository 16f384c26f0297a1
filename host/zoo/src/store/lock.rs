//! `modelzoo.lock`: the registered sources.
//!
//! The file is the one commit point of the registry. A snapshot is written first, to a directory
//! named after its contents; then the lock that names it replaces the old one. A reader of the
//! lock therefore sees a complete registry, before or after.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use modelzoo_archive::RelPath;
use modelzoo_net::policy::Permissions;
use serde::{Deserialize, Serialize};

use super::layout::{FileLock, Store, write_atomic};
use super::receipt::Receipt;
use crate::error::Error;
use crate::reference::SourceId;

/// The version of the file's format.
const FORMAT: u32 = 1;

const HEADER: &str = "# The registered sources. modelzoo writes this file.\n\n";

/// One registered source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedSource {
    /// The canonical id.
    pub id: SourceId,
    /// What the user typed; a local path is absolute.
    pub reference: String,
    /// The commit that a branch, tag or default branch was resolved to (40 hexadecimal digits);
    /// none for a directory or an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The directory of the repository that is the source; empty for its root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subdir: String,
    /// SHA-256 over the names, sizes and digests of the snapshot's files.
    pub tree: String,
    /// The directories of the snapshot that hold a manifest; `.` is its root.
    pub manifests: Vec<String>,
    /// The hosts that the user lets the source's hooks reach.
    pub granted: Permissions,
    /// When the source was registered or last updated (RFC 3339, UTC).
    pub registered: String,
    /// The SHA-256 of the files of each model that was downloaded, by model and file. A later
    /// download must have the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: BTreeMap<String, BTreeMap<String, String>>,
}

/// All registered sources, sorted by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    sources: Vec<LockedSource>,
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
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(Error::io("read", path, e)),
        };
        let bad = |reason: String| Error::BadLock {
            path: path.to_owned(),
            reason,
        };
        let file: LockFile =
            toml::from_str(&text).map_err(|e| bad(e.to_string().trim_end().to_owned()))?;
        if file.format != FORMAT {
            return Err(bad(format!(
                "its format is {}, and this modelzoo reads format {FORMAT}",
                file.format
            )));
        }
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
        write_atomic(path, format!("{HEADER}{text}").as_bytes())
    }
}

impl LockedSource {
    /// Checks the fields that become paths: a lock may come from another machine.
    ///
    /// # Errors
    /// The field that is wrong.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if self.tree.len() != 64 || !hex(&self.tree) {
            return Err("`tree`");
        }
        let inside = |dir: &String| RelPath::parse(dir).is_ok();
        if !self.manifests.iter().all(|dir| dir == "." || inside(dir)) {
            return Err("`manifests`");
        }
        if !self.subdir.is_empty() && !inside(&self.subdir) {
            return Err("`subdir`");
        }
        Ok(())
    }

    /// Checks the files of a model against those that are pinned, if any are.
    fn check_pins(&self, model: &str, now: &BTreeMap<String, String>) -> Result<(), Error> {
        let Some(known) = self.artifacts.get(model) else {
            return Ok(());
        };
        let names = known.keys().chain(now.keys());
        match names
            .into_iter()
            .find(|name| known.get(*name) != now.get(*name))
        {
            None => Ok(()),
            Some(file) => Err(Error::ArtifactChanged {
                model: model.to_owned(),
                file: file.clone(),
            }),
        }
    }

    /// Adds the pins of an earlier entry; fails if a pin of this entry contradicts one.
    pub(crate) fn keep_pins(
        &mut self,
        earlier: BTreeMap<String, BTreeMap<String, String>>,
    ) -> Result<(), Error> {
        for (model, files) in &earlier {
            self.check_pins(model, files)?;
        }
        self.artifacts.extend(earlier);
        Ok(())
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

    /// Pins the files that a receipt lists. Fails if other files are pinned, or, when `frozen`, if
    /// none are.
    pub(crate) fn pin_artifacts(&self, receipt: &Receipt, frozen: bool) -> Result<(), Error> {
        let mut guard = self.change_lock()?;
        let source = guard
            .lock
            .sources
            .iter_mut()
            .find(|s| s.id == receipt.source);
        // The hook of a source that was replaced meanwhile could download other files.
        let Some(source) = source.filter(|source| source.tree == receipt.tree) else {
            return Err(Error::ChangedMeanwhile {
                source_id: receipt.source.clone(),
            });
        };
        source.check_pins(&receipt.model, &receipt.digests())?;
        if frozen && !source.artifacts.contains_key(&receipt.model) {
            return Err(Error::Frozen {
                model: receipt.model.clone(),
            });
        }
        source
            .artifacts
            .insert(receipt.model.clone(), receipt.digests());
        guard.commit()
    }
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
