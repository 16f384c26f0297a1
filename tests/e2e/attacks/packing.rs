//! Archives that no archiver would make.

use std::io::{Cursor, Write as _};

use tar::EntryType;
use zip::write::SimpleFileOptions;

/// A tar, entry by entry.
#[derive(Default, Clone)]
pub(super) struct Tar(Vec<u8>);

impl Tar {
    /// A tar that begins with a good source, so that only what follows can be refused.
    pub(super) fn source() -> Self {
        let files = crate::source::Source::digits().files();
        files.iter().fold(Self::default(), |tar, (name, bytes)| {
            tar.file(name.as_bytes(), bytes)
        })
    }

    pub(super) fn file(self, name: &[u8], contents: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, b"", contents)
    }

    pub(super) fn link(self, kind: EntryType, name: &[u8], target: &[u8]) -> Self {
        self.entry(kind, name, target, b"")
    }

    pub(super) fn entry(
        self,
        kind: EntryType,
        name: &[u8],
        target: &[u8],
        contents: &[u8],
    ) -> Self {
        self.raw(kind, name, target, contents, |_| ())
    }

    /// An entry whose header is changed before its checksum is made.
    pub(super) fn raw(
        mut self,
        kind: EntryType,
        name: &[u8],
        target: &[u8],
        contents: &[u8],
        change: impl FnOnce(&mut tar::Header),
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name);
        old.linkname[..target.len()].copy_from_slice(target);
        change(&mut header);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(contents);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

pub(super) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

/// A zip of a good source and what `more` adds to it.
pub(super) fn zip(more: impl FnOnce(&mut zip::ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in crate::source::Source::digits().files() {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&contents).unwrap();
    }
    more(&mut zip);
    zip.finish().unwrap().into_inner()
}

/// A zip with one more file.
pub(super) fn zip_with(name: &str, contents: &[u8]) -> Vec<u8> {
    zip(|zip| {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(contents).unwrap();
    })
}

/// A reader of zeros, which compress well.
pub(super) fn zeros(bytes: u64) -> impl std::io::Read {
    std::io::Read::take(std::io::repeat(0), bytes)
}
