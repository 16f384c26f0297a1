//! Telling the format of an archive from its first bytes.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use crate::error::{Error, ErrorKind};

/// A format that this crate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A zip archive; its entries are stored or deflated.
    Zip,
    /// A tar archive (POSIX or GNU).
    Tar,
    /// A tar archive compressed with gzip.
    TarGz,
    /// A tar archive compressed with bzip2.
    TarBz2,
    /// A tar archive compressed with xz.
    TarXz,
    /// A tar archive compressed with Zstandard.
    TarZst,
}

/// The bytes that tell: `ustar` stands at 257.
const HEAD: usize = 262;

/// Tells the format of a file from its bytes; its name plays no part. For a compressed archive
/// this looks at the compression only: that a tar is inside shows when it is read.
///
/// # Errors
/// [`ErrorKind::NotAnArchive`] for anything else, [`ErrorKind::Read`] when the file cannot be read.
pub fn detect(archive: &Path) -> Result<Format, Error> {
    File::open(archive)
        .map_err(ErrorKind::Read)
        .and_then(|mut file| detect_in(&mut file))
        .map_err(|kind| Error::new(archive, kind))
}

/// The same for an open file, which is left at its start.
pub(crate) fn detect_in(file: &mut (impl Read + Seek)) -> Result<Format, ErrorKind> {
    let mut head = Vec::with_capacity(HEAD);
    file.rewind().map_err(ErrorKind::Read)?;
    file.by_ref()
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(ErrorKind::Read)?;
    file.rewind().map_err(ErrorKind::Read)?;
    match head.as_slice() {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Format::Zip),
        [b'P', b'K', 7, 8, ..] | [b'P', b'K', b'0', b'0', b'P', b'K', ..] => {
            Err(ErrorKind::Unsupported {
                what: "a zip archive that is split into several files".to_owned(),
            })
        }
        [0x1f, 0x8b, 8, ..] => Ok(Format::TarGz),
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
            if rest.starts_with(b"1AY&SY")
                || rest.starts_with(&[0x17, 0x72, 0x45, 0x38, 0x50, 0x90]) =>
        {
            Ok(Format::TarBz2)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Format::TarXz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Format::TarZst),
        head if head.get(257..HEAD) == Some(b"ustar".as_slice()) => Ok(Format::Tar),
        _ => Err(ErrorKind::NotAnArchive),
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarBz2 => "tar.bz2",
            Self::TarXz => "tar.xz",
            Self::TarZst => "tar.zst",
        })
    }
}
