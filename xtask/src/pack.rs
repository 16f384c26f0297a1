//! A zip writer for the quickstart's source: entries are stored, not compressed.
//!
//! The layout is that of APPNOTE 6.3.10, section 4.3.

use crate::Result;

/// The date of all entries, 1 January 1980: the first that a zip can tell.
const DATE: u16 = 0x0021;
/// The version of the format that stored entries need.
const VERSION: u16 = 10;

/// Packs files, each a name and its contents.
pub(crate) fn zip(files: &[(&str, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for (name, contents) in files {
        let offset = u32::try_from(bytes.len())?;
        let header = header(name, contents)?;
        bytes.extend(0x0403_4b50u32.to_le_bytes());
        bytes.extend(&header);
        bytes.extend(name.as_bytes());
        bytes.extend(contents);

        directory.extend(0x0201_4b50u32.to_le_bytes());
        directory.extend(VERSION.to_le_bytes());
        directory.extend(&header);
        // No comment, the first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = u32::try_from(bytes.len())?;
    let count = u16::try_from(files.len())?;
    bytes.extend(&directory);
    bytes.extend(0x0605_4b50u32.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(u32::try_from(directory.len())?.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0; 2]);
    Ok(bytes)
}

/// The fields that both headers of an entry have in common.
fn header(name: &str, contents: &[u8]) -> Result<Vec<u8>> {
    let size = u32::try_from(contents.len())?;
    let mut header = Vec::new();
    // Flags and method: none, stored.
    for field in [VERSION, 0, 0, 0, DATE] {
        header.extend(field.to_le_bytes());
    }
    for field in [crc32(contents), size, size] {
        header.extend(field.to_le_bytes());
    }
    header.extend(u16::try_from(name.len())?.to_le_bytes());
    header.extend([0; 2]);
    Ok(header)
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn an_archive_has_its_parts_in_place() {
        let archive = zip(&[("a", b"12".to_vec()), ("b/c", Vec::new())]).unwrap();
        let first = 30 + 1 + 2;
        let second = 30 + 3;
        let directory = 46 + 1 + 46 + 3;
        assert_eq!(archive.len(), first + second + directory + 22);
        assert_eq!(&archive[..4], b"PK\x03\x04");
        assert_eq!(&archive[first..first + 4], b"PK\x03\x04");
        assert_eq!(&archive[first + second..first + second + 4], b"PK\x01\x02");
        let end = &archive[archive.len() - 22..];
        assert_eq!(&end[..4], b"PK\x05\x06");
        assert_eq!(end[10], 2);
        assert_eq!(usize::from(end[12]), directory);
        assert_eq!(usize::from(end[16]), first + second);
    }
}
