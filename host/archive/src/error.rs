//! What can be wrong with an archive.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use modelzoo_base::Remedy;
use modelzoo_base::text::excerpt;

use crate::path::PathError;

/// An archive that could not be read or unpacked.
///
/// The messages are whole sentences of one line: what a source says is part of the text.
#[derive(Debug)]
pub struct Error {
    /// The archive.
    pub archive: PathBuf,
    /// What is wrong with it.
    pub kind: ErrorKind,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.archive.display(), self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

/// What is wrong with an archive. Names of entries are as the archive has them, with control
/// characters escaped and shortened when they are long.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// The bytes are of no format that this crate reads.
    #[error("neither a zip nor a tar archive")]
    NotAnArchive,
    /// A part of a format that this crate leaves out, such as a compression method.
    #[error("not supported: {what}")]
    Unsupported {
        /// The part.
        what: String,
    },
    /// An entry whose name could mean a place outside the archive.
    #[error("unsafe entry name \"{entry}\": {reason}")]
    UnsafePath {
        /// The entry.
        entry: String,
        /// The rule that its name breaks.
        #[source]
        reason: PathError,
    },
    /// A symbolic or hard link.
    #[error("the entry \"{entry}\" is a {what}")]
    Link {
        /// The entry.
        entry: String,
        /// Which kind of link.
        what: &'static str,
    },
    /// A device, pipe, socket or sparse file.
    #[error("the entry \"{entry}\" is a {what}")]
    SpecialFile {
        /// The entry.
        entry: String,
        /// Which kind of file.
        what: &'static str,
    },
    /// Two entries of one name.
    #[error("two entries are named \"{entry}\"")]
    Duplicate {
        /// The name.
        entry: String,
    },
    /// Two entries that some file system would take for one, or a file that is also a directory.
    #[error("the entries \"{entry}\" and \"{other}\" would be one file on some systems")]
    Collision {
        /// The later entry.
        entry: String,
        /// The earlier one.
        other: String,
    },
    /// An entry that needs a password.
    #[error("the entry \"{entry}\" is encrypted")]
    Encrypted {
        /// The entry.
        entry: String,
    },
    /// Bytes that violate the format.
    #[error("malformed archive: {reason}")]
    Malformed {
        /// The rule.
        reason: Cow<'static, str>,
        /// The error of the decoder.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// More unpacked bytes than [`Limits::max_bytes`](crate::Limits::max_bytes).
    #[error("unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// A compression that only a decompression bomb has.
    #[error("unpacks to more than {limit} times its size")]
    RatioTooHigh {
        /// The limit, [`Limits::max_ratio`](crate::Limits::max_ratio).
        limit: u64,
    },
    /// More entries than [`Limits::max_entries`](crate::Limits::max_entries).
    #[error("more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// Directories nested deeper than [`Limits::max_depth`](crate::Limits::max_depth).
    #[error("the entry \"{entry}\" has more than {limit} parts")]
    TooDeep {
        /// The entry.
        entry: String,
        /// The limit, in parts of a path.
        limit: usize,
    },
    /// A name that is too long for any file system, or names that are too long together.
    #[error("the name of the entry \"{entry}\" is too long")]
    NameTooLong {
        /// The start of the name.
        entry: String,
    },
    /// The archive could not be read from the disk.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// A file could not be written.
    #[error("cannot write \"{path}\": {source}")]
    Write {
        /// The file, relative to the directory that the archive is unpacked into.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn new(archive: &Path, kind: ErrorKind) -> Self {
        Self {
            archive: archive.to_path_buf(),
            kind,
        }
    }

    /// The same, with another name for the archive: a file that was fetched is better known by its
    /// address.
    #[must_use]
    pub fn named(self, archive: impl Into<PathBuf>) -> Self {
        Self {
            archive: archive.into(),
            ..self
        }
    }

    /// What the author of the archive can do about it.
    pub fn remedy(&self) -> Option<Remedy> {
        let advice = match &self.kind {
            ErrorKind::NotAnArchive => {
                "zip, tar, tar.gz, tar.bz2, tar.xz and tar.zst archives are read; the format is told from the \
                 bytes, so a web page saved under an archive's name is not one"
            }
            ErrorKind::Link { .. } | ErrorKind::SpecialFile { .. } => {
                "pack regular files and directories only; a link can be packed as a copy of its target"
            }
            ErrorKind::UnsafePath { .. }
            | ErrorKind::Collision { .. }
            | ErrorKind::Duplicate { .. } => {
                "rename the entry so that it is one place, inside the archive, on every system"
            }
            ErrorKind::Encrypted { .. } => "pack it again without a password",
            ErrorKind::Unsupported { .. } => "pack it again as a plain zip or as a tar.gz",
            _ => return None,
        };
        Some(Remedy::advice(advice))
    }
}

impl ErrorKind {
    pub(crate) fn malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Malformed {
            reason: reason.into(),
            source: None,
        }
    }

    /// An error while reading: errors of the system are read errors, all others are errors of the
    /// decoder.
    pub(crate) fn reading(error: io::Error) -> Self {
        if error.raw_os_error().is_some() {
            return Self::Read(error);
        }
        Self::Malformed {
            reason: error.to_string().into(),
            source: Some(Box::new(error)),
        }
    }
}

/// The name of an entry as an error shows it.
pub(crate) fn shown(name: &[u8]) -> String {
    excerpt(&String::from_utf8_lossy(name), 120)
}
