//! The files of tokenizers, read and unpacked within limits.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use modelzoo_base::file::open_regular;

use crate::error::Error;

/// The most bytes of a tokenizer's file. The largest in use (SigLIP 2's) has 34 MB.
const MAX_BYTES: u64 = 64 << 20;

/// The bytes of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |reason: String| Error::Tokenizer {
        path: path.to_owned(),
        reason,
    };
    let io = |error: std::io::Error| failed(error.to_string());
    let file = open_regular(path).map_err(io)?;
    if file.metadata().map_err(io)?.len() > MAX_BYTES {
        return Err(failed(too_large(MAX_BYTES)));
    }
    bounded(file, MAX_BYTES).map_err(failed)
}

/// The text of a file that may be compressed with gzip, which inflates to at most `limit` bytes.
pub(super) fn text(bytes: &[u8], limit: u64) -> Result<String, String> {
    let bytes = match bytes {
        [0x1f, 0x8b, ..] => bounded(MultiGzDecoder::new(bytes), limit)?,
        _ => bounded(bytes, limit)?,
    };
    String::from_utf8(bytes).map_err(|_| "is not text".to_owned())
}

fn bounded(source: impl Read, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = source.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

fn too_large(limit: u64) -> String {
    format!("has more than {limit} bytes")
}
