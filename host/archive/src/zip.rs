//! Walking a zip.

use std::fs::File;
use std::io::{BufReader, Read};

use zip::read::{ArchiveOffset, Config, ZipFile};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::entry::{Entry, Visit};
use crate::error::{ErrorKind, shown};
use crate::ledger::{Kind, Ledger, Limits};
use crate::stream::Body;
use crate::zip_end;

/// Bytes that are read at a time: each header is looked up in its own place.
const HEADER: usize = 4 << 10;
/// The bits of a Unix mode that say what kind of file it is.
const KIND: u32 = 0o170_000;

/// A zip whose directory has been checked.
pub(crate) struct Zip<'a> {
    archive: ZipArchive<BufReader<&'a File>>,
    /// The files, with their places in the directory.
    files: Vec<(usize, Entry)>,
}

impl<'a> Zip<'a> {
    /// Reads and checks the directory of a zip of `length` bytes.
    pub(crate) fn open(file: &'a File, length: u64, limits: &Limits) -> Result<Self, ErrorKind> {
        let mut reader = BufReader::with_capacity(HEADER, file);
        zip_end::check(&mut reader, length, limits)?;
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let mut archive = ZipArchive::with_config(config, reader).map_err(refused)?;
        let mut ledger = Ledger::new(limits);
        let mut files = Vec::new();
        for index in 0..archive.len() {
            if let Some(entry) = admit(&archive, index, &mut ledger)? {
                files.push((index, entry));
            }
        }
        limits.check_ratio(length, ledger.bytes())?;
        // Every header before its data agrees with the directory, and no two entries overlap.
        archive.validate_header_consistency().map_err(refused)?;
        Ok(Self { archive, files })
    }

    /// The files.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.files.iter().map(|(_, entry)| entry.clone()).collect()
    }

    /// Visits the files that are wanted.
    pub(crate) fn walk(
        &mut self,
        wanted: &dyn Fn(&Entry) -> bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), ErrorKind> {
        for (index, entry) in self.files.iter().filter(|(_, entry)| wanted(entry)) {
            let file = self.archive.by_index(*index).map_err(refused)?;
            let mut contents = Contents {
                file,
                left: entry.size,
            };
            if visit(entry, &mut contents)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn admit(
    archive: &ZipArchive<BufReader<&File>>,
    index: usize,
    ledger: &mut Ledger<'_>,
) -> Result<Option<Entry>, ErrorKind> {
    let entry = archive.by_index_data(index).map_err(refused)?;
    let name = entry.name().map_err(refused)?;
    let shown = || shown(name.as_bytes());
    if entry.encrypted() {
        return Err(ErrorKind::Encrypted { entry: shown() });
    }
    // Whatever system the entry says it is from: some reader will take this for a Unix mode.
    let kind = match entry.external_attributes() >> 16 & KIND {
        0 | 0o100_000 | 0o040_000 if name.ends_with('/') => Kind::Directory,
        0 | 0o100_000 => Kind::File,
        0o120_000 => {
            return Err(ErrorKind::Link {
                entry: shown(),
                what: "symbolic link",
            });
        }
        _ => {
            return Err(ErrorKind::SpecialFile {
                entry: shown(),
                what: "file of an unknown kind",
            });
        }
    };
    let method = entry.compression();
    if !matches!(
        method,
        CompressionMethod::Stored | CompressionMethod::Deflated
    ) {
        return Err(ErrorKind::Unsupported {
            what: format!("the compression of \"{}\" ({method})", shown()),
        });
    }
    let size = entry.size();
    if kind == Kind::Directory && size != 0 {
        return Err(ErrorKind::malformed("a directory has contents"));
    }
    let path = ledger.admit(name.as_bytes(), kind, size)?;
    Ok(path
        .filter(|_| kind == Kind::File)
        .map(|path| Entry { path, size }))
}

/// What the zip crate refuses.
fn refused(error: ZipError) -> ErrorKind {
    match error {
        ZipError::Io(error) => ErrorKind::reading(error),
        ZipError::UnsupportedArchive(what) => ErrorKind::Unsupported {
            what: what.to_owned(),
        },
        error => ErrorKind::Malformed {
            reason: error.to_string().into(),
            source: Some(Box::new(error)),
        },
    }
}

/// The contents of one file, of exactly the size that the directory states.
struct Contents<'z, 'a> {
    file: ZipFile<'z, BufReader<&'a File>>,
    left: u64,
}

impl Body for Contents<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        let count = self.file.read(into).map_err(ErrorKind::reading)?;
        let wrong = || ErrorKind::malformed("a file is not as long as the central directory says");
        if count == 0 && self.left > 0 && !into.is_empty() {
            return Err(wrong());
        }
        self.left = self.left.checked_sub(count as u64).ok_or_else(wrong)?;
        Ok(count)
    }
}
