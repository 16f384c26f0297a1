//! Transposed convolution, as a convolution whose channels are spread over pixels.

#![allow(
    clippy::indexing_slicing,
    reason = "tensors whose shapes have been checked"
)]

use candle_core::Tensor;
use modelzoo_kernels::{Activation, Window};

use super::batch_norm::BatchNorm;
use super::conv::{Conv2d, ConvGeometry};
use super::map::FeatureMap;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::weights::Scope;

/// A square transposed convolution that makes each side exactly `stride` times as long: its kernel
/// has `stride + 2 * padding` taps along each side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransposedGeometry {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl TransposedGeometry {
    fn kernel(&self) -> usize {
        self.stride + 2 * self.padding
    }

    /// The taps before and after a pixel that reach an output pixel.
    fn reach(&self) -> usize {
        (self.stride + self.padding).saturating_sub(1) / self.stride.max(1)
    }

    /// The input pixel, counted from that of an output pixel, and the tap for each of its `stride`
    /// output pixels: `(output, input, tap)` along one side.
    fn taps(&self) -> Vec<[usize; 3]> {
        let (stride, kernel, reach) = (self.stride, self.kernel(), self.reach());
        let mut taps = Vec::new();
        for out in 0..stride {
            for at in 0..=2 * reach {
                // The tap that brings pixel `at - reach` to `out`.
                let tap = (out + self.padding + reach * stride).checked_sub(at * stride);
                if let Some(tap) = tap.filter(|&tap| tap < kernel) {
                    taps.push([out, at, tap]);
                }
            }
        }
        taps
    }
}

/// A transposed convolution with a batch norm (folded into the weights), a bias and an activation.
pub(crate) struct ConvTranspose2d {
    convolution: Conv2d,
    stride: usize,
}

impl ConvTranspose2d {
    /// Reads `weight`, `[in_channels, out_channels, kernel, kernel]`, and, if `bias`, `bias`.
    pub(crate) fn load(
        scope: &Scope<'_>,
        geometry: TransposedGeometry,
        bias: bool,
        norm: Option<&BatchNorm>,
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        let TransposedGeometry {
            in_channels,
            out_channels,
            stride,
            ..
        } = geometry;
        let kernel = geometry.kernel();
        let weight = scope.get("weight", &[in_channels, out_channels, kernel, kernel])?;
        let weight = weight.transpose(0, 1)?.contiguous()?.flatten_all()?;
        let mut weight = weight.to_vec1::<f32>()?;
        let mut biases = if bias {
            scope.get("bias", &[out_channels])?.to_vec1::<f32>()?
        } else {
            vec![0.0; out_channels]
        };
        if let Some(norm) = norm {
            norm.fold(&mut weight, &mut biases);
        }
        let reach = geometry.reach();
        let side = 2 * reach + 1;
        let outputs = stride * stride * out_channels;
        check_size(scope.name(), &[outputs, in_channels, side, side])?;
        let mut spread = vec![0.0; outputs * in_channels * side * side];
        let taps = geometry.taps();
        for [down, y, tap_y] in &taps {
            for [across, x, tap_x] in &taps {
                for out in 0..out_channels {
                    let to = (down * stride + across) * out_channels + out;
                    for input in 0..in_channels {
                        let from = ((out * in_channels + input) * kernel + tap_y) * kernel + tap_x;
                        let at = ((to * in_channels + input) * side + y) * side + x;
                        spread[at] = weight[from];
                    }
                }
            }
        }
        let cpu = candle_core::Device::Cpu;
        let spread = Tensor::from_vec(spread, (outputs, in_channels, side, side), &cpu)?;
        let biases = Tensor::from_vec(biases.repeat(stride * stride), outputs, &cpu)?;
        let geometry = ConvGeometry {
            in_channels,
            out_channels: outputs,
            window: Window {
                kernel: [side; 2],
                stride: [1; 2],
                padding: [reach; 2],
                dilation: [1; 2],
            },
            groups: 1,
        };
        let convolution = Conv2d::new(
            scope.name(),
            geometry,
            &spread,
            Some(&biases),
            None,
            activation,
            device,
        )?;
        Ok(Self {
            convolution,
            stride,
        })
    }

    pub(crate) fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        self.convolution.forward(x, None)?.spread(self.stride)
    }
}

impl FeatureMap {
    /// Spreads channels over pixels: `[stride, stride, channels]` of each pixel become a square of
    /// `stride` rows and columns.
    fn spread(&self, stride: usize) -> Result<Self, Error> {
        if stride <= 1 {
            return Ok(self.clone());
        }
        let shape = self.shape()?;
        let (batch, height, width) = (shape.batch, shape.height, shape.width);
        let channels = shape.channels / (stride * stride);
        let (rows, columns) = (height * stride, width * stride);
        let tensor = match self.kernels() {
            Kernels::Own => self
                .tensor()
                .reshape(&[batch, height, width, stride, stride, channels][..])?
                .permute([0, 1, 3, 2, 4, 5])?
                .contiguous()?
                .reshape((batch, rows, columns, channels))?,
            Kernels::Candle => self
                .tensor()
                .reshape(&[batch, stride, stride, channels, height, width][..])?
                .permute([0, 3, 4, 1, 5, 2])?
                .contiguous()?
                .reshape((batch, channels, rows, columns))?,
        };
        Ok(self.with(tensor))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::HashMap;

    use candle_core::Device as Candle;

    use super::*;
    use crate::weights::Weights;

    /// candle's transposed convolution, for kernels of one stride and padding.
    fn reference(x: &Tensor, weight: &Tensor, bias: &Tensor, at: TransposedGeometry) -> Vec<f32> {
        let y = x.conv_transpose2d(weight, at.padding, 0, at.stride, 1);
        let bias = bias.reshape((1, (), 1, 1)).unwrap();
        let y = y.unwrap().broadcast_add(&bias).unwrap();
        y.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn sizes_match_candle() {
        for (stride, padding) in [(2, 0), (2, 1), (4, 0), (3, 2), (1, 1)] {
            let geometry = TransposedGeometry {
                in_channels: 3,
                out_channels: 5,
                stride,
                padding,
            };
            let kernel = geometry.kernel();
            let random = |dims: &[usize]| Tensor::rand(-1f32, 1f32, dims, &Candle::Cpu).unwrap();
            let weight = random(&[3, 5, kernel, kernel]);
            let (bias, x) = (random(&[5]), random(&[2, 3, 4, 6]));
            let dir = tempfile::tempdir().unwrap();
            let tensors = [("up.weight", weight.clone()), ("up.bias", bias.clone())];
            let tensors: HashMap<_, _> = tensors.into_iter().collect();
            candle_core::safetensors::save(&tensors, dir.path().join("w.safetensors")).unwrap();
            let weights = Weights::open(dir.path(), &["w.safetensors".to_owned()]).unwrap();
            let want = reference(&x, &weight, &bias, geometry);
            for device in [Device::cpu(), Device::cpu_reference()] {
                let scope = weights.root().child("up");
                let none = Activation::Identity;
                let layer =
                    ConvTranspose2d::load(&scope, geometry, true, None, none, &device).unwrap();
                let map = FeatureMap::from_channels_first(&x, &device).unwrap();
                let y = layer.forward(&map).unwrap().to_channels_first().unwrap();
                assert_eq!(y.dims(), [2, 5, 4 * stride, 6 * stride]);
                let ours = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for (ours, want) in ours.into_iter().zip(&want) {
                    assert!((ours - want).abs() < 1e-5, "{stride} {padding}");
                }
            }
        }
    }
}
