//! Files and directories that are reached without following links.
//!
//! The directories belong to the host, and guests cannot make links; this is for the case that
//! somebody else could.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use modelzoo_archive::RelPath;
use sha2::{Digest, Sha256};

/// How many bytes are copied at once.
const BLOCK_BYTES: usize = 256 << 10;

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
    let mut path = root.to_owned();
    let mut parts = name.parts().peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        if parts.peek().is_some() && !fs::symlink_metadata(&path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
    }
    open(&path, OpenOptions::new().read(true))
}

/// Opens a regular file, and no link.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Without waiting, should it be a pipe.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(i32::try_from(flags.bits()).map_err(io::Error::other)?);
    }
    #[cfg(not(unix))]
    if fs::symlink_metadata(path)?.is_symlink() {
        return Err(io::Error::other("it is a link"));
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// Copies everything; answers with the length and the digest's state.
pub(crate) fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, Sha256)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut total = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok((total, hasher)),
            Ok(n) => {
                let bytes = buffer.get(..n).unwrap_or_default();
                hasher.update(bytes);
                to.write_all(bytes)?;
                total += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The digest's state after the whole file.
pub(crate) fn hash(root: &Path, name: &RelPath) -> io::Result<Sha256> {
    let mut file = open_below(root, name)?;
    copy(&mut file, &mut io::sink()).map(|(_, hasher)| hasher)
}
