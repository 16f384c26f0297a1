//! Zips, hostile ones above all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::io::{Cursor, Write};

use common::{Place, find, refused, refused_within, replace, zip, zip_with};
use modelzoo_archive::{ErrorKind, Limits, Options, list};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
}

/// Writes a little-endian field of the nth record with a signature.
fn set(mut bytes: Vec<u8>, signature: &[u8], nth: usize, at: usize, value: &[u8]) -> Vec<u8> {
    let start = find(&bytes, signature)[nth] + at;
    bytes[start..start + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn stored_and_deflated_entries_are_read() {
    let text = "lorem ipsum ".repeat(1000);
    for options in [
        stored(),
        SimpleFileOptions::default(),
        stored().large_file(true),
    ] {
        let archive = zip_with(
            options,
            &[("d/", b""), ("d/a", text.as_bytes()), ("é", b"1")],
        );
        let place = Place::new(&archive);
        place.extract().unwrap();
        assert_eq!(
            place.files(),
            [
                ("d/a".to_owned(), text.clone().into_bytes()),
                ("é".to_owned(), b"1".to_vec())
            ]
        );
    }
}

#[test]
fn streamed_archive_is_read() {
    let mut zip = ZipWriter::new_stream(Vec::new());
    for name in ["a", "b"] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&[b'x'; 3000]).unwrap();
    }
    let archive = zip.finish().unwrap().into_inner();
    let place = Place::new(&archive);
    assert_eq!(place.extract().unwrap().len(), 2);
}

#[test]
fn comment_is_accepted() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.set_comment("0123456789abcdef0123456789abcdef01234567")
        .unwrap();
    zip.start_file("a", stored()).unwrap();
    let place = Place::new(&zip.finish().unwrap().into_inner());
    assert_eq!(place.extract().unwrap().len(), 1);
}

// B03, B04: symbolic links, whatever system the entry is said to be from.
#[test]
fn symbolic_links_are_refused() {
    for target in ["/etc", "../other", "good"] {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("good", stored()).unwrap();
        zip.add_symlink("out", target, stored()).unwrap();
        let archive = zip.finish().unwrap().into_inner();
        assert_kind!(refused(&archive), ErrorKind::Link { ref entry, .. } if entry == "out");
        for system in [0, 3, 10, 19] {
            let archive = set(archive.clone(), CENTRAL, 1, 5, &[system]);
            assert_kind!(refused(&archive), ErrorKind::Link { .. });
        }
    }
}

// B07: what is no file.
#[test]
fn special_files_are_refused() {
    for mode in [
        0o010_644u32,
        0o020_644,
        0o060_644,
        0o140_644,
        0o040_755,
        0o160_644,
    ] {
        let archive = set(
            zip(&[("a", b"1")]),
            CENTRAL,
            0,
            38,
            &(mode << 16).to_le_bytes(),
        );
        assert_kind!(refused(&archive), ErrorKind::SpecialFile { .. });
    }
}

// B14: passwords.
#[test]
fn encrypted_entries_are_refused() {
    let archive = zip_with(stored(), &[("good", b"1"), ("secret", b"2")]);
    let archive = set(archive, CENTRAL, 1, 8, &[1, 0]);
    let archive = set(archive, LOCAL, 1, 6, &[1, 0]);
    assert_kind!(refused(&archive), ErrorKind::Encrypted { ref entry } if entry == "secret");
}

#[test]
fn other_compression_methods_are_refused() {
    for method in [1u8, 9, 12, 14, 93, 99] {
        let archive = zip_with(stored(), &[("a", b"1")]);
        let archive = set(archive, CENTRAL, 0, 10, &[method, 0]);
        let archive = set(archive, LOCAL, 0, 8, &[method, 0]);
        assert_kind!(refused(&archive), ErrorKind::Unsupported { .. });
    }
}

// B11: two entries of one name.
#[test]
fn duplicates_are_refused() {
    let archive = replace(zip(&[("a1", b"1"), ("a2", b"2")]), b"a2", b"a1");
    assert_kind!(refused(&archive), ErrorKind::Duplicate { ref entry } if entry == "a1");
    let archive = zip(&[("./a", b"1"), ("a", b"2")]);
    assert_kind!(refused(&archive), ErrorKind::Duplicate { .. });
}

