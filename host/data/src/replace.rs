//! Files that change all at once or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use modelzoo_base::file::{self, Access, AtomicFile, UNFINISHED};
use tempfile::TempDir;

use crate::error::Error;

/// A complete file beside the one whose place it will take.
pub(crate) struct Staged {
    file: AtomicFile,
    overwrite: bool,
}

/// Writes what `fill` gives to a file beside `target` and brings it to the disk.
/// An existing target keeps its permissions and must not be a link; with
/// `overwrite` off there must be none.
pub(crate) fn stage(
    target: &Path,
    overwrite: bool,
    fill: impl FnOnce(&mut BufWriter<&mut AtomicFile>) -> Result<(), Error>,
) -> Result<Staged, Error> {
    check(target, overwrite)?;
    let failed = |action| Error::io(action, target);
    let mut file = AtomicFile::create(target, Access::Shared)
        .map_err(Error::io("write to", file::directory(target)))?;
    if let Ok(old) = fs::metadata(target) {
        file.as_file()
            .set_permissions(old.permissions())
            .map_err(failed("write"))?;
    }
    let mut out = BufWriter::with_capacity(1 << 16, &mut file);
    fill(&mut out)?;
    out.flush().map_err(failed("write"))?;
    drop(out);
    file.sync().map_err(failed("write"))?;
    Ok(Staged { file, overwrite })
}

impl Staged {
    /// Puts the file in its place, and makes that last for it and for what was
    /// renamed in the same directory before.
    pub(crate) fn finish(self) -> Result<PathBuf, Error> {
        let target = self.rename()?;
        // Where a directory cannot be flushed, the system does so in its own time.
        let _ = file::sync_dir(file::directory(&target));
        Ok(target)
    }

    /// Puts the file in its place.
    pub(crate) fn rename(self) -> Result<PathBuf, Error> {
        let target = self.file.target().to_owned();
        let moved = if self.overwrite {
            self.file.replace()
        } else {
            self.file.publish()
        };
        match moved {
            Ok(()) => Ok(target),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::OutputExists { path: target })
            }
            Err(error) => Err(Error::io("replace", target)(error)),
        }
    }
}

/// Whether `target` may be written, before there is anything to write.
pub(crate) fn check(target: &Path, overwrite: bool) -> Result<(), Error> {
    match fs::symlink_metadata(target) {
        Err(_) => Ok(()),
        Ok(old) if old.is_symlink() => Err(Error::Linked {
            path: target.to_owned(),
        }),
        Ok(_) if !overwrite => Err(Error::OutputExists {
            path: target.to_owned(),
        }),
        Ok(_) => Ok(()),
    }
}

/// Whether files can be made in `directory`, before there is anything to write.
pub(crate) fn check_directory(directory: &Path) -> Result<(), Error> {
    file::temporary(directory, UNFINISHED, Access::Shared)
        .map(drop)
        .map_err(Error::io("write to", directory))
}

/// A directory in `directory` for what is not finished, removed when dropped.
pub(crate) fn unfinished_directory(directory: &Path) -> Result<TempDir, Error> {
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(directory)
        .map_err(Error::io("write to", directory))
}

/// Keeps other runs from writing the dataset in `directory` at the same time,
/// until it is dropped, and removes what killed ones left unfinished. Where
/// directories cannot be locked there is no such guard.
pub(crate) struct Guard(#[allow(dead_code, reason = "unlocks when dropped")] Option<File>);

impl Guard {
    pub(crate) fn take(directory: &Path) -> Self {
        let locked = File::open(directory)
            .ok()
            .filter(|file| file.lock().is_ok());
        if locked.is_some() {
            sweep(directory);
        }
        Self(locked)
    }
}

/// Removes what killed runs left unfinished.
pub(crate) fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(UNFINISHED.as_bytes());
        if !ours {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_file() => drop(fs::remove_file(entry.path())),
            Ok(kind) if kind.is_dir() => drop(fs::remove_dir_all(entry.path())),
            Ok(_) | Err(_) => {}
        }
    }
}
