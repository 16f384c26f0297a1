//! The configuration of `sequential`.

use std::fmt;

use modelzoo_kernels::{PoolKind, Window};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::layers::{BatchNorm, ConvGeometry, PoolWindow};

/// The configuration of `sequential`: a list of layers, like PyTorch's `nn.Sequential`.
///
/// ```json
/// { "layers": [
///     { "type": "conv2d", "name": "conv1", "in_channels": 1, "out_channels": 16, "kernel_size": 3, "padding": 1, "bias": false },
///     { "type": "batch_norm", "name": "bn1", "features": 16 },
///     { "type": "relu" },
///     { "type": "max_pool", "kernel_size": 2 },
///     { "type": "global_avg_pool" },
///     { "type": "flatten" },
///     { "type": "linear", "name": "fc", "in_features": 16, "out_features": 10 }
/// ] }
/// ```
///
/// Layers with weights have a `name`, which is unique; their tensors are named
/// `<name>.weight`, `<name>.bias`, and for a batch norm also `<name>.running_mean` and
/// `<name>.running_var`, in the shapes that PyTorch has. The last layer leaves one row of
/// outputs per image: a `linear`, or a `flatten` after a `global_avg_pool`. There is no softmax
/// at the end; the task applies it.
///
/// Sizes marked *pair* are one number for both sides, or `[height, width]`.
///
/// | `type` | fields, with their defaults |
/// |---|---|
/// | `conv2d` | `name`, `in_channels`, `out_channels`, `kernel_size` *pair*, `stride` *pair* 1, `padding` *pair* 0, `dilation` *pair* 1, `groups` 1, `bias` true |
/// | `batch_norm` | `name`, `features`, `eps` 1e-5, `affine` true |
/// | `max_pool` | `kernel_size` *pair*, `stride` *pair* (the kernel's size), `padding` *pair* 0, `ceil_mode` false |
/// | `avg_pool` | `kernel_size` *pair*, `stride` *pair* (the kernel's size), `padding` *pair* 0, `ceil_mode` false, `count_include_pad` true |
/// | `global_avg_pool` | none: the mean of each channel |
/// | `flatten` | none: channel by channel, row by row |
/// | `linear` | `name`, `in_features`, `out_features`, `bias` true |
/// | `dropout` | `p` 0.5: does nothing in inference |
/// | `identity`, `relu`, `relu6`, `silu`, `sigmoid`, `tanh`, `hardsigmoid`, `hardswish` | none |
/// | `leaky_relu` | `negative_slope` 0.01 |
/// | `elu` | `alpha` 1 |
/// | `gelu` | `approximate`: `"none"` (the default) or `"tanh"` |
///
/// A batch norm after a convolution or a linear layer is folded into its weights, and an
/// activation after it is applied in the same pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequentialConfig {
    /// The layers, first to last.
    pub layers: Vec<SequentialLayer>,
}

