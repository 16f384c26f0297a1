//! Tars, hostile ones above all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use common::{Place, TarBytes, gz, record, refused, refused_within};
use modelzoo_archive::{ErrorKind, Limits, PathError, list};
use tar::EntryType;

fn tar() -> TarBytes {
    TarBytes::default()
}

fn link(kind: EntryType, name: &str, target: &str) -> TarBytes {
    tar()
        .file("good", b"1")
        .with_header(kind, name, 0, |header| {
            header.set_link_name_literal(target).unwrap();
        })
}

// B03, B04: symbolic links, and files through them.
#[test]
fn symbolic_links_are_refused() {
    for target in ["/etc", "../other", "good", ""] {
        let archive = link(EntryType::Symlink, "out", target)
            .file("out/passwd", b"x")
            .end();
        assert_kind!(
            refused(&archive),
            ErrorKind::Link {
                what: "symbolic link",
                ..
            }
        );
    }
    let archive = gz(&link(EntryType::Symlink, "out", "/etc").end());
    assert_kind!(refused(&archive), ErrorKind::Link { .. });
}

// B05: hard links.
#[test]
fn hard_links_are_refused() {
    for target in ["/etc/passwd", "../x", "good"] {
        let archive = link(EntryType::Link, "out", target).end();
        assert_kind!(
            refused(&archive),
            ErrorKind::Link {
                what: "hard link",
                ..
            }
        );
    }
}

// B07: what is no file.
#[test]
fn special_files_are_refused() {
    for kind in [
        b'3', b'4', b'6', b'7', b'S', b's', b'V', b'M', b'D', b'A', b'9', 0xff,
    ] {
        let archive = tar()
            .file("good", b"1")
            .with_header(EntryType::new(kind), "x", 0, |_| {})
            .end();
        assert_kind!(refused(&archive), ErrorKind::SpecialFile { .. });
    }
    let sparse = record("GNU.sparse.major", "1");
    let archive = tar()
        .entry(EntryType::XHeader, b"pax", &sparse)
        .file("x", b"1")
        .end();
    assert_kind!(
        refused(&archive),
        ErrorKind::SpecialFile {
            what: "sparse file",
            ..
        }
    );
}

