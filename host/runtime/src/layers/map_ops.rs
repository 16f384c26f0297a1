//! Feature maps as tokens, and operations on their channels and edges.

use candle_core::Tensor;
use modelzoo_kernels::{self as kernels, Isa, Margins};

use super::cpu;
use super::map::FeatureMap;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;

impl FeatureMap {
    /// The pixels as tokens, row by row: `[batch, height * width, channels]`.
    pub(crate) fn to_tokens(&self) -> Result<Tensor, Error> {
        let shape = self.shape()?;
        let dims = (shape.batch, shape.height * shape.width, shape.channels);
        Ok(match self.kernels() {
            Kernels::Own => self.tensor().reshape(dims)?,
            Kernels::Candle => self
                .tensor()
                .flatten_from(2)?
                .transpose(1, 2)?
                .contiguous()?,
        })
    }

    /// Tokens, `[batch, height * width, channels]`, as pixels, row by row.
    pub(crate) fn from_tokens(
        tokens: &Tensor,
        size: [usize; 2],
        device: &Device,
    ) -> Result<Self, Error> {
        Self::of(device.kernels(), tokens, size)
    }

    /// As [`from_tokens`](Self::from_tokens), for the device of this feature map.
    pub(super) fn of_tokens(&self, tokens: &Tensor, size: [usize; 2]) -> Result<Self, Error> {
        Self::of(self.kernels(), tokens, size)
    }

    fn of(kernels: Kernels, tokens: &Tensor, [height, width]: [usize; 2]) -> Result<Self, Error> {
        let (batch, count, channels) = tokens.dims3()?;
        if count != height * width || tokens.elem_count() == 0 {
            let reason = format!("{count} tokens are not {height}x{width} pixels");
            return Err(Error::bad_input("feature map", reason));
        }
        let tensor = match kernels {
            Kernels::Own => tokens
                .contiguous()?
                .reshape((batch, height, width, channels))?,
            Kernels::Candle => tokens
                .transpose(1, 2)?
                .contiguous()?
                .reshape((batch, channels, height, width))?,
        };
        Ok(Self::from_parts(tensor, kernels))
    }

    /// Multiplies each channel of each image by its factor (squeeze and excitation): `factors` is a
    /// feature map of one pixel.
    pub(crate) fn scale_channels(&self, factors: &Self) -> Result<Self, Error> {
        let (shape, of_factors) = (self.shape()?, factors.shape()?);
        let sizes = [
            of_factors.batch,
            of_factors.height,
            of_factors.width,
            of_factors.channels,
        ];
        if sizes != [shape.batch, 1, 1, shape.channels] {
            let reason = format!("{shape:?} cannot be scaled by {of_factors:?}");
            return Err(Error::bad_input("scale_channels", reason));
        }
        let tensor = match self.kernels() {
            Kernels::Candle => self.tensor().broadcast_mul(factors.tensor())?,
            Kernels::Own => {
                let (x, dims) = (self.tensor(), self.tensor().dims());
                let sizes = [shape.batch, shape.height * shape.width, shape.channels];
                cpu::binary("scale_channels", x, factors.tensor(), dims, |x, factors| {
                    kernels::scale_channels(Isa::detect(), x, factors, sizes)
                })?
            }
        };
        Ok(self.with(tensor))
    }

    /// The sum of two feature maps of one shape.
    pub(crate) fn plus(&self, other: &Self) -> Result<Self, Error> {
        let shapes = [self.shape()?, other.shape()?];
        if shapes[0] != shapes[1] {
            let reason = format!("{:?} cannot be added to {:?}", shapes[1], shapes[0]);
            return Err(Error::bad_input("plus", reason));
        }
        Ok(self.with((self.tensor() + other.tensor())?))
    }

    /// `count` channels, from the one at `first` on.
    pub(crate) fn channels(&self, first: usize, count: usize) -> Result<Self, Error> {
        let channels = self.shape()?.channels;
        if count == 0 || first.saturating_add(count) > channels {
            let reason = format!("{count} channels from {first} on, of {channels}");
            return Err(Error::bad_input("channels", reason));
        }
        let dim = match self.kernels() {
            Kernels::Own => 3,
            Kernels::Candle => 1,
        };
        let part = self.tensor().narrow(dim, first, count)?.contiguous()?;
        Ok(self.with(part))
    }

    /// Each value times a factor, and a number added.
    pub(crate) fn affine(&self, by: f64, plus: f64) -> Result<Self, Error> {
        Ok(self.with(self.tensor().affine(by, plus)?))
    }

    /// Each value times a factor.
    pub(crate) fn scaled(&self, by: f64) -> Result<Self, Error> {
        if by == 1.0 {
            return Ok(self.clone());
        }
        Ok(self.with((self.tensor() * by)?))
    }

    /// Pads with zeros: `margins` are `[[top, bottom], [left, right]]`.
    pub(crate) fn pad(&self, margins: Margins) -> Result<Self, Error> {
        if margins == [[0; 2]; 2] {
            return Ok(self.clone());
        }
        let [[top, bottom], [left, right]] = margins;
        let shape = self.shape()?;
        let (height, width) = (top + shape.height + bottom, left + shape.width + right);
        let dims = [shape.batch, height, width, shape.channels];
        check_size("pad", &dims)?;
        let tensor = match self.kernels() {
            Kernels::Candle => self
                .tensor()
                .pad_with_zeros(2, top, bottom)?
                .pad_with_zeros(3, left, right)?
                .contiguous()?,
            Kernels::Own => cpu::unary("pad", self.tensor(), &dims, |x| {
                kernels::pad(x, [shape.height, shape.width, shape.channels], margins)
            })?,
        };
        Ok(self.with(tensor))
    }
}
