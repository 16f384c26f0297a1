//! What the store takes up, and what of it nobody needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Zoo;
use crate::error::Error;
use crate::store::lock::Turn;
use crate::store::{KEPT, is_work, subdirs};

/// What a part of the store takes up.
#[derive(Debug, Clone, Serialize)]
pub struct Usage {
    /// The source's id, the model's name, or the part of the store.
    pub name: String,
    /// `source`, `model`, `cache` or `staging`.
    pub kind: &'static str,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Something that can go.
#[derive(Debug, Clone, Serialize)]
pub struct Garbage {
    /// Where it is.
    pub path: PathBuf,
    /// Why nobody needs it.
    pub reason: &'static str,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Zoo {
    /// What each source, each downloaded model, the cache and the staging area take up.
    ///
    /// # Errors
    /// When the lock or a directory cannot be read.
    pub fn usage(&self) -> Result<Vec<Usage>, Error> {
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
        for (kind, dir) in [
            ("cache", self.store().cache_dir()),
            ("staging", self.store().staging_dir()),
        ] {
            usage.push(Usage {
                name: kind.into(),
                kind,
                bytes: size_of(&dir)?,
            });
        }
        Ok(usage)
    }

    /// What of the store is not reachable from the lock: unfinished work, old snapshots, and
    /// models that no registered source declares.
    ///
    /// # Errors
    /// When the lock or a directory cannot be read.
    pub fn garbage(&self) -> Result<Vec<Garbage>, Error> {
        self.check_ours()?;
        let mut keep = BTreeSet::new();
        for source in self.lock()?.sources() {
            let snapshot = self.snapshot_dir(source);
            keep.insert(snapshot);
            match self.models_of(source) {
                Ok(models) => keep.extend(models.into_iter().map(|record| record.dir)),
                // What it declares is not known: everything of it may be needed.
                Err(_) => keep.extend(entries(&self.store().models_dir(&source.id.key()))?),
            }
        }
        let mut garbage = Vec::new();
        for part in ["sources", "models"] {
            let keys = entries(&self.store().home().join(part))?;
            for key in keys.into_iter().filter(|key| is_key(key)) {
                if key.is_symlink() {
                    // Only the link goes: what it leads to is not the store's.
                    garbage.push(Garbage {
                        bytes: 0,
                        path: key,
                        reason: "it is a link, and modelzoo makes none",
                    });
                    continue;
                }
                let inner = entries(&key)?;
                let lost: Vec<_> = inner.iter().filter(|p| !keep.contains(*p)).collect();
                let reason = "modelzoo.lock does not lead to it";
                if lost.len() == inner.len() {
                    garbage.push(Garbage {
                        bytes: size_of(&key)?,
                        path: key,
                        reason,
                    });
                } else {
                    for path in lost {
                        garbage.push(Garbage {
                            bytes: size_of(path)?,
                            path: path.clone(),
                            reason,
                        });
                    }
                }
            }
        }
        let staging = self.store().staging_dir();
        let mut unfinished = entries(&staging)?;
        unfinished.retain(|path| is_work(path));
        for kept in KEPT {
            unfinished.extend(entries(&staging.join(kept))?);
        }
        // What a source's directory holds was not finished; that it is there says nothing.
        let of_sources = subdirs(&staging.join("partials"));
        unfinished.retain(|path| !of_sources.contains(path));
        for dir in of_sources {
            unfinished.extend(entries(&dir)?);
        }
        for path in unfinished {
            garbage.push(Garbage {
                bytes: size_of(&path)?,
                path,
                reason: "it was never finished",
            });
        }
        Ok(garbage)
    }

    /// Refuses a directory that holds something, and that no command has ever changed a lock in.
    fn check_ours(&self) -> Result<(), Error> {
        let store = self.store();
        let ours = store.lock_path().exists() || store.turn_path().exists();
        for part in ["sources", "models"] {
            if !ours && !entries(&store.home().join(part))?.is_empty() {
                return Err(Error::NoStore(store.home().to_owned()));
            }
        }
        Ok(())
    }

    /// Removes what [`Zoo::garbage`] lists. Work that another process has under way is lost to it.
    ///
    /// # Errors
    /// As [`Zoo::garbage`], and when something cannot be removed.
    pub fn collect_garbage(&self) -> Result<Vec<Garbage>, Error> {
        self.check_ours()?;
        // Nobody registers meanwhile.
        let _turn = Turn::wait(self.store())?;
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
        for dir in subdirs(&self.store().staging_dir().join("partials")) {
            // Where somebody has begun a download again, it is not empty.
            let _ = fs::remove_dir(dir);
        }
        Ok(garbage)
    }
}

/// Whether a directory is named as those of sources are.
fn is_key(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What a directory holds, sorted; nothing where there is none, or only a link to one.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
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