#[test]
fn long_names_are_read() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let gnu = tar()
        .entry(
            EntryType::GNULongName,
            b"././@LongLink",
            format!("{long}\0").as_bytes(),
        )
        .file("short", b"1")
        .file("next", b"2")
        .end();
    let pax = tar()
        .entry(
            EntryType::XHeader,
            b"pax",
            &[record("mtime", "253402300800"), record("path", &long)].concat(),
        )
        .file("short", b"1")
        .file("next", b"2")
        .end();
    let prefixed = tar()
        .with_header(EntryType::Regular, "f", 1, |header| {
            header.as_ustar_mut().unwrap().prefix[..3].copy_from_slice(b"a/b");
        })
        .body(b"1")
        .end();
    for (archive, expected) in [
        (gnu, vec![long.as_str(), "next"]),
        (pax, vec![&long, "next"]),
        (prefixed, vec!["a/b/f"]),
    ] {
        let place = Place::new(&archive);
        let done = place.extract().unwrap();
        let names: Vec<_> = done.iter().map(|file| file.path.as_ref()).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn size_in_an_extended_header_wins() {
    let archive = tar()
        .entry(EntryType::XHeader, b"pax", &record("size", "3"))
        .with_header(EntryType::Regular, "a", 0, |_| {})
        .body(b"abc")
        .file("b", b"2")
        .end();
    let place = Place::new(&archive);
    place.extract().unwrap();
    assert_eq!(
        place.files(),
        [
            ("a".to_owned(), b"abc".to_vec()),
            ("b".to_owned(), b"2".to_vec())
        ]
    );
}

#[test]
fn names_of_other_tar_programs_are_read() {
    let archive = tar()
        .entry(
            EntryType::XGlobalHeader,
            b"pax_global_header",
            &record("comment", &"a".repeat(40)),
        )
        .entry(EntryType::Directory, b"./", b"")
        .entry(EntryType::Directory, b"./a/", b"")
        .entry(EntryType::Directory, b"./a", b"")
        .file("./a/b", b"1")
        .entry(EntryType::Regular, b"c/", b"")
        .file("c/d", b"2")
        .end();
    let place = Place::new(&archive);
    let done = place.extract().unwrap();
    let names: Vec<_> = done.iter().map(|file| file.path.as_ref()).collect();
    assert_eq!(names, ["a/b", "c/d"]);
}

// B08: what describes an entry must be well-formed and describe one.
#[test]
fn malformed_extensions_are_refused() {
    let pax = |contents: &[u8]| tar().entry(EntryType::XHeader, b"pax", contents);
    let gnu = |contents: &[u8]| tar().entry(EntryType::GNULongName, b"././@LongLink", contents);
    let good = record("path", "b");
    let archives = [
        pax(b"99 path=x\n").file("a", b"1"),
        pax(b"junk").file("a", b"1"),
        pax(&[0; 40]).file("a", b"1"),
        pax(&record("size", "-1")).file("a", b"1"),
        pax(&good)
            .entry(EntryType::XHeader, b"pax", &good)
            .file("a", b"1"),
        pax(&good)
            .entry(EntryType::GNULongName, b"l", b"c\0")
            .file("a", b"1"),
        pax(&good),
        gnu(b"").file("a", b"1"),
        gnu(b"a\0b\0").file("a", b"1"),
        gnu(b"b\0")
            .entry(EntryType::GNULongName, b"l", b"c\0")
            .file("a", b"1"),
        gnu(b"b\0"),
        tar()
            .entry(EntryType::GNULongLink, b"l", b"")
            .file("a", b"1"),
        tar()
            .entry(EntryType::XGlobalHeader, b"g", &record("path", "x"))
            .file("a", b"1"),
        tar()
            .entry(EntryType::XGlobalHeader, b"g", &record("size", "9"))
            .file("a", b"1"),
        tar()
            .entry(EntryType::XGlobalHeader, b"g", b"junk")
            .file("a", b"1"),
    ];
    for archive in archives {
        assert_kind!(refused(&archive.end()), ErrorKind::Malformed { .. });
    }
}

#[test]
fn names_from_extensions_are_checked() {
    for name in ["../x", "/x", "a/../../x"] {
        let pax = tar()
            .entry(EntryType::XHeader, b"pax", &record("path", name))
            .file("a", b"1")
            .end();
        assert_kind!(refused(&pax), ErrorKind::UnsafePath { .. });
        let gnu = tar()
            .entry(EntryType::GNULongName, b"l", name.as_bytes())
            .file("a", b"1")
            .end();
        assert_kind!(refused(&gnu), ErrorKind::UnsafePath { .. });
    }
    let bytes = tar().entry(EntryType::Regular, b"caf\xe9", b"1").end();
    assert_kind!(
        refused(&bytes),
        ErrorKind::UnsafePath {
            reason: PathError::NotUtf8,
            ..
        }
    );
}

// B08, B14: headers that lie.
#[test]
fn malformed_headers_are_refused() {
    let first = tar().file("a", b"1");
    let mut sum = first.clone().file("b", b"2");
    sum.0[1024] ^= 1;
    let mut magic = first.clone();
    magic.header(EntryType::Regular, b"b", 0, |header| {
        header.as_ustar_mut().unwrap().magic = *b"xstar\0"
    });
    let mut size = first.clone();
    size.header(EntryType::Regular, b"b", 0, |header| {
        header.as_old_mut().size = *b"nonsense...."
    });
    let mut wide = first.clone();
    // 2^64 + 1: its low 64 bits alone are a believable size.
    wide.header(EntryType::Regular, b"b", 0, |header| {
        header.as_old_mut().size = [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    });
    let directory = first
        .clone()
        .with_header(EntryType::Directory, "d/", 5, |_| {})
        .body(b"12345");
    for archive in [sum, magic, size, wide.body(b"x"), directory] {
        assert_kind!(refused(&archive.end()), ErrorKind::Malformed { .. });
    }
    assert_kind!(refused(&first.clone().0), ErrorKind::Malformed { .. });
    let mut trailing = first.end();
    trailing.extend([1; 512]);
    assert_kind!(refused(&trailing), ErrorKind::Malformed { .. });
}

// B09: a size that the file does not have.
#[test]
fn huge_sizes_are_refused_before_reading() {
    for size in [(4u64 << 30) + 1, u64::MAX / 2, u64::MAX] {
        let archive = tar().with_header(EntryType::Regular, "a", 0, |header| {
            let mut field = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            field[4..].copy_from_slice(&size.to_be_bytes());
            header.as_old_mut().size = field;
        });
        assert_kind!(refused(&archive.0), ErrorKind::TooLarge { .. });
        let pax = tar().entry(
            EntryType::XHeader,
            b"pax",
            &record("size", &size.to_string()),
        );
        assert_kind!(refused(&pax.file("a", b"").0), ErrorKind::TooLarge { .. });
    }
    let extension = tar().with_header(EntryType::GNULongName, "l", 8 << 30, |_| {});
    assert_kind!(refused(&extension.0), ErrorKind::NameTooLong { .. });
}

// B10: names that go on and on.
#[test]
fn overlong_names_are_refused() {
    let long = "n".repeat(64 << 10);
    let archive = tar()
        .entry(EntryType::XHeader, b"pax", &record("path", &long))
        .file("a", b"1")
        .end();
    assert_kind!(refused(&archive), ErrorKind::NameTooLong { .. });
    let deep = "d/".repeat(10_000) + "f";
    let archive = tar()
        .entry(EntryType::GNULongName, b"l", deep.as_bytes())
        .file("a", b"1")
        .end();
    assert_kind!(refused(&archive), ErrorKind::TooDeep { .. });
    // Headers that describe nothing but fill the archive.
    let mut archive = tar();
    let comment = record("comment", &"c".repeat((1 << 20) - 100));
    for _ in 0..260 {
        archive = archive.entry(EntryType::XGlobalHeader, b"g", &comment);
    }
    assert_kind!(
        refused(&archive.file("a", b"1").end()),
        ErrorKind::NameTooLong { .. }
    );
}

// B10: many empty entries.
#[test]
fn too_many_entries_are_refused() {
    let mut archive = tar();
    for index in 0..10_001 {
        archive.header(
            EntryType::Directory,
            format!("d{index}/").as_bytes(),
            0,
            |_| {},
        );
    }
    let limits = Limits {
        max_entries: 10_000,
        ..Limits::default()
    };
    assert_kind!(
        refused_within(&gz(&archive.end()), limits),
        ErrorKind::TooManyEntries { .. }
    );
}

// B11: two files of one name.
#[test]
fn duplicates_are_refused() {
    let archive = tar().file("d/a", b"1").file("./d/a", b"2").end();
    assert_kind!(refused(&archive), ErrorKind::Duplicate { ref entry } if entry == "d/a");
    let archive = tar()
        .file("a", b"1")
        .entry(EntryType::Directory, b"a/", b"")
        .end();
    assert_kind!(refused(&archive), ErrorKind::Collision { .. });
}

// B15: modes and times are this system's own.
#[cfg(unix)]
#[test]
fn modes_and_times_are_dropped() {
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;
    let wild = |header: &mut tar::Header| {
        header.set_mode(0o7777);
        header.set_mtime(253_402_300_799); // the year 9999
        header.set_uid(0);
    };
    let archive = tar()
        .entry(
            EntryType::XHeader,
            b"pax",
            &record("SCHILY.xattr.security.capability", "x"),
        )
        .with_header(EntryType::Regular, "d/a", 1, wild)
        .body(b"1")
        .end();
    let place = Place::new(&archive);
    place.extract().unwrap();
    let file = std::fs::metadata(place.into.join("d/a")).unwrap();
    assert_eq!(file.permissions().mode() & 0o7111, 0);
    assert!(file.modified().unwrap() < SystemTime::now() + std::time::Duration::from_secs(3600));
    let directory = std::fs::metadata(place.into.join("d")).unwrap();
    assert_eq!(directory.permissions().mode() & 0o7000, 0);
}

#[test]
fn names_in_errors_are_escaped() {
    let archive = tar().file("a\u{1b}]0;x\u{7}", b"1").end();
    let place = Place::new(&archive);
    let text = list(&place.archive, &Limits::default())
        .unwrap_err()
        .to_string();
    assert!(
        !text.contains('\u{1b}') && text.contains("\\u{1b}"),
        "{text}"
    );
}
