//! The reason why a file is refused.

use std::path::Path;

use crate::error::Error;

/// The reason why a file is refused, without its path.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Its pickle needs this name, which tensors do not.
    Unsafe(String),
    /// It is invalid.
    Malformed(String),
}

impl Refusal {
    /// The error for the file at `path`.
    pub(super) fn of(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Unsafe(global) => Error::UnsafePickle { path, global },
            Self::Malformed(reason) => Error::WeightsFile { path, reason },
        }
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Malformed(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Malformed(reason.to_owned())
    }
}
