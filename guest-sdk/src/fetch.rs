//! The network for `download_model`.
//!
//! Every request needs a permission that the source's manifest declares (`permissions.network`)
//! and that the user granted.
//!
//! ```no_run
//! use modelzoo_guest::{ModelPath, Result, fetch};
//!
//! #[derive(serde::Deserialize)]
//! struct Index {
//!     weights: String,
//!     sha256: String,
//! }
//!
//! fn download(model_path: &ModelPath) -> Result<()> {
//!     let index: Index = fetch::url("https://example.org/index.json").get_json()?;
//!     // Directly into the model's directory: the bytes do not pass through the guest.
//!     fetch::url(&index.weights).sha256(&index.sha256).download(model_path)?;
//!     Ok(())
//! }
//! ```

use serde::de::DeserializeOwned;

use crate::artifacts::Artifact;
use crate::bindings::modelzoo::source::fetch as wit;
use crate::host::call;
use crate::{ArtifactName, Context as _, Result};

/// Creates a request for an absolute `https` URL.
pub fn url(url: impl AsRef<str>) -> Request {
    Request {
        url: url.as_ref().to_owned(),
        headers: Vec::new(),
    }
}

/// A request; see [`url`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing is fetched until one of the `get` methods or `download` is called"]
pub struct Request {
    url: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Adds a header field. Those for credentials and the connection are reserved for the host: see
    /// `fetch.wit`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The URL.
    #[must_use]
    pub fn as_url(&self) -> &str {
        &self.url
    }

    /// Expects the bytes to have this SHA-256 digest (64 lower-case hexadecimal digits); the host
    /// refuses all others.
    pub fn sha256(self, digest: impl Into<String>) -> Download {
        Download::from(self).sha256(digest)
    }

    /// Expects this many bytes; the host refuses any other number.
    pub fn size(self, bytes: u64) -> Download {
        Download::from(self).size(bytes)
    }

    /// Fetches a file directly into the model's directory. For large files: the host streams it,
    /// shows progress, and resumes an interrupted transfer.
    ///
    /// # Errors
    ///
    /// As for [`Download::download`].
    pub fn download(self, into: impl Into<ArtifactName>) -> Result<Artifact> {
        Download::from(self).download(into)
    }

    /// Fetches a small document, of at most 16 MiB.
    ///
    /// # Errors
    ///
    /// `Denied` without a permission for the URL, `NotFound` for 404 and 410, `Status` for every
    /// other response that is not a success, `Network` when the server was not reached, `Limit` when
    /// the document is larger.
    pub fn get(self) -> Result<Response> {
        let request = self.into_wit();
        let response = call("fetch::get", || wit::get(&request))?;
        Ok(Response {
            status: response.status,
            headers: response.headers,
            body: response.body,
        })
    }

    /// Fetches a small document as bytes.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub fn get_bytes(self) -> Result<Vec<u8>> {
        self.get().map(|response| response.body)
    }

    /// Fetches a small document as text.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get), and `Other` when it is not UTF-8.
    pub fn get_string(self) -> Result<String> {
        let url = self.url.clone();
        String::from_utf8(self.get_bytes()?).context(url)
    }

    /// Fetches a small document as JSON.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get), and `Other` when it is not the expected JSON.
    pub fn get_json<T: DeserializeOwned>(self) -> Result<T> {
        let url = self.url.clone();
        serde_json::from_slice(&self.get_bytes()?).context(url)
    }

    fn into_wit(self) -> wit::Request {
        wit::Request {
            url: self.url,
            headers: self.headers,
        }
    }
}

/// A request for a file, and what its bytes must be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing is fetched until `download` is called"]
pub struct Download {
    request: Request,
    sha256: Option<String>,
    size: Option<u64>,
}

impl From<Request> for Download {
    fn from(request: Request) -> Self {
        Self {
            request,
            sha256: None,
            size: None,
        }
    }
}

impl Download {
    /// As [`Request::header`].
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// As [`Request::sha256`].
    pub fn sha256(mut self, digest: impl Into<String>) -> Self {
        self.sha256 = Some(digest.into());
        self
    }

    /// As [`Request::size`].
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Fetches the file directly into the model's directory, replacing an artifact of the same
    /// name. If that artifact has the expected digest, the host fetches nothing.
    ///
    /// # Errors
    ///
    /// `Denied` without a permission for the URL, `NotFound` for 404 and 410, `Status` for every
    /// other response that is not a success, `Network` when the server was not reached or the connection broke,
    /// `Mismatch` when the bytes are not the expected ones, `Limit` when a limit is reached.
    pub fn download(self, into: impl Into<ArtifactName>) -> Result<Artifact> {
        let expect = wit::Expectation {
            sha256: self.sha256,
            size: self.size,
        };
        let request = self.request.into_wit();
        call("fetch::download", || {
            wit::download(&request, into.into().as_str(), &expect)
        })
        .map(Artifact::from)
    }
}

/// A small response, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code, 200 to 299.
    pub status: u16,
    /// The header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first header field with this name; case does not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn header_names_ignore_case() {
        let response = Response {
            status: 200,
            headers: vec![("etag".into(), "\"a\"".into()), ("etag".into(), "b".into())],
            body: Vec::new(),
        };
        assert_eq!(response.header("ETag"), Some("\"a\""));
        assert_eq!(response.header("content-type"), None);
    }

    #[test]
    fn fetching_outside_a_component_is_unsupported() {
        let error = url("https://example.org").get_string().unwrap_err();
        assert!(matches!(error, Error::Unsupported(text) if text.contains("`fetch::get`")));
        let error = url("https://example.org")
            .size(3)
            .download("a")
            .unwrap_err();
        assert!(matches!(error, Error::Unsupported(text) if text.contains("`fetch::download`")));
    }
}
