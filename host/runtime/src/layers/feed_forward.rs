//! The MLP of a transformer block: two linear layers with an activation between them.

use candle_core::Tensor;
use modelzoo_kernels::{self as kernels, Activation, Mlp};

use super::cpu;
use super::linear::Linear;
use super::map::FeatureMap;
use crate::error::Error;

/// A linear layer to more features, with an activation, and one back.
pub(crate) struct FeedForward {
    up: Linear,
    down: Linear,
}

impl FeedForward {
    pub(crate) fn new(up: Linear, down: Linear) -> Self {
        Self { up, down }
    }

    /// `[…, inputs]` to `[…, outputs]`, with `residual` added.
    pub(crate) fn forward(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor, Error> {
        let between = self.up.result(x.dims(), None)?;
        let dims = self.down.result(&between, residual)?;
        // The kernel has no activation after the second layer.
        let plain = self.down.activation() == Activation::Identity;
        let (Some(up), Some(down), true) = (self.up.packed(), self.down.packed(), plain) else {
            return self.down.compute(&self.up.forward(x)?, residual);
        };
        let layers = Mlp {
            up,
            activation: self.up.activation(),
            down,
        };
        Ok(cpu::added(
            "feed forward",
            x,
            residual,
            &dims,
            |x, residual| kernels::mlp(x, self.up.inputs(), layers, residual),
        )?)
    }

    /// The same for each pixel of a feature map.
    pub(crate) fn forward_map(
        &self,
        x: &FeatureMap,
        residual: &FeatureMap,
    ) -> Result<FeatureMap, Error> {
        let shape = x.shape()?;
        let tokens = self.forward(&x.to_tokens()?, Some(&residual.to_tokens()?))?;
        x.of_tokens(&tokens, [shape.height, shape.width])
    }
}
