//! Weight files: no panic, no tensor beyond the file, and memory bounded by the file's size.
//!
//! An input is a whole file. A pickle is also read as the `data.pkl` of an archive, whose
//! checksums mutations do not find.

use std::io::{Cursor, Read, Write};

use modelzoo_runtime::{Error, Weights};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::cost::{Bound, measure};
use crate::place::Place;
use crate::{Target, assert_one_line, seeds};

pub(crate) const TARGET: Target = Target {
    name: "weights",
    run,
    seeds,
    words: &[
        "\"dtype\":",
        "\"shape\":",
        "\"data_offsets\":",
        "__metadata__",
        "F32",
        "F16",
        "BF16",
        "F64",
        "I64",
        "BOOL",
        "F8_E4M3",
        "[0,4]",
        "[18446744073709551615]",
        "PK\u{3}\u{4}",
        "PK\u{1}\u{2}",
        "PK\u{5}\u{6}",
        "ctorch._utils\n_rebuild_tensor_v2\n",
        "ctorch._utils\n_rebuild_parameter\n",
        "ctorch\nFloatStorage\n",
        "ctorch\nHalfStorage\n",
        "ccollections\nOrderedDict\n",
        "storage",
        "cpu",
        "cposix\nsystem\n",
        "}",
        "(",
        ")",
        "t",
        "Q",
        "q\u{0}",
        "h\u{0}",
        "R",
        "u",
        "s",
        "]",
        "a",
        "e",
        "K",
        "M",
        "J",
        "X",
        "N",
        "0",
        "1",
        "2",
        ".",
    ],
};

/// How many times the bytes of their file tensors may use: compressed data may be nine times as
/// long with the file itself, and each byte may be used sixteen times.
const MOST: usize = 9 * 16;
/// Tensors whose elements are read.
const READ: usize = 64;

/// A byte of a pickle can become a value of 16 bytes, in a list that may have room for as many
/// more; what is compressed may be eight times as long.
const BOUND: Bound = Bound {
    peak: [256, 256 << 10],
    total: [1024, 1 << 20],
};

fn run(data: &[u8]) -> bool {
    let raw = open(data, true);
    let pickle = matches!(data, [0x80, 2..=5, ..]);
    raw | (pickle && open(&around(data), false))
}

fn open(bytes: &[u8], is_input: bool) -> bool {
    let place = Place::new();
    place.write("weights", bytes);
    let (opened, cost) = measure(|| Weights::open(&place.inside, &["weights".to_owned()]));
    cost.assert_within(BOUND, bytes.len());
    let accepted = match opened {
        Ok(weights) => {
            read(&weights, bytes.len());
            true
        }
        Err(error) => {
            let expected = matches!(
                error,
                Error::WeightsFile { .. } | Error::UnsafePickle { .. } | Error::WeightsIo { .. }
            );
            assert!(expected, "{error:?}");
            // An empty file cannot be mapped everywhere; no other reading may fail.
            let io = matches!(error, Error::WeightsIo { .. });
            assert!(!io || (is_input && bytes.is_empty()), "{error:?}");
            assert_one_line(&error.to_string());
            false
        }
    };
    place.assert_untouched();
    accepted
}

fn read(weights: &Weights, length: usize) {
    let mut total = 0;
    for (number, (name, dtype, shape)) in weights.tensors().enumerate() {
        let elements = shape
            .iter()
            .try_fold(1, |n: usize, size| n.checked_mul(*size));
        let elements = elements.expect("the elements can be counted");
        total += elements
            .checked_mul(width(dtype))
            .expect("the bytes can be counted");
        assert!(
            total <= length.saturating_mul(MOST),
            "{total} bytes of {length}"
        );
        if number >= READ {
            continue;
        }
        match weights.values(name) {
            Ok(values) => assert_eq!(values.len(), elements, "{name:?} {dtype} {shape:?}"),
            Err(error) => {
                assert!(matches!(error, Error::WrongType { .. }), "{error:?}");
                assert_one_line(&error.to_string());
            }
        }
    }
}

fn width(dtype: &str) -> usize {
    match dtype {
        "F64" | "I64" | "U64" => 8,
        "F32" | "I32" | "U32" => 4,
        "F16" | "BF16" | "I16" | "U16" => 2,
        _ => 1,
    }
}

/// A checkpoint with this pickle and with the storages that fixtures have.
fn around(pickle: &[u8]) -> Vec<u8> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut put = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), stored).unwrap();
        zip.write_all(bytes).unwrap();
    };
    put("data.pkl", pickle);
    put("version", b"3\n");
    put("byteorder", b"little");
    for number in 0..10 {
        put(&format!("data/{number}"), &[63; 256]);
    }
    zip.finish().unwrap().into_inner()
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let directory = "tests/parity/fixtures/checkpoints";
    let mut seeds = seeds::files(directory, &[".pth", ".safetensors"], 16 << 10);
    let pickles: Vec<_> = seeds
        .iter()
        .filter_map(|(name, bytes)| Some((format!("{name}.pkl"), pickle_of(bytes)?)))
        .collect();
    seeds.extend(pickles);
    seeds
}

fn pickle_of(checkpoint: &[u8]) -> Option<Vec<u8>> {
    let mut zip = ZipArchive::new(Cursor::new(checkpoint)).ok()?;
    let mut names = zip.file_names().filter_map(Result::ok);
    let name = names.find(|name| name.ends_with("data.pkl"))?;
    let name = name.into_owned();
    drop(names);
    let mut pickle = Vec::new();
    zip.by_name(&name).ok()?.read_to_end(&mut pickle).ok()?;
    Some(pickle)
}
