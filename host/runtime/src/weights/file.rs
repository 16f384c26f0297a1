//! Weights files: mapping, and detection of their formats.

use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;
use modelzoo_base::file::open_regular;

use crate::error::Error;

/// The bytes of tensors.
pub(super) enum Source {
    /// A file.
    Mapped(Mmap),
    /// A part of a file, unpacked.
    Unpacked(Vec<u8>),
}

impl Deref for Source {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file,
            Self::Unpacked(bytes) => bytes,
        }
    }
}

/// The format of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Safetensors,
    /// PyTorch's zip archive.
    Archive,
    /// PyTorch's format before the archive.
    Legacy,
}

impl Format {
    /// The format of a file by its first bytes. An unknown one counts as safetensors, which has no
    /// magic number, and is refused as such.
    pub(super) fn of(file: &[u8]) -> Self {
        match *file {
            // A header of less than 4 GiB that begins like all headers, whatever the bytes of its
            // length.
            [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Self::Safetensors,
            [b'P', b'K', 3, 4, ..] => Self::Archive,
            [0x80, 2..=5, ..] => Self::Legacy,
            _ => Self::Safetensors,
        }
    }
}

/// Maps the file at `path` into memory.
#[allow(unsafe_code, reason = "a mapping is unsafe by nature")]
pub(super) fn map(path: &Path) -> Result<Mmap, Error> {
    let failed = |source| Error::WeightsIo {
        path: path.to_owned(),
        source,
    };
    let file = open_regular(path).map_err(failed)?;
    // SAFETY: the bytes of a mapping must not change while they are borrowed. The store's files
    // are written once, under another name, and renamed when complete; modelzoo never writes to
    // them again, and guests have no way to. A user who overwrites them in place while a model is
    // being built gets weights of mixed origin or a bus error, as with every program that maps
    // files. The mapping is private, read-only, and dropped when the model is built; each element
    // is copied out of it (`Tensor::from_raw_buffer`, `Entry::gather`), and none of the types has invalid values.
    unsafe { Mmap::map(&file) }.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn formats_are_detected_by_content() {
        let cases: [(&[u8], Format); 6] = [
            (b"PK\x03\x04\0\0\x08\x08\0\0", Format::Archive),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9", Format::Legacy),
            (b"\x80\x02\0\0\0\0\0\0{\"", Format::Safetensors),
            (b"PK\x03\x04\0\0\0\0{\"", Format::Safetensors),
            (b"<html>", Format::Safetensors),
            (b"", Format::Safetensors),
        ];
        for (file, expected) in cases {
            assert_eq!(Format::of(file), expected, "{file:?}");
        }
    }
}
