//! Files as the zoo reads them: listed, hashed, copied, within limits.

use std::fs;
use std::path::{Path, PathBuf};

use modelzoo_archive::RelPath;
use modelzoo_base::digest;
use sha2::Digest as _;

use crate::error::Error;
use crate::store::receipt::tree_digest;

/// All plain files below a directory of the store, sorted, hidden ones included.
pub(crate) fn list_files(root: &Path) -> Result<Vec<RelPath>, Error> {
    fn all(root: &Path, dir: &Path, files: &mut Vec<RelPath>) -> Result<(), Error> {
        for (path, kind) in entries(dir)? {
            if kind.is_dir() {
                all(root, &path, files)?;
            } else {
                let odd = || Error::BadPath {
                    path: path.display().to_string(),
                    reason: "it is no file that modelzoo has written".into(),
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

/// The name of a path below a directory; none where it could be read as another place.
pub(crate) fn name_of(root: &Path, path: &Path) -> Option<RelPath> {
    let name = path.strip_prefix(root).ok()?.to_str()?;
    RelPath::parse(&name.replace('\\', "/")).ok()
}

/// What a directory holds, sorted by name.
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

/// Copies a file to where none is.
pub(crate) fn copy_plain(from: &Path, to: &Path) -> Result<(), Error> {
    if let Some(dir) = to.parent() {
        crate::store::create_dir_all(dir)?;
    }
    let mut input = fs::File::open(from).map_err(|e| Error::io("read", from, e))?;
    let mut output = fs::File::create_new(to).map_err(|e| Error::io("write", to, e))?;
    std::io::copy(&mut input, &mut output).map_err(|e| Error::io("copy", from, e))?;
    Ok(())
}

/// Reads a file of at most `cap` bytes.
pub(crate) fn read_capped(path: &Path, cap: u64) -> Result<Vec<u8>, Error> {
    let size = fs::metadata(path)
        .map_err(|e| Error::io("read", path, e))?
        .len();
    if size > cap {
        return Err(Error::FileTooLarge {
            path: path.to_owned(),
            size,
            cap,
        });
    }
    fs::read(path).map_err(|e| Error::io("read", path, e))
}

/// The digest of a snapshot.
pub(crate) fn digest_of(root: &Path) -> Result<String, Error> {
    let files = list_files(root)?;
    let mut rows = Vec::new();
    for file in &files {
        let path = file.under(root);
        let (size, sha256) = hash_file(&path)?;
        rows.push((file.to_string(), size, sha256));
    }
    Ok(tree_digest(
        rows.iter().map(|(n, s, h)| (n.as_str(), *s, h.as_str())),
    ))
}

/// The size and the hexadecimal SHA-256 of a file.
pub(crate) fn hash_file(path: &Path) -> Result<(u64, String), Error> {
    let failed = |e| Error::io("read", path, e);
    let mut file = fs::File::open(path).map_err(failed)?;
    let (size, hasher) = digest::of(&mut file).map_err(failed)?;
    Ok((size, hex::encode(hasher.finalize())))
}
