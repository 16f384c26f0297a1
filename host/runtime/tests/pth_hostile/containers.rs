//! Inconsistent containers: zip archives and legacy files.

use zip::CompressionMethod::{Deflated, Stored};

use crate::Want::Malformed;
use crate::write::{archive, code, floats, legacy, stored, tensor, zip};
use crate::{refuse, try_open};

fn good() -> Vec<u8> {
    tensor(0, &[6], &[1])
}

/// The places of `needle` in `content`.
fn places(content: &[u8], needle: &[u8]) -> Vec<usize> {
    let windows = content.windows(needle.len()).enumerate();
    windows
        .filter(|(_, window)| *window == needle)
        .map(|(at, _)| at)
        .collect()
}

/// The archive with bytes replaced, `at` bytes after the `nth` place of `needle`.
fn patched(mut content: Vec<u8>, needle: &[u8], nth: usize, at: usize, with: &[u8]) -> Vec<u8> {
    let at = places(&content, needle)[nth] + at;
    content[at..at + with.len()].copy_from_slice(with);
    content
}

const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
const END: &[u8] = b"PK\x05\x06";

#[test]
fn archives_that_are_not_checkpoints_are_refused() {
    let pickle = good();
    let floats = floats();
    let data: (&str, &[u8]) = ("m/data/0", &floats);
    let order =
        |order: &'static [u8]| stored(&[("m/data.pkl", &pickle), ("m/byteorder", order), data]);
    let cases = [
        (
            "no pickle",
            stored(&[("m/weights.bin", &floats)]),
            "no `data.pkl`",
        ),
        ("no entries", stored(&[]), "safetensors"),
        (
            "no directory",
            stored(&[("data.pkl", &pickle), ("data/0", &floats)]),
            "in no directory",
        ),
        (
            "two directories",
            stored(&[("m/data.pkl", &pickle), ("n/data/0", &floats)]),
            "several directories",
        ),
        (
            "climbing",
            stored(&[("../data.pkl", &pickle), data]),
            "several directories",
        ),
        ("big-endian", order(b"big"), "big-endian"),
        ("middle-endian", order(b"middle"), "unknown order"),
        (
            "long order",
            order(b"littlelittlelittle"),
            "more than 16 bytes",
        ),
        (
            "no storage",
            stored(&[("m/data.pkl", &pickle)]),
            "storage that is missing",
        ),
        (
            "long storage",
            stored(&[("m/data.pkl", &pickle), ("m/data/0", &[0; 28])]),
            "28 bytes",
        ),
    ];
    for (case, content, want) in &cases {
        refuse(case, content, &Malformed(want));
    }
}

#[test]
fn inconsistent_zip_is_refused() {
    let good = archive(&good());
    assert!(try_open(&good).is_ok());
    let last = places(&good, CENTRAL).len() - 1;
    let patch = |needle, nth, at, with: &[u8]| patched(good.clone(), needle, nth, at, with);
    let cases = [
        (
            "something before",
            code(&[b"PK\x03\x04", &good]),
            "zip archive",
        ),
        ("something after", code(&[&good, b"x"]), "something follows"),
        (
            "another archive after",
            code(&[&good, &good]),
            "zip archive",
        ),
        (
            "a comment",
            {
                let mut commented = patch(END, 0, 20, &[3, 0]);
                commented.extend(b"abc");
                commented
            },
            "something follows",
        ),
        (
            "more entries than there are",
            patch(END, 0, 8, &[9, 0, 9, 0]),
            "zip archive",
        ),
        ("65535 entries", patch(END, 0, 8, &[0xff; 4]), "zip archive"),
        (
            "fewer entries than there are",
            patch(END, 0, 8, &[1, 0, 1, 0]),
            "zip archive",
        ),
        (
            "a directory of 4 GiB",
            patch(END, 0, 12, &[0xfe, 0xff, 0xff, 0xff]),
            "zip archive",
        ),
        (
            "a directory elsewhere",
            patch(END, 0, 16, &[0, 0, 0, 0]),
            "zip archive",
        ),
        ("encrypted", patch(CENTRAL, last, 8, &[1, 0]), "zip archive"),
        (
            "an unknown method",
            patch(CENTRAL, last, 10, &[99, 0]),
            "zip archive",
        ),
        (
            "longer",
            patch(CENTRAL, last, 20, &[255, 0, 0, 0, 255, 0, 0, 0]),
            "zip archive",
        ),
        (
            "two lengths",
            patch(CENTRAL, last, 24, &[25, 0, 0, 0]),
            "zip archive",
        ),
        (
            "an offset outside",
            patch(CENTRAL, last, 42, &[0xf0, 0xff, 0xff, 0x7f]),
            "zip archive",
        ),
        (
            "an offset of another",
            patch(CENTRAL, last, 42, &[0, 0, 0, 0]),
            "zip archive",
        ),
        (
            "another name in front",
            patch(LOCAL, 0, 30, b"n"),
            "zip archive",
        ),
        (
            "a name twice",
            patch(CENTRAL, last, 46, b"m/data/1"),
            "zip archive",
        ),
    ];
    for (case, content, want) in &cases {
        refuse(case, content, &Malformed(want));
    }
    let twice = patched(
        stored(&[("m/data.pkl", &[0; 9]), ("m/data.pkx", &[0; 9])]),
        CENTRAL,
        1,
        46 + 9,
        b"l",
    );
    refuse(
        "the pickle twice",
        &patched(twice, LOCAL, 1, 30 + 9, b"l"),
        &Malformed("zip archive"),
    );
}

