//! Larger feature maps from smaller ones: repeated pixels, and transposed convolutions whose
//! windows do not overlap.

use candle_core::Tensor;

use super::Activation;
use super::conv::{Conv2d, ConvGeometry};
use super::cpu;
use super::map::FeatureMap;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::weights::Scope;

impl FeatureMap {
    /// Repeats each pixel `times` times along both sides: PyTorch's `Upsample` by a whole factor,
    /// `nearest`.
    pub(crate) fn repeat_pixels(&self, times: usize) -> Result<Self, Error> {
        if times == 1 {
            return Ok(self.clone());
        }
        let shape = self.shape()?;
        let (height, width) = (
            shape.height.saturating_mul(times),
            shape.width.saturating_mul(times),
        );
        let dims = [shape.batch, height, width, shape.channels];
        check_size("upsample", &dims)?;
        let tensor = match self.kernels() {
            Kernels::Candle => self.tensor().upsample_nearest2d(height, width)?,
            Kernels::Own => cpu::unary("upsample", self.tensor(), &dims, |x| {
                let mut result = Vec::new();
                result.try_reserve_exact(dims.iter().product())?;
                for row in x.chunks_exact((shape.width * shape.channels).max(1)) {
                    let start = result.len();
                    for pixel in row.chunks_exact(shape.channels.max(1)) {
                        (0..times).for_each(|_| result.extend_from_slice(pixel));
                    }
                    let end = result.len();
                    (1..times).for_each(|_| result.extend_from_within(start..end));
                }
                Ok(result)
            })?,
        };
        Ok(self.with(tensor))
    }

    /// Adds a feature map of the same shape.
    pub(crate) fn add(&self, other: &Self) -> Result<Self, Error> {
        if self.shape()? != other.shape()? {
            let reason = format!(
                "{:?} and {:?} cannot be added",
                self.shape()?,
                other.shape()?
            );
            return Err(Error::bad_input("add", reason));
        }
        Ok(self.with((self.tensor() + other.tensor())?))
    }

    /// Some of the channels, from `first` on.
    pub(crate) fn channels(&self, first: usize, count: usize) -> Result<Self, Error> {
        let dim = match self.kernels() {
            Kernels::Own => 3,
            Kernels::Candle => 1,
        };
        let part = self.tensor().narrow(dim, first, count)?;
        Ok(self.with(part.contiguous()?))
    }
}

/// PyTorch's `ConvTranspose2d` whose stride is its kernel: each pixel becomes a square of them.
pub(crate) struct Patchwork {
    /// To the channels of all pixels of a square, row by row.
    conv: Conv2d,
    side: usize,
    channels: usize,
}

impl Patchwork {
    /// Reads `weight`, `[in_channels, out_channels, side, side]`, and `bias`.
    pub(crate) fn load(
        scope: &Scope<'_>,
        [in_channels, out_channels]: [usize; 2],
        side: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        let weight = scope.get("weight", &[in_channels, out_channels, side, side])?;
        let bias = scope.get("bias", &[out_channels])?;
        let outputs = side * side * out_channels;
        let weight = weight.permute((2, 3, 1, 0))?.contiguous()?;
        let weight = weight.reshape((outputs, in_channels, 1, 1))?;
        let bias = Tensor::cat(&vec![bias; side * side], 0)?;
        let geometry = ConvGeometry::square(in_channels, outputs, 1, 1, 0);
        Ok(Self {
            conv: Conv2d::new(
                scope.name(),
                geometry,
                &weight,
                Some(&bias),
                None,
                Activation::Identity,
                device,
            )?,
            side,
            channels: out_channels,
        })
    }

    pub(crate) fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let y = self.conv.forward(x, None)?;
        let (shape, side, channels) = (y.shape()?, self.side, self.channels);
        let (batch, height, width) = (shape.batch, shape.height, shape.width);
        let tensor = match y.kernels() {
            Kernels::Own => y
                .tensor()
                .reshape(&[batch * height, width, side, side * channels][..])?
                .transpose(1, 2)?
                .contiguous()?
                .reshape((batch, height * side, width * side, channels))?,
            Kernels::Candle => y
                .tensor()
                .reshape(&[batch, side, side, channels, height, width][..])?
                .permute(vec![0, 3, 4, 1, 5, 2])?
                .contiguous()?
                .reshape((batch, channels, height * side, width * side))?,
        };
        Ok(y.with(tensor))
    }
}
