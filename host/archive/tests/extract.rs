//! What holds for every format.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::fs;

use common::{Place, TarBytes, bz2, gz, refused, refused_within, xz, zip, zst};
use modelzoo_archive::{
    Archive, ErrorKind, Format, Limits, Options, PathError, RelPath, detect, list,
};
use sha2::{Digest, Sha256};
use tar::EntryType;

/// An archive of each format with the same files.
fn formats(files: &[(&str, &[u8])]) -> Vec<(Format, Vec<u8>)> {
    let mut tar = TarBytes::default();
    for (name, contents) in files {
        let kind = if name.ends_with('/') {
            EntryType::Directory
        } else {
            EntryType::Regular
        };
        tar = tar.entry(kind, name.as_bytes(), contents);
    }
    let tar = tar.end();
    vec![
        (Format::Zip, zip(files)),
        (Format::TarGz, gz(&tar)),
        (Format::TarBz2, bz2(&tar)),
        (Format::TarXz, xz(&tar)),
        (Format::TarZst, zst(&tar)),
        (Format::Tar, tar),
    ]
}

const SOURCE: &[(&str, &[u8])] = &[
    ("repo-1/", b""),
    ("repo-1/manifest.json", b"{}"),
    ("repo-1/empty", b""),
    ("repo-1/a/b/weights.bin", &[7; 5000]),
];

#[test]
fn every_format_extracts_the_same_files() {
    for (format, bytes) in formats(SOURCE) {
        let place = Place::new(&bytes);
        assert_eq!(detect(&place.archive).unwrap(), format);
        let listed = list(&place.archive, &Limits::default()).unwrap();
        let listed: Vec<_> = listed.iter().map(|e| (e.path.as_ref(), e.size)).collect();
        let expected = [
            ("repo-1/manifest.json", 2),
            ("repo-1/empty", 0),
            ("repo-1/a/b/weights.bin", 5000),
        ];
        assert_eq!(listed, expected, "{format}");

        let done = place.extract().unwrap();
        let done: Vec<_> = done
            .iter()
            .map(|e| (e.path.as_ref(), e.size, e.sha256))
            .collect();
        let digests = [b"{}".as_slice(), b"", &[7; 5000]].map(|bytes| Sha256::digest(bytes).into());
        let expected: Vec<_> = expected
            .iter()
            .zip(digests)
            .map(|(&(path, size), digest)| (path, size, digest))
            .collect();
        assert_eq!(done, expected, "{format}");
        assert_eq!(
            place.files(),
            [
                ("repo-1/a/b/weights.bin".to_owned(), vec![7; 5000]),
                ("repo-1/empty".to_owned(), vec![]),
                ("repo-1/manifest.json".to_owned(), b"{}".to_vec()),
            ],
            "{format}"
        );
    }
}

#[test]
fn root_is_stripped_and_files_are_selected() {
    for (format, bytes) in formats(SOURCE) {
        let place = Place::new(&bytes);
        let done = place
            .extract_with(&Options {
                strip_root: true,
                select: &|path| path.as_ref() == "manifest.json",
                ..Options::default()
            })
            .unwrap();
        assert_eq!(done.len(), 1, "{format}");
        assert_eq!(
            place.files(),
            [("manifest.json".to_owned(), b"{}".to_vec())],
            "{format}"
        );
    }
}