#[test]
fn compressed_archive_is_unpacked_within_limits() {
    let floats = floats();
    let entries: [(&str, &[u8]); 2] = [("m/data.pkl", &good()), ("m/data/0", &floats)];
    let weights = try_open(&zip(&entries, Deflated)).unwrap();
    assert_eq!(weights.values("w").unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);

    let bomb = vec![0; 64 << 20];
    let pickle = zip(&[("m/data.pkl", &bomb)], Deflated);
    refuse(
        "a pickle of zeros",
        &pickle,
        &Malformed("more than 33554432 bytes"),
    );

    let long = 64 << 20;
    let tensors = crate::write::dict(crate::write::rebuilt(
        crate::write::storage_of("ByteStorage", "0", long),
        0,
        &[long],
        &[1],
    ));
    let storage = zip(&[("m/data.pkl", &tensors), ("m/data/0", &bomb)], Deflated);
    refuse(
        "a storage of zeros",
        &storage,
        &Malformed("8 times its own length"),
    );
    assert!(
        try_open(&zip(
            &[("m/data.pkl", &tensors), ("m/data/0", &bomb)],
            Stored
        ))
        .is_ok()
    );
}

#[test]
fn inconsistent_legacy_file_is_refused() {
    let good = legacy(&good());
    assert!(try_open(&good).is_ok());
    let magic = places(&good, b"\x19.")[0] + 2;
    let with = |from: &[u8], to: &[u8]| {
        let at = *places(&good, from).last().unwrap();
        code(&[&good[..at], to, &good[at + from.len()..]])
    };
    let key: &[u8] = b"]X\x01\0\0\x000a.";
    let cases = [
        (
            "another number",
            with(b"\x50\x19.", b"\x50\x18."),
            "not one that `torch.save` wrote",
        ),
        (
            "a small number",
            code(&[b"\x80\x02K\x01.", &good[magic..]]),
            "not one that `torch.save` wrote",
        ),
        (
            "another version",
            with(b"M\xe9\x03", b"M\xea\x03"),
            "unknown version",
        ),
        ("big-endian", with(b"\x88s.", b"\x89s."), "big-endian"),
        (
            "no order",
            with(b"little_endian", b"little_indian"),
            "which order",
        ),
        (
            "no machine",
            with(b"}X\x0d\0\0\0little_endian\x88s.", b"N."),
            "which machine",
        ),
        ("no list", with(key, b"N."), "without a list"),
        ("no names", with(key, b"]K\x01a."), "no name"),
        (
            "a storage that is not used",
            with(key, b"]X\x01\0\0\x001a."),
            "nothing uses",
        ),
        ("no storages", with(key, b"]."), "belong to no storage"),
        (
            "a storage twice",
            with(key, b"](X\x01\0\0\x000X\x01\0\0\x000e."),
            "cut off",
        ),
        (
            "another length",
            with(b"\x06\0\0\0\0\0\0\0", b"\x07\0\0\0\0\0\0\0"),
            "two lengths",
        ),
        (
            "a length of 16 EiB",
            with(b"\x06\0\0\0\0\0\0\0", &[0xff; 8]),
            "two lengths",
        ),
        (
            "something after",
            code(&[&good, b"x"]),
            "1 bytes that belong to no storage",
        ),
        ("cut off", good[..good.len() - 1].to_vec(), "cut off"),
    ];
    for (case, content, want) in &cases {
        refuse(case, content, &Malformed(want));
    }
}

#[test]
fn truncated_pickle_is_refused_in_either_container() {
    let pickle = good();
    for length in 0..pickle.len() {
        let cut = &pickle[..length];
        refuse("archive", &archive(cut), &Malformed(""));
        // The rest is read as the rest of the pickle, and is not one.
        assert!(try_open(&legacy(cut)).is_err(), "{length}");
    }
}
