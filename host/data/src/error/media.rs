use std::io;

use modelzoo_base::Remedy;
use modelzoo_base::text::{MAX_NAME, shorten};

/// Why the file of one sample is not used.
#[derive(Debug)]
pub enum MediaError {
    /// The document has no usable `filepath`.
    NoFilepath {
        /// What the document has instead.
        reason: String,
    },
    /// The file is elsewhere on the network.
    Remote {
        /// The path as stored.
        filepath: String,
    },
    /// The path leads out of the dataset.
    Outside {
        /// The path as stored.
        filepath: String,
    },
    /// A device, a pipe, a socket or a directory.
    NotAFile {
        /// The path as stored.
        filepath: String,
        /// What it is.
        kind: &'static str,
    },
    /// The document says that the file is not an image.
    NotAnImage {
        /// The path as stored.
        filepath: String,
        /// What it is.
        media: &'static str,
    },
    /// A row of a file of texts holds none.
    NoText {
        /// The row: the file's name and the line.
        row: String,
        /// What it holds instead.
        reason: String,
    },
    /// A text where a file is wanted, or the other way round.
    Kind {
        /// The sample.
        sample: String,
        /// What it is and is not.
        is: &'static str,
    },
    /// The file is larger than the caller allows.
    TooLarge {
        /// The path as stored.
        filepath: String,
        /// The most that is read.
        limit: u64,
    },
    /// The file could not be opened or read.
    Io {
        /// The path as stored.
        filepath: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl std::fmt::Display for MediaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.sample() {
            Some(sample) => write!(f, "{}: {}", shorten(sample, MAX_NAME), self.reason()),
            None => f.write_str(&self.reason()),
        }
    }
}

impl std::error::Error for MediaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::NoFilepath { .. }
            | Self::Remote { .. }
            | Self::Outside { .. }
            | Self::NotAFile { .. }
            | Self::NotAnImage { .. }
            | Self::NoText { .. }
            | Self::Kind { .. }
            | Self::TooLarge { .. } => None,
        }
    }
}

impl MediaError {
    /// The sample as the dataset names it, if it does.
    fn sample(&self) -> Option<&str> {
        match self {
            Self::NoFilepath { .. } => None,
            Self::Remote { filepath }
            | Self::Outside { filepath }
            | Self::NotAFile { filepath, .. }
            | Self::NotAnImage { filepath, .. }
            | Self::TooLarge { filepath, .. }
            | Self::Io { filepath, .. } => Some(filepath),
            Self::NoText { row: sample, .. } | Self::Kind { sample, .. } => Some(sample),
        }
    }

    /// The reason alone, where the sample is named already.
    pub fn reason(&self) -> String {
        match self {
            Self::NoFilepath { reason } => format!("no filepath: {reason}"),
            Self::Remote { .. } => "a URL; only files are read".to_owned(),
            Self::Outside { .. } => "outside the dataset".to_owned(),
            Self::NotAFile { kind, .. } => format!("{kind}, not a file"),
            Self::NotAnImage { media, .. } => format!("{media}, not an image"),
            Self::NoText { reason, .. } => format!("no text: {reason}"),
            Self::Kind { is, .. } => (*is).to_owned(),
            Self::TooLarge { limit, .. } => format!("larger than {limit} bytes"),
            Self::Io { source, .. } => source.to_string(),
        }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Outside { .. } => Some(Remedy::AllowOutside),
            Self::NoFilepath { .. }
            | Self::Remote { .. }
            | Self::NotAFile { .. }
            | Self::NotAnImage { .. }
            | Self::NoText { .. }
            | Self::Kind { .. }
            | Self::TooLarge { .. }
            | Self::Io { .. } => None,
        }
    }
}
