//! Concatenation and interleaving of feature maps along their channels.

use std::collections::TryReserveError;
use std::ops::Range;

use crate::activation::Activation;
use crate::chunks;
use crate::isa::Isa;
use crate::math;

/// One of the feature maps: its values, `[pixels, channels]`, and its number of channels.
pub type Part<'a> = (&'a [f32], usize);

/// Concatenates the channels of `parts` into `[pixels, channels]`, `row` pixels at a time. Where
/// there is an `affine`, each channel is multiplied by its scale and its shift added; then the
/// activation is applied.
///
/// # Errors
/// There is no memory for the result.
pub fn concat(
    isa: Isa,
    parts: &[Part<'_>],
    row: usize,
    affine: Option<[&[f32]; 2]>,
    activation: Activation,
) -> Result<Vec<f32>, TryReserveError> {
    let channels: usize = parts.iter().map(|(_, channels)| channels).sum();
    let length = parts.iter().map(|(values, _)| values.len()).sum();
    if let Some([scale, shift]) = affine {
        assert_eq!([scale.len(), shift.len()], [channels; 2]);
    }
    let mut result = chunks::zeros(length)?;
    if length == 0 {
        return Ok(result);
    }
    assert!(
        length % (channels * row) == 0
            && parts
                .iter()
                .all(|(values, part)| values.len() == length / channels * part)
    );
    chunks::for_each(&mut result, channels * row, length, |at, out| {
        isa.run(
            #[inline(always)]
            || {
                for (index, out) in out.chunks_exact_mut(channels).enumerate() {
                    one_pixel(parts, at * row + index, affine, out);
                }
            },
        );
        math::activate(isa, activation, out);
    });
    Ok(result)
}

#[inline(always)]
fn one_pixel(parts: &[Part<'_>], pixel: usize, affine: Option<[&[f32]; 2]>, out: &mut [f32]) {
    let mut first = 0;
    for &(values, channels) in parts {
        let source = &values[pixel * channels..][..channels];
        let out = &mut out[first..][..channels];
        match affine {
            None => out.copy_from_slice(source),
            Some([scale, shift]) => {
                let affine = scale[first..].iter().zip(&shift[first..]);
                for ((out, value), (scale, shift)) in out.iter_mut().zip(source).zip(affine) {
                    *out = value * scale + shift;
                }
            }
        }
        first += channels;
    }
}

/// The channels in `range` of two feature maps of `channels` each, interleaved: the first of `a`,
/// the first of `b`, the second of `a`, and so on.
///
/// # Errors
/// There is no memory for the result.
pub fn interleave(
    isa: Isa,
    a: &[f32],
    b: &[f32],
    channels: usize,
    row: usize,
    range: Range<usize>,
) -> Result<Vec<f32>, TryReserveError> {
    assert!(a.len() == b.len() && range.end <= 2 * channels);
    let width = range.len();
    let pixels = a.len() / channels.max(1);
    let mut result = chunks::zeros(pixels * width)?;
    if result.is_empty() {
        return Ok(result);
    }
    assert_eq!(pixels % row, 0);
    let steps = result.len();
    chunks::for_each(&mut result, width * row, steps, |at, out| {
        isa.run(
            #[inline(always)]
            || {
                for (index, out) in out.chunks_exact_mut(width).enumerate() {
                    let first = (at * row + index) * channels;
                    alternate(
                        &a[first..][..channels],
                        &b[first..][..channels],
                        &range,
                        out,
                    );
                }
            },
        );
    });
    Ok(result)
}

#[inline(always)]
fn alternate(a: &[f32], b: &[f32], range: &Range<usize>, out: &mut [f32]) {
    // An odd start is in the middle of a pair: the pairs are then those of b and the next a.
    let (a, b) = if range.start.is_multiple_of(2) {
        (&a[range.start / 2..], &b[range.start / 2..])
    } else {
        (&b[range.start / 2..], &a[range.start / 2 + 1..])
    };
    let pairs = out.len() / 2;
    let mut outs = out.chunks_exact_mut(2);
    for ((out, a), b) in outs.by_ref().zip(a).zip(b) {
        out[0] = *a;
        out[1] = *b;
    }
    if let [last] = outs.into_remainder() {
        *last = a[pairs];
    }
}
