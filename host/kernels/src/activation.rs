//! Activation functions, by PyTorch's names.

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` above zero, `negative_slope * x` below.
    LeakyRelu {
        /// The factor of negative values.
        negative_slope: f32,
    },
    /// `x` above zero, `alpha * (e^x - 1)` below.
    Elu {
        /// The negative of the limit at minus infinity.
        alpha: f32,
    },
    /// `x * Φ(x)` by the error function, PyTorch's `gelu`.
    Gelu,
    /// `x * Φ(x)` by the hyperbolic tangent, PyTorch's `gelu(approximate="tanh")`.
    GeluTanh,
    /// `x * sigmoid(1.702 x)`, as CLIP has it.
    QuickGelu,
    /// `x * sigmoid(x)`.
    Silu,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `min(max(x + 3, 0), 6) / 6`.
    Hardsigmoid,
    /// `x * hardsigmoid(x)`.
    Hardswish,
}

impl Activation {
    /// One of each, for tests over all of them.
    pub const EXAMPLES: &'static [Self] = &[
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

    /// The least and the largest value of an activation that only clamps.
    pub fn bounds(self) -> Option<(f32, f32)> {
        match self {
            Self::Identity => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Relu6 => Some((0.0, 6.0)),
            Self::LeakyRelu { .. }
            | Self::Elu { .. }
            | Self::Gelu
            | Self::GeluTanh
            | Self::QuickGelu
            | Self::Silu
            | Self::Sigmoid
            | Self::Tanh
            | Self::Hardsigmoid
            | Self::Hardswish => None,
        }
    }
}
