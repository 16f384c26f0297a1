use std::fmt;

use crate::bindings::modelzoo::source::types as wit;

/// The result of a hook, and of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
///
/// The variant decides what the host tells its user; the text names the thing and the reason, and is
/// shown to people. Pass on errors of the host with `?`: the host recognizes the variant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An argument is invalid, for example a kwarg of the wrong type.
    InvalidInput(String),
    /// There is no such file, model or page.
    NotFound(String),
    /// The source has no permission for this.
    Denied(String),
    /// The server was not reached, or the connection broke.
    Network(String),
    /// The server responded with an HTTP status that is neither success nor "not found".
    Status {
        /// The status code, 300 to 599.
        status: u16,
        /// The URL of the response, without credentials and query.
        url: String,
    },
    /// The bytes have another digest or length than expected.
    Mismatch(String),
    /// The hook reached one of the host's limits.
    Limit(String),
    /// A file could not be read or written.
    Io(String),
    /// The host or the source does not support this.
    Unsupported(String),
    /// Anything else.
    Other(String),
}

impl Error {
    /// An argument is invalid.
    pub fn invalid_input(message: impl fmt::Display) -> Self {
        Self::InvalidInput(message.to_string())
    }

    /// There is no such thing. A hook returns this for a model that it does not know.
    pub fn not_found(message: impl fmt::Display) -> Self {
        Self::NotFound(message.to_string())
    }

    /// The source has no permission for this.
    pub fn denied(message: impl fmt::Display) -> Self {
        Self::Denied(message.to_string())
    }

    /// The server was not reached, or the connection broke.
    pub fn network(message: impl fmt::Display) -> Self {
        Self::Network(message.to_string())
    }

    /// The server responded with a status (300 to 599) that is not a success.
    pub fn status(status: u16, url: impl fmt::Display) -> Self {
        Self::Status {
            status,
            url: url.to_string(),
        }
    }

    /// The bytes have another digest or length than expected.
    pub fn mismatch(message: impl fmt::Display) -> Self {
        Self::Mismatch(message.to_string())
    }

    /// The hook reached a limit.
    pub fn limit(message: impl fmt::Display) -> Self {
        Self::Limit(message.to_string())
    }

    /// A file could not be read or written.
    pub fn io(message: impl fmt::Display) -> Self {
        Self::Io(message.to_string())
    }

    /// The source does not support this.
    pub fn unsupported(message: impl fmt::Display) -> Self {
        Self::Unsupported(message.to_string())
    }

    /// Anything else.
    pub fn other(message: impl fmt::Display) -> Self {
        Self::Other(message.to_string())
    }

    /// Prepends the operation to the text and keeps the variant. An HTTP status, which has no text,
    /// stays as it is.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display) -> Self {
        let add = |text: String| format!("{doing}: {text}");
        match self {
            Self::InvalidInput(text) => Self::InvalidInput(add(text)),
            Self::NotFound(text) => Self::NotFound(add(text)),
            Self::Denied(text) => Self::Denied(add(text)),
            Self::Network(text) => Self::Network(add(text)),
            Self::Status { .. } => self,
            Self::Mismatch(text) => Self::Mismatch(add(text)),
            Self::Limit(text) => Self::Limit(add(text)),
            Self::Io(text) => Self::Io(add(text)),
            Self::Unsupported(text) => Self::Unsupported(add(text)),
            Self::Other(text) => Self::Other(add(text)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, url } => write!(f, "HTTP status {status} from {url}"),
            Self::InvalidInput(text)
            | Self::NotFound(text)
            | Self::Denied(text)
            | Self::Network(text)
            | Self::Mismatch(text)
            | Self::Limit(text)
            | Self::Io(text)
            | Self::Unsupported(text)
            | Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::not_found(error),
            _ => Self::io(error),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Other(format!("JSON: {error}"))
    }
}

impl From<std::string::FromUtf8Error> for Error {
    fn from(error: std::string::FromUtf8Error) -> Self {
        Self::other(error)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::Other(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::Other(message.to_owned())
    }
}

impl From<wit::Error> for Error {
    fn from(error: wit::Error) -> Self {
        match error {
            wit::Error::InvalidInput(text) => Self::InvalidInput(text),
            wit::Error::NotFound(text) => Self::NotFound(text),
            wit::Error::Denied(text) => Self::Denied(text),
            wit::Error::Network(text) => Self::Network(text),
            wit::Error::Status(wit::HttpFailure { status, url }) => Self::Status { status, url },
            wit::Error::Mismatch(text) => Self::Mismatch(text),
            wit::Error::Limit(text) => Self::Limit(text),
            wit::Error::Io(text) => Self::Io(text),
            wit::Error::Unsupported(text) => Self::Unsupported(text),
            wit::Error::Other(text) => Self::Other(text),
        }
    }
}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidInput(text) => Self::InvalidInput(text),
            Error::NotFound(text) => Self::NotFound(text),
            Error::Denied(text) => Self::Denied(text),
            Error::Network(text) => Self::Network(text),
            Error::Status { status, url } => Self::Status(wit::HttpFailure { status, url }),
            Error::Mismatch(text) => Self::Mismatch(text),
            Error::Limit(text) => Self::Limit(text),
            Error::Io(text) => Self::Io(text),
            Error::Unsupported(text) => Self::Unsupported(text),
            Error::Other(text) => Self::Other(text),
        }
    }
}

/// Adds the failed operation to an error.
///
/// ```
/// use modelzoo_guest::{Context as _, Error, Result};
///
/// fn labels() -> Result<String> {
///     Ok(std::fs::read_to_string("no-such-file.txt").context("no-such-file.txt")?)
/// }
///
/// assert!(matches!(labels(), Err(Error::NotFound(text)) if text.starts_with("no-such-file.txt: ")));
/// ```
pub trait Context<T> {
    /// Prepends the operation to the error's text.
    ///
    /// # Errors
    ///
    /// The given error, with its context.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(doing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_round_trip_through_the_wit_type() {
        let all = [
            Error::invalid_input("a"),
            Error::not_found("b"),
            Error::denied("c"),
            Error::network("d"),
            Error::status(418, "https://tea.example/pot"),
            Error::mismatch("e"),
            Error::limit("f"),
            Error::io("g"),
            Error::unsupported("h"),
            Error::other("i"),
        ];
        for error in all {
            assert_eq!(Error::from(wit::Error::from(error.clone())), error);
        }
    }

    #[test]
    fn context_keeps_the_variant() {
        let error = Error::limit("too many files").context("unpacking a.zip");
        assert_eq!(error, Error::limit("unpacking a.zip: too many files"));
        let status = Error::status(503, "https://a.example/x");
        assert_eq!(status.clone().context("fetching"), status);
        assert_eq!(
            status.to_string(),
            "HTTP status 503 from https://a.example/x"
        );
    }

    #[test]
    fn missing_file_is_not_found() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "gone");
        assert_eq!(Error::from(missing), Error::not_found("gone"));
        let other = std::io::Error::other("broken");
        assert_eq!(Error::from(other), Error::io("broken"));
    }
}
