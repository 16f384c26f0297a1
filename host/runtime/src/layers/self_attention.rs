//! Self-attention, with its projections.

use candle_core::Tensor;
use modelzoo_kernels::{self as kernels, Activation};

use super::attention::{Attention, Mask};
use super::cpu;
use super::dense::Dense;
use super::linear::Linear;
use crate::device::Device;
use crate::error::Error;

/// A joint projection to queries, keys and values, the attention, and the projection of its result.
pub(crate) struct SelfAttention {
    qkv: Linear,
    core: Attention,
    out: Linear,
}

impl SelfAttention {
    /// From the projections to queries, keys and values, each `[heads * head, inputs]`, which are
    /// joined, and the projection of the result.
    pub(crate) fn new(
        name: &str,
        qkv: [Dense; 3],
        out: Dense,
        heads: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::from_fused(name, Dense::stack(&qkv)?, out, heads, device)
    }

    /// From a joint projection to queries, keys and values, `[3 * heads * head, inputs]`.
    pub(crate) fn from_fused(
        name: &str,
        qkv: Dense,
        out: Dense,
        heads: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        let head = qkv.outputs / 3 / heads.max(1);
        Ok(Self {
            qkv: Linear::new(name, qkv, Activation::Identity, device)?,
            core: Attention::new(name, heads, head, device),
            out: Linear::new(name, out, Activation::Identity, device)?,
        })
    }

    /// With one scale per head.
    pub(crate) fn with_scales(mut self, scales: Vec<f32>) -> Self {
        self.core.set_scales(scales);
        self
    }

    /// `[batch, tokens, inputs]` to `[batch, tokens, outputs]`, with `residual` added.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        mask: Mask<'_>,
    ) -> Result<Tensor, Error> {
        let (Some(qkv), Some(out)) = (self.qkv.packed(), self.out.packed()) else {
            return self.forward_with(x, residual, mask, Ok);
        };
        let between = self.qkv.result(x.dims(), None)?;
        let sizes = self.core.fused_sizes(&between, mask)?;
        let width = between.last().map_or(0, |row| row / 3);
        let dims = [sizes.batch, sizes.queries, width];
        let dims = self.out.result(&dims, residual)?;
        let tensors = [Some(x), residual, mask.bias].into_iter().flatten();
        Ok(cpu::many(&tensors.collect::<Vec<_>>(), &dims, |values| {
            let mut values = values.iter().copied();
            let x = values.next().unwrap_or_default();
            let residual = residual.and_then(|_| values.next());
            let job = self.core.job(sizes, mask, values.next());
            kernels::self_attention(x, qkv, job, out, residual)
        })?)
    }

    /// As [`forward`](Self::forward); `change` gets the queries, keys and values one after another,
    /// `[batch, tokens, 3 * heads * head]`, and returns the ones to use (with a rotary position
    /// embedding, or normalised heads).
    pub(crate) fn forward_with(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        mask: Mask<'_>,
        change: impl FnOnce(Tensor) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let qkv = change(self.qkv.forward(x)?)?;
        let y = self.core.forward_fused(&qkv, mask)?;
        self.out.compute(&y, residual)
    }

    /// As [`forward_with`](Self::forward_with) for the first `count` tokens only, which attend to all
    /// tokens: `[batch, count, outputs]`.
    pub(crate) fn forward_first(
        &self,
        x: &Tensor,
        count: usize,
        residual: Option<&Tensor>,
        mask: Mask<'_>,
        change: impl FnOnce(Tensor) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let qkv = change(self.qkv.forward(x)?)?;
        let width = qkv.dim(2)? / 3;
        let part = |at: usize| qkv.narrow(2, at * width, width)?.contiguous();
        let queries = part(0)?.narrow(1, 0, count)?.contiguous()?;
        let bias = mask.bias.map(|bias| bias.narrow(2, 0, count)?.contiguous());
        let bias = bias.transpose()?;
        let mask = Mask {
            bias: bias.as_ref(),
            ..mask
        };
        let y = self.core.forward(&queries, &part(1)?, &part(2)?, mask)?;
        self.out.compute(&y, residual)
    }
}
