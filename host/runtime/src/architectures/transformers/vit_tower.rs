//! The tower that vision transformers share: patches, prefix tokens, position embeddings, blocks, a
//! norm and a head.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::architectures::shared::block::{AttentionExtras, Block};
use crate::architectures::shared::grid::{Grid, GridCache, Interpolation};
use crate::architectures::shared::hugging_face;
use crate::architectures::shared::network::{ImageTower, Network};
use crate::architectures::shared::patches::Patches;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Conv2d, FeatureMap, LayerNorm, Linear, Mask, Rotary, add_rows, prepend_rows};
use crate::precision::in_full;
use crate::trace::Trace;

/// Learned position embeddings of the patches.
struct PatchPositions {
    grid: Grid,
    interpolation: Interpolation,
    tensors: GridCache<Tensor>,
}

impl PatchPositions {
    /// `[patches, width]` on the device, with its precision.
    fn resized(&self, size: [usize; 2], device: &Device) -> Result<Tensor, Error> {
        self.tensors.get(size, || {
            let values = self.grid.resized(size, self.interpolation);
            let patches = size.iter().product::<usize>();
            let width = values.len() / patches.max(1);
            let values = Tensor::from_vec(values, (patches, width), &candle_core::Device::Cpu)?;
            device.place_weights("positions", &values)
        })
    }
}

/// A table of learned position embeddings.
pub(super) struct PositionTable {
    /// `[1, prefix tokens + rows * columns, width]`.
    pub(super) values: Tensor,
    /// `[rows, columns]` of patches.
    pub(super) grid: [usize; 2],
    pub(super) interpolation: Interpolation,
}

/// The tokens before the patches (class token, registers), and the position embeddings of all.
pub(super) struct PrefixTokens {
    /// `[tokens, width]` with their position embeddings, on the device.
    tokens: Tensor,
    positions: Option<PatchPositions>,
}

impl PrefixTokens {
    /// From tokens of the shape `[1, n, width]` each. The first `positioned` of them have position
    /// embeddings, which the table has before those of the patches.
    pub(super) fn new(
        tokens: &[Tensor],
        positioned: usize,
        table: Option<PositionTable>,
        device: &Device,
    ) -> Result<Self, Error> {
        let mut tokens = Tensor::cat(tokens, 1)?;
        let mut positions = None;
        if let Some(PositionTable {
            values,
            grid,
            interpolation,
        }) = table
        {
            let (_, count, width) = tokens.dims3()?;
            let zeros = Tensor::zeros((1, count - positioned, width), DType::F32, tokens.device())?;
            let own = values.narrow(1, 0, positioned)?;
            tokens = (tokens + Tensor::cat(&[own, zeros], 1)?)?;
            let rest = values.narrow(1, positioned, values.dim(1)? - positioned)?;
            let grid = Grid::new(rest.flatten_all()?.to_vec1()?, grid);
            let grid = grid.ok_or_else(|| Error::bad_input("positions", "are of another grid"))?;
            positions = Some(PatchPositions {
                grid,
                interpolation,
                tensors: GridCache::new(),
            });
        }
        Ok(Self {
            tokens: device.place_weights("tokens", &tokens.squeeze(0)?)?,
            positions,
        })
    }

    /// Adds them to the patches of a batch: `[batch, patches, width]` to `[batch, tokens, width]`.
    fn prepend(&self, patches: Tensor, grid: [usize; 2], device: &Device) -> Result<Tensor, Error> {
        let patches = match &self.positions {
            Some(positions) => add_rows(&patches, &positions.resized(grid, device)?, device)?,
            None => patches,
        };
        prepend_rows(&patches, &self.tokens)
    }
}

/// The names of the tower's values in a [`Trace`].
pub(super) struct TraceNames {
    /// The beginning of the names of the hidden states; a number follows.
    pub(super) states: &'static str,
    /// Whether the hidden state before the first block has the number 0, and the blocks count
    /// from 1.
    pub(super) embedded: bool,
    /// The name of the norm's output.
    pub(super) normed: &'static str,
}

impl TraceNames {
    /// Those of transformers' outputs.
    pub(super) const HUGGING_FACE: Self = Self {
        states: "hidden_states.",
        embedded: true,
        normed: "last_hidden_state",
    };

    fn first(&self) -> String {
        format!("{}0", self.states)
    }

    fn state(&self, block: usize) -> String {
        format!("{}{}", self.states, block + usize::from(self.embedded))
    }
}

/// Position embeddings that act within the attention, for a grid of patches.
pub(super) trait AttentionPositions: Send + Sync {
    /// The rotary embedding of all blocks.
    fn rotary(&self, _grid: [usize; 2]) -> Result<Option<Arc<Rotary>>, Error> {
        Ok(None)
    }

    /// The bias on the attention scores of a block.
    fn bias(&self, _block: usize, _grid: [usize; 2]) -> Result<Option<Tensor>, Error> {
        Ok(None)
    }
}

/// No position embeddings within the attention.
pub(super) struct NoAttentionPositions;

impl AttentionPositions for NoAttentionPositions {}

