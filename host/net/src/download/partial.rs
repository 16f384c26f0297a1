//! The unfinished file.
//!
//! In a directory for unfinished downloads it is `<key>.part`, with `<key>.json` beside it: the
//! validator of the bytes in it, without which they are useless. A later process finds both
//! and resumes. An advisory lock on the part keeps two processes from fetching the same bytes
//! twice; one that does not get it uses a file of its own. Nothing depends on the lock:
//!
//! - starting again makes a new file and renames it over the old one, so bytes of two versions
//!   never meet in one file;
//! - after the final rename it is checked that what was moved is the file that was written;
//!   otherwise the bytes are copied from the open file and hashed once more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use modelzoo_base::digest;
use modelzoo_base::file::{self, Access, AtomicFile, UNFINISHED};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::range::Validator;
use crate::error::Error;

const MAX_SIDECAR: u64 = 64 * 1024;

/// What is known about the bytes of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartialInfo {
    /// Tells whether the server still has the same bytes.
    pub(crate) validator: Option<Validator>,
    /// The length of the whole.
    pub(crate) total: Option<u64>,
    /// The boot of the machine: after a crash of the machine a part may have its length but not
    /// its bytes.
    #[serde(default)]
    boot: Option<String>,
}

/// An unfinished file that is open and owned by this transfer.
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    /// Where what is known about the bytes is kept; `None` for a file that is not resumed.
    sidecar: Option<PathBuf>,
    published: bool,
}

