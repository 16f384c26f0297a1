//! Adaptive average pooling: a given number of windows, whatever the size of the feature map.

use std::collections::TryReserveError;
use std::ops::Range;

use crate::chunks;
use crate::isa::Isa;
use crate::window::Shape;

/// The elements of a side of `length` that place `place` of `places` averages: windows overlap
/// where the length is not a multiple of their number.
pub fn adaptive_range(length: usize, places: usize, place: usize) -> Range<usize> {
    place * length / places..((place + 1) * length).div_ceil(places)
}

/// The mean under each of `out[0]` x `out[1]` windows that cover each image; the result has the
/// shape `[batch, out[0], out[1], channels]`.
///
/// # Errors
/// There is no memory for the result.
pub fn adaptive_average(
    isa: Isa,
    input: &[f32],
    shape: Shape,
    out: [usize; 2],
) -> Result<Vec<f32>, TryReserveError> {
    assert_eq!(input.len(), shape.elements());
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