/// The layers after the last block and its norm.
pub(super) trait Head: Send + Sync {
    /// `[batch, tokens, width]` to `[batch, outputs]`.
    fn forward(&self, tokens: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error>;

    /// The number of first tokens that it reads, where that is not all of them.
    fn reads(&self) -> Option<usize> {
        None
    }
}

/// A built vision transformer.
pub(in crate::architectures) struct ViTTower {
    pub(super) patches: Patches,
    pub(super) projection: Conv2d,
    pub(super) prefix: PrefixTokens,
    pub(super) attention: Box<dyn AttentionPositions>,
    pub(super) blocks: Vec<Block>,
    pub(super) norm: Option<LayerNorm>,
    pub(super) head: Box<dyn Head>,
    pub(super) names: TraceNames,
    pub(super) device: Device,
}

impl ViTTower {
    /// The names of the layers, those of the head last.
    pub(super) fn layers(&self, head: &[&str]) -> Vec<String> {
        let blocks = 0..self.blocks.len();
        let first = self.names.embedded.then(|| self.names.first());
        let mut layers: Vec<String> = first.into_iter().collect();
        layers.extend(blocks.map(|block| self.names.state(block)));
        layers.push(self.names.normed.to_owned());
        layers.extend(head.iter().map(|&name| name.to_owned()));
        layers
    }

    /// The network of a tower whose head gives a pooled output, which is the embedding, and scores
    /// where it classifies.
    pub(super) fn into_pooled(self, classifies: bool) -> Network {
        let head = ["pooler_output", "classifier"];
        let layers = self.layers(head.get(..1 + usize::from(classifies)).unwrap_or(&head));
        Network::of_images(self, layers, Some("pooler_output".to_owned()))
    }

    /// The normed hidden states after the blocks `after`, counted from 1 and in ascending order, 0
    /// being the one before the first block: `[batch, tokens, width]` each.
    pub(in crate::architectures) fn states(
        &self,
        x: &FeatureMap,
        after: &[usize],
    ) -> Result<Vec<Tensor>, Error> {
        let (mut x, grid) = self.embed(x)?;
        let rotary = self.attention.rotary(grid)?;
        let mut states = Vec::with_capacity(after.len());
        for at in 0..=after.last().copied().unwrap_or_default() {
            if let Some(index) = at.checked_sub(1) {
                let Some(block) = self.blocks.get(index) else {
                    let reason = format!("has no block {at}");
                    return Err(Error::bad_input("backbone", reason));
                };
                let bias = self.attention.bias(index, grid)?;
                x = block.forward(&x, extras(bias.as_ref(), rotary.as_deref()))?;
            }
            for _ in after.iter().filter(|&&wanted| wanted == at) {
                states.push(match &self.norm {
                    Some(norm) => norm.forward(&x)?,
                    None => x.clone(),
                });
            }
        }
        Ok(states)
    }

    /// The tokens before the first block, and the grid of the patches.
    fn embed(&self, x: &FeatureMap) -> Result<(Tensor, [usize; 2]), Error> {
        let shape = x.shape()?;
        let grid = self.patches.grid([shape.height, shape.width])?;
        let patches = self.projection.forward(x, None)?.to_tokens()?;
        let tokens = self.prefix.prepend(patches, grid, &self.device)?;
        Ok((tokens, grid))
    }

    /// Whether a trace takes all tokens after the last block, also those that the head does not
    /// read.
    fn traces_all(&self, trace: &Trace<'_>) -> bool {
        let last = self.blocks.len().saturating_sub(1);
        trace.wants(self.names.normed) || trace.wants(&self.names.state(last))
    }
}

/// The extras of a block's attention.
fn extras<'a>(bias: Option<&'a Tensor>, rotary: Option<&'a Rotary>) -> AttentionExtras<'a> {
    AttentionExtras {
        mask: Mask {
            bias,
            ..Mask::default()
        },
        rotary,
    }
}

impl ImageTower for ViTTower {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        if self.names.embedded {
            trace.input(&self.names.first(), &x)?;
        }
        let (mut x, grid) = self.embed(&x)?;
        if self.names.embedded {
            trace.output(&self.names.first(), &x)?;
        }
        let rotary = self.attention.rotary(grid)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let bias = self.attention.bias(index, grid)?;
            let extras = extras(bias.as_ref(), rotary.as_deref());
            let last = index + 1 == self.blocks.len();
            let name = self.names.state(index);
            trace.input(&name, &x)?;
            x = match self.head.reads() {
                Some(count) if last && !self.traces_all(trace) => {
                    block.forward_first(&x, count, extras)?
                }
                _ => block.forward(&x, extras)?,
            };
            trace.output(&name, &x)?;
        }
        trace.input(self.names.normed, &x)?;
        if let Some(norm) = &self.norm {
            x = norm.forward(&x)?;
        }
        trace.output(self.names.normed, &x)?;
        self.head.forward(&x, trace)
    }
}

/// The token at `index` of each sample, `[batch, width]`.
pub(super) fn token(tokens: &Tensor, index: usize) -> Result<Tensor, Error> {
    Ok(tokens.narrow(1, index, 1)?.squeeze(1)?.contiguous()?)
}

/// The mean of the tokens from `first` on, `[batch, width]`.
pub(super) fn mean(tokens: &Tensor, first: usize) -> Result<Tensor, Error> {
    let count = tokens.dim(1)? - first;
    let tokens = tokens.narrow(1, first, count)?.contiguous()?;
    Ok(in_full(&tokens, |tokens| tokens.mean(1))?)
}

/// The class token, and a classifier where there is one.
pub(super) struct ClassToken {
    /// The name of the class token in a trace, where it has one.
    pub(super) pooled: Option<&'static str>,
    /// The name of the classifier.
    pub(super) name: &'static str,
    pub(super) classifier: Option<Linear>,
}

impl Head for ClassToken {
    fn reads(&self) -> Option<usize> {
        Some(1)
    }

    fn forward(&self, tokens: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let pooled = token(tokens, 0)?;
        if let Some(name) = self.pooled {
            trace.input(name, &pooled)?;
            trace.output(name, &pooled)?;
        }
        hugging_face::classify(self.name, self.classifier.as_ref(), pooled, trace)
    }
}
