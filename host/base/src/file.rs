//! Files that are opened without following links, and files that appear complete or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// What the names of unfinished files begin with; the dot hides them.
pub const UNFINISHED: &str = ".modelzoo-unfinished-";

/// Opens a regular file without following a link in the last part of `path`, and without waiting
/// for the other end of a pipe.
///
/// # Errors
/// `path` is a link or not a regular file, or cannot be opened with these options.
pub fn open_nofollow(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    }
    #[cfg(not(unix))]
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(io::Error::other("is a link"));
    }
    regular(options.open(path)?)
}

/// Opens a regular file for reading, through links, and without waiting for the other end of a
/// pipe or taking a terminal over.
///
/// # Errors
/// `path` is not a regular file, or cannot be opened.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    }
    regular(options.open(path)?)
}

/// The file, if it is a regular one.
pub(crate) fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// Whether `path` names the file that is open, itself and not through a link.
#[cfg(unix)]
#[must_use]
pub fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => named.dev() == open.dev() && named.ino() == open.ino(),
        _ => false,
    }
}

/// Whether `path` names the file that is open. Elsewhere locks are not advisory, so nobody else
/// moves a file that is locked.
#[cfg(not(unix))]
#[must_use]
pub fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Who may read and write a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// This user alone.
    Private,
    /// Whom the user's file mode mask allows, as for any new file.
    Shared,
}

/// A new file in `dir` whose name begins with `prefix`; it is deleted when it is dropped.
///
/// # Errors
/// It cannot be made.
pub fn temporary(dir: &Path, prefix: &str, access: Access) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(match access {
            Access::Private => 0o600,
            Access::Shared => 0o666,
        }));
    }
    #[cfg(not(unix))]
    let _ = access;
    builder.tempfile_in(dir)
}

/// A file that is written beside its target and takes the target's name when it is complete.
///
/// A reader of the target sees the old contents or the new ones. The file is deleted when it is
/// dropped before that.
#[derive(Debug)]
pub struct AtomicFile {
    file: NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    /// Makes the file, in the directory of `target`, which must exist.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(target: &Path, access: Access) -> io::Result<Self> {
        Ok(Self {
            file: temporary(directory(target), UNFINISHED, access)?,
            target: target.to_owned(),
        })
    }

    /// Where it will be.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The file as it is open now.
    #[must_use]
    pub fn as_file(&self) -> &File {
        self.file.as_file()
    }

    /// Waits until the contents are on the disk.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn sync(&self) -> io::Result<()> {
        self.file.as_file().sync_all()
    }

    /// Renames the file to its target and replaces what is there.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn replace(self) -> io::Result<()> {
        self.file.persist(&self.target)?;
        Ok(())
    }

    /// Renames the file to its target.
    ///
    /// # Errors
    /// It cannot be renamed, or, as [`io::ErrorKind::AlreadyExists`], something is there.
    pub fn publish(self) -> io::Result<()> {
        self.file.persist_noclobber(&self.target)?;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// Writes a private file so that a reader sees the old bytes or the new ones, and a crash leaves
/// either, as far as the file system can.
///
/// # Errors
/// It cannot be written; the old file is still there.
pub fn write_atomic(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(target, Access::Private)?;
    file.write_all(bytes)?;
    file.sync()?;
    file.replace()?;
    // The new bytes are in place; a file system that cannot sync a directory is no failure.
    let _ = sync_dir(directory(target));
    Ok(())
}

/// Waits until the renames in a directory are on the disk.
///
/// # Errors
/// The directory cannot be opened, or its file system does not do this.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    // Windows has no way to flush a directory, and does not need one.
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// The directory that a file is in: `.` for a bare name.
#[must_use]
pub fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn atomic_write_replaces_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for contents in ["old", "new"] {
            write_atomic(&path, contents.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        }
        assert_eq!(names(dir.path()), ["file"]);
        assert!(write_atomic(&dir.path().join("missing/file"), b"").is_err());
    }

    #[test]
    fn dropped_atomic_file_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(&dir.path().join("file"), Access::Shared).unwrap();
        file.write_all(b"half").unwrap();
        assert!(names(dir.path())[0].starts_with(UNFINISHED));
        drop(file);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn publish_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        let file = AtomicFile::create(&path, Access::Shared).unwrap();
        let error = file.publish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn access_decides_the_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let mode = |file: &File| file.metadata().unwrap().permissions().mode() & 0o777;
        let private = temporary(dir.path(), "a", Access::Private).unwrap();
        assert_eq!(mode(private.as_file()), 0o600);
        let plain = File::create(dir.path().join("plain")).unwrap();
        let shared = temporary(dir.path(), "a", Access::Shared).unwrap();
        assert_eq!(mode(shared.as_file()), mode(&plain));
    }

    #[cfg(unix)]
    #[test]
    fn links_pipes_and_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let nofollow = |name: &str| open_nofollow(&at(name), OpenOptions::new().read(true));
        assert!(nofollow("file").is_ok());
        for name in ["link", "pipe", ".", "missing"] {
            assert!(nofollow(name).is_err(), "{name}");
        }
        assert!(open_nofollow(&at("link"), OpenOptions::new().append(true)).is_err());
        assert!(open_regular(&at("file")).is_ok());
        assert!(open_regular(&at("link")).is_ok());
        for name in ["pipe", ".", "missing"] {
            assert!(open_regular(&at(name)).is_err(), "{name}");
        }
        let opened = crate::dir::Dir::open(dir.path()).unwrap();
        assert!(opened.open_file("file").is_ok());
        for name in ["link", "pipe", ".", "missing"] {
            assert!(opened.open_file(name).is_err(), "{name}");
        }
    }
}
