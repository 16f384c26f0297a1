//! Archives: no file outside the directory, none beyond the limits, none after an error, and memory
//! in proportion.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use modelzoo_archive::{Entry, Limits, Options, extract, list};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::cost::{Bound, measure};
use crate::place::{Place, tree};
use crate::{Target, assert_one_line};

pub(crate) const TARGET: Target = Target {
    name: "archives",
    run,
    seeds,
    words: &[
        "PK\u{1}\u{2}",
        "PK\u{3}\u{4}",
        "PK\u{5}\u{6}",
        "PK\u{6}\u{6}",
        "PK\u{6}\u{7}",
        "ustar",
        "ustar  ",
        "././@LongLink",
        "path=",
        "size=",
        "linkpath=",
        "GNU.sparse.name=",
        "../",
        "..",
        "/",
        "C:",
        "\\",
        "a/",
        "\u{202e}",
        "\u{0}",
        "BZh9",
        "7 x=y\n",
        "00000000000",
    ],
};

const LIMITS: Limits = Limits {
    max_bytes: 1 << 20,
    max_entries: 64,
    max_depth: 8,
    max_ratio: 200,
};

/// Memory is for the names and for the decompressor; a long name of a tar may unpack to a mebibyte.
const BOUND: Bound = Bound {
    peak: [64, 8 << 20],
    total: [512, 64 << 20],
};

/// Two files, one of them in directories.
const FILES: [(&str, &[u8]); 2] = [("top/manifest.json", b"{}"), ("top/a/b/c.bin", &[7; 600])];

fn run(data: &[u8]) -> bool {
    let raw = unpack(data);
    mended(data).map_or(raw, |mended| raw | unpack(&mended))
}

/// The bytes as a tar with correct checksums, which mutations do not find.
fn mended(data: &[u8]) -> Option<Vec<u8>> {
    let mut mended = data.to_vec();
    for block in mended.chunks_exact_mut(512) {
        if block.get(257..262) == Some(b"ustar") {
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(block);
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
    }
    (mended != data).then_some(mended)
}

fn unpack(data: &[u8]) -> bool {
    let place = Place::new();
    // The archive lies outside the target directory.
    let archive = place.write("archive", data);
    let into = place.inside.join("into");
    std::fs::create_dir(&into).expect("the directory is made");
    let (listed, cost) = measure(|| list(&archive, &LIMITS));
    cost.assert_within(BOUND, data.len());
    if let Ok(listed) = &listed {
        within_limits(listed);
    }
    for strip_root in [false, true] {
        let options = Options {
            limits: LIMITS,
            strip_root,
            ..Options::default()
        };
        match extract(&archive, &into, &options) {
            Err(error) => {
                assert_one_line(&error.kind.to_string());
                assert!(tree(&into).is_empty(), "files are left after: {error}");
            }
            Ok(done) => {
                let listed = listed.as_ref().expect("what is unpacked can be listed");
                let mut said: Vec<_> = done
                    .iter()
                    .map(|file| (file.path.to_string(), file.size, file.sha256))
                    .collect();
                said.sort();
                let there: Vec<_> = tree(&into)
                    .into_iter()
                    .map(|(name, bytes)| (name, bytes.len() as u64, Sha256::digest(&bytes).into()))
                    .collect();
                assert_eq!(said, there);
                let sizes = |sizes: &mut dyn Iterator<Item = u64>| sizes.sum::<u64>();
                assert_eq!(
                    sizes(&mut done.iter().map(|file| file.size)),
                    sizes(&mut listed.iter().map(|entry| entry.size)),
                );
                std::fs::remove_dir_all(&into).expect("the files can be removed");
                std::fs::create_dir(&into).expect("the directory is made");
            }
        }
    }
    let unchanged = std::fs::read(&archive).expect("the archive is there");
    assert_eq!(unchanged, data, "the archive was changed");
    place.assert_untouched();
    listed.is_ok()
}

fn within_limits(entries: &[Entry]) {
    assert!(entries.len() as u64 <= LIMITS.max_entries);
    let bytes: u64 = entries.iter().map(|entry| entry.size).sum();
    assert!(bytes <= LIMITS.max_bytes, "{bytes} bytes");
    for entry in entries {
        let path = entry.path.to_string();
        assert!(path.split('/').count() <= LIMITS.max_depth, "{path:?}");
        assert_one_line(&path);
    }
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let tar = tar_of(|_, _| {});
    let long = tar_of(|header, number| {
        // A name in two parts, and a date of base 256.
        if let Some(ustar) = header.as_ustar_mut().filter(|_| number == 1) {
            ustar.prefix.iter_mut().take(3).for_each(|b| *b = b'p');
        }
        header.set_mtime(u64::MAX >> 8);
    });
    let link = tar_of(|header, _| {
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
    });
    let mut gz = GzEncoder::new(Vec::new(), Compression::best());
    gz.write_all(&tar).unwrap();
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    [
        ("tar", tar),
        ("tar-long", long),
        ("tar-link", link),
        ("tar-pax", pax()),
        ("tar-gz", gz.finish().unwrap()),
        ("zip", zip_of(SimpleFileOptions::default())),
        ("zip-stored", zip_of(stored)),
        ("zip-large", zip_of(stored.large_file(true))),
        ("text", b"not an archive".to_vec()),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

fn entry(tar: &mut Vec<u8>, mut header: Header, contents: &[u8]) {
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(contents);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

fn header(name: &str, size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header
}

fn tar_of(change: impl Fn(&mut Header, usize)) -> Vec<u8> {
    let mut tar = Vec::new();
    for (number, (name, contents)) in FILES.into_iter().enumerate() {
        let mut header = header(name, contents.len());
        change(&mut header, number);
        let size = header.size().unwrap() as usize;
        entry(&mut tar, header, contents.get(..size).unwrap());
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// A tar with names and sizes in records before the entries.
fn pax() -> Vec<u8> {
    let mut tar = Vec::new();
    let mut long = header("././@LongLink", 13);
    long.set_entry_type(EntryType::GNULongName);
    entry(&mut tar, long, b"top/long/name");
    entry(&mut tar, header("short", 2), b"xy");
    let records = b"17 path=top/other\n9 size=3\n";
    let mut before = header("pax", records.len());
    before.set_entry_type(EntryType::XHeader);
    entry(&mut tar, before, records);
    entry(&mut tar, header("short", 3), b"abc");
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn zip_of(options: SimpleFileOptions) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.add_directory("top/", options).unwrap();
    for (name, contents) in FILES {
        zip.start_file(name, options).unwrap();
        zip.write_all(contents).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
