use std::ffi::OsStr;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The model's directory in the guest's file system, read-only.
pub const MODEL_DIR: &str = "/model";

/// The name of an artifact: a path relative to the model's directory, with `/` between its parts,
/// for example `weights.safetensors` or `onnx/model.onnx`.
///
/// Strings and [`ModelPath`]s convert into it. The host checks whether the name is valid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactName(String);

impl ArtifactName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of an entry of the directory `self`.
    #[must_use]
    pub fn join(&self, name: impl AsRef<str>) -> Self {
        Self(format!("{}/{}", self.0, name.as_ref()))
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ArtifactName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ArtifactName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl From<String> for ArtifactName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<&String> for ArtifactName {
    fn from(name: &String) -> Self {
        Self(name.clone())
    }
}

impl From<&ArtifactName> for ArtifactName {
    fn from(name: &ArtifactName) -> Self {
        name.clone()
    }
}

impl From<&ModelPath> for ArtifactName {
    fn from(path: &ModelPath) -> Self {
        path.artifact.clone()
    }
}

impl From<ModelPath> for ArtifactName {
    fn from(path: ModelPath) -> Self {
        path.artifact
    }
}

/// A place in the model's directory: a path to read from, and an artifact name that the host can
/// write.
///
/// A hook receives the one of the manifest's `base_filename`. The source decides whether that is a
/// file or a directory.
///
/// ```
/// use modelzoo_guest::ModelPath;
///
/// let path = ModelPath::new("/model", "clip");
/// let weights = path.join("weights.safetensors");
/// assert_eq!(weights.as_path(), std::path::Path::new("/model/clip/weights.safetensors"));
/// assert_eq!(weights.artifact().as_str(), "clip/weights.safetensors");
/// assert_eq!(path.sibling("labels.txt").artifact().as_str(), "labels.txt");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPath {
    root: PathBuf,
    artifact: ArtifactName,
    path: PathBuf,
}

impl ModelPath {
    /// The artifact `artifact` in a model's directory, which is [`MODEL_DIR`] in a hook and any
    /// directory in a test of the source.
    pub fn new(model_dir: impl Into<PathBuf>, artifact: impl Into<ArtifactName>) -> Self {
        let root = model_dir.into();
        let artifact = artifact.into();
        let path = root.join(artifact.as_str());
        Self {
            root,
            artifact,
            path,
        }
    }

    /// Parses the path that the host passes to a hook.
    pub(crate) fn from_host(path: &str) -> Result<Self> {
        path.strip_prefix(MODEL_DIR)
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|name| !name.is_empty())
            .map(|name| Self::new(MODEL_DIR, name))
            .ok_or_else(|| {
                Error::invalid_input(format_args!(
                    "the model path `{path}` is not below {MODEL_DIR}"
                ))
            })
    }

    /// Its artifact name.
    #[must_use]
    pub fn artifact(&self) -> &ArtifactName {
        &self.artifact
    }

    /// The path to read it from.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// A place in the directory `self`.
    #[must_use]
    pub fn join(&self, name: impl AsRef<str>) -> Self {
        Self::new(self.root.clone(), self.artifact.join(name))
    }

    /// A place beside `self`, in the same directory.
    #[must_use]
    pub fn sibling(&self, name: impl AsRef<str>) -> Self {
        let artifact = match self.artifact.as_str().rsplit_once('/') {
            Some((directory, _)) => ArtifactName::from(directory).join(name),
            None => name.as_ref().into(),
        };
        Self::new(self.root.clone(), artifact)
    }
}

impl Deref for ModelPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for ModelPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<OsStr> for ModelPath {
    fn as_ref(&self) -> &OsStr {
        self.path.as_os_str()
    }
}

impl fmt::Display for ModelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_paths_are_parsed() {
        let path = ModelPath::from_host("/model/sub/digits.safetensors").unwrap();
        assert_eq!(path.artifact().as_str(), "sub/digits.safetensors");
        assert_eq!(path.as_path(), Path::new("/model/sub/digits.safetensors"));
        assert_eq!(path.sibling("a.txt").artifact().as_str(), "sub/a.txt");
        assert_eq!(path.extension(), Some(OsStr::new("safetensors")));
        for wrong in [
            "",
            "/model",
            "/model/",
            "/modelled/x",
            "model/x",
            "/source/x",
        ] {
            assert!(
                matches!(ModelPath::from_host(wrong), Err(Error::InvalidInput(_))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn root_can_be_any_directory() {
        let dir = std::env::temp_dir();
        let path = ModelPath::new(&dir, "a/b");
        assert_eq!(path.as_path(), dir.join("a").join("b"));
        assert_eq!(path.join("c").artifact().as_str(), "a/b/c");
    }
}
