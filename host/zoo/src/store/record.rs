//! A model as the store has it: what its manifest declares, and where its files are.

use std::path::PathBuf;

use super::lock::LockedSource;
use super::receipt::{FILES, Receipt};
use crate::manifest::ModelEntry;

/// A model that a registered source declares.
#[derive(Debug, Clone)]
pub struct ModelRecord {
    /// The source as the lock has it.
    pub source: LockedSource,
    /// What its manifest says about the model.
    pub entry: ModelEntry,
    /// The directory of the source's snapshot that holds the manifest.
    pub(crate) manifest_dir: PathBuf,
    /// The component beside that manifest.
    pub(crate) component: Option<PathBuf>,
    /// The most bytes that the source may download for a model, as its manifest says.
    pub(crate) max_download_bytes: Option<u64>,
    /// The directory of the model, whether it is downloaded or not.
    pub(crate) dir: PathBuf,
}

impl ModelRecord {
    /// The name with its version, `base@version`.
    #[must_use]
    pub fn name(&self) -> String {
        self.entry.name().to_string()
    }

    /// The receipt, if the model is downloaded and is what the manifest declares.
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        let receipt = Receipt::read(&self.dir)?;
        receipt.satisfies(&self.entry).then_some(receipt)
    }

    /// The file that the manifest's `base_filename` names, or the directory of all files if it
    /// names none. `None` if the model is not downloaded.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.receipt()?;
        let files = self.files_dir();
        let named = self
            .entry
            .base_filename
            .as_ref()
            .map(|name| name.under(&files));
        Some(named.filter(|path| path.exists()).unwrap_or(files))
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
