//! Secrets and the origins that may get them.

use std::fmt;

use crate::policy::Origin;

/// A token or a password. Neither `Debug` nor `Display` shows it, and it has no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A header field that goes to one origin only. Every redirect decides again
/// whether it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The origin that may get it.
    pub origin: Origin,
    /// The name of the header field, such as `authorization`.
    pub header: String,
    /// The whole value of the field, such as `Bearer …`.
    pub value: Secret,
}

impl Credential {
    /// A bearer token in the `authorization` field.
    pub fn bearer(origin: Origin, token: &Secret) -> Self {
        Self {
            origin,
            header: "authorization".to_owned(),
            value: Secret::new(format!("Bearer {}", token.expose())),
        }
    }
}
