//! The tower that vision transformers share: patches, tokens before them, positions, blocks, a
//! norm and a head.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Tensor};
use modelzoo_kernels::Window;

use super::ImageTower;
use super::positions::{Grid, Interpolation};
use super::transformer::{Block, Extras};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Conv2d, ConvGeometry, FeatureMap, LayerNorm, Linear, Mask, Rotary, add_rows,
    prepend_rows,
};
use crate::plan::Size;
use crate::precision::in_full;
use crate::trace::Trace;
use crate::weights::Scope;

/// Which images can be cut into patches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// Those of this size, `[height, width]`.
    Fixed([usize; 2]),
    /// Those whose sides are multiples of the patch's.
    Exact,
    /// Those of a patch at least; what is beyond the last whole one is not looked at.
    Floor,
}

/// How images are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patches {
    pub(super) channels: usize,
    /// `[height, width]`.
    pub(super) size: [usize; 2],
    pub(super) cut: Cut,
}

impl Patches {
    /// The number of patches along each side of an image of so many pixels.
    pub(super) fn grid(&self, image: [usize; 2]) -> Result<[usize; 2], Error> {
        let [[height, width], [down, across]] = [image, self.size];
        let bad = |reason| Err(Error::bad_input("patches", reason));
        match self.cut {
            Cut::Fixed([want_height, want_width]) if image != [want_height, want_width] => {
                bad(format!(
                    "takes images of {want_height}x{want_width}, got {height}x{width}: its positions are for that size alone"
                ))
            }
            Cut::Exact if height % down != 0 || width % across != 0 => bad(format!(
                "takes images whose sides are multiples of {down}x{across}, got {height}x{width}"
            )),
            _ if height < down || width < across => bad(format!(
                "takes images of at least {down}x{across}, got {height}x{width}"
            )),
            _ => Ok([height / down, width / across]),
        }
    }

    /// The same for the size that a plan fixes.
    pub(super) fn check(&self, size: Option<Size>) -> Result<(), Error> {
        let Some(size) = size else {
            return Ok(());
        };
        let side = |side: u32| usize::try_from(side).unwrap_or(usize::MAX);
        self.grid([side(size.height), side(size.width)]).map(|_| ())
    }

    /// The layer that makes a token of a patch.
    pub(super) fn load(
        &self,
        scope: &Scope<'_>,
        width: usize,
        device: &Device,
    ) -> Result<Conv2d, Error> {
        let geometry = ConvGeometry {
            in_channels: self.channels,
            out_channels: width,
            window: Window {
                kernel: self.size,
                stride: self.size,
                padding: [0; 2],
                dilation: [1; 2],
            },
            groups: 1,
        };
        Conv2d::load(scope, geometry, true, None, Activation::Identity, device)
    }
}

/// Something that is computed for each size of the grid, and kept for the last one.
pub(super) struct BySize<T> {
    last: Mutex<Option<([usize; 2], T)>>,
}

impl<T: Clone> BySize<T> {
    pub(super) fn new() -> Self {
        Self {
            last: Mutex::new(None),
        }
    }

    pub(super) fn get(
        &self,
        size: [usize; 2],
        compute: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let kept = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, value)) = &*kept
            && *of == size
        {
            return Ok(value.clone());
        }
        drop(kept);
        let value = compute()?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((size, value.clone()));
        Ok(value)
    }
}

/// Learned positions of the patches.
pub(super) struct Positions {
    grid: Grid,
    how: Interpolation,
    tensors: BySize<Tensor>,
}

impl Positions {
    pub(super) fn new(grid: Grid, how: Interpolation) -> Self {
        Self {
            grid,
            how,
            tensors: BySize::new(),
        }
    }

    /// `[patches, width]` on the device, with its precision.
    fn at(&self, size: [usize; 2], device: &Device) -> Result<Tensor, Error> {
        self.tensors.get(size, || {
            let values = self.grid.resized(size, self.how);
            let patches = size.iter().product::<usize>();
            let width = values.len() / patches.max(1);
            let values = Tensor::from_vec(values, (patches, width), &candle_core::Device::Cpu)?;
            device.place_weights("positions", &values)
        })
    }
}

/// Tokens that go before the patches, and the positions that they and the patches have.
pub(super) struct Tokens {
    /// `[tokens, width]`, on the device.
    pub(super) before: Tensor,
    pub(super) positions: Option<Positions>,
}

