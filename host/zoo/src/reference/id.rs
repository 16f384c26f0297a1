//! The canonical id of a source.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use modelzoo_net::policy::parse_url;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::error::ReferenceError;
use super::git_ref::RefSpec;
use super::github::GitHubRepo;
use super::local;

/// Hexadecimal digits in the name of a source's directory.
const KEY_DIGITS: usize = 32;

/// The one name of a source, whatever the spelling that was typed.
///
/// | form | source |
/// |---|---|
/// | `gh:owner/repo`, `gh:owner/repo@ref` | a repository on github.com, in lower case |
/// | `gh:host/owner/repo@ref` | one on a GitHub Enterprise server |
/// | `file:/path` | a local directory or archive; `%` and what is not text are percent-encoded |
/// | `https://host/path?query` | an archive; parameters that look like credentials are left out |
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(String);

impl SourceId {
    /// The id of a local directory or archive. The path should be absolute and free of links, so
    /// that one place has one id.
    #[must_use]
    pub fn local(path: &Path) -> Self {
        Self(format!("file:{}", local::encode(path)))
    }

    /// The id of a remote archive.
    pub(super) fn archive(url: &Url) -> Self {
        Self(without_credentials(url).into())
    }

    /// The id of a repository on GitHub.
    pub(super) fn github(repo: &GitHubRepo, git_ref: Option<&RefSpec>) -> Self {
        let mut id = format!("gh:{repo}").to_ascii_lowercase();
        if let Some(git_ref) = git_ref {
            id.push('@');
            id.push_str(git_ref.as_str());
        }
        Self(id)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the source's directory in the store: the first 32 hexadecimal digits of the
    /// SHA-256 of the id. It depends on nothing that the source says about itself.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = hex::encode(Sha256::digest(self.0.as_bytes()));
        key.truncate(KEY_DIGITS);
        key
    }