#[test]
fn archive_is_unpacked_in_parts_and_decompressed_once() {
    for (format, bytes) in formats(SOURCE) {
        let place = Place::new(&bytes);
        let spool = tempfile::tempfile().unwrap();
        let archive = Archive::open(&place.archive, Limits::default(), spool).unwrap();
        assert_eq!(archive.root(), Some("repo-1"), "{format}");
        assert_eq!(archive.entries().len(), 3, "{format}");
        if !matches!(format, Format::Zip | Format::Tar) {
            fs::write(&place.archive, "another archive").unwrap();
        }
        for (name, contents) in [
            ("manifest.json", b"{}".to_vec()),
            ("a/b/weights.bin", vec![7; 5000]),
        ] {
            let only = |path: &RelPath| {
                let inner = path.as_ref().strip_prefix("repo-1/")?;
                (inner == name).then(|| RelPath::parse(inner).unwrap())
            };
            let into = tempfile::tempdir().unwrap();
            let done = archive.extract(into.path(), &only).unwrap();
            assert_eq!(done.len(), 1, "{format}");
            assert_eq!(done[0].path.as_ref(), name, "{format}");
            assert_eq!(
                done[0].sha256,
                <[u8; 32]>::from(Sha256::digest(&contents)),
                "{format}"
            );
            assert_eq!(
                fs::read(into.path().join(name)).unwrap(),
                contents,
                "{format}"
            );
        }
    }
}

#[test]
fn spooled_archive_keeps_its_limits() {
    let tar = TarBytes::default().file("zeros", &vec![0; 32 << 20]).end();
    for bytes in [gz(&tar), bz2(&tar), xz(&tar), zst(&tar)] {
        let place = Place::new(&bytes);
        let spool = tempfile::tempfile().unwrap();
        let copy = spool.try_clone().unwrap();
        let error = Archive::open(&place.archive, Limits::default(), spool).unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::RatioTooHigh { .. }),
            "{error}"
        );
        assert!(copy.metadata().unwrap().len() <= 17 << 20);

        let limits = Limits {
            max_bytes: 1000,
            max_ratio: u64::MAX,
            ..Limits::default()
        };
        let spool = tempfile::tempfile().unwrap();
        let copy = spool.try_clone().unwrap();
        let error = Archive::open(&place.archive, limits, spool).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::TooLarge { .. }), "{error}");
        assert!(copy.metadata().unwrap().len() <= 1 << 20);
    }
}

#[test]
fn only_one_root_is_stripped() {
    let strip = Options {
        strip_root: true,
        ..Options::default()
    };
    for (files, expected) in [
        (vec!["a/x", "b/y"], vec!["a/x", "b/y"]),
        (vec!["a/x", "y"], vec!["a/x", "y"]),
        (vec!["x"], vec!["x"]),
        (vec!["a/b/x", "a/b/y"], vec!["b/x", "b/y"]),
    ] {
        let files: Vec<_> = files
            .into_iter()
            .map(|name| (name, b"1".as_slice()))
            .collect();
        for (format, bytes) in formats(&files) {
            let place = Place::new(&bytes);
            place.extract_with(&strip).unwrap();
            let names: Vec<_> = place.files().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, expected, "{format}");
        }
    }
}

#[test]
fn archive_without_files_is_empty() {
    for (format, bytes) in formats(&[])
        .into_iter()
        .filter(|(format, _)| *format != Format::Tar)
    {
        let place = Place::new(&bytes);
        assert_eq!(place.extract().unwrap(), [], "{format}");
    }
}

// B01, B02, B12: names that mean another place.
#[test]
fn unsafe_names_are_refused() {
    use PathError::*;
    for (name, reason) in [
        ("../../x", Dots),
        ("a/../../x", Dots),
        ("/etc/passwd", Absolute),
        ("//server/share", Absolute),
        ("C:/x", Colon),
        ("a:stream", Colon),
        ("CON", Reserved),
        ("b/NUL.txt", Reserved),
        ("COM¹", Reserved),
        ("a./b", TrailingDotOrSpace),
        ("a ", TrailingDotOrSpace),
        ("a\u{1b}[31m", Control),
        (r"C:\x", Colon),
        (r"\\server\share", Backslash),
        (r"..\x", Backslash),
    ] {
        for (format, bytes) in formats(&[("good", b"1"), (name, b"2")]) {
            assert_kind!(refused(&bytes), ErrorKind::UnsafePath { reason: found, .. } if found == reason);
            assert!(!format.to_string().is_empty());
        }
    }
}

