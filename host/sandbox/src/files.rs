//! Files and directories that are reached without following links.
//!
//! The directories belong to the host, and guests cannot make links; this is for the case that
//! somebody else could.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use modelzoo_archive::RelPath;
use modelzoo_base::digest;
use modelzoo_base::dir::Dir;
use sha2::Sha256;

/// Makes a directory, or makes sure that there is one and no link.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(path)?.is_dir() {
                Ok(())
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }
        made => made,
    }
}

/// Opens a regular file below `root` to be read, through directories and no links.
pub(crate) fn open_below(root: &Path, name: &RelPath) -> io::Result<File> {
    let mut dir = Dir::open(root)?;
    let mut parts = name.parts().peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return dir.open_file(part);
        }
        dir = dir.enter(part)?;
    }
    Err(io::ErrorKind::NotFound.into())
}

/// The digest's state after the whole file.
pub(crate) fn hash(root: &Path, name: &RelPath) -> io::Result<Sha256> {
    let mut file = open_below(root, name)?;
    digest::of(&mut file).map(|(_, hasher)| hasher)
}
