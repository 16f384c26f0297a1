//! The layout of the store on disk, and how files and directories become visible at once.
//!
//! ```text
//! modelzoo.lock                             what is registered
//! sources/<source-key>/<tree>/              immutable snapshots
//! models/<source-key>/<model>@<version>/    files/ and receipt.json
//! cache/                                    compiled components
//! staging/                                  everything unfinished
//! audit.jsonl                               what was granted, denied and fetched
//! ```
//!
//! Everything is first written below `staging/` (on the same file system), flushed to disk, and
//! then renamed into place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use modelzoo_base::file;
use tempfile::TempDir;

use crate::error::Error;
use crate::manifest::ModelEntry;
use crate::reference::SourceId;

/// Unfinished work older than this is removed when a store is opened; partial downloads are kept
/// as long, so that they can be resumed.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The prefix of the names of directories of unfinished work.
const WORK: &str = "work-";

/// The permanent directories of staging; their contents are unfinished work.
pub(crate) const KEPT: [&str; 2] = ["partials", "results"];

/// The directory of a zoo.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    home: PathBuf,
}

impl Store {
    pub(crate) fn new(home: PathBuf) -> Self {
        Self { home }
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.home.join("modelzoo.lock")
    }

    /// The file whose holder may change the lock.
    pub(crate) fn guard_path(&self) -> PathBuf {
        self.staging_dir().join("registry.lock")
    }

    pub(crate) fn audit_path(&self) -> PathBuf {
        self.home.join("audit.jsonl")
    }

    pub(crate) fn source_dir(&self, key: &str) -> PathBuf {
        self.home.join("sources").join(key)
    }

    pub(crate) fn models_dir(&self, key: &str) -> PathBuf {
        self.home.join("models").join(key)
    }

    /// The directory of a model's artifacts and receipt.
    pub(crate) fn model_dir(&self, source: &SourceId, entry: &ModelEntry) -> PathBuf {
        self.models_dir(&source.key())
            .join(entry.name().directory())
    }

    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.home.join("cache")
    }

    pub(crate) fn staging_dir(&self) -> PathBuf {
        self.home.join("staging")
    }

    /// The directory of a source's resumable downloads. Its hooks' threads may write there.
    pub(crate) fn partials_dir(&self, key: &str) -> Result<PathBuf, Error> {
        let dir = self.staging_dir().join("partials").join(key);
        create_dir_all(&dir)?;
        Ok(dir)
    }

    /// The directory for the results of interrupted runs over datasets.
    pub(crate) fn results_dir(&self) -> Result<PathBuf, Error> {
        let dir = self.staging_dir().join("results");
        create_dir_all(&dir)?;
        Ok(dir)
    }

    /// A new directory for unfinished work; removed when the value is dropped.
    pub(crate) fn stage(&self) -> Result<TempDir, Error> {
        let dir = self.staging_dir();
        create_dir_all(&dir)?;
        self.sweep();
        tempfile::Builder::new()
            .prefix(WORK)
            .tempdir_in(&dir)
            .map_err(|e| Error::io("create a directory in", &dir, e))
    }

    /// Fails if `what`, of `size` bytes, is larger than the free space on the disk of the store,
    /// where that is known.
    pub(crate) fn check_room(&self, what: String, size: u64) -> Result<(), Error> {
        match free_bytes(&self.home) {
            Some(free) if size > free => Err(Error::NoRoom {
                model: what,
                size,
                free,
            }),
            _ => Ok(()),
        }
    }

    /// Moves a finished directory to `target`. A directory that is there already is replaced if
    /// `replace`, and kept otherwise.
    pub(crate) fn publish_dir(
        &self,
        staged: &Path,
        target: &Path,
        replace: bool,
    ) -> Result<(), Error> {
        sync_tree(staged)?;
        let parent = target.parent().unwrap_or(&self.home);
        create_dir_all(parent)?;
        match fs::rename(staged, target) {
            Ok(()) => {}
            Err(e) if is_occupied(&e) && !replace => return Ok(()),
            Err(e) if is_occupied(&e) => self.exchange(staged, target)?,
            Err(e) => return Err(Error::io("move into place", target, e)),
        }
        sync_dir(parent)
    }

    /// Swaps `staged` and `target`.
    fn exchange(&self, staged: &Path, target: &Path) -> Result<(), Error> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            if renameat_with(CWD, staged, CWD, target, RenameFlags::EXCHANGE).is_ok() {
                return Ok(());
            }
        }
        let aside = self.stage()?;
        let old = aside.path().join("old");
        fs::rename(target, &old).map_err(|e| Error::io("move aside", target, e))?;
        fs::rename(staged, target).map_err(|e| {
            // Restore the old directory.
            let _ = fs::rename(&old, target);
            Error::io("move into place", target, e)
        })
    }

    /// Removes a directory atomically: renames it into staging first.
    pub(crate) fn remove_dir(&self, dir: &Path) -> Result<bool, Error> {
        let aside = self.stage()?;
        match fs::rename(dir, aside.path().join("gone")) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(Error::io("remove", dir, e)),
        }
        aside.close().map_err(|e| Error::io("remove", dir, e))?;
        Ok(true)
    }

    /// Removes abandoned unfinished work. A failure is ignored: the next command tries again.
    fn sweep(&self) {
        let staging = self.staging_dir();
        let partials = staging.join("partials");
        let of_sources = subdirs(&partials);
        let mut dirs = vec![staging.clone(), partials, staging.join("results")];
        dirs.extend(of_sources.iter().cloned());
        for entry in dirs
            .iter()
            .filter_map(|d| fs::read_dir(d).ok())
            .flatten()
            .flatten()
        {
            let stale = entry.metadata().and_then(|m| m.modified()).is_ok_and(|t| {
                SystemTime::now()
                    .duration_since(t)
                    .is_ok_and(|age| age > STALE)
            });
            let path = entry.path();
            let ours = is_work(&path) || path.parent() != Some(&*staging);
            // The time of a directory does not change when a file in it grows.
            if !stale || !ours || of_sources.contains(&path) {
                continue;
            }
            let _ = match entry.file_type() {
                Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
                _ => fs::remove_file(&path),
            };
        }
    }
}

