//! The files of an archive.

use std::ops::ControlFlow;

use crate::error::ErrorKind;
use crate::path::RelPath;
use crate::stream::Body;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the archive.
    pub path: RelPath,
    /// Its unpacked size in bytes.
    pub size: u64,
}

/// A file that has been unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// Its place below the directory that was unpacked into.
    pub path: RelPath,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 digest of its bytes.
    pub sha256: [u8; 32],
}

/// Called with each file and its contents.
pub(crate) type Visit<'v> =
    dyn FnMut(&Entry, &mut dyn Body) -> Result<ControlFlow<()>, ErrorKind> + 'v;
