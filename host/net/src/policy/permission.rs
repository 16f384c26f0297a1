//! The grammar of permissions.
//!
//! | spelling | what it allows |
//! |---|---|
//! | `https://host` | that host, port 443 |
//! | `https://host:8443` | that host and port |
//! | `https://*.host` | every name below `host` (not `host` itself), port 443 |
//! | `http://host` | that host by plain `http`, port 80; the bytes then need a digest |
//!
//! A permission says nothing about paths. `host` is a name or a literal address; a wildcard needs
//! a name of at least two parts, so nobody asks for `https://*.com`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

use super::origin::Origin;
use super::url::{parse_url, redact_text};

/// Leave to reach one host, or every name below one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    https: bool,
    host: Pattern,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Pattern {
    /// Exactly this host.
    Exactly(Host<String>),
    /// Every name that ends with `.` and this.
    Below(String),
}

/// Why a text is not a [`Permission`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a permission such as `https://example.org` or `https://*.example.org`: {reason}"
)]
pub struct ParsePermissionError {
    /// The text, without anything that could be a secret.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Permission {
    /// Whether `url` is inside this permission. The URL must come from
    /// [`parse_url`](super::parse_url).
    pub fn allows(&self, url: &Url) -> bool {
        Origin::of(url).is_some_and(|origin| {
            origin.is_https() == self.https
                && origin.port() == self.port
                && self.host.matches(origin.host())
        })
    }

    /// Whether what it allows is reached by `https`.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Whether it allows this origin and nothing else.
    pub(crate) fn is_just(&self, origin: &Origin) -> bool {
        self.https == origin.is_https()
            && self.port == origin.port()
            && matches!(&self.host, Pattern::Exactly(host) if host == origin.host())
    }

    /// Whether everything that `other` allows is inside this permission.
    pub fn covers(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (pattern, Pattern::Exactly(host)) => pattern.matches(host),
            (Pattern::Below(outer), Pattern::Below(inner)) => {
                outer == inner || is_below(inner, outer)
            }
            (Pattern::Exactly(_), Pattern::Below(_)) => false,
        };
        host && self.https == other.https && self.port == other.port
    }
}

impl Pattern {
    fn matches(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::Exactly(own), host) => own == host,
            (Self::Below(suffix), Host::Domain(name)) => is_below(name, suffix),
            (Self::Below(_), _) => false,
        }
    }
}

/// Whether `name` is a name below `suffix`, and not `suffix` itself.
fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix)
        .and_then(|head| head.strip_suffix('.'))
        .is_some_and(|head| !head.is_empty())
}

impl FromStr for Permission {
    type Err = ParsePermissionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |reason: &str| ParsePermissionError {
            text: redact_text(text),
            reason: reason.to_owned(),
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| bad("it does not start with `https://`"))?;
        let (wildcard, host) = match rest.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, rest),
        };
        if host.contains('*') {
            return Err(bad(
                "`*` may only stand for the names below a host, as in `https://*.example.org`",
            ));
        }
        let url = parse_url(&format!("{scheme}://{host}")).map_err(|e| bad(&e.reason()))?;
        if host.contains(['/', '?', '#']) {
            return Err(bad("a permission names a host, without a path"));
        }
        let origin = Origin::of(&url).ok_or_else(|| bad("it is neither http nor https"))?;
        let pattern = match (wildcard, origin.host()) {
            (false, host) => Pattern::Exactly(host.clone()),
            (true, Host::Domain(name)) if name.contains('.') => Pattern::Below(name.clone()),
            (true, Host::Domain(_)) => {
                return Err(bad("the name after `*.` needs at least two parts"));
            }
            (true, _) => return Err(bad("there are no names below an address")),
        };
        Ok(Self {
            https: origin.is_https(),
            host: pattern,
            port: origin.port(),
        })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.https {
            ("https", 443)
        } else {
            ("http", 80)
        };
        match &self.host {
            Pattern::Exactly(host) => write!(f, "{scheme}://{host}")?,
            Pattern::Below(name) => write!(f, "{scheme}://*.{name}")?,
        }
        if self.port == default {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A set of permissions; in JSON and TOML a list of strings, in a stable order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(BTreeSet<Permission>);

impl Permissions {
    /// No permission at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether one of the permissions allows `url`.
    pub fn allows(&self, url: &Url) -> bool {
        self.0.iter().any(|permission| permission.allows(url))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The permissions, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }

    /// Whether a permission is one of these; one that a wildcard covers is not, by that alone.
    #[must_use]
    pub fn contains(&self, permission: &Permission) -> bool {
        self.0.contains(permission)
    }

    /// Adds one; `false` when it was there already.
    pub fn insert(&mut self, permission: Permission) -> bool {
        self.0.insert(permission)
    }

    /// What these ask for beyond `granted`. A wildcard in `granted` covers the names below it.
    pub fn missing_from(&self, granted: &Self) -> Vec<Permission> {
        self.0
            .iter()
            .filter(|asked| !granted.0.iter().any(|given| given.covers(asked)))
            .cloned()
            .collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().collect())
    }
}

impl IntoIterator for Permissions {
    type Item = Permission;
    type IntoIter = std::collections::btree_set::IntoIter<Permission>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
