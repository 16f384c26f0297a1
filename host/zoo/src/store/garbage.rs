//! What in the store can be removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use modelzoo_base::file;
use serde::Serialize;

use super::exclusive::is_older;
use super::files::remove_any;
use super::in_use::{is_used, remove_unused};
use super::layout::{KEPT, Store, subdirs};
use super::usage::{entries, size_of};
use super::work::{Abandoned, LATELY, is_held};
use crate::error::Error;
use crate::reference::SourceId;

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

/// Why unfinished work is garbage.
const UNFINISHED: &str = "it was never finished";

impl Store {
    /// What is not reachable from the lock: abandoned work, old snapshots, and models that no
    /// registered source declares. The work of commands that run is not among it.
    pub(crate) fn garbage(&self) -> Result<Vec<Garbage>, Error> {
        self.check_ours()?;
        let mut garbage = self.unreachable()?;
        for work in self.abandoned()? {
            garbage.push(Garbage::new(work.path, UNFINISHED)?);
        }
        for path in self.unfinished()? {
            garbage.push(Garbage::new(path, UNFINISHED)?);
        }
        Ok(garbage)
    }

    /// Removes what [`Store::garbage`] lists.
    pub(crate) fn collect_garbage(&self) -> Result<Vec<Garbage>, Error> {
        self.check_ours()?;
        let aside = self.work_dir()?;
        let mut collected = Vec::new();
        // No other process publishes anything meanwhile. To delete it takes longer, and comes after.
        let guard = self.change_lock()?;
        let mut moved = Vec::new();
        for (at, item) in self.unreachable()?.into_iter().enumerate() {
            let name = at.to_string();
            if guard.take_away(&item.path, &aside, &name)? {
                moved.push((item, aside.path().join(name)));
            }
        }
        drop(guard);
        for (item, at) in moved {
            remove_any(&at).map_err(|e| Error::io("remove", &item.path, e))?;
            collected.push(item);
        }
        for work in self.abandoned()? {
            let item = Garbage::new(work.path.clone(), UNFINISHED)?;
            Abandoned::remove(work).map_err(|e| Error::io("remove", &item.path, e))?;
            collected.push(item);
        }
        for path in self.unfinished()? {
            let item = Garbage::new(path, UNFINISHED)?;
            remove_any(&item.path).map_err(|e| Error::io("remove", &item.path, e))?;
            collected.push(item);
        }
        for dir in subdirs(&self.staging_dir().join("partials")) {
            remove_unused(&dir);
        }
        Ok(collected)
    }

    /// What is published and the lock does not lead to.
    fn unreachable(&self) -> Result<Vec<Garbage>, Error> {
        let keep = self.reachable()?;
        let mut garbage = Vec::new();
        for part in ["sources", "models"] {
            let keys = entries(&self.home().join(part))?;
            for key in keys.into_iter().filter(|key| is_key(key)) {
                garbage.extend(unreachable(key, &keep)?);
            }
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

    /// Partial downloads, and results of interrupted runs, that no command works on.
    fn unfinished(&self) -> Result<Vec<PathBuf>, Error> {
        let staging = self.staging_dir();
        let mut unfinished = Vec::new();
        for kept in KEPT {
            unfinished.extend(entries(&staging.join(kept))?);
        }
        // The files in the directory of a source are unfinished, the directory itself is not.
        let of_sources = subdirs(&staging.join("partials"));
        unfinished.retain(|path| !of_sources.contains(path));
        for dir in of_sources {
            unfinished.extend(entries(&dir)?);
        }
        unfinished.retain(|path| !is_held(path));
        unfinished.extend(self.unfinished_writes()?);
        Ok(unfinished)
    }

    /// What commands that were killed left of files that they were replacing.
    fn unfinished_writes(&self) -> Result<Vec<PathBuf>, Error> {
        let home = self.home();
        let mut unfinished = Vec::new();
        for dir in [home.to_owned(), home.join("checks"), self.turns_dir()] {
            unfinished.extend(entries(&dir)?.into_iter().filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with(file::UNFINISHED))
                    && is_older(path, LATELY)
            }));
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

/// What in the directory of one source is not to be kept: the directory itself, if that is all. What
/// a command has loaded is left for the next time.
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
    let is_lost = |path: &&PathBuf| !keep.contains(*path) && !is_used(path);
    let lost: Vec<_> = all.iter().filter(is_lost).cloned().collect();
    if lost.len() == all.len() {
        return Ok(vec![Garbage::new(key, REASON)?]);
    }
    let lost = lost.into_iter().map(|path| Garbage::new(path, REASON));
    lost.collect()
}

/// Whether a directory has a name as the directories of sources have.
fn is_key(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(SourceId::is_key)
}
