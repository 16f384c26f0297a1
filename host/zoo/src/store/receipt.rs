//! Receipts: the record of a downloaded model.
//!
//! A model's directory holds `files/` and, written last, `receipt.json`. A model counts as
//! downloaded if the receipt exists and every file that it lists has the size that it says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use modelzoo_archive::RelPath;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::manifest::ModelEntry;
use crate::reference::SourceId;

/// The version of the receipt's format.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const RECEIPT: &str = "receipt.json";
/// The directory of the artifacts, within a model's own.
pub(crate) const FILES: &str = "files";

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptFile {
    /// Where it is, relative to the model's files.
    pub name: RelPath,
    /// Bytes.
    pub size: u64,
    /// Of its bytes, as 64 hexadecimal digits.
    pub sha256: String,
}

/// The files of a downloaded model, and where they came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The version of this file's format.
    pub format: u32,
    /// The model's name, with its version.
    pub model: String,
    /// The source that declares it.
    pub source: SourceId,
    /// The source's commit, if it has one.
    pub commit: Option<String>,
    /// The digest of the source's snapshot.
    pub tree: String,
    /// The digest of the component whose hook downloaded the model.
    pub component: Option<String>,
    /// When (RFC 3339, UTC).
    pub downloaded: String,
    /// The artifacts, sorted by name.
    pub files: Vec<ReceiptFile>,
}

impl Receipt {
    /// SHA-256 over the names, sizes and digests of the artifacts: the model's digest.
    #[must_use]
    pub fn digest(&self) -> String {
        tree_digest(
            self.files
                .iter()
                .map(|f| (f.name.as_ref(), f.size, f.sha256.as_str())),
        )
    }

    /// The digest of each artifact, by name.
    pub(crate) fn digests(&self) -> BTreeMap<String, String> {
        self.files
            .iter()
            .map(|f| (f.name.to_string(), f.sha256.clone()))
            .collect()
    }

    /// Whether it lists the files that a manifest declares for a model.
    pub(crate) fn satisfies(&self, entry: &ModelEntry) -> bool {
        let declared = entry.artifacts.iter().filter(|a| !a.unpack);
        declared.into_iter().all(|artifact| {
            let file = self.files.iter().find(|file| file.name == artifact.path);
            file.is_some_and(|file| {
                artifact
                    .sha256
                    .as_ref()
                    .is_none_or(|want| *want == file.sha256)
            })
        })
    }

    /// All bytes of the artifacts.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// Writes the receipt into a model's directory, after all other files.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(RECEIPT);
        let text =
            serde_json::to_vec_pretty(self).map_err(|e| Error::io("write", &path, e.into()))?;
        fs::write(&path, text).map_err(|e| Error::io("write", &path, e))
    }

    /// Reads the receipt of a model's directory and checks the files against it.
    ///
    /// `None` if the model is not downloaded: the receipt is missing or incomplete, or a file is
    /// missing, is not a regular file, or has another size.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let receipt = Self::read_unchecked(dir)?;
        let files = dir.join(FILES);
        // The target of a link is not part of the store.
        if dir.is_symlink() || files.is_symlink() {
            return None;
        }
        let matches = receipt.files.iter().all(|f| {
            fs::symlink_metadata(f.name.under(&files))
                .is_ok_and(|m| m.is_file() && m.len() == f.size)
        });
        matches.then_some(receipt)
    }

    /// What identifies the files that are in a model's directory now, so that a replacement is
    /// noticed. `None` if one is a link, or does not exist.
    pub(crate) fn marks(&self, dir: &Path) -> Option<Vec<Mark>> {
        let files = dir.join(FILES);
        let paths = self.files.iter().map(|f| f.name.under(&files));
        [dir.to_owned(), files.clone()]
            .into_iter()
            .chain(paths)
            .map(|path| mark(&path))
            .collect()
    }

    /// Reads the receipt of a model's directory without checking the files.
    pub(crate) fn read_unchecked(dir: &Path) -> Option<Self> {
        let receipt: Self = serde_json::from_slice(&fs::read(dir.join(RECEIPT)).ok()?).ok()?;
        (receipt.format == FORMAT).then_some(receipt)
    }
}

/// The device, the inode, and the time of the last change of a file, also of its name.
#[cfg(unix)]
pub(crate) type Mark = (u64, u64, i64, i64);
/// The size and the last change of a file.
#[cfg(not(unix))]
pub(crate) type Mark = (u64, Option<std::time::SystemTime>);

fn mark(path: &Path) -> Option<Mark> {
    let file = fs::symlink_metadata(path)
        .ok()
        .filter(|m| !m.is_symlink())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Some((file.dev(), file.ino(), file.ctime(), file.ctime_nsec()))
    }
    #[cfg(not(unix))]
    Some((file.len(), file.modified().ok()))
}

/// SHA-256 over files given as (name, size, hexadecimal SHA-256) in the order of their names.
pub(crate) fn tree_digest<'a>(files: impl Iterator<Item = (&'a str, u64, &'a str)>) -> String {
    let mut hash = Sha256::new();
    for (name, size, sha256) in files {
        hash.update(format!("{size} {sha256} {name}\n"));
    }
    hex::encode(hash.finalize())
}
