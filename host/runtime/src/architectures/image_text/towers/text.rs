//! The text tower: an encoder, and the features of one of its tokens.

use candle_core::Tensor;

use super::blocks::{Blocks, Projection};
use crate::architectures::shared::network::{TextTower, TokenBatch};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Embedding, LayerNorm, Mask, add_rows};
use crate::trace::Trace;

/// The token whose features are those of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TextPool {
    /// The first one with the largest id, which is the end of the text in OpenAI's code.
    LargestId,
    /// The first one with this id; the first token where there is none.
    Token(u32),
    /// The last one, also where it is padding. Texts are padded to this length, with this token
    /// unless the tokenizer has another.
    Last { length: usize, padding: u32 },
}

/// A built text tower.
pub(crate) struct ClipTextTower {
    pub(crate) words: Embedding,
    pub(crate) vocabulary: usize,
    pub(crate) positions: Embedding,
    pub(crate) max_tokens: usize,
    /// Whether a token attends only to those before it.
    pub(crate) causal: bool,
    pub(crate) blocks: Blocks,
    /// The norm after the blocks, by its name.
    pub(crate) norm: (&'static str, LayerNorm),
    pub(crate) pool: TextPool,
    pub(crate) projection: Projection,
    pub(crate) device: Device,
}

impl ClipTextTower {
    pub(super) fn layers(&self) -> impl Iterator<Item = String> {
        let last = [self.norm.0, self.projection.name];
        self.blocks.names().chain(last.map(str::to_owned))
    }

    /// `[batch, tokens, width]` to `[batch, width]`.
    fn pool(&self, x: &Tensor, tokens: &TokenBatch) -> Result<Tensor, Error> {
        if let TextPool::Last { .. } = self.pool {
            return Ok(x.narrow(1, tokens.len - 1, 1)?.squeeze(1)?.contiguous()?);
        }
        let rows = tokens.ids.chunks(tokens.len.max(1)).zip(&tokens.lengths);
        let pooled: Vec<Tensor> = rows
            .enumerate()
            .map(|(row, (ids, &length))| {
                let own = ids.get(..length).unwrap_or(ids);
                x.narrow(0, row, 1)?
                    .narrow(1, self.pooled_token(own), 1)?
                    .squeeze(1)
            })
            .collect::<Result<_, _>>()?;
        Ok(Tensor::cat(&pooled, 0)?)
    }

    /// The place of the token whose features are those of the text.
    fn pooled_token(&self, ids: &[u32]) -> usize {
        let place = match self.pool {
            TextPool::LargestId => {
                let largest = ids.iter().max();
                ids.iter().position(|id| Some(id) == largest)
            }
            TextPool::Token(end) => ids.iter().position(|&id| id == end),
            TextPool::Last { .. } => ids.len().checked_sub(1),
        };
        place.unwrap_or(0)
    }
}

impl TextTower for ClipTextTower {
    fn forward(&self, tokens: &TokenBatch, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let x = self.words.forward(&tokens.ids, tokens.len)?;
        let x = add_rows(&x, &self.positions.first(tokens.len)?, &self.device)?;
        // Without a mask for the padding, as in training.
        let mask = Mask {
            causal: self.causal,
            ..Mask::default()
        };
        let x = self.blocks.forward(x, mask, None, trace)?;
        let (name, norm) = &self.norm;
        trace.input(name, &x)?;
        let x = norm.forward(&x)?;
        trace.output(name, &x)?;
        self.projection.forward(&self.pool(&x, tokens)?, trace)
    }

    fn max_tokens(&self) -> Option<usize> {
        Some(self.max_tokens)
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn padding(&self) -> u32 {
        match self.pool {
            TextPool::Last { padding, .. } => padding,
            TextPool::LargestId | TextPool::Token(_) => 0,
        }
    }

    fn pad_to(&self) -> Option<usize> {
        match self.pool {
            TextPool::Last { length, .. } => Some(length),
            TextPool::LargestId | TextPool::Token(_) => None,
        }
    }
}
