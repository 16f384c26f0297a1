//! Directories that are walked one part at a time without following links.
//!
//! Each step is relative to a directory that is open already, so that nobody can put a link in the
//! way between a check and its use.

pub use imp::Dir;

#[cfg(unix)]
mod imp {
    use std::fs::File;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};
    use rustix::io::Errno;

    /// An open directory.
    #[derive(Debug)]
    pub struct Dir(OwnedFd);

    impl Dir {
        /// Opens a directory that the caller trusts; links on the way are followed.
        ///
        /// # Errors
        /// It is not a directory, or cannot be opened.
        pub fn open(path: &Path) -> io::Result<Self> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(Self(openat(CWD, path, flags, Mode::empty())?))
        }

        /// The same directory again.
        ///
        /// # Errors
        /// No more file handles.
        pub fn try_clone(&self) -> io::Result<Self> {
            self.0.try_clone().map(Self)
        }

        /// Opens a directory in this one. `name` is one part of a path.
        ///
        /// # Errors
        /// It is a link or not a directory, or cannot be opened.
        pub fn enter(&self, name: &str) -> io::Result<Self> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(Self(openat(&self.0, name, flags, Mode::empty())?))
        }

        /// Opens a regular file in this directory for reading, without waiting.
        ///
        /// # Errors
        /// It is a link or not a regular file, or cannot be opened.
        pub fn open_file(&self, name: &str) -> io::Result<File> {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            crate::file::regular(File::from(openat(&self.0, name, flags, Mode::empty())?))
        }

        /// Makes a directory; `false` when the name is taken.
        ///
        /// # Errors
        /// It cannot be made.
        pub fn make(&self, name: &str) -> io::Result<bool> {
            match mkdirat(&self.0, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }

        /// Makes a file.
        ///
        /// # Errors
        /// The name is taken, by a link too, or the file cannot be made.
        pub fn create(&self, name: &str) -> io::Result<File> {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = openat(&self.0, name, flags, Mode::from_raw_mode(0o666))?;
            Ok(File::from(file))
        }

        /// Removes a file, a link or, with `directory`, an empty directory.
        ///
        /// # Errors
        /// There is no such entry, or it cannot be removed.
        pub fn remove(&self, name: &str, directory: bool) -> io::Result<()> {
            let flags = if directory {
                AtFlags::REMOVEDIR
            } else {
                AtFlags::empty()
            };
            Ok(unlinkat(&self.0, name, flags)?)
        }
    }
}

/// The same by path, for systems where nothing opens relative to a directory: a link is looked
/// for before each step, which is as good as the privacy of the directory.
#[cfg(not(unix))]
mod imp {
    use std::fs::{self, File};
    use std::io;
    use std::path::{Path, PathBuf};

    /// A directory.
    #[derive(Debug)]
    pub struct Dir(PathBuf);

    impl Dir {
        /// Opens a directory that the caller trusts; links on the way are followed.
        ///
        /// # Errors
        /// It is not a directory, or cannot be opened.
        pub fn open(path: &Path) -> io::Result<Self> {
            if !path.metadata()?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(Self(path.to_path_buf()))
        }

        /// The same directory again.
        ///
        /// # Errors
        /// No more file handles.
        pub fn try_clone(&self) -> io::Result<Self> {
            Ok(Self(self.0.clone()))
        }

        /// Opens a directory in this one. `name` is one part of a path.
        ///
        /// # Errors
        /// It is a link or not a directory, or cannot be opened.
        pub fn enter(&self, name: &str) -> io::Result<Self> {
            let path = self.0.join(name);
            if !path.symlink_metadata()?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(Self(path))
        }

        /// Opens a regular file in this directory for reading.
        ///
        /// # Errors
        /// It is a link or not a regular file, or cannot be opened.
        pub fn open_file(&self, name: &str) -> io::Result<File> {
            crate::file::open_nofollow(&self.0.join(name), fs::OpenOptions::new().read(true))
        }

        /// Makes a directory; `false` when the name is taken.
        ///
        /// # Errors
        /// It cannot be made.
        pub fn make(&self, name: &str) -> io::Result<bool> {
            match fs::create_dir(self.0.join(name)) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        }

        /// Makes a file.
        ///
        /// # Errors
        /// The name is taken, by a link too, or the file cannot be made.
        pub fn create(&self, name: &str) -> io::Result<File> {
            File::create_new(self.0.join(name))
        }

        /// Removes a file, a link or, with `directory`, an empty directory.
        ///
        /// # Errors
        /// There is no such entry, or it cannot be removed.
        pub fn remove(&self, name: &str, directory: bool) -> io::Result<()> {
            let path = self.0.join(name);
            if directory {
                fs::remove_dir(path)
            } else {
                fs::remove_file(path)
            }
        }
    }
}
