//! Operations on rows of features: norms, gated activations, gathers, rotations.

use std::collections::TryReserveError;

use crate::activation::Activation;
use crate::chunks;
use crate::isa::Isa;
use crate::math;

/// Layer norm: normalises each row of `input` by its mean and standard deviation, multiplies by
/// `scale` and adds `shift`, both as long as a row, and adds the same row of `residual`.
///
/// # Errors
/// There is no memory for the result.
pub fn normalize_rows(
    isa: Isa,
    input: &[f32],
    [scale, shift]: [&[f32]; 2],
    eps: f64,
    residual: Option<&[f32]>,
) -> Result<Vec<f32>, TryReserveError> {
    let length = scale.len();
    assert!(length > 0 && shift.len() == length && input.len().is_multiple_of(length));
    assert!(residual.is_none_or(|residual| residual.len() == input.len()));
    let mut result = chunks::zeros(input.len())?;
    #[allow(clippy::cast_possible_truncation, reason = "it is added to f32 values")]
    let eps = eps as f32;
    chunks::for_each(&mut result, length, 4 * input.len(), |at, out| {
        let row = &input[at * length..][..length];
        isa.run(
            #[inline(always)]
            || {
                let share = 1.0 / length as f32;
                let mean = sum(row, |value| value) * share;
                let variance = sum(row, |value| (value - mean) * (value - mean)) * share;
                let factor = 1.0 / (variance + eps).sqrt();
                for (((out, value), scale), shift) in out.iter_mut().zip(row).zip(scale).zip(shift)
                {
                    *out = (value - mean) * factor * scale + shift;
                }
                if let Some(residual) = residual {
                    for (out, residual) in out.iter_mut().zip(&residual[at * length..]) {
                        *out += residual;
                    }
                }
            },
        );
    });
    Ok(result)
}

/// The sum of a function over the values.
#[inline(always)]
pub(crate) fn sum(values: &[f32], function: impl Fn(f32) -> f32) -> f32 {
    let step = |sum, value| sum + function(value);
    math::fold(values, 0.0, step, |a, b| a + b)
}

/// Gated activation: `activation(a) * b` for rows that hold `a` and then `b`, each of `size`
/// elements.
///
/// # Errors
/// There is no memory for the result.
pub fn gate_rows(
    isa: Isa,
    input: &[f32],
    size: usize,
    activation: Activation,
) -> Result<Vec<f32>, TryReserveError> {
    assert!(size > 0 && input.len().is_multiple_of(2 * size));
    let mut result = chunks::zeros(input.len() / 2)?;
    chunks::for_each(&mut result, size, 4 * input.len(), |at, out| {
        let (gates, values) = input[at * 2 * size..][..2 * size].split_at(size);
        out.copy_from_slice(gates);
        math::activate(isa, activation, out);
        isa.run(
            #[inline(always)]
            || {
                for (out, value) in out.iter_mut().zip(values) {
                    *out *= value;
                }
            },
        );
    });
    Ok(result)
}

/// Takes the rows `index` of each sample, in that order: `[batch, rows, length]` to
/// `[batch, index, length]`.
///
/// # Errors
/// There is no memory for the result.
pub fn gather_rows(
    input: &[f32],
    [batch, rows, length]: [usize; 3],
    index: &[u32],
) -> Result<Vec<f32>, TryReserveError> {
    assert_eq!(input.len(), batch * rows * length);
    let mut result = chunks::zeros(batch * index.len() * length)?;
    if result.is_empty() {
        return Ok(result);
    }
    let steps = result.len();
    chunks::for_each(&mut result, length, steps, |at, out| {
        let row = at / index.len() * rows + index[at % index.len()] as usize;
        out.copy_from_slice(&input[row * length..][..length]);
    });
    Ok(result)
}

/// Adds `rows` to each sample of the batch.
///
/// # Errors
/// There is no memory for the result.
pub fn add_repeated(isa: Isa, input: &[f32], rows: &[f32]) -> Result<Vec<f32>, TryReserveError> {
    assert!(!rows.is_empty() && input.len().is_multiple_of(rows.len()));
    let mut result = chunks::zeros(input.len())?;
    chunks::for_each(&mut result, rows.len(), input.len(), |at, out| {
        let input = &input[at * rows.len()..][..rows.len()];
        isa.run(
            #[inline(always)]
            || {
                for ((out, value), row) in out.iter_mut().zip(input).zip(rows) {
                    *out = value + row;
                }
            },
        );
    });
    Ok(result)
}

