//! An origin: scheme, host and port.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

use super::url::parse_url;

/// The triple that decides who a credential is shown to: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    https: bool,
    host: Host<String>,
    port: u16,
}

/// Why a text is not an [`Origin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an origin such as `https://example.org`: {reason}")]
pub struct ParseOriginError {
    /// The text, without anything that could be a secret.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Origin {
    /// The origin of a URL; `None` when it is neither `http` nor `https`.
    pub fn of(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Self {
            https,
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }

    /// Whether the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host: a name in its ASCII form, or a literal address.
    pub fn host(&self) -> &Host<String> {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Origin {
    type Err = ParseOriginError;

    /// Reads `https://host[:port]`, with or without a final `/`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |reason: &str| ParseOriginError {
            text: super::url::redact_text(text),
            reason: reason.to_owned(),
        };
        let url = parse_url(text).map_err(|refusal| bad(&refusal.reason()))?;
        if url.path() != "/" || url.query().is_some() {
            return Err(bad("it has a path or a query"));
        }
        Self::of(&url).ok_or_else(|| bad("it is neither http nor https"))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.https {
            ("https", 443)
        } else {
            ("http", 80)
        };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == default {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
