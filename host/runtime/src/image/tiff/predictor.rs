//! Undoing what was done to samples before they were packed.

use super::directory::Order;
use crate::image::reason::ImageReason;

/// Undoes the predictor of rows of samples.
///
/// # Errors
/// [`ImageReason::Unsupported`] for a predictor of samples that none is defined for.
pub(super) fn undo(
    predictor: u64,
    rows: std::slice::ChunksExactMut<'_, u8>,
    samples: usize,
    bits: usize,
    order: Order,
) -> Result<(), ImageReason> {
    match (predictor, bits) {
        (1, _) => {}
        (2, 8 | 16 | 32) => rows.for_each(|row| differences(row, samples, bits / 8, order)),
        (3, 16 | 32) => rows.for_each(|row| bytes_apart(row, samples, bits / 8, order)),
        _ => {
            let what = format!("a TIFF with the predictor {predictor} of {bits} bits");
            return Err(ImageReason::Unsupported(what));
        }
    }
    Ok(())
}

/// Adds to each sample the one of the pixel before.
fn differences(row: &mut [u8], samples: usize, bytes: usize, order: Order) {
    let mut before = vec![0_u64; samples];
    for pixel in row.chunks_exact_mut(samples * bytes) {
        for (sample, before) in pixel.chunks_exact_mut(bytes).zip(&mut before) {
            *before = before.wrapping_add(order.number(sample));
            let sum = before.to_le_bytes();
            match order {
                Order::Little => sample.iter_mut().zip(sum).for_each(|(to, from)| *to = from),
                Order::Big => sample
                    .iter_mut()
                    .rev()
                    .zip(sum)
                    .for_each(|(to, from)| *to = from),
            }
        }
    }
}

/// The predictor of real numbers: differences of bytes, of which the highest of all samples come
/// first.
fn bytes_apart(row: &mut [u8], samples: usize, bytes: usize, order: Order) {
    differences(row, samples, 1, Order::Big);
    let each = row.len() / bytes;
    let apart = row.to_vec();
    for (index, value) in row.chunks_exact_mut(bytes).enumerate() {
        for (place, to) in value.iter_mut().enumerate() {
            let place = match order {
                Order::Little => bytes - 1 - place,
                Order::Big => place,
            };
            *to = apart.get(place * each + index).copied().unwrap_or_default();
        }
    }
}
