//! Vectors as FiftyOne stores them: the bytes of `numpy.save`, compressed with
//! zlib, as a BSON binary in extended JSON.
//!
//! The header follows the `.npy` format, version 1.0 (numpy.lib.format).

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use modelzoo_base::text::escape;
use serde_json::{Value, json};

use super::{LabelError, number};

/// What a stored vector may inflate to; 4 million `f32`, far beyond any class list.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The most numbers of a vector that is stored, so that it can be read back.
pub const MAX_NUMBERS: usize = MAX_BYTES as usize / 4 - 1024;
const MAGIC: &[u8] = b"\x93NUMPY";

/// The extended JSON of a vector of `f32`.
#[must_use]
pub fn to_value(vector: &[f32]) -> Value {
    json!({ "$binary": { "base64": STANDARD.encode(deflate(&npy(vector))), "subType": "00" } })
}

/// Reads a vector in any form that FiftyOne has used: a binary in the current
/// or the former extended JSON, its base64 alone, or a plain list.
///
/// # Errors
/// [`LabelError`] for objects, text, records and damaged data.
pub fn from_value(value: &Value) -> Result<Vec<f32>, LabelError> {
    if let Value::Array(numbers) = value {
        return numbers
            .iter()
            .map(|number| number::as_double(number).map(|number| number as f32))
            .collect::<Option<_>>()
            .ok_or_else(|| "a list with something else than numbers".into());
    }
    let base64 = value
        .pointer("/$binary/base64")
        .or_else(|| value.get("$binary"))
        .unwrap_or(value)
        .as_str()
        .ok_or("neither binary data nor a list of numbers")?;
    let packed = STANDARD
        .decode(base64)
        .map_err(|error| format!("bad base64: {error}"))?;
    let mut plain = Vec::new();
    ZlibDecoder::new(packed.as_slice())
        .take(MAX_BYTES + 1)
        .read_to_end(&mut plain)
        .map_err(|error| format!("bad zlib data: {error}"))?;
    if plain.len() as u64 > MAX_BYTES {
        return Err(format!("inflates beyond {MAX_BYTES} bytes").into());
    }
    read_npy(&plain)
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default()
}