impl Tokens {
    /// From tokens of the shape `[1, some, width]` each, of which the first `placed` together have
    /// positions, and the table of positions: one for each of these, then `grid` ones of patches.
    pub(super) fn new(
        tokens: &[Tensor],
        placed: usize,
        table: Option<(Tensor, [usize; 2], Interpolation)>,
        device: &Device,
    ) -> Result<Self, Error> {
        let mut before = Tensor::cat(tokens, 1)?;
        let mut positions = None;
        if let Some((table, size, how)) = table {
            let (_, count, width) = before.dims3()?;
            let zeros = Tensor::zeros((1, count - placed, width), DType::F32, before.device())?;
            let own = table.narrow(1, 0, placed)?;
            before = (before + Tensor::cat(&[own, zeros], 1)?)?;
            let rest = table.narrow(1, placed, table.dim(1)? - placed)?;
            let grid = Grid::new(rest.flatten_all()?.to_vec1()?, size);
            let grid = grid.ok_or_else(|| Error::bad_input("positions", "are of another grid"))?;
            positions = Some(Positions::new(grid, how));
        }
        Ok(Self {
            before: device.place_weights("tokens", &before.squeeze(0)?)?,
            positions,
        })
    }

    /// The tokens of a batch, `[batch, tokens, width]`, from those of the patches.
    fn with(&self, patches: Tensor, size: [usize; 2], device: &Device) -> Result<Tensor, Error> {
        let patches = match &self.positions {
            Some(positions) => add_rows(&patches, &positions.at(size, device)?, device)?,
            None => patches,
        };
        prepend_rows(&patches, &self.before)
    }
}

/// The names under which a [`Trace`] hears of the tower's values.
pub(super) struct Names {
    /// What the names of the tokens before the first block and after each begin with; a number
    /// follows.
    pub(super) states: &'static str,
    /// Whether the tokens before the first block have the number 0, and the blocks count from 1.
    pub(super) embedded: bool,
    /// Of the norm's result.
    pub(super) normed: &'static str,
}

impl Names {
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

/// What acts on the attention of the blocks, for a grid of patches.
pub(super) trait Attending: Send + Sync {
    /// What is the same for all blocks.
    fn rotary(&self, _grid: [usize; 2]) -> Result<Option<Arc<Rotary>>, Error> {
        Ok(None)
    }

    /// What is added to the scores of a block.
    fn bias(&self, _block: usize, _grid: [usize; 2]) -> Result<Option<Tensor>, Error> {
        Ok(None)
    }
}

/// Nothing does.
pub(super) struct Plainly;

impl Attending for Plainly {}

/// What follows the last block.
pub(super) trait Head: Send + Sync {
    /// `[batch, outputs]` from `[batch, tokens, width]`, after the norm.
    fn forward(&self, tokens: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error>;

    /// How many of the first tokens it reads, where that is not all of them.
    fn reads(&self) -> Option<usize> {
        None
    }
}

/// A built vision transformer.
pub(super) struct VisionTransformer {
    pub(super) patches: Patches,
    pub(super) projection: Conv2d,
    pub(super) tokens: Tokens,
    pub(super) attending: Box<dyn Attending>,
    pub(super) blocks: Vec<Block>,
    pub(super) norm: Option<LayerNorm>,
    pub(super) head: Box<dyn Head>,
    pub(super) names: Names,
    pub(super) device: Device,
}

impl VisionTransformer {
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

    /// Whether all tokens are looked at after the last block, also those that the head does not
    /// read.
    fn shows_all(&self, trace: &Trace<'_>) -> bool {
        let last = self.blocks.len().saturating_sub(1);
        trace.wants(self.names.normed) || trace.wants(&self.names.state(last))
    }
}

impl ImageTower for VisionTransformer {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let shape = x.shape()?;
        let grid = self.patches.grid([shape.height, shape.width])?;
        if self.names.embedded {
            trace.input(&self.names.first(), &x)?;
        }
        let patches = self.projection.forward(&x, None)?.to_tokens()?;
        let mut x = self.tokens.with(patches, grid, &self.device)?;
        if self.names.embedded {
            trace.output(&self.names.first(), &x)?;
        }
        let rotary = self.attending.rotary(grid)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let bias = self.attending.bias(index, grid)?;
            let extras = Extras {
                mask: Mask {
                    bias: bias.as_ref(),
                    ..Mask::default()
                },
                rotary: rotary.as_deref(),
            };
            let last = index + 1 == self.blocks.len();
            let name = self.names.state(index);
            trace.input(&name, &x)?;
            x = match self.head.reads() {
                Some(count) if last && !self.shows_all(trace) => {
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
    /// The name of the class token, where it has one.
    pub(super) pooled: Option<&'static str>,
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
        let Some(classifier) = &self.classifier else {
            return Ok(pooled);
        };
        trace.input(self.name, &pooled)?;
        let scores = classifier.forward(&pooled)?;
        trace.output(self.name, &scores)?;
        Ok(scores)
    }
}