// B11: names that some file system takes for one.
#[test]
fn colliding_names_are_refused() {
    for names in [
        ["README.md", "readme.MD"],
        ["caf\u{e9}", "cafe\u{301}"],
        ["dir/a", "Dir/b"],
        ["straße", "STRASSE"],
        ["a", "a/b"],
        ["a/b", "a"],
        ["a/b", "A"],
    ] {
        for (_, bytes) in formats(&names.map(|name| (name, b"1".as_slice()))) {
            assert_kind!(refused(&bytes), ErrorKind::Collision { .. });
        }
    }
}

// B09: the cap on all bytes, at its edge.
#[test]
fn byte_limit_is_exact() {
    let files: &[(&str, &[u8])] = &[("a", &[1; 600]), ("b", &[2; 400])];
    for (_, bytes) in formats(files) {
        let within = |max_bytes| Limits {
            max_bytes,
            ..Limits::default()
        };
        assert_kind!(
            refused_within(&bytes, within(999)),
            ErrorKind::TooLarge { limit: 999 }
        );
        let place = Place::new(&bytes);
        assert_eq!(list(&place.archive, &within(1000)).unwrap().len(), 2);
    }
}

// B09: a bomb below the byte cap.
#[test]
fn bombs_are_refused_by_ratio() {
    let zeros = vec![0; 24 << 20];
    let archives = formats(&[("zeros", &zeros)]);
    for (format, bytes) in archives
        .into_iter()
        .filter(|(format, _)| *format != Format::Tar)
    {
        assert!(
            bytes.len() < zeros.len() / 200,
            "{format} does not compress well enough to test"
        );
        assert_kind!(refused(&bytes), ErrorKind::RatioTooHigh { limit: 200 });
        let place = Place::new(&bytes);
        let limits = Limits {
            max_ratio: 1 << 20,
            ..Limits::default()
        };
        assert_eq!(
            list(&place.archive, &limits).unwrap()[0].size,
            24 << 20,
            "{format}"
        );
    }
}

// B09: an archive within an archive stays packed.
#[test]
fn nested_archives_are_not_extracted() {
    let inner = zip(&[("zeros", &[0; 100_000])]);
    for (_, bytes) in formats(&[("inner.zip", &inner)]) {
        let place = Place::new(&bytes);
        place.extract().unwrap();
        assert_eq!(place.files(), [("inner.zip".to_owned(), inner.clone())]);
    }
}

// B10: too many, too deep, too long.
#[test]
fn depth_and_name_length_are_limited() {
    let names: Vec<String> = (0..11).map(|index| format!("f{index}")).collect();
    let files: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), b"".as_slice()))
        .collect();
    let ten = Limits {
        max_entries: 10,
        ..Limits::default()
    };
    for (_, bytes) in formats(&files) {
        assert_kind!(
            refused_within(&bytes, ten),
            ErrorKind::TooManyEntries { limit: 10 }
        );
    }
    let deep: String = vec!["d"; 17].join("/");
    let flat = Limits {
        max_depth: 2,
        ..Limits::default()
    };
    for (_, bytes) in formats(&[(&deep, b"")]) {
        assert_kind!(refused(&bytes), ErrorKind::TooDeep { limit: 16, .. });
        assert_kind!(
            refused_within(&bytes, flat),
            ErrorKind::TooDeep { limit: 2, .. }
        );
    }
}

// B13: what is no archive.
#[test]
fn other_bytes_are_refused() {
    let html = b"<!DOCTYPE html><html><body>Sign in</body></html>".as_slice();
    for bytes in [
        html,
        b"",
        b"PK",
        &[0; 4096],
        b"%PDF-1.7",
        &gz(html),
        &xz(html),
        &zst(html),
        &bz2(html),
    ] {
        let kind = refused(bytes);
        assert_kind!(kind, ErrorKind::NotAnArchive | ErrorKind::Malformed { .. });
    }
    assert_kind!(refused(html), ErrorKind::NotAnArchive);
    assert_kind!(refused(&gz(&[b'x'; 2000])), ErrorKind::NotAnArchive);
}

