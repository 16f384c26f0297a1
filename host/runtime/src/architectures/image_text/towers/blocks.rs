//! The parts that both towers have: blocks, and a projection.

use candle_core::Tensor;

use crate::architectures::shared::block::{AttentionExtras, Block, BlockLayout};
use crate::architectures::shared::encoder::EncoderConfig;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Dense, Linear, Mask};
use crate::trace::Trace;
use crate::weights::Scope;

/// The blocks of a tower.
pub(crate) struct Blocks {
    /// The prefix of their names in a trace.
    pub(crate) name: &'static str,
    pub(crate) blocks: Vec<Block>,
}

impl Blocks {
    /// The blocks whose weights are in `scope`, with the name `name` in a trace.
    pub(crate) fn load(
        scope: &Scope<'_>,
        name: &'static str,
        layout: &BlockLayout,
        encoder: &EncoderConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let blocks = encoder.load(scope, layout, device)?;
        Ok(Self { name, blocks })
    }

    /// `[batch, tokens, width]` to the same shape; where only the `first` tokens of the result are
    /// read, the last block computes no others.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        mask: Mask<'_>,
        first: Option<usize>,
        trace: &mut Trace<'_>,
    ) -> Result<Tensor, Error> {
        let extras = AttentionExtras {
            mask,
            ..AttentionExtras::default()
        };
        for (index, block) in self.blocks.iter().enumerate() {
            let name = self.block_name(index);
            let last = index + 1 == self.blocks.len();
            trace.input(&name, &x)?;
            x = match first {
                Some(count) if last && !trace.wants(&name) => {
                    block.forward_first(&x, count, extras)?
                }
                _ => block.forward(&x, extras)?,
            };
            trace.output(&name, &x)?;
        }
        Ok(x)
    }

    fn block_name(&self, block: usize) -> String {
        format!("{}.{block}", self.name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        (0..self.blocks.len()).map(|block| self.block_name(block))
    }
}

/// The last layer of a tower, with its name in a trace.
pub(crate) struct Projection {
    pub(crate) name: &'static str,
    pub(crate) linear: Linear,
}

impl Projection {
    /// From a matrix `[inputs, outputs]`, as OpenAI stores it.
    pub(crate) fn transposed(
        name: &'static str,
        scope: &Scope<'_>,
        sizes: [usize; 2],
        device: &Device,
    ) -> Result<Self, Error> {
        let weight = scope.get(name, &sizes)?.t()?.contiguous()?;
        let dense = Dense::new(&weight, None)?;
        let linear = Linear::new(name, dense, Activation::Identity, device)?;
        Ok(Self { name, linear })
    }

    pub(super) fn forward(&self, x: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        trace.input(self.name, x)?;
        let y = self.linear.forward(x)?;
        trace.output(self.name, &y)?;
        Ok(y)
    }
}