/// Multiplies each pixel of `[batch, pixels, channels]` by its image's row of `factors`,
/// `[batch, channels]`.
///
/// # Errors
/// There is no memory for the result.
pub fn scale_channels(
    isa: Isa,
    input: &[f32],
    factors: &[f32],
    [batch, pixels, channels]: [usize; 3],
) -> Result<Vec<f32>, TryReserveError> {
    assert!(input.len() == batch * pixels * channels && factors.len() == batch * channels);
    let mut result = chunks::zeros(input.len())?;
    if result.is_empty() {
        return Ok(result);
    }
    chunks::for_each(&mut result, channels, input.len(), |at, out| {
        let (input, factors) = (&input[at * channels..], &factors[at / pixels * channels..]);
        isa.run(
            #[inline(always)]
            || {
                for ((out, value), factor) in out.iter_mut().zip(input).zip(factors) {
                    *out = value * factor;
                }
            },
        );
    });
    Ok(result)
}

/// Zeros around a feature map: `[[top, bottom], [left, right]]`.
pub type Margins = [[usize; 2]; 2];

/// Pads `[batch, height, width, channels]` with zeros.
///
/// # Errors
/// There is no memory for the result.
pub fn pad(
    input: &[f32],
    [height, width, channels]: [usize; 3],
    [[top, bottom], [left, right]]: Margins,
) -> Result<Vec<f32>, TryReserveError> {
    let (source, target) = (width * channels, (left + width + right) * channels);
    let rows = top + height + bottom;
    let batch = input.len() / (height * source).max(1);
    assert_eq!(input.len(), batch * height * source);
    let mut result = chunks::zeros(batch * rows * target)?;
    if result.is_empty() {
        return Ok(result);
    }
    let steps = result.len();
    chunks::for_each(&mut result, target, steps, |at, out| {
        let (image, y) = (at / rows, at % rows);
        if let Some(y) = y.checked_sub(top).filter(|&y| y < height) {
            let row = &input[(image * height + y) * source..][..source];
            out[left * channels..][..source].copy_from_slice(row);
        }
    });
    Ok(result)
}

/// An operation on the heads of a row.
#[derive(Clone, Copy, Debug)]
pub enum HeadOperation<'a> {
    /// Rotary position embedding: `x * cos + rotate_half(x) * sin`. With fewer angles than tokens,
    /// the first tokens stay as they are.
    Rotate {
        /// `[tokens, head / 2]`.
        cosines: &'a [f32],
        /// `[tokens, head / 2]`.
        sines: &'a [f32],
    },
    /// Divides each head by its L2 norm, or by `floor` where that is more.
    Normalize {
        /// The least divisor.
        floor: f32,
    },
}

/// Changes the first `heads` heads, of `head` elements each, of each row of `[batch, tokens, row]`.
///
/// # Errors
/// There is no memory for the result.
pub fn change_heads(
    isa: Isa,
    input: &[f32],
    [tokens, row]: [usize; 2],
    [heads, head]: [usize; 2],
    operation: HeadOperation<'_>,
) -> Result<Vec<f32>, TryReserveError> {
    assert!(tokens > 0 && head > 0 && heads * head <= row);
    assert!(input.len().is_multiple_of(tokens * row));
    if let HeadOperation::Rotate { cosines, sines } = operation {
        assert!(head.is_multiple_of(2) && cosines.len() == sines.len());
    }
    let mut result = chunks::zeros(input.len())?;
    chunks::for_each(&mut result, row, 4 * input.len(), |at, out| {
        out.copy_from_slice(&input[at * row..][..row]);
        let heads = out[..heads * head].chunks_exact_mut(head);
        isa.run(
            #[inline(always)]
            || match operation {
                HeadOperation::Rotate { cosines, sines } => {
                    let half = head / 2;
                    let rotated = cosines.len() / half;
                    if let Some(place) = (at % tokens).checked_sub(tokens - rotated) {
                        let [cosines, sines] =
                            [cosines, sines].map(|angles| &angles[place * half..][..half]);
                        heads.for_each(|head| rotate(head, cosines, sines));
                    }
                }
                HeadOperation::Normalize { floor } => heads.for_each(|head| {
                    let length = sum(head, |value| value * value).sqrt();
                    let factor = 1.0 / if length < floor { floor } else { length };
                    head.iter_mut().for_each(|value| *value *= factor);
                }),
            },
        );
    });
    Ok(result)
}

#[inline(always)]
fn rotate(head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    let (first, second) = head.split_at_mut(cosines.len());
    let angles = cosines.iter().zip(sines);
    for ((a, b), (cosine, sine)) in first.iter_mut().zip(second).zip(angles) {
        let (x, y) = (*a, *b);
        *a = x * cosine - y * sine;
        *b = y * cosine + x * sine;
    }
}
