//! Activation functions, by PyTorch's names.

use candle_core::Tensor;

use super::cpu;
use crate::device::Kernels;
use crate::error::Error;
use crate::kernels::{self, Isa};
use crate::precision::in_full;

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    Identity,
    Relu,
    Relu6,
    LeakyRelu {
        negative_slope: f32,
    },
    Elu {
        alpha: f32,
    },
    /// With the error function: x * the normal distribution's cumulative function.
    Gelu,
    /// With the usual approximation by the hyperbolic tangent.
    GeluTanh,
    /// x * sigmoid(1.702 x), as CLIP has it.
    QuickGelu,
    Silu,
    Sigmoid,
    Tanh,
    Hardsigmoid,
    Hardswish,
}

impl Activation {
    /// One of each, for tests over all.
    #[cfg(test)]
    pub(crate) const EXAMPLES: &'static [Self] = &[
        Self::Identity,
        Self::Relu,
        Self::Relu6,
        Self::LeakyRelu {
            negative_slope: 0.1,
        },
        Self::Elu { alpha: 0.7 },
        Self::Gelu,
        Self::GeluTanh,
        Self::QuickGelu,
        Self::Silu,
        Self::Sigmoid,
        Self::Tanh,
        Self::Hardsigmoid,
        Self::Hardswish,
    ];

    /// The least and the largest value, of an activation that does nothing but keep to them.
    pub(crate) fn bounds(self) -> Option<(f32, f32)> {
        match self {
            Self::Identity => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Relu6 => Some((0.0, 6.0)),
            _ => None,
        }
    }

    /// Applies the function to each element of a tensor of any shape.
    pub(crate) fn forward(self, x: &Tensor, kernels: Kernels) -> Result<Tensor, Error> {
        match kernels {
            Kernels::Candle => Ok(self.with_candle(x)?),
            Kernels::Own => {
                let activated = cpu::unary("activation", x, x.dims(), |values| {
                    let mut result = Vec::new();
                    result.try_reserve_exact(values.len())?;
                    result.extend_from_slice(values);
                    kernels::activate(Isa::detect(), self, &mut result);
                    Ok(result)
                });
                Ok(activated?)
            }
        }
    }

    /// The function from candle's operations. What takes several, each of which rounds, is computed
    /// in f32, as PyTorch's kernels do.
    pub(super) fn with_candle(self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self.bounds() {
            Some(_) => self.in_steps(x),
            None => in_full(x, |x| self.in_steps(x)),
        }
    }

    fn in_steps(self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            Self::Relu => x.relu(),
            Self::Relu6 => x.clamp(0f32, 6f32),
            Self::LeakyRelu { negative_slope } => {
                x.relu()? - (x.neg()?.relu()? * f64::from(negative_slope))?
            }
            Self::Elu { alpha } => x.elu(f64::from(alpha)),
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::QuickGelu => (x * sigmoid(&(x * 1.702)?)?)?.contiguous(),
            Self::Silu => x.silu(),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Hardsigmoid => (x + 3.0)?.clamp(0f32, 6f32)? / 6.0,
            Self::Hardswish => (x * ((x + 3.0)?.clamp(0f32, 6f32)? / 6.0)?)?.contiguous(),
        }
    }
}

fn sigmoid(x: &Tensor) -> candle_core::Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}
