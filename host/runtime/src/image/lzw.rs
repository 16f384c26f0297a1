//! LZW, as GIF and TIFF have it.

use weezl::decode::Decoder;

use super::reason::ImageReason;

/// Unpacks exactly `total` bytes from the parts of the data, in order; what follows is not read.
///
/// # Errors
/// [`ImageReason::CutOff`], [`ImageReason::Damaged`] for a code that means nothing.
pub(super) fn unpack<'a>(
    format: &'static str,
    mut decoder: Decoder,
    parts: impl Iterator<Item = &'a [u8]>,
    total: usize,
) -> Result<Vec<u8>, ImageReason> {
    let mut unpacked = vec![0; total];
    let mut left = unpacked.as_mut_slice();
    for mut part in parts {
        while !left.is_empty() {
            let result = decoder.decode_bytes(part, left);
            part = part.get(result.consumed_in..).unwrap_or_default();
            left = left.get_mut(result.consumed_out..).unwrap_or_default();
            match result.status {
                Err(error) => return Err(ImageReason::damaged(format, error.to_string())),
                Ok(_) if result.consumed_in == 0 && result.consumed_out == 0 => break,
                Ok(_) => {}
            }
        }
        if left.is_empty() {
            break;
        }
    }
    match left.len() {
        0 => Ok(unpacked),
        _ => Err(ImageReason::CutOff),
    }
}
