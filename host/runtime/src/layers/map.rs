//! Feature maps.

use candle_core::Tensor;
use modelzoo_kernels::Shape;
use modelzoo_model::sample::ImageInput;

use super::activate::activate;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;

/// A batch of feature maps between two layers.
///
/// Its memory order depends on the device: `[batch, height, width, channels]` for our own kernels,
/// `[batch, channels, height, width]` for candle's operations.
#[derive(Clone, Debug)]
pub(crate) struct FeatureMap {
    tensor: Tensor,
    kernels: Kernels,
}

impl FeatureMap {
    /// A batch of inputs of one size.
    pub(crate) fn from_inputs(inputs: &[&ImageInput], device: &Device) -> Result<Self, Error> {
        let Some(first) = inputs.first() else {
            return Err(Error::bad_input("input", "an empty batch"));
        };
        let dims = [
            inputs.len(),
            first.height(),
            first.width(),
            first.channels(),
        ];
        check_size("input", &dims)?;
        let mut values = Vec::with_capacity(inputs.len() * first.values().len());
        for input in inputs {
            values.extend_from_slice(input.values());
        }
        let last = Tensor::from_vec(values, &dims[..], &candle_core::Device::Cpu)?;
        let last = device.place(&last)?;
        match device.kernels() {
            Kernels::Own => Ok(Self {
                tensor: last,
                kernels: Kernels::Own,
            }),
            Kernels::Candle => {
                let tensor = last.permute((0, 3, 1, 2))?.contiguous()?;
                Ok(Self {
                    tensor,
                    kernels: Kernels::Candle,
                })
            }
        }
    }

    /// From a tensor of the shape `[batch, channels, height, width]`, none of them zero.
    pub(crate) fn from_channels_first(tensor: &Tensor, device: &Device) -> Result<Self, Error> {
        if tensor.dims4().is_err() || tensor.dims().contains(&0) {
            let reason = format!(
                "a tensor of the shape {:?} is not [batch, channels, height, width]",
                tensor.dims()
            );
            return Err(Error::bad_input("input", reason));
        }
        check_size("input", tensor.dims())?;
        let tensor = device.place(tensor)?;
        let tensor = match device.kernels() {
            Kernels::Own => tensor.permute((0, 2, 3, 1))?.contiguous()?,
            Kernels::Candle => tensor.contiguous()?,
        };
        Ok(Self {
            tensor,
            kernels: device.kernels(),
        })
    }

    /// As a tensor of the shape `[batch, channels, height, width]`.
    pub(crate) fn to_channels_first(&self) -> Result<Tensor, Error> {
        match self.kernels {
            Kernels::Own => Ok(self.tensor.permute((0, 3, 1, 2))?.contiguous()?),
            Kernels::Candle => Ok(self.tensor.clone()),
        }
    }

    /// As a matrix, one row per image, in the order of PyTorch's `flatten`: channel by channel, each
    /// row by row.
    pub(crate) fn flatten(&self) -> Result<Tensor, Error> {
        Ok(self.to_channels_first()?.flatten_from(1)?)
    }

    /// The sizes, whatever the memory order.
    pub(crate) fn shape(&self) -> Result<Shape, Error> {
        let (batch, second, third, fourth) = self.tensor.dims4()?;
        Ok(match self.kernels {
            Kernels::Own => Shape {
                batch,
                height: second,
                width: third,
                channels: fourth,
            },
            Kernels::Candle => Shape {
                batch,
                channels: second,
                height: third,
                width: fourth,
            },
        })
    }

    /// The tensor, in the device's memory order.
    pub(super) fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    pub(super) fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// A feature map from a tensor in the memory order of these kernels.
    pub(super) fn from_parts(tensor: Tensor, kernels: Kernels) -> Self {
        Self { tensor, kernels }
    }

    /// A feature map from a tensor in the memory order of this one.
    pub(super) fn with(&self, tensor: Tensor) -> Self {
        Self {
            tensor,
            kernels: self.kernels,
        }
    }

    /// Applies an activation.
    pub(crate) fn activate(&self, activation: super::Activation) -> Result<Self, Error> {
        Ok(self.with(activate(&self.tensor, activation, self.kernels)?))
    }
}
