//! Files of repositories on Hugging Face.
//!
//! The manifest needs the permissions `https://huggingface.co` and, for large files,
//! `https://*.hf.co`.
//!
//! ```no_run
//! use modelzoo_guest::{ModelPath, Result, huggingface};
//!
//! fn download(model_path: &ModelPath) -> Result<()> {
//!     // Here `model_path` is a directory, with the files in it.
//!     huggingface::repo("openai/clip-vit-base-patch32")
//!         .revision("3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268")
//!         .files(["config.json", "merges.txt", "model.safetensors"])
//!         .download(model_path)?;
//!     Ok(())
//! }
//! ```

use std::fmt::Write as _;

use crate::artifacts::Artifact;
use crate::fetch::{self, Request};
use crate::{ArtifactName, Result};

const ENDPOINT: &str = "https://huggingface.co";

/// Names a repository, for example `openai/clip-vit-base-patch32`.
pub fn repo(name: impl Into<String>) -> Repo {
    Repo {
        name: name.into(),
        revision: "main".to_owned(),
        endpoint: ENDPOINT.to_owned(),
    }
}

/// A repository at a revision; see [`repo`].
#[derive(Debug, Clone)]
#[must_use = "nothing is fetched until `download` is called"]
pub struct Repo {
    name: String,
    revision: String,
    endpoint: String,
}

impl Repo {
    /// Sets the commit, tag or branch; the default is `main`. Prefer a commit: tags and branches can
    /// move.
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = revision.into();
        self
    }

    /// Sets another server with the same routes instead of `https://huggingface.co`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// The request for one file.
    pub fn file(&self, path: impl AsRef<str>) -> Request {
        let mut url = self.endpoint.trim_end_matches('/').to_owned();
        for part in self.name.split('/') {
            push_part(&mut url, part);
        }
        url.push_str("/resolve");
        // One part of the URL, even if the branch has a slash in its name.
        push_part(&mut url, &self.revision);
        for part in path.as_ref().split('/') {
            push_part(&mut url, part);
        }
        fetch::url(url)
    }

    /// Selects files, which keep their names.
    pub fn files<F: Into<File>>(self, files: impl IntoIterator<Item = F>) -> Files {
        Files {
            repo: self,
            files: files.into_iter().map(Into::into).collect(),
        }
    }
}

/// A file of a repository: its path, with or without its SHA-256 digest.
#[derive(Debug, Clone)]
pub struct File {
    path: String,
    sha256: Option<String>,
}

impl From<&str> for File {
    fn from(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            sha256: None,
        }
    }
}

impl From<String> for File {
    fn from(path: String) -> Self {
        Self { path, sha256: None }
    }
}

impl From<(&str, &str)> for File {
    fn from((path, sha256): (&str, &str)) -> Self {
        Self {
            path: path.to_owned(),
            sha256: Some(sha256.to_owned()),
        }
    }
}

/// Some files of a repository; see [`Repo::files`].
#[derive(Debug, Clone)]
#[must_use = "nothing is fetched until `download` is called"]
pub struct Files {
    repo: Repo,
    files: Vec<File>,
}

impl Files {
    /// Fetches the files into a directory, and returns the artifacts in the same order.
    ///
    /// # Errors
    ///
    /// The first error of [`Download::download`](fetch::Download::download).
    pub fn download(self, directory: impl Into<ArtifactName>) -> Result<Vec<Artifact>> {
        let directory = directory.into();
        self.files
            .iter()
            .map(|file| {
                let mut download = fetch::Download::from(self.repo.file(&file.path));
                if let Some(digest) = &file.sha256 {
                    download = download.sha256(digest);
                }
                download.download(directory.join(&file.path))
            })
            .collect()
    }
}

/// Appends one part of a path; escapes everything except RFC 3986's unreserved characters.
fn push_part(url: &mut String, part: &str) {
    url.push('/');
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_escaped() {
        let clip = repo("openai/clip-vit-base-patch32");
        assert_eq!(
            clip.file("model.safetensors").as_url(),
            "https://huggingface.co/openai/clip-vit-base-patch32/resolve/main/model.safetensors"
        );
        let pinned = clip
            .revision("refs/pr/1")
            .endpoint("http://127.0.0.1:8080/");
        assert_eq!(
            pinned.file("onnx/my model?.onnx").as_url(),
            "http://127.0.0.1:8080/openai/clip-vit-base-patch32/resolve/refs%2Fpr%2F1/onnx/my%20model%3F.onnx"
        );
    }
}
