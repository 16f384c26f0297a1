//! Receipts: the record of a downloaded model.
//!
//! A model's directory holds `files/` and, written last, `receipt.json`. A model counts as
//! downloaded if the receipt is the one that the lock pins, what made the files is what the source
//! has now, and every file that the receipt lists has the size that it says.
//!
//! A receipt says nothing that depends on when and where the model was downloaded, so that the same
//! files have the same receipt on every machine, and the lock can pin it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use modelzoo_archive::RelPath;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::audit::now;
use super::files::read_capped;
use super::maker::Maker;
use crate::error::Error;
use crate::manifest::ModelEntry;
use crate::reference::SourceId;

/// The version of the receipt's format.
pub(crate) const FORMAT: u32 = 2;
/// The largest receipt that is read, in bytes.
const MAX_RECEIPT: u64 = 64 << 20;
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

/// The files of a downloaded model, and what made them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The version of this file's format.
    pub format: u32,
    /// The model's name, with its version.
    pub model: String,
    /// The source that declares it.
    pub source: SourceId,
    /// The digest of the component whose hook downloaded the model.
    pub component: Option<String>,
    /// The digest of the files of the source that the component may read, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// The digest of the model's entry in the manifest, as far as it decides about the files.
    pub entry: String,
    /// The artifacts, sorted by name.
    pub files: Vec<ReceiptFile>,
    /// When the receipt was written (RFC 3339, UTC): the time of its file.
    pub downloaded: String,
    /// The SHA-256 of `receipt.json`, as 64 hexadecimal digits.
    pub sha256: String,
}

/// `receipt.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    model: String,
    source: SourceId,
    component: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inputs: Option<String>,
    entry: String,
    files: Vec<ReceiptFile>,
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
        let files = self.files.iter().map(|file| (&file.name, &file.sha256));
        let files: BTreeMap<_, _> = files.collect();
        let mut declared = entry.artifacts.iter().filter(|a| !a.unpack);
        declared.all(|artifact| {
            let has = files.get(&artifact.path);
            has.is_some_and(|has| artifact.sha256.as_ref().is_none_or(|want| want == *has))
        })
    }

    /// All bytes of the artifacts.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// What made the files.
    pub(crate) fn maker(&self) -> Maker {
        Maker {
            component: self.component.clone(),
            inputs: self.inputs.clone(),
            entry: self.entry.clone(),
        }
    }

    /// The receipt of a model whose files these are. Sorts them by name.
    pub(crate) fn new(
        model: String,
        source: SourceId,
        maker: Maker,
        mut files: Vec<ReceiptFile>,
    ) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut receipt = Self {
            format: FORMAT,
            model,
            source,
            component: maker.component,
            inputs: maker.inputs,
            entry: maker.entry,
            files,
            downloaded: now(),
            sha256: String::new(),
        };
        receipt.sha256 = hex::encode(Sha256::digest(receipt.text()));
        receipt
    }

    /// The same receipt, as modelzoo would write it.
    pub(crate) fn rewritten(self) -> Self {
        let maker = self.maker();
        Self::new(self.model, self.source, maker, self.files)
    }

    /// The text of `receipt.json`.
    fn text(&self) -> Vec<u8> {
        let stored = Stored {
            format: self.format,
            model: self.model.clone(),
            source: self.source.clone(),
            component: self.component.clone(),
            inputs: self.inputs.clone(),
            entry: self.entry.clone(),
            files: self.files.clone(),
        };
        // Only a map whose keys are not strings cannot be written.
        serde_json::to_vec_pretty(&stored).unwrap_or_default()
    }

    /// Writes the receipt into a model's directory, after all other files.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(RECEIPT);
        fs::write(&path, self.text()).map_err(|e| Error::io("write", &path, e))
    }

    /// Whether the files in a model's directory have the sizes that the receipt says: why not, if
    /// one is missing, is not a regular file, or has another size.
    pub(crate) fn check_sizes(&self, dir: &Path) -> Result<(), String> {
        let files = dir.join(FILES);
        // The target of a link is not part of the store.
        if dir.is_symlink() || files.is_symlink() {
            return Err("its directory is a link".to_owned());
        }
        for file in &self.files {
            let name = &file.name;
            match fs::symlink_metadata(name.under(&files)) {
                Ok(meta) if meta.is_file() && meta.len() == file.size => {}
                Ok(meta) if meta.is_file() => {
                    let (has, size) = (meta.len(), file.size);
                    return Err(format!("{name} has {has} bytes instead of {size}"));
                }
                Ok(_) => return Err(format!("{name} is not a regular file")),
                Err(error) => return Err(format!("{name}: {error}")),
            }
        }
        Ok(())
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

    /// Reads the receipt of a model's directory, and checks neither it nor the files. `None` if
    /// there is none, or modelzoo did not write it.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let path = dir.join(RECEIPT);
        let bytes = read_capped(&path, MAX_RECEIPT).ok()?;
        let Stored {
            format,
            model,
            source,
            component,
            inputs,
            entry,
            files,
        } = serde_json::from_slice(&bytes).ok()?;
        let written = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        let written = written.and_then(|time| Timestamp::try_from(time).ok());
        let seconds = |time: Timestamp| Timestamp::from_second(time.as_second()).ok();
        (format == FORMAT).then(|| Self {
            format,
            model,
            source,
            component,
            inputs,
            entry,
            files,
            downloaded: written
                .and_then(seconds)
                .map_or_else(String::new, |time| time.to_string()),
            sha256: hex::encode(Sha256::digest(&bytes)),
        })
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
