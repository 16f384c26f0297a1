//! Vectors: embeddings, and the logits of classes.

use serde_json::Value;

use super::array::Array;
use super::{LabelError, binary, number};

/// What a stored vector may inflate to: 4 million `f32`, far beyond any class list.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The most numbers of a vector that is stored, so that it can be read back.
pub const MAX_NUMBERS: usize = MAX_BYTES as usize / 4 - 1024;

/// The extended JSON of a vector of `f32`.
#[must_use]
pub fn to_value(vector: &[f32]) -> Value {
    match Array::from_f32(vec![vector.len()], vector) {
        Some(array) => binary::to_value(&array),
        None => Value::Null,
    }
}

/// Reads a vector in any form that FiftyOne has used: a binary in the current
/// or the former extended JSON, its base64 alone, or a plain list.
///
/// # Errors
/// [`LabelError`] for an array of several dimensions, for objects, text and records, and for
/// damaged data.
#[allow(clippy::cast_possible_truncation, reason = "vectors are of `f32`")]
pub fn from_value(value: &Value) -> Result<Vec<f32>, LabelError> {
    if let Value::Array(numbers) = value {
        return numbers
            .iter()
            .map(|number| number::as_double(number).map(|number| number as f32))
            .collect::<Option<_>>()
            .ok_or_else(|| "a list with something else than numbers".into());
    }
    let array = binary::from_value_within(value, MAX_BYTES)?;
    if array.shape().iter().filter(|&&size| size != 1).count() > 1 {
        let shape = array.shape().iter().map(usize::to_string);
        let shape = shape.collect::<Vec<_>>().join(", ");
        return Err(format!("an array of shape ({shape}) where a vector belongs").into());
    }
    Ok(array.numbers().map(|number| number as f32).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;
    use crate::label::binary::deflate;

    const MAGIC: &[u8] = b"\x93NUMPY";

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