    /// Whether a text has the form of a [`key`](Self::key).
    pub(crate) fn is_key(text: &str) -> bool {
        text.len() == KEY_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

impl FromStr for SourceId {
    type Err = ReferenceError;

    /// Reads an id in exactly its canonical form.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let id = if let Some(rest) = text.strip_prefix("gh:") {
            let (repo, git_ref) = GitHubRepo::parse_id(rest)?;
            Self::github(&repo, git_ref.as_ref())
        } else if let Some(rest) = text.strip_prefix("file:") {
            let path = local::decode(rest)?;
            if !path.has_root() {
                return Err(ReferenceError::bad_id(text));
            }
            Self::local(&path)
        } else {
            Self::archive(&parse_url(text)?)
        };
        if id.0 == text {
            Ok(id)
        } else {
            Err(ReferenceError::bad_id(text))
        }
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for SourceId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for SourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The URL without the query parameters that hold credentials: they change while the source stays
/// the same, and they must not be written anywhere.
fn without_credentials(url: &Url) -> Url {
    let mut public = url.clone();
    let Some(query) = url.query() else {
        return public;
    };
    let pairs = || query.split('&').filter(|pair| !pair.is_empty());
    let name = |pair: &str| {
        pair.split('=')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    // The parameters of a shared access signature mean something else where there is no `sig`.
    let has_shared_signature = pairs().any(|pair| name(pair) == "sig");
    let kept: Vec<&str> = pairs()
        .filter(|pair| {
            let value = pair.split_once('=').map_or("", |(_, value)| value);
            !(is_credential(&name(pair), value)
                || has_shared_signature && is_shared_signature(&name(pair)))
        })
        .collect();
    let kept = kept.join("&");
    public.set_query(if kept.is_empty() { None } else { Some(&kept) });
    public
}

/// Whether a query parameter is a credential, or belongs to one that is signed.
fn is_credential(name: &str, value: &str) -> bool {
    const PARTS: [&str; 8] = [
        "token",
        "signature",
        "secret",
        "passw",
        "credential",
        "apikey",
        "accesskey",
        "session",
    ];
    const NAMES: [&str; 9] = [
        "sig",
        "auth",
        "authorization",
        "jwt",
        "pwd",
        "expires",
        "policy",
        "key-pair-id",
        "keypairid",
    ];
    // What an escape in the name would spell is not worth telling apart.
    let name: String = name.replace("%5f", "_").replace("%2d", "-");
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    NAMES.contains(&name.as_str())
        || PARTS.iter().any(|part| letters.contains(part))
        || ["x-amz-", "x-goog-", "x-oss-", "x-ms-"]
            .iter()
            .any(|p| name.starts_with(p))
        || matches!(name.as_str(), "key" | "code") && looks_secret(value)
}

/// `key=models/a.zip` says what is meant, `key=AIzaSy…` says who asks.
fn looks_secret(value: &str) -> bool {
    value.len() >= 20
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_%=".contains(&b))
}

/// The other parameters of an Azure shared access signature.
fn is_shared_signature(name: &str) -> bool {
    const NAMES: [&str; 16] = [
        "se", "sp", "spr", "sr", "srt", "ss", "st", "sv", "sip", "skoid", "sktid", "skt", "ske",
        "sks", "skv", "sdd",
    ];
    NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::SourceId;

    #[test]
    fn only_the_canonical_form_is_an_id() {
        for text in [
            "gh:acme/digits",
            "gh:acme/digits@main",
            "gh:acme/digits@feature/X",
            "gh:acme/my.repo@refs/pull/3/head",
            "gh:ghe.example/acme/digits@v1",
            "gh:ghe.example:8443/acme/digits",
            "file:/srv/models",
            "file:/srv/my models/100%25.zip",
            "https://example.com/a.zip?file=b",
            "http://127.0.0.1:8080/a.zip",
        ] {
            let id: SourceId = text.parse().expect(text);
            assert_eq!(id.as_str(), text);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<SourceId>(&json).unwrap(), id);
        }
        for text in [
            "",
            "acme/digits",
            "gh:Acme/digits",
            "gh:acme/digits.git",
            "gh:acme/digits/main",
            "gh:acme",
            "gh:acme/digits@",
            "gh:acme/digits@a..b",
            "gh:github.com/acme/digits",
            "file:srv",
            "file:/srv/",
            "file:/srv/./x",
            "https://EXAMPLE.com/a.zip",
            "https://example.com/a.zip?token=x",
            "ftp://example.com/a.zip",
        ] {
            assert!(text.parse::<SourceId>().is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_are_not_part_of_an_id() {
        for (url, id) in [
            ("https://h/a.zip?token=1", "https://h/a.zip"),
            (
                "https://h/a.zip?file=b&access_token=t&v=2",
                "https://h/a.zip?file=b&v=2",
            ),
            (
                "https://h/a?X-Amz-Signature=a&X-Amz-Date=b&response=c",
                "https://h/a?response=c",
            ),
            ("https://h/a?sv=1&se=2&sig=3&id=4", "https://h/a?id=4"),
            ("https://h/a?sv=1&id=4", "https://h/a?sv=1&id=4"),
            (
                "https://h/a?Expires=1&Signature=2&Key-Pair-Id=3",
                "https://h/a",
            ),
            ("https://h/a?key=AIzaSyA0123456789abcdefgh", "https://h/a"),
            (
                "https://h/a?key=models/a.zip",
                "https://h/a?key=models/a.zip",
            ),
            (
                "https://h/a?api%5Fkey=1&private-token=2&client_secret=3",
                "https://h/a",
            ),
        ] {
            let url = url::Url::parse(url).unwrap();
            assert_eq!(SourceId::archive(&url).as_str(), id);
        }
    }

    #[test]
    fn key_is_a_directory_name_that_the_source_cannot_choose() {
        let a: SourceId = "gh:acme/digits".parse().unwrap();
        let b: SourceId = "gh:acme/digits@main".parse().unwrap();
        assert_eq!(a.key().len(), 32);
        assert!(a.key().bytes().all(|c| c.is_ascii_hexdigit()));
        assert_ne!(a.key(), b.key());
        // Stores outlive programs: the key must never change.
        assert_eq!(a.key(), "4a3b75ac3f32606e83ea296fdf1031e1");
    }
}
