//! The files of the source: those that the manifest's `component.files` declares, which the guest
//! sees read-only below `/source`.
//!
//! `std::fs` reads them as well; these functions name the file in their errors. To make one of them
//! a file of the model, see [`copy_from_source`](crate::artifacts::copy_from_source).

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::{Context as _, Result};

/// The directory of the source's files in the guest's file system.
pub const SOURCE_DIR: &str = "/source";

/// The path of a file of the source, for example of `labels.txt`.
#[must_use]
pub fn path(name: impl AsRef<Path>) -> PathBuf {
    Path::new(SOURCE_DIR).join(name)
}

/// Reads a file of the source.
///
/// # Errors
///
/// `NotFound` when it is not there, `Io` when it cannot be read.
pub fn read(name: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path(name);
    std::fs::read(&path).context(path.display())
}

/// Reads a file of the source as text.
///
/// # Errors
///
/// As for [`read`], and `Io` when it is not UTF-8.
pub fn read_to_string(name: impl AsRef<Path>) -> Result<String> {
    let path = path(name);
    std::fs::read_to_string(&path).context(path.display())
}

/// Reads a file of the source as JSON.
///
/// # Errors
///
/// As for [`read`], and `Other` when it is not the expected JSON.
pub fn read_json<T: DeserializeOwned>(name: impl AsRef<Path>) -> Result<T> {
    let name = name.as_ref();
    serde_json::from_slice(&read(name)?).context(path(name).display())
}
