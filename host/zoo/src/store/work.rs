//! Unfinished work: directories in staging, each with an owner that others can see.
//!
//! Beside `work-X` lies `work-X.owner`, which its process keeps locked. The lock ends with the
//! process, and the directory is then abandoned. Where locks do nothing, the file says which process
//! it is. The file is made before the directory and removed after it: a directory without one is
//! nobody's.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use modelzoo_base::file;
use tempfile::NamedTempFile;

use super::exclusive::{excludes, is_older};
use super::files::remove_any;
use super::layout::{Store, create_dir_all, subdirs};
use super::process::{Liveness, Process};
use super::usage::entries;
use crate::error::Error;

/// Unfinished work whose owner cannot be asked is kept as long as this, and so are partial downloads
/// and interrupted results.
pub(super) const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long ago a file was changed that a process may still be working on.
pub(super) const LATELY: Duration = Duration::from_secs(3600);

/// The prefix of the names of directories of unfinished work.
const WORK: &str = "work-";
/// What the name of the owner's file has behind the directory's.
const OWNER: &str = ".owner";

/// A directory for unfinished work; removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct WorkDir {
    dir: PathBuf,
    /// Locked; removed after the directory.
    _owner: NamedTempFile,
}

impl WorkDir {
    /// Makes a directory in `staging`, which exists.
    pub(super) fn create(staging: &Path) -> io::Result<Self> {
        loop {
            let mut owner = tempfile::Builder::new()
                .prefix(WORK)
                .suffix(OWNER)
                .tempfile_in(staging)?;
            owner.write_all(Process::this().to_text().as_bytes())?;
            // Without locks, the text has to do.
            let _ = owner.as_file().lock();
            if !file::is_at(owner.as_file(), owner.path()) {
                // Between making and locking it, another process took it for abandoned.
                continue;
            }
            let dir = owner.path().with_extension("");
            make_private(&dir)?;
            return Ok(Self { dir, _owner: owner });
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// Removes the directory; says why where that fails.
    pub(crate) fn close(self) -> io::Result<()> {
        remove_any(&self.dir)
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(error) = remove_any(&self.dir) {
            tracing::debug!(path = %self.dir.display(), %error, "unfinished work stays behind");
        }
    }
}

/// Unfinished work without an owner. Nobody makes a directory of its name as long as this exists.
#[derive(Debug)]
pub(super) struct Abandoned {
    /// The directory, or the owner's file where that is all.
    pub(super) path: PathBuf,
    owner: PathBuf,
    /// The owner's file, locked where locks work; none where there is only a directory.
    locked: Option<File>,
}

impl Abandoned {
    /// The unfinished work of this name in `staging`, if it has no owner.
    fn of(staging: &Path, name: &str) -> Option<Self> {
        let (dir, owner) = (staging.join(name), staging.join(format!("{name}{OWNER}")));
        let open = file::open_nofollow(&owner, OpenOptions::new().read(true).write(true));
        let locked = match open {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            // It is not an owner's file.
            Err(_) => return None,
            Ok(file) => Some(abandoned(file, &owner)?),
        };
        let path = match (fs::symlink_metadata(&dir), &locked) {
            (Ok(_), _) => dir,
            (Err(_), Some(_)) => owner.clone(),
            // It was finished since its name was listed.
            (Err(_), None) => return None,
        };
        Some(Self {
            path,
            owner,
            locked,
        })
    }

    /// Removes it.
    pub(super) fn remove(self) -> io::Result<()> {
        remove_any(&self.path)?;
        remove_any(&self.owner)
    }
}

/// The owner's file, locked where locks work, if the owner has ended.
fn abandoned(file: File, path: &Path) -> Option<File> {
    let locked = match file.try_lock() {
        Err(TryLockError::WouldBlock) => return None,
        Ok(()) => true,
        Err(TryLockError::Error(_)) => false,
    };
    if !file::is_at(&file, path) {
        // The owner has just removed it.
        return None;
    }
    let works = locked && excludes(path);
    let owner = Process::read(path);
    let ended = match (owner, works) {
        // A lock may be this machine's own affair: it says nothing about another machine.
        (Some(owner), true) => owner.is_local() || is_older(path, STALE),
        (None, true) => true,
        (Some(owner), false) => match owner.liveness() {
            Liveness::Running => false,
            Liveness::Ended => true,
            Liveness::Unknown => is_older(path, STALE),
        },
        // Its process may be about to say who it is.
        (None, false) => is_older(path, LATELY),
    };
    ended.then_some(file)
}

#[cfg(unix)]
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn make_private(dir: &Path) -> io::Result<()> {
    fs::create_dir(dir)
}

impl Store {
    /// A new directory for unfinished work; removed when the value is dropped. Abandoned work of
    /// earlier commands is removed first.
    pub(crate) fn stage(&self) -> Result<WorkDir, Error> {
        self.sweep();
        self.work_dir()
    }

    /// As [`Store::stage`], and nothing is removed first.
    pub(super) fn work_dir(&self) -> Result<WorkDir, Error> {
        let dir = self.staging_dir();
        create_dir_all(&dir)?;
        WorkDir::create(&dir).map_err(|e| Error::io("create a directory in", &dir, e))
    }

    /// The unfinished work that has no owner.
    pub(super) fn abandoned(&self) -> Result<Vec<Abandoned>, Error> {
        let staging = self.staging_dir();
        let names: BTreeSet<String> = entries(&staging)?
            .iter()
            .filter_map(|path| path.file_name()?.to_str())
            .filter(|name| name.starts_with(WORK))
            .map(|name| name.strip_suffix(OWNER).unwrap_or(name).to_owned())
            .collect();
        let abandoned = names
            .iter()
            .filter_map(|name| Abandoned::of(&staging, name));
        Ok(abandoned.collect())
    }

    /// Removes abandoned work, and partial downloads and results that are old. A failure is ignored:
    /// the next command tries again.
    fn sweep(&self) {
        for abandoned in self.abandoned().unwrap_or_default() {
            if abandoned.locked.is_some() || is_older(&abandoned.path, STALE) {
                let _ = abandoned.remove();
            }
        }
        let partials = self.staging_dir().join("partials");
        let of_sources = subdirs(&partials);
        let mut dirs = vec![partials, self.staging_dir().join("results")];
        dirs.extend(of_sources.iter().cloned());
        let old = dirs
            .iter()
            .flat_map(|dir| entries(dir).unwrap_or_default())
            // The time of a directory does not change when a file in it grows.
            .filter(|path| !of_sources.contains(path) && is_older(path, STALE));
        for path in old {
            let _ = remove_any(&path);
        }
    }
}

/// Whether a process is working on a file of staging. Where locks do nothing, one that has changed
/// lately counts.
pub(super) fn is_held(path: &Path) -> bool {
    // Of a partial download, the bytes are locked, and what is known about them is not.
    let path = match path.extension() {
        Some(extension) if extension == "json" => path.with_extension("part"),
        _ => path.to_owned(),
    };
    let open = file::open_nofollow(&path, OpenOptions::new().read(true).write(true));
    match open.map(|file| (file.try_lock(), file)) {
        Ok((Err(TryLockError::WouldBlock), _)) => true,
        Ok((Ok(()), _file)) => !excludes(&path) && !is_older(&path, LATELY),
        Ok((Err(TryLockError::Error(_)), _)) => !is_older(&path, LATELY),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path().to_owned());
        (home, store)
    }

    fn names(store: &Store) -> usize {
        fs::read_dir(store.staging_dir()).unwrap().count()
    }

    #[test]
    fn work_with_an_owner_is_not_abandoned() {
        let (_home, store) = store();
        let work = store.stage().unwrap();
        fs::write(work.path().join("file"), "half").unwrap();
        assert!(store.abandoned().unwrap().is_empty());
        // Another command that begins leaves it alone.
        drop(store.stage().unwrap());
        assert!(work.path().join("file").exists());
        drop(work);
        assert_eq!(names(&store), 0);
    }

    #[test]
    fn work_of_an_ended_process_is_swept() {
        let (_home, store) = store();
        // What a process that was killed leaves: a file that nobody locks, and the directory.
        let work = store.stage().unwrap();
        let (dir, owner) = (work.path().to_owned(), work._owner.path().to_owned());
        drop(work);
        for with_dir in [false, true] {
            fs::write(&owner, Process::this().to_text()).unwrap();
            if with_dir {
                fs::create_dir(&dir).unwrap();
            }
            let abandoned = store.abandoned().unwrap();
            let expected = if with_dir { &dir } else { &owner };
            assert_eq!(abandoned[0].path, *expected);
            drop(abandoned);
            drop(store.stage().unwrap());
            assert_eq!(names(&store), 0);
        }
        // Without an owner's file, nobody knows: it is garbage, and is not swept until it is old.
        fs::create_dir(&dir).unwrap();
        drop(store.stage().unwrap());
        assert_eq!(store.abandoned().unwrap().len(), 1);
    }

    #[test]
    fn work_of_another_machine_is_kept_until_it_is_old() {
        let (_home, store) = store();
        let work = store.stage().unwrap();
        let (dir, owner) = (work.path().to_owned(), work._owner.path().to_owned());
        drop(work);
        let mut other = serde_json::to_value(Process::this()).unwrap();
        other["boot"] = "other".into();
        other["host"] = "other".into();
        fs::create_dir(&dir).unwrap();
        fs::write(&owner, other.to_string()).unwrap();
        assert_eq!(
            store.abandoned().unwrap().len(),
            usize::from(cfg!(not(target_os = "linux")))
        );
        let old = std::time::SystemTime::now() - STALE - Duration::from_secs(60);
        let file = OpenOptions::new().write(true).open(&owner).unwrap();
        file.set_modified(old).unwrap();
        drop(file);
        assert_eq!(store.abandoned().unwrap().len(), 1);
    }
}
