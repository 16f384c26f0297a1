use std::ffi::OsStr;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where the guest sees the model's own directory, read-only.
pub const MODEL_DIR: &str = "/model";

/// The name of an artifact: a path relative to the model's own directory, with `/` between its
/// parts, for example `weights.safetensors` or `onnx/model.onnx`.
///
/// It is made from strings and paths by `into`; whether the name is acceptable is the host's to
/// judge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactName(String);

impl ArtifactName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of something in the directory that `self` is.
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

/// A place in the model's own directory: as a path for reading it, and as an artifact name for
/// having the host write it.
///
/// A hook is given the one where the manifest's `base_filename` is to be. It is up to the source
/// whether that is a file or a directory.
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
    /// The artifact of a name below a model's directory, which is [`MODEL_DIR`] in a hook, and
    /// any directory in a test of the source.
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

    /// Reads what the host hands to a hook.
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

    /// The name by which the host knows it.
    #[must_use]
    pub fn artifact(&self) -> &ArtifactName {
        &self.artifact
    }

    /// The path for reading it.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// A place in the directory that `self` is.
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
    fn from_the_host() {
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
    fn reads_below_another_root() {
        let dir = std::env::temp_dir();
        let path = ModelPath::new(&dir, "a/b");
        assert_eq!(path.as_path(), dir.join("a").join("b"));
        assert_eq!(path.join("c").artifact().as_str(), "a/b/c");
    }
}
