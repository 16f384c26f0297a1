//! The files of the model that is being downloaded.
//!
//! Read them as usual (`std::fs::read(model_path)`); write them with the functions of this module or
//! of [`fetch`](crate::fetch), since the guest's file system is read-only. The files become visible
//! to others when the hook has returned success.
//!
//! ```no_run
//! use modelzoo_guest::{ModelPath, Result, artifacts, fetch};
//!
//! fn download(model_path: &ModelPath) -> Result<()> {
//!     let archive = fetch::url("https://example.org/model-1.0.tar.gz").download("model.tar.gz")?;
//!     artifacts::extract(&archive)
//!         .strip_root()
//!         .only(["weights", "labels.txt"])
//!         .remove_archive()
//!         .into_dir(model_path)?;
//!     Ok(())
//! }
//! ```

use std::path::PathBuf;

use crate::bindings::modelzoo::source::{artifacts as wit, types};
use crate::host::call;
use crate::path::MODEL_DIR;
use crate::{ArtifactName, Result};

/// A file that the host wrote for this model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its path relative to the model's directory.
    pub name: ArtifactName,
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 digest of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl Artifact {
    /// The path to read it from.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(MODEL_DIR).join(self.name.as_str())
    }
}

impl From<types::Artifact> for Artifact {
    fn from(artifact: types::Artifact) -> Self {
        Self {
            name: artifact.name.into(),
            size: artifact.size,
            sha256: artifact.sha256,
        }
    }
}

impl From<&Artifact> for ArtifactName {
    fn from(artifact: &Artifact) -> Self {
        artifact.name.clone()
    }
}

/// Writes a small file, replacing one of the same name.
///
/// # Errors
///
/// `InvalidInput` for a name that the host does not accept, `Limit` when a limit is reached.
pub fn write(name: impl Into<ArtifactName>, contents: impl AsRef<[u8]>) -> Result<Artifact> {
    call("artifacts::write", || {
        wit::write(name.into().as_str(), contents.as_ref())
    })
    .map(Artifact::from)
}

/// Appends to a file, and creates it if necessary.
///
/// # Errors
///
/// As for [`write()`].
pub fn append(name: impl Into<ArtifactName>, contents: impl AsRef<[u8]>) -> Result<Artifact> {
    call("artifacts::append", || {
        wit::append(name.into().as_str(), contents.as_ref())
    })
    .map(Artifact::from)
}

/// Copies a file of the source (one that the manifest's `component.files` declares) into the model's
/// directory.
///
/// # Errors
///
/// `NotFound` when the source has no such file, otherwise as for [`write()`].
pub fn copy_from_source(path: &str, into: impl Into<ArtifactName>) -> Result<Artifact> {
    call("artifacts::copy_from_source", || {
        wit::copy_from_source(path, into.into().as_str())
    })
    .map(Artifact::from)
}

/// Renames an artifact, replacing one that has the new name.
///
/// # Errors
///
/// `NotFound` when there is no such artifact, `InvalidInput` for a name that the host does not
/// accept.
pub fn rename(name: impl Into<ArtifactName>, to: impl Into<ArtifactName>) -> Result<Artifact> {
    call("artifacts::rename", || {
        wit::rename(name.into().as_str(), to.into().as_str())
    })
    .map(Artifact::from)
}

/// Removes an artifact.
///
/// # Errors
///
/// `NotFound` when there is no such artifact.
pub fn remove(name: impl Into<ArtifactName>) -> Result<()> {
    call("artifacts::remove", || wit::remove(name.into().as_str()))
}

/// All artifacts so far, sorted by name. Outside a component there are none.
#[must_use]
pub fn list() -> Vec<Artifact> {
    #[cfg(target_family = "wasm")]
    {
        wit::list().into_iter().map(Artifact::from).collect()
    }
    #[cfg(not(target_family = "wasm"))]
    {
        Vec::new()
    }
}

/// Unpacks an artifact that is a zip archive, or a tar archive, plain or compressed with gzip, bzip2,
/// xz or zstd. The host detects the format from the bytes.
#[must_use = "nothing is unpacked until `into_dir` or `into_model_dir` is called"]
pub fn extract(archive: impl Into<ArtifactName>) -> Extract {
    Extract {
        archive: archive.into(),
        strip_root: false,
        only: Vec::new(),
        remove: false,
    }
}

/// An archive and how to unpack it; see [`extract`].
#[derive(Debug, Clone)]
#[must_use = "nothing is unpacked until `into_dir` or `into_model_dir` is called"]
pub struct Extract {
    archive: ArtifactName,
    strip_root: bool,
    only: Vec<String>,
    remove: bool,
}

impl Extract {
    /// Strips the single top-level directory of the archive, if it has one.
    pub fn strip_root(mut self) -> Self {
        self.strip_root = true;
        self
    }

    /// Unpacks only the entries at or below these paths (the archive's names after
    /// [`strip_root`](Self::strip_root)).
    pub fn only<S: Into<String>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.only.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Removes the archive after unpacking.
    pub fn remove_archive(mut self) -> Self {
        self.remove = true;
        self
    }

    /// Unpacks into a directory, and returns the new files.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such artifact; `Unsupported` when it is not an archive of these
    /// formats, or is encrypted; `InvalidInput` when it is damaged, or has an entry that is a link or
    /// outside of the directory; `Limit` when it is too large.
    pub fn into_dir(self, directory: impl Into<ArtifactName>) -> Result<Vec<Artifact>> {
        self.run(directory.into().into_string())
    }

    /// Unpacks into the model's directory, and returns the new files.
    ///
    /// # Errors
    ///
    /// As for [`into_dir`](Self::into_dir).
    pub fn into_model_dir(self) -> Result<Vec<Artifact>> {
        self.run(String::new())
    }

    fn run(self, into: String) -> Result<Vec<Artifact>> {
        let how = wit::Extraction {
            into,
            strip_root: self.strip_root,
            only: self.only,
        };
        let made: Vec<types::Artifact> = call("artifacts::extract", || {
            wit::extract(self.archive.as_str(), &how)
        })?;
        if self.remove {
            remove(&self.archive)?;
        }
        Ok(made.into_iter().map(Artifact::from).collect())
    }
}
