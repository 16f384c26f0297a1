//! Why an image is refused.

use std::io;

/// Why an image could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageReason {
    /// The file could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is larger than the limit.
    #[error("{bytes} bytes are more than the limit of {limit}")]
    TooManyBytes {
        /// The file's size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The image has more pixels than the limit.
    #[error("{width}x{height} pixels are more than the limit of {limit}")]
    TooManyPixels {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// The limit for their product.
        limit: u64,
    },
    /// The image asks for more work than its size and its pixels explain.
    #[error("{0} cost more to decode than its size allows")]
    TooMuchWork(&'static str),
    /// A side of the image is zero.
    #[error("the image has no pixels")]
    NoPixels,
    /// The content is in no format that we know.
    #[error("not an image in a known format")]
    UnknownFormat,
    /// The content is in a format, or a variant of one, that is not read.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The file ends before the image does.
    #[error("the file ends before the image does")]
    CutOff,
    /// The content contradicts its format.
    #[error("damaged {format}: {reason}")]
    Damaged {
        /// The format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The decoder failed in a way that it should not.
    #[error("the decoder gave up on damaged content")]
    Panic,
}

impl ImageReason {
    /// A variant of a format that is not read, by its name.
    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }

    /// Content that contradicts its format.
    pub(super) fn damaged(format: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Damaged { format, reason }
    }
}
