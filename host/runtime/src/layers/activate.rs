//! Activation functions of tensors.

use candle_core::Tensor;
use candle_nn::ops::sigmoid;
use modelzoo_kernels::{self as kernels, Activation, Isa};

use super::cpu;
use crate::device::Kernels;
use crate::error::Error;
use crate::precision::in_full;

/// Applies an activation function to each element of a tensor of any shape.
pub(crate) fn activate(
    x: &Tensor,
    activation: Activation,
    kernels: Kernels,
) -> Result<Tensor, Error> {
    match kernels {
        Kernels::Candle => Ok(with_candle(x, activation)?),
        Kernels::Own => {
            let activated = cpu::unary("activation", x, x.dims(), |values| {
                let mut result = Vec::new();
                result.try_reserve_exact(values.len())?;
                result.extend_from_slice(values);
                kernels::activate(Isa::detect(), activation, &mut result);
                Ok(result)
            });
            Ok(activated?)
        }
    }
}

/// The function with candle's operations. What needs several operations, each of which rounds, is
/// computed in f32, as in PyTorch's kernels.
pub(super) fn with_candle(x: &Tensor, activation: Activation) -> candle_core::Result<Tensor> {
    match activation.bounds() {
        Some(_) => in_steps(x, activation),
        None => in_full(x, |x| in_steps(x, activation)),
    }
}

fn in_steps(x: &Tensor, activation: Activation) -> candle_core::Result<Tensor> {
    match activation {
        Activation::Identity => Ok(x.clone()),
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.clamp(0f32, 6f32),
        Activation::LeakyRelu { negative_slope } => {
            x.relu()? - (x.neg()?.relu()? * f64::from(negative_slope))?
        }
        Activation::Elu { alpha } => x.elu(f64::from(alpha)),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::QuickGelu => (x * sigmoid(&(x * 1.702)?)?)?.contiguous(),
        Activation::Silu => x.silu(),
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Hardsigmoid => (x + 3.0)?.clamp(0f32, 6f32)? / 6.0,
        Activation::Hardswish => (x * ((x + 3.0)?.clamp(0f32, 6f32)? / 6.0)?)?.contiguous(),
    }
}
