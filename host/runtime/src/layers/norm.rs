//! Batch norm, which in inference is one scale and one shift per channel.

use candle_core::{DType, Tensor};

use super::activate::with_candle;
use super::{Activation, Conv2d, ConvGeometry, FeatureMap};
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::precision::in_full;
use crate::weights::Scope;

/// A batch norm with its running statistics.
#[derive(Clone, Debug)]
pub(crate) struct BatchNorm {
    /// In f64, so that folding rounds once.
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl BatchNorm {
    /// PyTorch's default epsilon.
    pub(crate) const EPS: f64 = 1e-5;

    /// Reads `weight`, `bias` (both unless `affine` is false), `running_mean` and `running_var`,
    /// each of `channels` values.
    pub(crate) fn load(
        scope: &Scope<'_>,
        channels: usize,
        eps: f64,
        affine: bool,
    ) -> Result<Self, Error> {
        let values = |name: &str| -> Result<Vec<f64>, Error> {
            let values = scope.get(name, &[channels])?.to_vec1::<f32>()?;
            Ok(values.into_iter().map(f64::from).collect())
        };
        let (weight, bias) = if affine {
            (values("weight")?, values("bias")?)
        } else {
            (vec![1.0; channels], vec![0.0; channels])
        };
        let (mean, variance) = (values("running_mean")?, values("running_var")?);
        let scale: Vec<f64> = weight
            .iter()
            .zip(&variance)
            .map(|(weight, variance)| weight / (variance + eps).sqrt())
            .collect();
        let shift = bias
            .iter()
            .zip(&mean)
            .zip(&scale)
            .map(|((bias, mean), scale)| bias - mean * scale)
            .collect();
        Ok(Self { scale, shift })
    }

    /// Folds the norm into the layer before it: `weight` has one part per channel, all of one length,
    /// `bias` one value per channel.
    pub(super) fn fold(&self, weight: &mut [f32], bias: &mut [f32]) {
        let part = weight.len() / self.scale.len().max(1);
        let parts = weight.chunks_exact_mut(part.max(1)).zip(bias);
        for ((part, bias), (scale, shift)) in parts.zip(self.scale.iter().zip(&self.shift)) {
            part.iter_mut()
                .for_each(|value| *value = rounded(f64::from(*value) * scale));
            *bias = rounded(f64::from(*bias) * scale + shift);
        }
    }

    /// From a scale and a shift per channel.
    pub(crate) fn of(scale: Vec<f64>, shift: Vec<f64>) -> Self {
        Self { scale, shift }
    }

    /// The scales and the shifts.
    pub(super) fn values(&self) -> [Vec<f32>; 2] {
        [&self.scale, &self.shift].map(|values| values.iter().copied().map(rounded).collect())
    }

    /// The norm as a layer of its own, with an activation.
    pub(crate) fn into_layer(
        self,
        name: &str,
        activation: Activation,
        device: &Device,
    ) -> Result<ChannelScale, Error> {
        let channels = self.scale.len();
        match device.kernels() {
            Kernels::Own => {
                // A 1x1 depthwise convolution.
                let geometry = ConvGeometry::square(channels, channels, 1, 1, 0).grouped(channels);
                let ones =
                    Tensor::ones((channels, 1, 1, 1), DType::F32, &candle_core::Device::Cpu)?;
                let layer =
                    Conv2d::new(name, geometry, &ones, None, Some(&self), activation, device)?;
                Ok(ChannelScale::Own(Box::new(layer)))
            }
            Kernels::Candle => {
                let values = |values: Vec<f64>| {
                    let values: Vec<f32> = values.into_iter().map(rounded).collect();
                    Tensor::from_vec(values, (1, channels, 1, 1), device.candle())
                };
                Ok(ChannelScale::Candle {
                    scale: values(self.scale)?,
                    shift: values(self.shift)?,
                    activation,
                })
            }
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding is what it is for"
)]
fn rounded(value: f64) -> f32 {
    value as f32
}

/// A scale and a shift per channel, and an activation.
pub(crate) enum ChannelScale {
    Own(Box<Conv2d>),
    /// The tensors are f32, on the device.
    Candle {
        scale: Tensor,
        shift: Tensor,
        activation: Activation,
    },
}

impl ChannelScale {
    pub(crate) fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        match self {
            Self::Own(layer) => layer.forward(x, None),
            Self::Candle {
                scale,
                shift,
                activation,
            } => {
                let y = in_full(x.tensor(), |x| {
                    let y = x.broadcast_mul(scale)?.broadcast_add(shift)?;
                    with_candle(&y, *activation)
                })?;
                Ok(x.with(y))
            }
        }
    }

    /// The same for a matrix of the shape `[batch, channels]`.
    pub(crate) fn forward_rows(&self, x: &Tensor, device: &Device) -> Result<Tensor, Error> {
        let (batch, channels) = x.dims2()?;
        let map = FeatureMap::from_channels_first(&x.reshape((batch, channels, 1, 1))?, device)?;
        self.forward(&map)?.flatten()
    }
}
