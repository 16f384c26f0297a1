//! How directories become visible, and go: by one rename each, by the holder of the store's lock.

use std::fs;
use std::io;
use std::path::Path;

use super::files::remove_any;
use super::layout::{create_dir_all, sync_dir};
use super::lock::LockGuard;
use super::work::WorkDir;
use crate::error::Error;

impl LockGuard<'_> {
    /// Moves a finished directory, which is on the disk, to `target`. A directory that is there
    /// already is replaced if `replace`, and kept otherwise.
    pub(crate) fn publish_dir(
        &self,
        staged: &Path,
        target: &Path,
        replace: bool,
    ) -> Result<(), Error> {
        let parent = target.parent().unwrap_or(self.store().home());
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
        let aside = self.store().work_dir()?;
        let old = aside.path().join("old");
        fs::rename(target, &old).map_err(|e| Error::io("move aside", target, e))?;
        fs::rename(staged, target).map_err(|e| {
            // Restore the old directory.
            let _ = fs::rename(&old, target);
            Error::io("move into place", target, e)
        })
    }

    /// Moves what is at a path to `aside` under this name, which makes it invisible at once; false
    /// if nothing is there.
    pub(crate) fn take_away(
        &self,
        path: &Path,
        aside: &WorkDir,
        name: &str,
    ) -> Result<bool, Error> {
        match fs::rename(path, aside.path().join(name)) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => remove_any(path)
                .map(|()| true)
                .map_err(|e| Error::io("remove", path, e)),
            Err(e) => Err(Error::io("remove", path, e)),
        }
    }
}

/// Whether a rename failed because its target is a directory that is not empty.
fn is_occupied(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
    )
}