impl Partial {
    /// Opens the part with this key in `dir`, or one that is not kept: beside `into` without a
    /// directory, in it when another process works on the part.
    pub(crate) fn open(into: &Path, dir: Option<&Path>, key: &str) -> Result<Self, Error> {
        let Some(dir) = dir else {
            return Self::temporary(into);
        };
        let path = dir.join(format!("{key}.part"));
        for _ in 0..4 {
            // It may be removed while it is empty.
            fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
            let file = match open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(|e| Error::io("open", &path, e))?,
            };
            if matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) {
                break;
            }
            // Between opening and locking, the last owner may have moved the file away.
            if file::is_at(&file, &path) {
                return Ok(Self {
                    file,
                    path,
                    sidecar: Some(dir.join(format!("{key}.json"))),
                    published: false,
                });
            }
        }
        Self::temporary(&path)
    }

    fn temporary(near: &Path) -> Result<Self, Error> {
        let (path, file) = create_near(near)?;
        Ok(Self {
            file,
            path,
            sidecar: None,
            published: false,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes an earlier process left, and what is known about them. `checked`: the
    /// whole will be compared with a digest.
    pub(crate) fn left(&self, checked: bool) -> Option<(u64, PartialInfo)> {
        let known = read_sidecar(self.sidecar.as_deref()?)?;
        if known.validator.is_none() && !(checked && known.total.is_some()) {
            return None;
        }
        if known.boot != boot() && !checked {
            return None;
        }
        let length = self.file.metadata().ok()?.len();
        let usable = match known.total {
            Some(total) if length > total => 0,
            // It is complete. Requesting the last byte again shows whether it is still current.
            Some(total) if length == total => length.saturating_sub(1),
            _ => length,
        };
        (usable > 0).then_some((usable, known))
    }

    /// Hashes the first `length` bytes.
    pub(crate) fn hash(&mut self, length: u64) -> Result<Sha256, Error> {
        self.copy(length, &mut io::sink())
            .map_err(|e| Error::io("read", &self.path, e))
    }

    /// Copies the first `length` bytes; gives the state of their digest.
    fn copy(&mut self, length: u64, to: &mut impl Write) -> io::Result<Sha256> {
        self.file.seek(SeekFrom::Start(0))?;
        let (copied, hasher) = digest::copy(&mut (&self.file).take(length), to)?;
        if copied < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(hasher)
    }

    /// The file, for writing from `offset` on.
    pub(crate) fn writer(&self, offset: u64) -> Result<File, Error> {
        let writer = self.file.try_clone().and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            Ok(file)
        });
        writer.map_err(|e| Error::io("write", &self.path, e))
    }

    /// Starts again with a new, empty file.
    pub(crate) fn restart(&mut self) -> Result<(), Error> {
        // Without its sidecar the old part is useless, whatever happens next.
        if let Some(sidecar) = &self.sidecar {
            remove(sidecar).map_err(|e| Error::io("delete", sidecar, e))?;
        }
        let (path, file) = create_near(&self.path)?;
        let moved = match &self.sidecar {
            Some(_) => {
                // Locks may not work here; then the checks in `publish` are all there is.
                let _ = file.try_lock();
                fs::rename(&path, &self.path)
            }
            None => remove(&self.path).map(|()| self.path = path),
        };
        moved.map_err(|e| Error::io("replace", &self.path, e))?;
        self.file = file;
        Ok(())
    }

    /// Keeps what is known about the bytes that are about to be written.
    pub(crate) fn remember(&self, known: &PartialInfo) -> Result<(), Error> {
        let Some(sidecar) = &self.sidecar else {
            return Ok(());
        };
        let known = PartialInfo {
            boot: boot(),
            ..known.clone()
        };
        let text = serde_json::to_vec(&known).map_err(|e| Error::io("write", sidecar, e.into()))?;
        AtomicFile::create(sidecar, Access::Shared)
            .and_then(|mut file| {
                file.write_all(&text)?;
                file.replace()
            })
            .map_err(|e| Error::io("write", sidecar, e))
    }

    /// Moves the finished file to `into`: it is on the disk, whole, before it is there.
    pub(crate) fn publish(
        &mut self,
        into: &Path,
        length: u64,
        digest: [u8; 32],
    ) -> Result<(), Error> {
        self.file
            .sync_all()
            .map_err(|e| Error::io("write", &self.path, e))?;
        let moved = fs::rename(&self.path, into).is_ok();
        if !moved || !file::is_at(&self.file, into) {
            // Another process moved our part, or `into` is on another file system.
            self.copy_to(into, length, digest)
                .map_err(|e| Error::io("write", into, e))?;
        }
        // Only now: had the last step failed, another call could still go on from here. A sidecar
        // that stays behind without its part does no harm.
        if let Some(sidecar) = self.sidecar.take() {
            let _ = remove(&sidecar);
        }
        self.published = moved;
        // Some file systems cannot sync a directory; the file itself is safe.
        let _ = file::sync_dir(file::directory(into));
        Ok(())
    }

    fn copy_to(&mut self, into: &Path, length: u64, digest: [u8; 32]) -> io::Result<()> {
        let mut copy = AtomicFile::create(into, Access::Shared)?;
        let found: [u8; 32] = self.copy(length, &mut copy)?.finalize().into();
        copy.sync()?;
        if found != digest {
            self.discard();
            return Err(io::Error::other("another process changed the bytes"));
        }
        copy.replace()
    }

    /// Forgets the bytes: they are useless.
    pub(crate) fn discard(&mut self) {
        if let Some(sidecar) = self.sidecar.take() {
            let _ = remove(&sidecar);
        }
        // Dropping it deletes the file.
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // A part without a sidecar cannot be resumed.
        let worthless = match &self.sidecar {
            Some(sidecar) => !sidecar.exists(),
            None => true,
        };
        if !self.published && worthless && file::is_at(&self.file, &self.path) {
            let _ = remove(&self.path);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    file::open_nofollow(path, &mut options)
}

/// Creates a file with a name of its own beside `path`.
fn create_near(path: &Path) -> Result<(PathBuf, File), Error> {
    let dir = file::directory(path);
    let (file, path) = file::temporary(dir, UNFINISHED, Access::Shared)
        .and_then(|file| file.keep().map_err(|e| e.error))
        .map_err(|e| Error::io("create a file in", dir, e))?;
    Ok((path, file))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read_sidecar(path: &Path) -> Option<PartialInfo> {
    let mut text = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_SIDECAR)
        .read_to_end(&mut text)
        .ok()?;
    serde_json::from_slice(&text).ok()
}

/// Something that differs after every start of the machine; `None` if it is unknown.
fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}
