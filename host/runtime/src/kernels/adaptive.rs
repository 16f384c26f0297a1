//! Averages over as many windows as are wanted, whatever the size of the feature map.

use std::collections::TryReserveError;
use std::ops::Range;

use super::chunks;
use super::isa::Isa;
use super::window::Shape;

/// What of a side of `length` is averaged for place `place` of `places`: the windows overlap
/// where the length is no multiple of their number.
pub(crate) fn adaptive_range(length: usize, places: usize, place: usize) -> Range<usize> {
    place * length / places..((place + 1) * length).div_ceil(places)
}

/// The mean under each of `out[0]` x `out[1]` windows that cover each image; the result has the
/// shape `[batch, out[0], out[1], channels]`.
///
/// # Errors
/// There is no memory for the result.
pub(crate) fn adaptive_average(
    isa: Isa,
    input: &[f32],
    shape: Shape,
    out: [usize; 2],
) -> Result<Vec<f32>, TryReserveError> {
    assert_eq!(input.len(), shape.len());
    let [rows, columns] = out;
    let row = columns * shape.channels;
    let mut result = chunks::zeros(shape.batch * rows * row)?;
    if result.is_empty() || input.is_empty() {
        return Ok(result);
    }
    let image = shape.height * shape.width * shape.channels;
    chunks::for_each(&mut result, row, input.len(), |at, out| {
        let input = &input[at / rows * image..][..image];
        let down = adaptive_range(shape.height, rows, at % rows);
        isa.run(
            #[inline(always)]
            || one_row(input, shape, &down, columns, out),
        );
    });
    Ok(result)
}

#[inline(always)]
fn one_row(input: &[f32], shape: Shape, down: &Range<usize>, columns: usize, out: &mut [f32]) {
    let channels = shape.channels;
    for (x, out) in out.chunks_exact_mut(channels).enumerate() {
        let across = adaptive_range(shape.width, columns, x);
        for y in down.clone() {
            let row = &input[(y * shape.width + across.start) * channels..];
            for pixel in row[..across.len() * channels].chunks_exact(channels) {
                for (out, value) in out.iter_mut().zip(pixel) {
                    *out += value;
                }
            }
        }
        let share = 1.0 / (down.len() * across.len()) as f32;
        out.iter_mut().for_each(|out| *out *= share);
    }
}
