//! The tower for texts: an encoder, and the vector of one of its tokens.

use candle_core::Tensor;

use super::super::{TextTower, TokenBatch};
use super::{Blocks, Projection};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Embedding, LayerNorm, Mask, add_rows};
use crate::trace::Trace;

/// Which token stands for the text.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum End {
    /// The first one with the largest number, as OpenAI's code has it: the end of the text.
    Largest,
    /// The first one with this number; the first of all where there is none.
    Token(u32),
    /// The last one, also where it is padding. Texts are padded to this length with this token,
    /// unless their tokenizer does so with another.
    Last { length: usize, padding: u32 },
}

/// A built tower for texts.
pub(in super::super) struct Texts {
    pub(in super::super) words: Embedding,
    pub(in super::super) vocabulary: usize,
    pub(in super::super) positions: Embedding,
    pub(in super::super) max_tokens: usize,
    /// Whether a token sees only those before it.
    pub(in super::super) causal: bool,
    pub(in super::super) blocks: Blocks,
    /// The norm after the blocks, by its name.
    pub(in super::super) norm: (&'static str, LayerNorm),
    pub(in super::super) end: End,
    pub(in super::super) projection: Projection,
    pub(in super::super) device: Device,
}

impl Texts {
    pub(super) fn layers(&self) -> impl Iterator<Item = String> {
        let last = [self.norm.0, self.projection.name];
        self.blocks.names().chain(last.map(str::to_owned))
    }

    /// The vectors of the tokens that stand for their texts, `[batch, width]`.
    fn ends(&self, x: &Tensor, tokens: &TokenBatch) -> Result<Tensor, Error> {
        if let End::Last { .. } = self.end {
            return Ok(x.narrow(1, tokens.len - 1, 1)?.squeeze(1)?.contiguous()?);
        }
        let rows = tokens.ids.chunks(tokens.len.max(1)).zip(&tokens.lengths);
        let ends: Vec<Tensor> = rows
            .enumerate()
            .map(|(row, (ids, &length))| {
                let own = ids.get(..length).unwrap_or(ids);
                x.narrow(0, row, 1)?
                    .narrow(1, self.end_of(own), 1)?
                    .squeeze(1)
            })
            .collect::<Result<_, _>>()?;
        Ok(Tensor::cat(&ends, 0)?)
    }

    /// The place of the token that stands for a text.
    fn end_of(&self, ids: &[u32]) -> usize {
        let place = match self.end {
            End::Largest => {
                let largest = ids.iter().max();
                ids.iter().position(|id| Some(id) == largest)
            }
            End::Token(end) => ids.iter().position(|&id| id == end),
            End::Last { .. } => ids.len().checked_sub(1),
        };
        place.unwrap_or(0)
    }
}

impl TextTower for Texts {
    fn forward(&self, tokens: &TokenBatch, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let x = self.words.forward(&tokens.ids, tokens.len)?;
        let x = add_rows(&x, &self.positions.first(tokens.len)?, &self.device)?;
        // Padding is seen by none of the tokens before it, or else by all, as in training.
        let mask = Mask {
            causal: self.causal,
            ..Mask::default()
        };
        let x = self.blocks.forward(x, mask, None, trace)?;
        let (name, norm) = &self.norm;
        trace.input(name, &x)?;
        let x = norm.forward(&x)?;
        trace.output(name, &x)?;
        self.projection.forward(&self.ends(&x, tokens)?, trace)
    }

    fn max_tokens(&self) -> Option<usize> {
        Some(self.max_tokens)
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn padding(&self) -> u32 {
        match self.end {
            End::Last { padding, .. } => padding,
            _ => 0,
        }
    }

    fn pad_to(&self) -> Option<usize> {
        match self.end {
            End::Last { length, .. } => Some(length),
            _ => None,
        }
    }
}
