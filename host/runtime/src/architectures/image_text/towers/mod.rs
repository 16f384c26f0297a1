//! The two towers of a network that compares images with texts in one space of features (Radford et
//! al., "Learning Transferable Visual Models From Natural Language Supervision", 2021; Zhai et
//! al., "Sigmoid Loss for Language Image Pre-Training", 2023).
//!
//! CLIP, OpenCLIP and SigLIP differ in the choice of these parts and in the names of the weights.

mod hugging_face;
mod image;
mod text;

use candle_core::Tensor;

pub(super) use hugging_face::{LAYOUT, TextTowerConfig};
pub(super) use image::{AttentionPool, ClipImageTower, ImagePool, check_patches};
pub(super) use text::{ClipTextTower, TextPool};

use crate::architectures::shared::block::{AttentionExtras, Block, BlockLayout};
use crate::architectures::shared::encoder::EncoderConfig;
use crate::architectures::shared::network::{Network, Similarity};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Dense, Linear, Mask};
use crate::trace::Trace;
use crate::weights::Scope;

/// The blocks of a tower.
pub(super) struct Blocks {
    /// The prefix of their names in a trace.
    pub(super) name: &'static str,
    pub(super) blocks: Vec<Block>,
}

impl Blocks {
    /// The blocks whose weights are in `scope`, with the name `name` in a trace.
    pub(super) fn load(
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
    fn forward(
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

    fn names(&self) -> impl Iterator<Item = String> {
        (0..self.blocks.len()).map(|block| self.block_name(block))
    }
}

/// The last layer of a tower, with its name in a trace.
pub(super) struct Projection {
    pub(super) name: &'static str,
    pub(super) linear: Linear,
}

impl Projection {
    /// From a matrix `[inputs, outputs]`, as OpenAI stores it.
    pub(super) fn transposed(
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

    fn forward(&self, x: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        trace.input(self.name, x)?;
        let y = self.linear.forward(x)?;
        trace.output(self.name, &y)?;
        Ok(y)
    }
}

/// The network of both towers.
pub(super) fn network(
    images: ClipImageTower,
    texts: ClipTextTower,
    similarity: Similarity,
) -> Network {
    let layers = images.layers().chain(texts.layers()).collect();
    Network {
        images: Some(Box::new(images)),
        texts: Some(Box::new(texts)),
        similarity: Some(similarity),
        layers,
        hidden: Vec::new(),
        embedding: None,
    }
}

/// A single number from the weights, in a tensor of the shape `shape`.
pub(super) fn number(scope: &Scope<'_>, name: &str, shape: &[usize]) -> Result<f32, Error> {
    Ok(scope.get(name, shape)?.flatten_all()?.get(0)?.to_scalar()?)
}
