//! Listing, hashing, copying and reading files, within limits.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use modelzoo_archive::RelPath;
use modelzoo_base::{digest, file};
use sha2::Digest as _;

use super::layout::create_dir_all;
use super::receipt::tree_digest;
use crate::error::Error;

/// All regular files below a directory of the store, sorted, hidden ones included.
pub(crate) fn list_files(root: &Path) -> Result<Vec<RelPath>, Error> {
    fn all(root: &Path, dir: &Path, files: &mut Vec<RelPath>) -> Result<(), Error> {
        for (path, kind) in entries(dir)? {
            if kind.is_dir() {
                all(root, &path, files)?;
            } else {
                let odd = || Error::BadPath {
                    path: path.display().to_string(),
                    reason: "modelzoo did not write it".into(),
                };
                files.push(
                    name_of(root, &path)
                        .filter(|_| kind.is_file())
                        .ok_or_else(odd)?,
                );
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    all(root, root, &mut files)?;
    files.sort();
    Ok(files)
}

/// The name of a path below a directory; `None` if it could be read as another path.
pub(crate) fn name_of(root: &Path, path: &Path) -> Option<RelPath> {
    let name = path.strip_prefix(root).ok()?.to_str()?;
    RelPath::parse(&name.replace('\\', "/")).ok()
}

/// The entries of a directory, sorted by name.
pub(crate) fn entries(dir: &Path) -> Result<Vec<(PathBuf, fs::FileType)>, Error> {
    let failed = |e| Error::io("read", dir, e);
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        entries.push((entry.path(), entry.file_type().map_err(failed)?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

/// Copies a file to a new path; returns its size and its hexadecimal SHA-256.
pub(crate) fn copy_hashed(from: &Path, to: &Path) -> Result<(u64, String), Error> {
    if let Some(dir) = to.parent() {
        create_dir_all(dir)?;
    }
    let mut input = fs::File::open(from).map_err(|e| Error::io("read", from, e))?;
    let mut output = fs::File::create_new(to).map_err(|e| Error::io("write", to, e))?;
    let copied = digest::copy(&mut input, &mut output);
    let (size, hasher) = copied.map_err(|e| Error::io("copy", from, e))?;
    Ok((size, hex::encode(hasher.finalize())))
}

/// Removes a file, a link, or a directory with all that is in it; nothing is there afterwards.
pub(crate) fn remove_any(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads a regular file of at most `cap` bytes.
pub(crate) fn read_capped(path: &Path, cap: u64) -> Result<Vec<u8>, Error> {
    let failed = |e| Error::io("read", path, e);
    let too_large = |size| Error::FileTooLarge {
        path: path.to_owned(),
        size,
        cap,
    };
    let file = file::open_regular(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > cap {
        return Err(too_large(size));
    }
    let mut bytes = Vec::new();
    let mut file = file.take(cap.saturating_add(1));
    file.read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        read if read > cap => Err(too_large(read)),
        _ => Ok(bytes),
    }
}

/// Files with their sizes and their hexadecimal SHA-256.
pub(crate) type FileDigests = BTreeMap<RelPath, (u64, String)>;

/// The digest of a snapshot that is made of these files.
pub(crate) fn tree_of(files: &FileDigests) -> String {
    tree_digest(
        files
            .iter()
            .map(|(name, (size, sha256))| (name.as_ref(), *size, sha256.as_str())),
    )
}

/// The digest of the snapshot in a directory. Reads every file.
pub(crate) fn digest_of(root: &Path) -> Result<String, Error> {
    let hashed = |name: RelPath| {
        let digest = hash_file(&name.under(root))?;
        Ok((name, digest))
    };
    let files: Result<FileDigests, Error> = list_files(root)?.into_iter().map(hashed).collect();
    Ok(tree_of(&files?))
}

/// The size and the hexadecimal SHA-256 of a regular file.
pub(crate) fn hash_file(path: &Path) -> Result<(u64, String), Error> {
    let failed = |e| Error::io("read", path, e);
    let mut file = file::open_regular(path).map_err(failed)?;
    let (size, hasher) = digest::of(&mut file).map_err(failed)?;
    Ok((size, hex::encode(hasher.finalize())))
}
