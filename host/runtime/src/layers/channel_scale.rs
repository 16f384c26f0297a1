//! A scale and a shift per channel: a batch norm as a layer of its own.

use candle_core::{DType, Tensor};
use modelzoo_kernels::Activation;

use super::activate::with_candle;
use super::batch_norm::BatchNorm;
use super::conv::{Conv2d, ConvGeometry};
use super::map::FeatureMap;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::precision::in_full;

impl BatchNorm {
    /// The norm as a layer of its own, with an activation.
    pub(crate) fn into_layer(
        self,
        name: &str,
        activation: Activation,
        device: &Device,
    ) -> Result<ChannelScale, Error> {
        let [scale, shift] = self.values();
        let channels = scale.len();
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
                let tensor =
                    |values| Tensor::from_vec(values, (1, channels, 1, 1), device.candle());
                Ok(ChannelScale::Candle {
                    scale: tensor(scale)?,
                    shift: tensor(shift)?,
                    activation,
                })
            }
        }
    }
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
