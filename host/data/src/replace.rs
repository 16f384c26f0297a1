//! Files that change all at once or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::Error;

/// What unfinished files are called; the dot hides them from a search for images.
const PREFIX: &str = ".modelzoo-unfinished-";

/// A complete file beside the one whose place it will take.
pub(crate) struct Staged {
    target: PathBuf,
    file: TempPath,
    overwrite: bool,
}

/// Writes what `fill` gives to a file beside `target` and brings it to the disk.
/// An existing target keeps its permissions and must not be a link; with
/// `overwrite` off there must be none.
pub(crate) fn stage(
    target: &Path,
    overwrite: bool,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), Error>,
) -> Result<Staged, Error> {
    check(target, overwrite)?;
    let failed = |action| Error::io(action, target);
    let mut file = unfinished(target.parent().unwrap_or(Path::new(".")))?;
    if let Ok(old) = fs::metadata(target) {
        fs::set_permissions(file.path(), old.permissions()).map_err(failed("write"))?;
    }
    let mut out = BufWriter::with_capacity(1 << 16, file.as_file_mut());
    fill(&mut out)?;
    out.flush().map_err(failed("write"))?;
    drop(out);
    file.as_file().sync_all().map_err(failed("write"))?;
    Ok(Staged {
        target: target.to_owned(),
        file: file.into_temp_path(),
        overwrite,
    })
}

impl Staged {
    /// Puts the file in its place, and makes that last for it and for what was
    /// renamed in the same directory before.
    pub(crate) fn finish(self) -> Result<PathBuf, Error> {
        let target = self.rename()?;
        sync_directory(&target);
        Ok(target)
    }

    /// Puts the file in its place.
    pub(crate) fn rename(self) -> Result<PathBuf, Error> {
        let Self {
            target,
            file,
            overwrite,
        } = self;
        let moved = if overwrite {
            file.persist(&target)
        } else {
            file.persist_noclobber(&target)
        };
        match moved {
            Ok(()) => Ok(target),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::OutputExists { path: target })
            }
            Err(error) => Err(Error::io("replace", target)(error.error)),
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
    unfinished(directory).map(drop)
}

fn unfinished(directory: &Path) -> Result<NamedTempFile, Error> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What the user's mask leaves of it, as for any new file.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
        .tempfile_in(directory)
        .map_err(Error::io("write to", directory))
}

/// Makes a rename last. Where a directory cannot be opened for this, the system
/// makes it last in its own time.
fn sync_directory(file: &Path) {
    if let Some(Ok(directory)) = file.parent().map(File::open) {
        let _ = directory.sync_all();
    }
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
            .starts_with(PREFIX.as_bytes());
        let plain = entry.file_type().is_ok_and(|kind| kind.is_file());
        if ours && plain {
            let _ = fs::remove_file(entry.path());
        }
    }
}
