//! The end of a zip: the end record, its 64-bit form and the central directory that both point to.
//!
//! `zip::ZipArchive` is lenient here so that it reads what exists; it also holds the whole
//! directory in memory and keeps one of two entries of the same name. So the end is checked first,
//! by the letter of APPNOTE 6.3.10, sections 4.3.12 to 4.3.16: an archive that passes means the
//! same to every reader.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};

use crate::error::{ErrorKind, shown};
use crate::ledger::Limits;

const END: u64 = 22;
const LOCATOR: u64 = 20;
const END64: u64 = 56;
const HEADER: u64 = 46;
const MAX_COMMENT: u64 = 0xffff;
/// Bytes of a central directory, which is held in memory.
const MAX_DIRECTORY: u64 = 128 << 20;

/// Where the central directory lies.
struct Directory {
    start: u64,
    end: u64,
    entries: u64,
}

/// Checks the end of a zip of `length` bytes.
pub(crate) fn check(
    file: &mut (impl Read + Seek),
    length: u64,
    limits: &Limits,
) -> Result<(), ErrorKind> {
    let directory = locate(file, length)?;
    limits.check_entries(directory.entries)?;
    if directory.end - directory.start > MAX_DIRECTORY {
        return Err(ErrorKind::Unsupported {
            what: "a zip archive with more than 128 MiB of names and comments".to_owned(),
        });
    }
    walk(file, &directory)
}

fn locate(file: &mut (impl Read + Seek), length: u64) -> Result<Directory, ErrorKind> {
    let at = find_end(file, length)?;
    let record = read_at::<{ END as usize }>(file, at)?;
    if u64::from(u16_at(&record, 20)) != length - at - END {
        return Err(ErrorKind::malformed("something follows its end record"));
    }
    let mut directory = Directory {
        start: u64::from(u32_at(&record, 16)),
        end: at,
        entries: u64::from(u16_at(&record, 10)),
    };
    let mut disks = [u16_at(&record, 4), u16_at(&record, 6)].map(u64::from);
    let mut entries_here = u64::from(u16_at(&record, 8));
    let mut size = u64::from(u32_at(&record, 12));
    if let Some((at64, record)) = find_end64(file, at)? {
        // A field of the short record is either the same or all ones.
        let wide = |short: &mut u64, ones: u64, value: u64| {
            if *short != ones && *short != value {
                return Err(ErrorKind::malformed("its two end records disagree"));
            }
            *short = value;
            Ok(())
        };
        let [this_disk, first_disk] = &mut disks;
        wide(this_disk, 0xffff, u64::from(u32_at(&record, 16)))?;
        wide(first_disk, 0xffff, u64::from(u32_at(&record, 20)))?;
        wide(&mut entries_here, 0xffff, u64_at(&record, 24))?;
        wide(&mut directory.entries, 0xffff, u64_at(&record, 32))?;
        wide(&mut size, 0xffff_ffff, u64_at(&record, 40))?;
        wide(&mut directory.start, 0xffff_ffff, u64_at(&record, 48))?;
        directory.end = at64;
    }
    if disks != [0, 0] || entries_here != directory.entries {
        return Err(multi_disk());
    }
    if directory.start.checked_add(size) != Some(directory.end) {
        return Err(ErrorKind::malformed(
            "its central directory does not lie before its end record",
        ));
    }
    Ok(directory)
}

/// The last end record's position.
fn find_end(file: &mut (impl Read + Seek), length: u64) -> Result<u64, ErrorKind> {
    let start = length.saturating_sub(END + MAX_COMMENT);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(start)).map_err(ErrorKind::Read)?;
    file.take(END + MAX_COMMENT)
        .read_to_end(&mut tail)
        .map_err(ErrorKind::Read)?;
    tail.windows(END as usize)
        .rposition(|window| window.starts_with(b"PK\x05\x06"))
        .map(|at| start + at as u64)
        .ok_or_else(|| ErrorKind::malformed("it has no end record"))
}

/// The 64-bit end record and its position, when a locator stands before the end record.
fn find_end64(
    file: &mut (impl Read + Seek),
    end: u64,
) -> Result<Option<(u64, [u8; END64 as usize])>, ErrorKind> {
    let Some(at) = end.checked_sub(LOCATOR) else {
        return Ok(None);
    };
    let locator = read_at::<{ LOCATOR as usize }>(file, at)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    if u32_at(&locator, 4) != 0 || u32_at(&locator, 16) > 1 {
        return Err(multi_disk());
    }
    let wrong = || ErrorKind::malformed("its 64-bit end record is not where it should be");
    let at64 = u64_at(&locator, 8);
    if at64.checked_add(END64).is_none_or(|end64| end64 > at) {
        return Err(wrong());
    }
    let record = read_at::<{ END64 as usize }>(file, at64)?;
    let ends = at64
        .checked_add(12)
        .and_then(|start| start.checked_add(u64_at(&record, 4)));
    if !record.starts_with(b"PK\x06\x06") || ends != Some(at) {
        return Err(wrong());
    }
    Ok(Some((at64, record)))
}

/// Counts the headers of the central directory: exactly as many as the end record says, one after
/// the other, and no two of one name.
fn walk(file: &mut (impl Read + Seek), directory: &Directory) -> Result<(), ErrorKind> {
    let wrong =
        || ErrorKind::malformed("its central directory does not hold what its end record says");
    let mut names = HashSet::new();
    let mut at = directory.start;
    for _ in 0..directory.entries {
        let header = read_at::<{ HEADER as usize }>(file, at)?;
        if !header.starts_with(b"PK\x01\x02") {
            return Err(wrong());
        }
        if !matches!(u16_at(&header, 34), 0 | 0xffff) {
            return Err(multi_disk());
        }
        let [name, extra, comment] = [28, 30, 32].map(|field| u64::from(u16_at(&header, field)));
        at += HEADER + name + extra + comment;
        if at > directory.end {
            return Err(wrong());
        }
        let mut bytes = vec![0; usize::from(u16_at(&header, 28))];
        file.read_exact(&mut bytes).map_err(ErrorKind::reading)?;
        if bytes.len() > crate::path::MAX_BYTES + 1 {
            return Err(ErrorKind::NameTooLong {
                entry: shown(&bytes),
            });
        }
        if let Some(name) = names.replace(bytes.into_boxed_slice()) {
            return Err(ErrorKind::Duplicate {
                entry: shown(&name),
            });
        }
    }
    if at == directory.end {
        Ok(())
    } else {
        Err(wrong())
    }
}

fn multi_disk() -> ErrorKind {
    ErrorKind::Unsupported {
        what: "a zip archive that is split into several files".to_owned(),
    }
}

fn read_at<const N: usize>(file: &mut (impl Read + Seek), at: u64) -> Result<[u8; N], ErrorKind> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at)).map_err(ErrorKind::Read)?;
    file.read_exact(&mut bytes).map_err(ErrorKind::reading)?;
    Ok(bytes)
}

/// Little-endian fields; an offset outside the record reads as zeros, which no caller has.
fn field<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    record
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

fn u16_at(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(record, at))
}

fn u32_at(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(record, at))
}

fn u64_at(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(record, at))
}