/// One layer of a [`SequentialConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum SequentialLayer {
    /// A 2D convolution: `weight` is `[out_channels, in_channels / groups, height, width]`,
    /// `bias` `[out_channels]`.
    Conv2d {
        /// The prefix of its tensors.
        name: String,
        /// Channels of its input.
        in_channels: usize,
        /// Channels of its output.
        out_channels: usize,
        /// The window.
        kernel_size: Pair,
        /// The step of the window.
        #[serde(default = "one")]
        stride: Pair,
        /// Zeros on each side.
        #[serde(default = "zero")]
        padding: Pair,
        /// The step between the window's taps.
        #[serde(default = "one")]
        dilation: Pair,
        /// Divides both numbers of channels.
        #[serde(default = "one_group")]
        groups: usize,
        /// Whether there is a bias.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// A batch norm over channels or features: four tensors of `[features]`.
    BatchNorm {
        /// The prefix of its tensors.
        name: String,
        /// Channels, or features after `flatten`.
        features: usize,
        /// The epsilon that is added to the variance.
        #[serde(default = "eps")]
        eps: f64,
        /// Whether there are a weight and a bias besides the statistics.
        #[serde(default = "yes")]
        affine: bool,
    },
    /// The largest value under a window.
    MaxPool {
        /// The window.
        kernel_size: Pair,
        /// The step of the window; its size if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Pair>,
        /// Places on each side that never win; at most half of the kernel.
        #[serde(default = "zero")]
        padding: Pair,
        /// Whether a last, incomplete window counts.
        #[serde(default)]
        ceil_mode: bool,
    },
    /// The mean under a window.
    AvgPool {
        /// The window.
        kernel_size: Pair,
        /// The step of the window; its size if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Pair>,
        /// Zeros on each side; at most half of the kernel.
        #[serde(default = "zero")]
        padding: Pair,
        /// Whether a last, incomplete window counts.
        #[serde(default)]
        ceil_mode: bool,
        /// Whether the zeros count as values.
        #[serde(default = "yes")]
        count_include_pad: bool,
    },
    /// The mean of each channel: a feature map of one pixel.
    GlobalAvgPool {},
    /// A feature map to one row per image.
    Flatten {},
    /// A linear layer: `weight` is `[out_features, in_features]`, `bias` `[out_features]`.
    Linear {
        /// The prefix of its tensors.
        name: String,
        /// Features of its input.
        in_features: usize,
        /// Features of its output.
        out_features: usize,
        /// Whether there is a bias.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Nothing, in inference.
    Dropout {
        /// Nothing, in inference.
        #[serde(default = "half")]
        p: f64,
    },
    /// Nothing.
    Identity {},
    /// max(x, 0).
    Relu {},
    /// max(x, 0), at most 6.
    Relu6 {},
    /// x, or x times the slope where it is negative.
    LeakyRelu {
        /// The slope.
        #[serde(default = "slope")]
        negative_slope: f32,
    },
    /// x, or alpha (e^x - 1) where it is negative.
    Elu {
        /// The negative of the limit at minus infinity.
        #[serde(default = "alpha")]
        alpha: f32,
    },
    /// x times the normal distribution's cumulative function.
    Gelu {
        /// How that function is computed.
        #[serde(default)]
        approximate: Approximation,
    },
    /// x times its sigmoid.
    Silu {},
    /// 1 / (1 + e^-x).
    Sigmoid {},
    /// The hyperbolic tangent.
    Tanh {},
    /// x + 3 clamped to 0 to 6, divided by 6.
    Hardsigmoid {},
    /// x times its hard sigmoid.
    Hardswish {},
}

impl SequentialLayer {
    /// The geometry of a convolution; none for other layers.
    pub(super) fn geometry(&self) -> Option<ConvGeometry> {
        let Self::Conv2d {
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            ..
        } = self
        else {
            return None;
        };
        let window = Window {
            kernel: kernel_size.0,
            stride: stride.0,
            padding: padding.0,
            dilation: dilation.0,
        };
        Some(ConvGeometry {
            in_channels: *in_channels,
            out_channels: *out_channels,
            window,
            groups: *groups,
        })
    }

    /// The window and the kind of a pool; none for other layers.
    pub(super) fn pool(&self) -> Option<(PoolWindow, PoolKind)> {
        let (kernel_size, stride, padding, ceil, kind) = match self {
            Self::MaxPool {
                kernel_size,
                stride,
                padding,
                ceil_mode,
            } => (kernel_size, stride, padding, *ceil_mode, PoolKind::Max),
            Self::AvgPool {
                kernel_size,
                stride,
                padding,
                ceil_mode,
                count_include_pad,
            } => (
                kernel_size,
                stride,
                padding,
                *ceil_mode,
                PoolKind::Average {
                    count_padding: *count_include_pad,
                },
            ),
            _ => return None,
        };
        let stride = stride.unwrap_or(*kernel_size).0;
        let window = Window {
            kernel: kernel_size.0,
            stride,
            padding: padding.0,
            dilation: [1; 2],
        };
        Some((PoolWindow { window, ceil }, kind))
    }
}

/// The values of `type`, for suggestions.
pub(super) const TYPES: &[&str] = &[
    "conv2d",
    "batch_norm",
    "max_pool",
    "avg_pool",
    "global_avg_pool",
    "flatten",
    "linear",
    "dropout",
    "identity",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "sigmoid",
    "tanh",
    "hardsigmoid",
    "hardswish",
];

/// How `gelu` is computed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approximation {
    /// By the error function.
    #[default]
    None,
    /// By the hyperbolic tangent.
    Tanh,
}

/// A size for each side: in JSON one number for both, or `[height, width]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Pair(pub [usize; 2]);

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairVisitor)
    }
}

struct PairVisitor;

impl<'de> Visitor<'de> for PairVisitor {
    type Value = Pair;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or [height, width]")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Pair, E> {
        let size = usize::try_from(value).map_err(E::custom)?;
        Ok(Pair([size; 2]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Pair, A::Error> {
        let mut next = |at| {
            sequence
                .next_element()?
                .ok_or_else(|| serde::de::Error::invalid_length(at, &self))
        };
        let pair = Pair([next(0)?, next(1)?]);
        match sequence.next_element::<serde::de::IgnoredAny>()? {
            Some(_) => Err(serde::de::Error::invalid_length(3, &self)),
            None => Ok(pair),
        }
    }
}

const fn one() -> Pair {
    Pair([1; 2])
}

const fn zero() -> Pair {
    Pair([0; 2])
}

const fn one_group() -> usize {
    1
}

const fn yes() -> bool {
    true
}

const fn eps() -> f64 {
    BatchNorm::EPS
}

const fn half() -> f64 {
    0.5
}

const fn slope() -> f32 {
    0.01
}

const fn alpha() -> f32 {
    1.0
}
