//! Max, average and global average pooling.

use std::collections::TryReserveError;

use crate::chunks;
use crate::isa::Isa;
use crate::window::{Shape, Window};

/// The reduction of the values under a window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PoolKind {
    /// The largest value.
    Max,
    /// The mean.
    Average {
        /// Whether padding counts, as zeros.
        count_padding: bool,
    },
}

/// Pools windows; the result has the shape `[batch, out[0], out[1], channels]`.
///
/// `out` may be one more per side than [`Window::places`] says: the last window then reaches
/// beyond the padding, where nothing counts.
///
/// # Errors
/// There is no memory for the result.
pub fn pool(
    isa: Isa,
    input: &[f32],
    shape: Shape,
    window: &Window,
    out: [usize; 2],
    kind: PoolKind,
) -> Result<Vec<f32>, TryReserveError> {
    assert_eq!(input.len(), shape.elements());
    let [rows, columns] = out;
    let row = columns * shape.channels;
    let mut result = chunks::zeros(shape.batch * rows * row)?;
    if result.is_empty() {
        return Ok(result);
    }
    let image = shape.height * shape.width * shape.channels;
    let steps = result.len() * window.kernel[0] * window.kernel[1];
    chunks::for_each(&mut result, row, steps, |at, out| {
        let input = &input[at / rows * image..][..image];
        isa.run(
            #[inline(always)]
            || one_row(input, shape, window, at % rows, kind, out),
        );
    });
    Ok(result)
}

/// One row of the result.
#[inline(always)]
fn one_row(
    input: &[f32],
    shape: Shape,
    window: &Window,
    y: usize,
    kind: PoolKind,
    out: &mut [f32],
) {
    let channels = shape.channels;
    for (x, out) in out.chunks_exact_mut(channels).enumerate() {
        out.fill(if kind == PoolKind::Max {
            f32::NEG_INFINITY
        } else {
            0.0
        });
        let mut taps = 0_usize;
        for down in 0..window.kernel[0] {
            let Some(at_y) = window.tap(0, shape.height, y, down) else {
                continue;
            };
            for across in 0..window.kernel[1] {
                let Some(at_x) = window.tap(1, shape.width, x, across) else {
                    continue;
                };
                let source = &input[(at_y * shape.width + at_x) * channels..][..channels];
                taps += 1;
                match kind {
                    PoolKind::Max => larger(out, source),
                    PoolKind::Average { .. } => out
                        .iter_mut()
                        .zip(source)
                        .for_each(|(out, source)| *out += source),
                }
            }
        }
        if let PoolKind::Average { count_padding } = kind {
            let taps = if count_padding {
                taps_with_padding(window, 0, shape.height, y)
                    * taps_with_padding(window, 1, shape.width, x)
            } else {
                taps
            };
            // A window of nothing but padding is zero, as in PyTorch.
            let share = 1.0 / taps.max(1) as f32;
            out.iter_mut().for_each(|out| *out *= share);
        }
    }
}

#[inline(always)]
fn larger(out: &mut [f32], source: &[f32]) {
    for (out, &source) in out.iter_mut().zip(source) {
        // NaN wins, as in PyTorch.
        *out = if source > *out || source.is_nan() {
            source
        } else {
            *out
        };
    }
}

/// Taps of the window at `place` that are inside the feature map or its padding.
fn taps_with_padding(window: &Window, axis: usize, length: usize, place: usize) -> usize {
    let end = length + 2 * window.padding[axis];
    (0..window.kernel[axis])
        .filter(|tap| place * window.stride[axis] + tap * window.dilation[axis] < end)
        .count()
}

/// The mean of each channel over the whole image; the result has the shape `[batch, channels]`.
///
/// # Errors
/// There is no memory for the result.
pub fn global_average(isa: Isa, input: &[f32], shape: Shape) -> Result<Vec<f32>, TryReserveError> {
    assert_eq!(input.len(), shape.elements());
    let Shape {
        height,
        width,
        channels,
        batch,
    } = shape;
    let mut result = chunks::zeros(batch * channels)?;
    if input.is_empty() {
        return Ok(result);
    }
    // Sums of rows first: they use all threads even for one image, and round less than one long
    // sum.
    let mut sums = chunks::zeros(batch * height * channels)?;
    let row = width * channels;
    chunks::for_each(&mut sums, channels, input.len(), |at, out| {
        add_all(isa, &input[at * row..][..row], out);
    });
    let share = 1.0 / (height * width) as f32;
    let images = sums.chunks_exact(height * channels);
    for (out, sums) in result.chunks_exact_mut(channels).zip(images) {
        add_all(isa, sums, out);
        out.iter_mut().for_each(|out| *out *= share);
    }
    Ok(result)
}

/// Adds consecutive parts of `parts`, each as long as `sum`, to `sum`.
fn add_all(isa: Isa, parts: &[f32], sum: &mut [f32]) {
    isa.run(
        #[inline(always)]
        || {
            for part in parts.chunks_exact(sum.len()) {
                sum.iter_mut()
                    .zip(part)
                    .for_each(|(sum, value)| *sum += value);
            }
        },
    );
}
