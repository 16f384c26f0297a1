//! Archives made in code, hostile ones included.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use modelzoo_archive::{Error, ErrorKind, Extracted, Limits, Options, extract, list};
use tar::{EntryType, Header};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A directory with an archive in it and an empty directory to unpack into.
pub(crate) struct Place {
    dir: TempDir,
    pub(crate) archive: PathBuf,
    pub(crate) into: PathBuf,
}

impl Place {
    pub(crate) fn new(archive: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive");
        fs::write(&path, archive).unwrap();
        let into = dir.path().join("into");
        fs::create_dir(&into).unwrap();
        Self {
            archive: path,
            into,
            dir,
        }
    }

    /// A path beside the directory that is unpacked into.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn extract(&self) -> Result<Vec<Extracted>, Error> {
        self.extract_with(&Options::default())
    }

    pub(crate) fn extract_with(&self, options: &Options<'_>) -> Result<Vec<Extracted>, Error> {
        extract(&self.archive, &self.into, options)
    }

    /// The files below `into`, with their contents.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.into, &self.into, &mut files);
        files.sort();
        files
    }

    /// Whether `into` is empty and only the archive lies beside it.
    pub(crate) fn is_untouched(&self) -> bool {
        let names: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.len() == 2 && fs::read_dir(&self.into).unwrap().next().is_none()
    }
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            files.push((name.to_owned(), fs::read(&path).unwrap()));
        }
    }
}

/// Both entry points refuse the archive, and neither leaves anything behind.
#[track_caller]
pub(crate) fn refused_within(archive: &[u8], limits: Limits) -> ErrorKind {
    let place = Place::new(archive);
    let listed = list(&place.archive, &limits).expect_err("listing should be refused");
    let error = place
        .extract_with(&Options {
            limits,
            ..Options::default()
        })
        .expect_err("extraction should be refused");
    assert_eq!(listed.to_string(), error.to_string());
    assert!(
        place.is_untouched(),
        "something was left behind after: {error}"
    );
    error.kind
}

#[track_caller]
pub(crate) fn refused(archive: &[u8]) -> ErrorKind {
    refused_within(archive, Limits::default())
}

/// Asserts which kind of error it is.
#[macro_export]
macro_rules! assert_kind {
    ($kind:expr, $pattern:pat $(if $guard:expr)?) => {{
        let kind = $kind;
        assert!(matches!(kind, $pattern $(if $guard)?), "unexpected: {kind:?}");
    }};
}

/// A tar, block by block.
#[derive(Default, Clone)]
pub(crate) struct TarBytes(pub(crate) Vec<u8>);

impl TarBytes {
    pub(crate) fn entry(mut self, kind: EntryType, name: &[u8], contents: &[u8]) -> Self {
        self.header(kind, name, contents.len() as u64, |_| {});
        self.body(contents)
    }

    pub(crate) fn file(self, name: &str, contents: &[u8]) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), contents)
    }

    /// A header alone; the name is written as it is, whatever it holds.
    pub(crate) fn header(
        &mut self,
        kind: EntryType,
        name: &[u8],
        size: u64,
        change: impl FnOnce(&mut Header),
    ) {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
    }

    pub(crate) fn with_header(
        mut self,
        kind: EntryType,
        name: &str,
        size: u64,
        change: impl FnOnce(&mut Header),
    ) -> Self {
        self.header(kind, name.as_bytes(), size, change);
        self
    }

    pub(crate) fn body(mut self, contents: &[u8]) -> Self {
        self.0.extend_from_slice(contents);
        let padding = self.0.len().next_multiple_of(512) - self.0.len();
        self.0.extend(vec![0; padding]);
        self
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// A pax record.
pub(crate) fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

/// A zip of deflated files; a name that ends in `/` is a directory.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(SimpleFileOptions::default(), files)
}

pub(crate) fn zip_with(options: SimpleFileOptions, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in files {
        if name.ends_with('/') {
            zip.add_directory(*name, options).unwrap();
        } else {
            zip.start_file(*name, options).unwrap();
            zip.write_all(contents).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

/// Replaces every occurrence of some bytes by as many others.
pub(crate) fn replace(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..bytes.len())
        .filter(|&at| bytes[at..].starts_with(from))
        .collect();
    assert!(!places.is_empty(), "nothing to replace");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

/// The positions of a signature.
pub(crate) fn find(bytes: &[u8], signature: &[u8]) -> Vec<usize> {
    (0..bytes.len())
        .filter(|&at| bytes[at..].starts_with(signature))
        .collect()
}

pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
