//! Arrays as FiftyOne stores them: the bytes of `numpy.save`, compressed with zlib, as a BSON
//! binary in extended JSON.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};

use super::array::Array;
use super::{LabelError, npy};

/// What a stored array may inflate to: 256 MiB, a map of 8192x8192 `f32`.
const MAX_BYTES: u64 = 256 << 20;

/// The extended JSON of an array.
#[must_use]
pub fn to_value(array: &Array) -> Value {
    let packed = STANDARD.encode(deflate(&npy::encode(array)));
    json!({ "$binary": { "base64": packed, "subType": "00" } })
}

/// Reads an array: a binary in the current or the former extended JSON, or its base64 alone.
///
/// # Errors
/// [`LabelError`] for objects, text, records and damaged data, and for an array of more than
/// 256 MiB.
pub fn from_value(value: &Value) -> Result<Array, LabelError> {
    from_value_within(value, MAX_BYTES)
}

/// As [`from_value`], for an array that inflates to `most` bytes or fewer.
pub(super) fn from_value_within(value: &Value, most: u64) -> Result<Array, LabelError> {
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
        .take(most + 1)
        .read_to_end(&mut plain)
        .map_err(|error| format!("bad zlib data: {error}"))?;
    if plain.len() as u64 > most {
        return Err(format!("inflates beyond {most} bytes").into());
    }
    npy::decode(&plain)
}

pub(super) fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default()
}
