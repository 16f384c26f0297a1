//! Why a file is refused.

use std::path::Path;

use crate::error::Error;

/// Why a file is refused, before anybody has said which file it is.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A pickle asks for something that tensors do not need, by this name.
    Unsafe(String),
    /// It is not what it should be.
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