/// The `.npy` bytes of a one-dimensional `<f4` array.
fn npy(vector: &[f32]) -> Vec<u8> {
    let mut bytes = npy_header(&format!("({},)", vector.len()));
    bytes.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// What stands before the data of an `<f4` array of this shape, as numpy lays it out: padded so
/// that the data begin at a multiple of 64.
#[must_use]
pub fn npy_header(shape: &str) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let prefix = MAGIC.len() + 4;
    while !(prefix + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = Vec::with_capacity(prefix + header.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

fn read_npy(bytes: &[u8]) -> Result<Vec<f32>, LabelError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("not a numpy array")?;
    let (header, data) = match rest {
        [1, _, a, b, rest @ ..] => split(rest, u32::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, rest @ ..] => split(rest, u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
    .ok_or("a numpy array with a damaged header")?;
    let header = std::str::from_utf8(header).map_err(|_| "a numpy header that is not text")?;
    let kind = quoted(header, "descr").ok_or("a numpy header without a plain data type")?;
    let length = length(header)?;
    let read = reader(kind).ok_or_else(|| format!("numpy data of type '{}'", escape(kind)))?;
    if data.len() != length.saturating_mul(read.width) {
        return Err(format!(
            "{} bytes of data for {length} numbers of type '{kind}'",
            data.len()
        )
        .into());
    }
    Ok(data.chunks_exact(read.width).map(read.value).collect())
}

fn split(rest: &[u8], header: u32) -> Option<(&[u8], &[u8])> {
    rest.split_at_checked(usize::try_from(header).ok()?)
}

/// What follows `'key':` in the header's dictionary.
fn after<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn quoted<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (value, _) = after(header, key)?.strip_prefix('\'')?.split_once('\'')?;
    Some(value)
}

/// The number of elements: the shape is `()`, `(n,)` or has ones besides.
fn length(header: &str) -> Result<usize, LabelError> {
    let shape = after(header, "shape")
        .and_then(|rest| rest.strip_prefix('(')?.split_once(')'))
        .ok_or("a numpy header without a shape")?
        .0;
    let sizes = shape
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(str::parse)
        .collect::<Result<Vec<usize>, _>>()
        .map_err(|_| "a numpy header with a bad shape")?;
    match sizes
        .iter()
        .filter(|&&size| size != 1)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => Ok(1),
        [length] => Ok(**length),
        _ => Err(format!("an array of shape ({shape}) where a vector belongs").into()),
    }
}

/// How one element of a numpy data type is read. Objects, text and records have
/// no reader: unpickling is never an option.
struct Reader {
    width: usize,
    value: fn(&[u8]) -> f32,
}

fn reader(kind: &str) -> Option<Reader> {
    macro_rules! number {
        ($type:ty, $from:ident) => {
            Reader {
                width: size_of::<$type>(),
                value: |bytes| {
                    let bytes = bytes.first_chunk().copied().unwrap_or_default();
                    <$type>::$from(bytes) as f32
                },
            }
        };
    }
    let (order, kind) = kind.split_at_checked(1)?;
    Some(match (order, kind) {
        ("<" | "=", "f4") => number!(f32, from_le_bytes),
        ("<" | "=", "f8") => number!(f64, from_le_bytes),
        ("<" | "=", "f2") => Reader {
            width: 2,
            value: |bytes| {
                half(u16::from_le_bytes(
                    bytes.first_chunk().copied().unwrap_or_default(),
                ))
            },
        },
        (">", "f2") => Reader {
            width: 2,
            value: |bytes| {
                half(u16::from_be_bytes(
                    bytes.first_chunk().copied().unwrap_or_default(),
                ))
            },
        },
        (">", "f4") => number!(f32, from_be_bytes),
        (">", "f8") => number!(f64, from_be_bytes),
        (_, "i1") => number!(i8, from_le_bytes),
        (_, "u1" | "b1") => number!(u8, from_le_bytes),
        ("<" | "=", "i2") => number!(i16, from_le_bytes),
        ("<" | "=", "u2") => number!(u16, from_le_bytes),
        ("<" | "=", "i4") => number!(i32, from_le_bytes),
        ("<" | "=", "u4") => number!(u32, from_le_bytes),
        ("<" | "=", "i8") => number!(i64, from_le_bytes),
        ("<" | "=", "u8") => number!(u64, from_le_bytes),
        (">", "i2") => number!(i16, from_be_bytes),
        (">", "u2") => number!(u16, from_be_bytes),
        (">", "i4") => number!(i32, from_be_bytes),
        (">", "u4") => number!(u32, from_be_bytes),
        (">", "i8") => number!(i64, from_be_bytes),
        (">", "u8") => number!(u64, from_be_bytes),
        _ => return None,
    })
}

/// An IEEE 754 half, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3ff);
    sign * match (bits >> 10) & 0x1f {
        0 => fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2.0_f32.powi(i32::from(exponent) - 15),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    /// `numpy.save` of `values` under this header, packed as FiftyOne does.
    fn stored(version: u8, descr: &str, shape: &str, data: &[u8]) -> Value {
        let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = [MAGIC, &[version, 0]].concat();
        if version == 1 {
            bytes.extend((header.len() as u16).to_le_bytes());
        } else {
            bytes.extend((header.len() as u32).to_le_bytes());
        }
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        json!({"$binary": {"base64": STANDARD.encode(deflate(&bytes)), "subType": "00"}})
    }

    #[test]
    fn reads_what_fiftyone_wrote() {
        // numpy.array([1, 2, nan], dtype=float32), as FiftyOne 1.22 exports it.
        let value = json!({"$binary": {"base64": "eJyb7BfqGxDJyFDGUK2eklqcXKRupaBuk2airqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RrGOpo6CrUKFAAuBoYGewYGBgcGhgP1AKWVHZg=", "subType": "00"}});
        let vector = from_value(&value).unwrap();
        assert_eq!(vector.get(..2).unwrap(), [1.0, 2.0]);
        assert!(vector.get(2).unwrap().is_nan());
        assert_eq!(vector.len(), 3);
    }

    #[test]
    fn lays_out_the_bytes_as_numpy_does() {
        let bytes = npy(&[1.0, -2.5]);
        assert_eq!(bytes.len(), 128 + 8);
        let header = [
            b"\x93NUMPY\x01\x00\x76\x00".as_slice(),
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
        ]
        .concat();
        assert!(bytes.starts_with(&header));
        assert_eq!(bytes.get(127), Some(&b'\n'));
        assert!(bytes.ends_with(&[0, 0, 128, 63, 0, 0, 32, 192]));
    }

    #[test]
    fn writes_and_reads_back() {
        for vector in [
            vec![],
            vec![0.0],
            vec![1.5, f32::INFINITY, -0.0, f32::MIN_POSITIVE],
        ] {
            assert_eq!(from_value(&to_value(&vector)).unwrap(), vector);
        }
    }

    #[test]
    fn reads_other_types_and_forms() {
        let f8 = [1.0_f64.to_be_bytes(), (-2.0_f64).to_be_bytes()].concat();
        let f2 = [0x3c00_u16, 0xc100, 0x0001, 0x7c00]
            .map(u16::to_le_bytes)
            .concat();
        for (value, want) in [
            (stored(1, "'>f8'", "(2,)", &f8), vec![1.0, -2.0]),
            (
                stored(2, "'|u1'", "(3,)", &[0, 7, 255]),
                vec![0.0, 7.0, 255.0],
            ),
            (stored(1, "'|b1'", "(2,)", &[0, 1]), vec![0.0, 1.0]),
            (
                stored(1, "'<i2'", "(1, 2)", &[255, 255, 2, 0]),
                vec![-1.0, 2.0],
            ),
            (
                stored(1, "'<f2'", "(4,)", &f2),
                vec![1.0, -2.5, 5.960_464_5e-8, f32::INFINITY],
            ),
            (stored(1, "'<f4'", "()", &[0, 0, 128, 63]), vec![1.0]),
            (
                json!([1, 2.5, {"$numberDouble": "-Infinity"}]),
                vec![1.0, 2.5, f32::NEG_INFINITY],
            ),
        ] {
            assert_eq!(from_value(&value).unwrap(), want, "{value}");
        }
        let binary = to_value(&[3.0]);
        let base64 = binary.pointer("/$binary/base64").unwrap();
        assert_eq!(from_value(base64).unwrap(), [3.0]);
        assert_eq!(
            from_value(&json!({"$binary": base64, "$type": "00"})).unwrap(),
            [3.0]
        );
    }

    #[test]
    fn refuses_objects_bombs_and_damage() {
        for (value, reason) in [
            (stored(1, "'|O'", "(1,)", &[0; 8]), "type '|O'"),
            (stored(1, "'<U4'", "(1,)", &[0; 16]), "type '<U4'"),
            (
                stored(1, "[('a', '<f4')]", "(1,)", &[0; 4]),
                "without a plain data type",
            ),
            (stored(1, "'<f4'", "(2,)", &[0; 4]), "4 bytes of data for 2"),
            (stored(1, "'<f4'", "(2, 2)", &[0; 16]), "shape (2, 2)"),
            (
                stored(1, "'<f4'", "(18446744073709551615,)", &[0; 4]),
                "4 bytes of data",
            ),
            (stored(1, "'<f4'", "(-1,)", &[0; 4]), "bad shape"),
            (
                stored(1, "'<f4'", "(5000000,)", &vec![0; 20_000_000]),
                "inflates beyond",
            ),
            (
                json!({"$binary": {"base64": "%", "subType": "00"}}),
                "bad base64",
            ),
            (
                json!({"$binary": {"base64": "AAAA", "subType": "00"}}),
                "bad zlib",
            ),
            (
                json!({"$binary": {"base64": STANDARD.encode(deflate(b"PK")), "subType": "00"}}),
                "not a numpy array",
            ),
            (
                json!({"$binary": {"base64": STANDARD.encode(deflate(b"\x93NUMPY\x01\x00\xff\xff{")), "subType": "00"}}),
                "damaged header",
            ),
            (json!(7), "neither"),
            (json!(["a"]), "something else"),
        ] {
            let error = from_value(&value).unwrap_err().to_string();
            assert!(error.contains(reason), "{error} / {reason}");
        }
    }
}