/// The free bytes on the disk of a directory, if known.
pub(crate) fn free_bytes(directory: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let disk = rustix::fs::statvfs(directory).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = directory;
        None
    }
}

/// The directories in a directory, without links; none if the directory does not exist or is a
/// link.
pub(crate) fn subdirs(dir: &Path) -> Vec<PathBuf> {
    if dir.is_symlink() {
        return Vec::new();
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Whether a path has the name of a directory of unfinished work.
pub(crate) fn is_work(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(WORK))
}

/// Whether a rename failed because its target is a directory that is not empty.
fn is_occupied(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
    )
}

pub(crate) fn create_dir_all(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))
}

/// Writes a file so that a reader sees the old bytes or the new ones, and a crash leaves either.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |e| Error::io("write", path, e);
    create_dir_all(file::directory(path))?;
    file::write_atomic(path, bytes).map_err(failed)
}

/// Flushes a directory tree to disk, files before the directories that name them.
pub(crate) fn sync_tree(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(|e| Error::io("read", dir, e))? {
        let entry = entry.map_err(|e| Error::io("read", dir, e))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|e| Error::io("read", &path, e))?;
        if kind.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path)
                .and_then(|f| f.sync_all())
                .map_err(|e| Error::io("flush", &path, e))?;
        }
    }
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    file::sync_dir(dir).map_err(|e| Error::io("flush", dir, e))
}

/// Holds an advisory lock on a file until it is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

/// How long to wait for a lock before telling the user.
const PATIENCE: Duration = Duration::from_secs(1);

/// Locks a file. The system releases the lock of a process that was killed, so this waits for a
/// live one only; after a while the user is told.
fn wait_for(file: &File) -> io::Result<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    tracing::warn!("waiting for another modelzoo command that is changing this store");
    file.lock()
}

impl FileLock {
    /// Waits for the lock. The file is created if it does not exist, and stays.
    pub(crate) fn acquire(path: &Path) -> Result<Self, Error> {
        create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|e| Error::io("open", path, e))?;
        wait_for(&file).map_err(|e| Error::io("lock", path, e))?;
        Ok(Self { _file: file })
    }
}