// B13: one file, two archives.
#[test]
fn polyglots_are_refused() {
    let zipped = zip(&[("evil", b"1")]);
    for (format, bytes) in formats(&[("good", b"1")]) {
        if format == Format::Zip {
            let prefixed = [b"#!/bin/sh\n".as_slice(), &bytes].concat();
            assert_kind!(refused(&prefixed), ErrorKind::NotAnArchive);
            continue;
        }
        let both = [bytes, zipped.clone()].concat();
        assert_kind!(refused(&both), ErrorKind::Malformed { .. });
    }
}

/// 80 000 bytes that do not compress.
fn noise() -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(next)
        .take(10_000)
        .flat_map(u64::to_le_bytes)
        .collect()
}

#[test]
fn truncated_archives_are_refused() {
    let noise = noise();
    for (format, bytes) in formats(&[("a", &noise), ("b", b"2")]) {
        for keep in [
            bytes.len() / 3,
            bytes.len() / 2,
            bytes.len() - 1100,
            bytes.len() - 5,
        ] {
            if format == Format::Tar && keep == bytes.len() - 5 {
                continue; // one zero block is an end
            }
            assert_kind!(refused(&bytes[..keep]), ErrorKind::Malformed { .. });
        }
    }
}

// A damaged bzip2 block comes out as noise before its checksum is reached.
#[test]
fn damaged_archive_leaves_no_files() {
    let noise = noise();
    for (format, mut bytes) in formats(&[("d/a", &noise), ("d/b", &noise)]) {
        if format == Format::Tar {
            continue; // a tar has no checksum over its files
        }
        let middle = bytes.len() * 3 / 4;
        bytes[middle] ^= 0x55;
        let place = Place::new(&bytes);
        let error = place.extract().unwrap_err();
        assert!(
            matches!(
                error.kind,
                ErrorKind::Malformed { .. } | ErrorKind::NotAnArchive
            ),
            "{format}: {error}"
        );
        assert!(place.is_untouched(), "{format}");
    }
}

#[test]
fn existing_files_are_kept() {
    for (format, bytes) in formats(&[("d/new", b"1"), ("d/old", b"2")]) {
        let place = Place::new(&bytes);
        fs::create_dir(place.into.join("d")).unwrap();
        fs::write(place.into.join("d/old"), "kept").unwrap();
        let error = place.extract().unwrap_err();
        assert_kind!(error.kind, ErrorKind::Write { ref path, .. } if path == "d/old");
        assert_eq!(
            place.files(),
            [("d/old".to_owned(), b"kept".to_vec())],
            "{format}"
        );
    }
}

// B06 and the rest of B03: links that lie in the directory already.
#[cfg(unix)]
#[test]
fn links_in_the_target_directory_are_not_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    for (format, bytes) in formats(&[("link/x", b"1")]) {
        let place = Place::new(&bytes);
        let outside = place.beside("outside");
        fs::create_dir(&outside).unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
        symlink(&outside, place.into.join("link")).unwrap();
        assert_kind!(place.extract().unwrap_err().kind, ErrorKind::Write { .. });
        assert!(fs::read_dir(&outside).unwrap().next().is_none(), "{format}");
        assert_eq!(
            fs::metadata(&outside).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert!(place.into.join("link").is_symlink(), "what was there stays");
    }
    for (format, bytes) in formats(&[("link", b"1")]) {
        let place = Place::new(&bytes);
        let outside = place.beside("outside");
        symlink(&outside, place.into.join("link")).unwrap();
        assert_kind!(place.extract().unwrap_err().kind, ErrorKind::Write { .. });
        assert!(!outside.exists(), "{format}");
    }
}

#[test]
fn errors_name_the_archive_and_remedies_say_the_fix() {
    let place = Place::new(b"<html>");
    let error = place.extract().unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&place.archive.display().to_string()),
        "{text}"
    );
    assert!(text.contains("neither a zip nor a tar"), "{text}");
    assert!(error.remedy().unwrap().to_string().contains("web page"));
    let missing = list(&place.beside("missing"), &Limits::default()).unwrap_err();
    assert_kind!(missing.kind, ErrorKind::Read(_));
}
