//! Parallel convolutions of one input, whose results are added, as one convolution.

#![allow(
    clippy::indexing_slicing,
    reason = "tensors whose shapes have been checked"
)]

use candle_core::Tensor;
use modelzoo_kernels::Activation;

use super::batch_norm::BatchNorm;
use super::conv::{Conv2d, ConvGeometry};
use crate::device::Device;
use crate::error::Error;
use crate::weights::Scope;

impl Conv2d {
    /// The sum of convolutions without bias, each with its batch norm, and an activation after it
    /// (RepVGG). Each reads its `weight` and has a square kernel of odd size, a stride of 1 and the
    /// padding that keeps the size.
    pub(crate) fn load_parallel(
        name: &str,
        [inputs, outputs]: [usize; 2],
        parts: &[(Scope<'_>, usize, BatchNorm)],
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        let side = parts.iter().map(|(_, kernel, _)| *kernel).max();
        let side = side.unwrap_or(1);
        let geometry = ConvGeometry::square(inputs, outputs, side, 1, side / 2);
        let mut sum = vec![0.0; outputs * inputs * side * side];
        let mut biases = vec![0.0; outputs];
        for (scope, kernel, norm) in parts {
            let kernel = *kernel;
            let weight = scope.get("weight", &[outputs, inputs, kernel, kernel])?;
            let mut weight = weight.flatten_all()?.to_vec1::<f32>()?;
            let mut bias = vec![0.0; outputs];
            norm.fold(&mut weight, &mut bias);
            let margin = (side - kernel) / 2;
            for pair in 0..outputs * inputs {
                for row in 0..kernel {
                    let to = (pair * side + row + margin) * side + margin;
                    let from = (pair * kernel + row) * kernel;
                    let taps = &weight[from..from + kernel];
                    for (sum, tap) in sum[to..to + kernel].iter_mut().zip(taps) {
                        *sum += tap;
                    }
                }
            }
            for (sum, bias) in biases.iter_mut().zip(bias) {
                *sum += bias;
            }
        }
        let cpu = candle_core::Device::Cpu;
        let weight = Tensor::from_vec(sum, (outputs, inputs, side, side), &cpu)?;
        let bias = Tensor::from_vec(biases, outputs, &cpu)?;
        Self::new(
            name,
            geometry,
            &weight,
            Some(&bias),
            None,
            activation,
            device,
        )
    }
}
