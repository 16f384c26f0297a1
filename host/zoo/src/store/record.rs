//! A model as the store has it: what its manifest declares, and where its files are.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::locked::LockedSource;
use super::maker::Maker;
use super::receipt::{FILES, Receipt};
use crate::error::Error;
use crate::manifest::ModelEntry;

/// A model that a registered source declares.
#[derive(Debug, Clone)]
pub struct ModelRecord {
    /// The source as the lock has it.
    pub source: Arc<LockedSource>,
    /// What its manifest says about the model.
    pub entry: ModelEntry,
    /// The directory of the source's snapshot that holds the manifest.
    pub(crate) manifest_dir: PathBuf,
    /// The component beside that manifest.
    pub(crate) component: Option<PathBuf>,
    /// What makes the model's files now.
    pub(crate) maker: Maker,
    /// The most bytes that the source may download for a model, as its manifest says.
    pub(crate) max_download_bytes: Option<u64>,
    /// The directory of the model, whether it is downloaded or not.
    pub(crate) dir: PathBuf,
}

/// What the store has of a model.
#[derive(Debug, Clone)]
pub enum StoredModel {
    /// Nothing.
    Nothing,
    /// Everything that the receipt lists, as the lock pins it.
    Complete(Receipt),
    /// Files that an earlier version of the source made.
    Outdated,
    /// Something that is not what was downloaded, and why it is not.
    Damaged(String),
}

impl StoredModel {
    /// What keeps the files from being used, if there are any.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Nothing | Self::Complete(_) => None,
            Self::Outdated => Some("an earlier version of its source made its files".to_owned()),
            Self::Damaged(reason) => Some(reason.clone()),
        }
    }
}

impl ModelRecord {
    /// The name with its version.
    #[must_use]
    pub fn name(&self) -> String {
        self.entry.name().to_string()
    }

    /// What the store has of the model. Reads the receipt and the sizes of the files.
    #[must_use]
    pub fn stored(&self) -> StoredModel {
        if fs::symlink_metadata(&self.dir).is_err() {
            return StoredModel::Nothing;
        }
        let Some(receipt) = Receipt::read(&self.dir) else {
            return StoredModel::Damaged("its receipt is missing or cannot be read".to_owned());
        };
        if let Some(other) = self.unlike(&receipt) {
            return other;
        }
        match receipt.check_sizes(&self.dir) {
            Ok(()) => StoredModel::Complete(receipt),
            Err(reason) => StoredModel::Damaged(reason),
        }
    }

    /// The state of a model with a receipt that is not the one of the source as it is now; `None`
    /// if it is.
    pub(crate) fn unlike(&self, receipt: &Receipt) -> Option<StoredModel> {
        let damaged = |reason: &str| Some(StoredModel::Damaged(reason.to_owned()));
        match self.source.pin(&self.name()) {
            Some(pin) if pin.receipt != receipt.sha256 => {
                damaged("its receipt is not the one that modelzoo.lock pins")
            }
            // What an update changes takes the pins with it.
            _ if receipt.maker() != self.maker => Some(StoredModel::Outdated),
            None => damaged("modelzoo.lock does not pin its files"),
            Some(pin) if pin.files != receipt.digests() => {
                damaged("its receipt lists other files than modelzoo.lock pins")
            }
            Some(_) if !receipt.satisfies(&self.entry) => {
                damaged("its files are not those that the manifest declares")
            }
            Some(_) => None,
        }
    }

    /// The receipt, if the model is downloaded and is what the lock pins and the manifest declares.
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        match self.stored() {
            StoredModel::Complete(receipt) => Some(receipt),
            StoredModel::Nothing | StoredModel::Outdated | StoredModel::Damaged(_) => None,
        }
    }

    /// The receipt of a model that has to be downloaded.
    ///
    /// # Errors
    /// [`Error::NotDownloaded`], [`Error::Outdated`] if an earlier version of the source made the
    /// files, [`Error::NotAsDownloaded`] if they are not what was downloaded.
    pub fn require(&self) -> Result<Receipt, Error> {
        match self.stored() {
            StoredModel::Complete(receipt) => Ok(receipt),
            StoredModel::Nothing => Err(Error::NotDownloaded { model: self.name() }),
            StoredModel::Outdated => Err(self.outdated()),
            StoredModel::Damaged(reason) => Err(Error::NotAsDownloaded {
                model: self.name(),
                reason,
            }),
        }
    }

    /// The error for files that an earlier version of the source made.
    pub(crate) fn outdated(&self) -> Error {
        Error::Outdated {
            model: self.name(),
            source_id: self.source.id.clone(),
        }
    }

    /// Whether the files came with a bundle, and were never fetched from where they are from.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.source
            .pin(&self.name())
            .is_some_and(|pin| pin.imported)
    }

    /// The file that the manifest's `base_filename` names, or the directory of all files if it
    /// names none. `None` if the model is not downloaded.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.receipt()?;
        Some(self.place())
    }

    /// The path of a model that is downloaded, which the caller knows already.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        let files = self.files_dir();
        let named = self
            .entry
            .base_filename
            .as_ref()
            .map(|name| name.under(&files));
        named.filter(|path| path.exists()).unwrap_or(files)
    }

    /// Whether there is something of the model on the disk, complete or not.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.dir.symlink_metadata().is_ok()
    }

    pub(crate) fn files_dir(&self) -> PathBuf {
        self.dir.join(FILES)
    }

    /// The path of the model's `base_filename` in the file system of its hooks.
    pub(crate) fn guest_path(&self) -> String {
        let name = match &self.entry.base_filename {
            Some(name) => name.to_string(),
            None => self.entry.name().file_stem(),
        };
        format!("/model/{name}")
    }
}
