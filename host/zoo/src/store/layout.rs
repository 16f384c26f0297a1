//! The layout of the store on disk, and how files and directories become visible at once.
//!
//! ```text
//! modelzoo.lock                             what is registered
//! sources/<source-key>/<tree>/              immutable snapshots
//! models/<source-key>/<model>@<version>/    files/ and receipt.json
//! cache/                                    compiled components
//! staging/                                  everything unfinished
//! audit.jsonl                               what was granted, denied and fetched
//! locks/                                    turns at changing the store, where locks do nothing
//! ```
//!
//! Everything is first written below `staging/` (on the same file system), flushed to disk, and
//! then renamed into place, by the process that holds the store's lock.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modelzoo_base::file;

use super::audit::Shares;
use crate::error::Error;
use crate::manifest::ModelEntry;
use crate::reference::SourceId;

/// The permanent directories of staging; their contents are unfinished work.
pub(crate) const KEPT: [&str; 2] = ["partials", "results"];

/// The directory of a zoo.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    home: PathBuf,
    /// What each source takes of the audit log.
    shares: Arc<Shares>,
}

impl Store {
    pub(crate) fn new(home: PathBuf) -> Self {
        Self {
            home,
            shares: Arc::default(),
        }
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

    /// The directory that stands in for the lock of that file where locks do nothing.
    pub(super) fn turns_dir(&self) -> PathBuf {
        self.home.join("locks")
    }

    pub(crate) fn audit_path(&self) -> PathBuf {
        self.home.join("audit.jsonl")
    }

    pub(super) fn shares(&self) -> Arc<Shares> {
        Arc::clone(&self.shares)
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

/// Makes a directory and those above it; nobody but their owner may change them, whatever the user's
/// file mode mask is.
pub(crate) fn create_dir_all(dir: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    builder.create(dir).map_err(|e| Error::io("create", dir, e))
}

/// Writes a file so that a reader sees the old bytes or the new ones, and a crash leaves either.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |e| Error::io("write", path, e);
    create_dir_all(file::directory(path))?;
    file::write_atomic(path, bytes).map_err(failed)
}

/// Flushes a directory tree to disk, files before the directories that name them, and lets nobody
/// but its owner change it.
pub(crate) fn sync_tree(dir: &Path) -> Result<(), Error> {
    for (path, kind) in super::files::entries(dir)? {
        if kind.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path)
                .and_then(|file| {
                    protect(&file)?;
                    file.sync_all()
                })
                .map_err(|e| Error::io("flush", &path, e))?;
        }
    }
    #[cfg(unix)]
    File::open(dir)
        .and_then(|dir| protect(&dir))
        .map_err(|e| Error::io("change the permissions of", dir, e))?;
    sync_dir(dir)
}

/// Takes the right to write from all but the owner of a file or directory.
#[cfg(unix)]
fn protect(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode();
    match mode & 0o022 {
        0 => Ok(()),
        _ => file.set_permissions(fs::Permissions::from_mode(mode & !0o022)),
    }
}

#[cfg(not(unix))]
fn protect(_: &File) -> std::io::Result<()> {
    Ok(())
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), Error> {
    file::sync_dir(dir).map_err(|e| Error::io("flush", dir, e))
}