// B14: several disks.
#[test]
fn split_archives_are_refused() {
    let archive = zip(&[("a", b"1")]);
    for (signature, at) in [(END, 4), (END, 6), (END, 8), (CENTRAL, 34)] {
        let archive = set(archive.clone(), signature, 0, at, &[2, 0]);
        assert_kind!(refused(&archive), ErrorKind::Unsupported { .. });
    }
    let spanned = [b"PK\x07\x08".as_slice(), &archive].concat();
    assert_kind!(refused(&spanned), ErrorKind::Unsupported { .. });
}

// B14: end records that lie.
#[test]
fn wrong_end_records_are_refused() {
    let archive = zip(&[("a", b"1"), ("b", b"2")]);
    for (at, value) in [
        (8, [1, 0, 1, 0].as_slice()), // fewer entries than there are
        (8, &[3, 0, 3, 0]),
        (12, &[1, 0, 0, 0]),
        (16, &[1, 0, 0, 0]),
        (16, &[0xff, 0xff, 0xff, 0x7f]),
        (20, &[1, 0]),
    ] {
        let lying = set(archive.clone(), END, 0, at, value);
        assert_kind!(refused(&lying), ErrorKind::Malformed { .. });
    }
    let trailing = [archive.as_slice(), b"trailing"].concat();
    assert_kind!(refused(&trailing), ErrorKind::Malformed { .. });
}

/// A zip whose end has the 64-bit records as well, with one of their fields changed.
fn zip64(change: impl FnOnce(&mut [u64; 4], &mut [u8; 20])) -> Vec<u8> {
    let mut archive = zip(&[("a", b"1"), ("b", b"2")]);
    let end = archive.split_off(find(&archive, END)[0]);
    let start = find(&archive, CENTRAL)[0] as u64;
    let at = archive.len() as u64;
    let mut fields = [2, 2, at - start, start];
    let mut locator = [0; 20];
    locator[..4].copy_from_slice(b"PK\x06\x07");
    locator[8..16].copy_from_slice(&at.to_le_bytes());
    locator[16] = 1;
    change(&mut fields, &mut locator);
    archive.extend_from_slice(b"PK\x06\x06");
    archive.extend(44u64.to_le_bytes());
    archive.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    archive.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
    archive.extend(locator);
    archive.extend(end);
    archive
}

#[test]
fn zip64_end_record_is_read() {
    assert_eq!(Place::new(&zip64(|_, _| {})).extract().unwrap().len(), 2);
    let full = set(zip64(|_, _| {}), END, 0, 8, &[0xff; 12]);
    assert_eq!(Place::new(&full).extract().unwrap().len(), 2);
}

// B14: 64-bit records that lie.
#[test]
fn wrong_zip64_end_records_are_refused() {
    type Lie = fn(&mut [u64; 4], &mut [u8; 20]);
    let lies: [Lie; 6] = [
        |fields, _| fields[2] += 1,
        |fields, _| fields[3] -= 1,
        |fields, _| fields[3] = u64::MAX,
        |_, locator| locator[8] ^= 1,
        |_, locator| locator[15] = 0xff,
        |fields, _| (fields[0], fields[1]) = (1, 1),
    ];
    for lie in lies {
        let archive = set(zip64(lie), END, 0, 8, &[0xff; 12]);
        assert_kind!(refused(&archive), ErrorKind::Malformed { .. });
        assert_kind!(refused(&zip64(lie)), ErrorKind::Malformed { .. });
    }
    let many =
        |fields: &mut [u64; 4], _: &mut [u8; 20]| (fields[0], fields[1]) = (10_000_000, 10_000_000);
    let archive = set(zip64(many), END, 0, 8, &[0xff; 12]);
    assert_kind!(refused(&archive), ErrorKind::TooManyEntries { .. });
}

