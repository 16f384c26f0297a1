//! Depthwise convolution: each channel has a window of its own.

use std::collections::TryReserveError;

use crate::activation::Activation;
use crate::chunks;
use crate::isa::Isa;
use crate::math;
use crate::window::{Shape, Window};

/// Channels that are summed in registers.
const LANES: usize = 32;

/// Weights of a depthwise convolution, channels last.
pub struct Depthwise {
    isa: Isa,
    window: Window,
    /// `[taps, channels]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Depthwise {
    /// `weight` has the shape `[channels, taps]`, `bias` one value per channel.
    pub fn new(isa: Isa, window: Window, weight: &[f32], bias: Vec<f32>) -> Self {
        let taps = window.kernel[0] * window.kernel[1];
        assert_eq!(weight.len(), taps * bias.len());
        let mut transposed = Vec::with_capacity(weight.len());
        for tap in 0..taps {
            transposed.extend(weight.chunks_exact(taps).map(|channel| channel[tap]));
        }
        Self {
            isa,
            window,
            weight: transposed,
            bias,
        }
    }
}

/// Convolves; the result has the shape `[batch, rows, columns, channels]` of the window's places.
/// `residual`, of the same shape, is added before the activation.
///
/// # Errors
/// There is no memory for the result.
pub fn depthwise(
    input: &[f32],
    shape: Shape,
    weights: &Depthwise,
    residual: Option<&[f32]>,
    activation: Activation,
) -> Result<Vec<f32>, TryReserveError> {
    assert_eq!(input.len(), shape.elements());
    assert_eq!(shape.channels, weights.bias.len());
    let [rows, columns] = [
        weights.window.places(0, shape.height),
        weights.window.places(1, shape.width),
    ];
    let row = columns * shape.channels;
    let mut result = chunks::zeros(shape.batch * rows * row)?;
    assert!(residual.is_none_or(|residual| residual.len() == result.len()));
    if result.is_empty() {
        return Ok(result);
    }
    let image = shape.height * shape.width * shape.channels;
    let steps = result.len() * weights.window.kernel[0] * weights.window.kernel[1];
    chunks::for_each(&mut result, row, steps, |at, out| {
        let input = &input[at / rows * image..][..image];
        weights.isa.run(
            #[inline(always)]
            || one_row(input, shape, weights, at % rows, out),
        );
        if let Some(residual) = residual {
            for (value, residual) in out.iter_mut().zip(&residual[at * row..]) {
                *value += residual;
            }
        }
        math::activate(weights.isa, activation, out);
    });
    Ok(result)
}

/// One row of the result.
#[inline(always)]
fn one_row(input: &[f32], shape: Shape, weights: &Depthwise, y: usize, out: &mut [f32]) {
    let Depthwise {
        window,
        weight,
        bias,
        ..
    } = weights;
    let channels = shape.channels;
    for (x, out) in out.chunks_exact_mut(channels).enumerate() {
        for (block, out) in out.chunks_mut(LANES).enumerate() {
            let first = block * LANES;
            let width = out.len();
            let mut sums = [0.0; LANES];
            sums[..width].copy_from_slice(&bias[first..first + width]);
            for down in 0..window.kernel[0] {
                let Some(at_y) = window.tap(0, shape.height, y, down) else {
                    continue;
                };
                for across in 0..window.kernel[1] {
                    let Some(at_x) = window.tap(1, shape.width, x, across) else {
                        continue;
                    };
                    let source = &input[(at_y * shape.width + at_x) * channels + first..][..width];
                    let weight =
                        &weight[(down * window.kernel[1] + across) * channels + first..][..width];
                    if let (Ok(source), Ok(weight)) = (
                        <&[f32; LANES]>::try_from(source),
                        <&[f32; LANES]>::try_from(weight),
                    ) {
                        for lane in 0..LANES {
                            sums[lane] += source[lane] * weight[lane];
                        }
                    } else {
                        for ((sum, source), weight) in sums.iter_mut().zip(source).zip(weight) {
                            *sum += source * weight;
                        }
                    }
                }
            }
            out.copy_from_slice(&sums[..width]);
        }
    }
}