// B14: sizes that lie, in one header or in both.
#[test]
fn wrong_sizes_are_refused() {
    let archive = zip_with(stored(), &[("a", b"12345"), ("b", b"6")]);
    let central = set(archive.clone(), CENTRAL, 0, 24, &[9, 0, 0, 0]);
    assert_kind!(refused(&central), ErrorKind::Malformed { .. });
    let local = set(archive.clone(), LOCAL, 0, 22, &[9, 0, 0, 0]);
    assert_kind!(refused(&local), ErrorKind::Malformed { .. });

    // Both agree, and only unpacking can tell: smaller and larger than what is there.
    let text = "x".repeat(5000);
    let deflated = zip(&[("d/a", text.as_bytes())]);
    for lie in [10u32, 4999, 5001, 100_000] {
        let archive = set(deflated.clone(), CENTRAL, 0, 24, &lie.to_le_bytes());
        let archive = set(archive, LOCAL, 0, 22, &lie.to_le_bytes());
        let place = Place::new(&archive);
        assert_kind!(
            place.extract().unwrap_err().kind,
            ErrorKind::Malformed { .. }
        );
        assert!(place.is_untouched());
    }
}

// B14: a name that differs between the two headers of an entry.
#[test]
fn contradicting_headers_are_refused() {
    let archive = zip(&[("good", b"1")]);
    let mut archive = archive;
    let at = find(&archive, b"good")[0];
    archive[at..at + 4].copy_from_slice(b"evil");
    assert_kind!(refused(&archive), ErrorKind::Malformed { .. });
}

// B09: entries that share their data make much of little.
#[test]
fn overlapping_entries_are_refused() {
    let archive = zip_with(stored(), &[("a1", b"same"), ("a2", b"same")]);
    let archive = set(archive, CENTRAL, 1, 42, &[0, 0, 0, 0]);
    assert_kind!(refused(&archive), ErrorKind::Malformed { .. });
    // The data reaches into the directory.
    let archive = zip_with(stored(), &[("a", b"1")]);
    let archive = set(archive, CENTRAL, 0, 20, &[0xff, 0, 0, 0, 0xff, 0, 0, 0]);
    let archive = set(archive, LOCAL, 0, 18, &[0xff, 0, 0, 0, 0xff, 0, 0, 0]);
    assert_kind!(refused(&archive), ErrorKind::Malformed { .. });
}

// B09: the stated size alone is enough to refuse.
#[test]
fn huge_sizes_are_refused_before_reading() {
    let archive = zip(&[("a", b"1")]);
    let archive = set(archive, CENTRAL, 0, 24, &0xffff_fffeu32.to_le_bytes());
    let limits = Limits {
        max_bytes: 1 << 30,
        ..Limits::default()
    };
    assert_kind!(refused_within(&archive, limits), ErrorKind::TooLarge { .. });
    assert_kind!(refused(&archive), ErrorKind::RatioTooHigh { .. });
}

// B10: names that go on and on.
#[test]
fn overlong_names_are_refused() {
    let long = "n".repeat(60_000);
    assert_kind!(
        refused(&zip(&[(&long, b"1")])),
        ErrorKind::NameTooLong { .. }
    );
    let deep = vec!["d"; 10_000].join("/");
    assert_kind!(
        refused(&zip(&[(&deep, b"1")])),
        ErrorKind::NameTooLong { .. } | ErrorKind::TooDeep { .. }
    );
}

// B15: modes are this system's own.
#[cfg(unix)]
#[test]
fn modes_are_dropped() {
    use std::os::unix::fs::PermissionsExt;
    let archive = zip_with(stored().unix_permissions(0o4755), &[("a", b"1")]);
    let archive = set(archive, CENTRAL, 0, 38, &(0o106_755u32 << 16).to_le_bytes());
    let place = Place::new(&archive);
    place.extract().unwrap();
    let mode = std::fs::metadata(place.into.join("a"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7111, 0);
}

#[test]
fn only_selected_entries_are_read() {
    // The file that is not wanted is damaged, which only reading it would show.
    let mut archive = zip_with(stored(), &[("good", b"1"), ("damaged", b"intact")]);
    let at = find(&archive, b"intact")[0];
    archive[at] = b'X';
    let place = Place::new(&archive);
    let options = Options {
        select: &|path| path.as_ref() == "good",
        ..Options::default()
    };
    assert_eq!(place.extract_with(&options).unwrap().len(), 1);
    assert_eq!(list(&place.archive, &Limits::default()).unwrap().len(), 2);
    assert_kind!(
        Place::new(&archive).extract().unwrap_err().kind,
        ErrorKind::Malformed { .. }
    );
}
