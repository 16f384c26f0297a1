//! Windows over a grid of tokens, and the biases on attention scores within them.

#![allow(
    clippy::indexing_slicing,
    reason = "places on a grid and in a table that is made for the window"
)]

use candle_core::Tensor;

use super::config::StageConfig;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{FeatureMap, Gather, check_size};
use crate::weights::Scope;

/// Hidden features of the MLP that computes biases from distances.
const INNER: usize = 512;
/// Added to the attention scores of tokens from opposite edges of the image: -100, which
/// transformers adds twice.
const MASKED: f32 = -200.0;

/// The padding behind the rows and the columns that makes both multiples of a window's sides.
pub(super) fn margins([height, width]: [usize; 2], [down, across]: [usize; 2]) -> [[usize; 2]; 2] {
    let missing = |side: usize, of: usize| side.next_multiple_of(of.max(1)) - side;
    [[0, missing(height, down)], [0, missing(width, across)]]
}

/// The places of the four neighbours of each merged token: upper and lower left, upper and lower
/// right.
pub(super) fn neighbours([height, width]: [usize; 2]) -> Vec<u32> {
    let mut places = Vec::with_capacity(4 * height * width);
    for y in 0..height {
        for x in 0..width {
            for (down, right) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                places.push(place((2 * y + down) * 2 * width + 2 * x + right));
            }
        }
    }
    places
}

/// A place in a grid, which [`check_size`] keeps below 2^32.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The bias on attention scores within a window, by distance.
pub(super) struct Bias {
    heads: usize,
    side: usize,
    /// `[2 * side - 1, 2 * side - 1, heads]`.
    values: Vec<f32>,
}

impl Bias {
    /// Computes it once, from the MLP in the weights.
    pub(super) fn load(attention: &Scope<'_>, sizes: &StageConfig) -> Result<Self, Error> {
        let StageConfig {
            heads,
            window: side,
            learned,
            ..
        } = *sizes;
        let network = attention.child("continuous_position_bias_mlp");
        let values = |name: &str, dims: &[usize]| -> Result<Vec<f64>, Error> {
            let values = network.get(name, dims)?.flatten_all()?.to_vec1::<f32>()?;
            Ok(values.into_iter().map(f64::from).collect())
        };
        let first = values("0.weight", &[INNER, 2])?;
        let bias = values("0.bias", &[INNER])?;
        let second = values("2.weight", &[heads, INNER])?;
        let distances: Vec<f64> = (0..2 * side - 1)
            .map(|at| distance(at, side, learned))
            .collect();
        let mut table = Vec::with_capacity(distances.len() * distances.len() * heads);
        for down in &distances {
            for right in &distances {
                let inner: Vec<f64> = first
                    .chunks_exact(2)
                    .zip(&bias)
                    .map(|(weight, bias)| (weight[0] * down + weight[1] * right + bias).max(0.0))
                    .collect();
                table.extend(second.chunks_exact(INNER).map(|weight| {
                    let sum: f64 = weight.iter().zip(&inner).map(|(w, x)| w * x).sum();
                    rounded(16.0 / (1.0 + (-sum).exp()))
                }));
            }
        }
        Ok(Self {
            heads,
            side,
            values: table,
        })
    }

    /// The bias of the token at `from` in a window to the one at `to`.
    fn at(&self, from: usize, to: usize, head: usize) -> f32 {
        let side = self.side;
        let down = from / side + side - 1 - to / side;
        let right = from % side + side - 1 - to % side;
        self.values[(down * (2 * side - 1) + right) * self.heads + head]
    }
}

/// A distance along one side, on a scale that is logarithmic outwards; `at` counts from the
/// largest negative one.
#[allow(clippy::cast_precision_loss, reason = "small whole numbers")]
fn distance(at: usize, side: usize, learned: usize) -> f64 {
    let largest = if learned > 0 { learned } else { side } - 1;
    let steps = at as f64 - (side - 1) as f64;
    let share = if largest > 0 {
        steps / largest as f64
    } else {
        steps
    };
    let share = 8.0 * share;
    share.signum() * (share.abs() + 1.0).log2() / 3.0
}

#[allow(clippy::cast_possible_truncation, reason = "rounded on purpose")]
fn rounded(value: f64) -> f32 {
    value as f32
}

/// The windows of a block, for grids of any size.
pub(super) struct Windows {
    pub(super) side: usize,
    pub(super) shift: usize,
    pub(super) bias: Bias,
}

/// The windows of a grid.
pub(super) struct Partition {
    size: [usize; 2],
    margins: [[usize; 2]; 2],
    windows: usize,
    tokens: usize,
    split: Gather,
    merge: Gather,
    /// `[windows or 1, heads, tokens, tokens]`.
    bias: Tensor,
}

impl Windows {
    /// Elements of the biases of a grid, which are kept for the next image.
    pub(super) fn elements(&self, size: [usize; 2]) -> usize {
        let margins = margins(size, [self.side; 2]);
        let [down, across] = [0, 1].map(|axis| (size[axis] + margins[axis][1]) / self.side);
        let biases = if self.shift > 0 {
            down.saturating_mul(across)
        } else {
            1
        };
        let tokens = self.side * self.side;
        [self.bias.heads, tokens, tokens]
            .into_iter()
            .fold(biases, usize::saturating_mul)
    }

    /// Divides a grid of tokens.
    pub(super) fn partition(&self, size: [usize; 2], device: &Device) -> Result<Partition, Error> {
        let (side, margins) = (self.side, margins(size, [self.side; 2]));
        let [height, width] = [0, 1].map(|axis| size[axis] + margins[axis][1]);
        let (windows, tokens) = ((height / side) * (width / side), side * side);
        let biases = if self.shift > 0 { windows } else { 1 };
        let dims = [biases, self.bias.heads, tokens, tokens];
        check_size("windows", &[height, width])?;
        check_size("windows", &dims)?;
        // The source of each token of each window, and the reverse.
        let mut split = vec![0; windows * tokens];
        let mut merge = vec![0; size[0] * size[1]];
        for y in 0..height {
            for x in 0..width {
                let window = (y / side) * (width / side) + x / side;
                let at = window * tokens + (y % side) * side + x % side;
                let (from_y, from_x) = ((y + self.shift) % height, (x + self.shift) % width);
                split[at] = place(from_y * width + from_x);
                if from_y < size[0] && from_x < size[1] {
                    merge[from_y * size[1] + from_x] = place(at);
                }
            }
        }
        let mut values = Vec::new();
        values
            .try_reserve_exact(dims.iter().product())
            .map_err(candle_core::Error::wrap)?;
        for window in 0..biases {
            let regions = self.regions(window, [height, width]);
            for head in 0..self.bias.heads {
                for from in 0..tokens {
                    values.extend((0..tokens).map(|to| {
                        let apart = regions[from] != regions[to];
                        self.bias.at(from, to, head) + if apart { MASKED } else { 0.0 }
                    }));
                }
            }
        }
        Ok(Partition {
            size,
            margins,
            windows,
            tokens,
            split: Gather::new(split, device)?,
            merge: Gather::new(merge, device)?,
            bias: Tensor::from_vec(values, &dims[..], device.candle())?,
        })
    }

    /// The region of each token of a shifted window: tokens of different regions come from opposite
    /// edges.
    fn regions(&self, window: usize, [height, width]: [usize; 2]) -> Vec<usize> {
        let side = self.side;
        let across = width / side;
        let region = |at: usize, of: usize| {
            usize::from(at >= of - side) + usize::from(at >= of - self.shift)
        };
        let place = |at: usize| {
            let y = window / across * side + at / side;
            let x = window % across * side + at % side;
            if self.shift == 0 {
                0
            } else {
                3 * region(y, height) + region(x, width)
            }
        };
        (0..side * side).map(place).collect()
    }
}

impl Partition {
    /// `[batch, tokens, width]` to `[batch * windows, tokens of a window, width]`.
    pub(super) fn split(&self, x: &Tensor, device: &Device) -> Result<Tensor, Error> {
        let (batch, _, width) = x.dims3()?;
        let x = if self.margins == [[0; 2]; 2] {
            x.clone()
        } else {
            let map = FeatureMap::from_tokens(x, self.size, device)?;
            map.pad(self.margins)?.to_tokens()?
        };
        let x = self.split.forward(&x)?;
        Ok(x.reshape((batch * self.windows, self.tokens, width))?)
    }

    /// The reverse, without the padding.
    pub(super) fn merge(&self, x: &Tensor) -> Result<Tensor, Error> {
        let (all, tokens, width) = x.dims3()?;
        let batch = all / self.windows.max(1);
        let x = x.reshape((batch, self.windows * tokens, width))?;
        self.merge.forward(&x)
    }

    /// The bias on attention scores, `[windows or 1, heads, tokens, tokens]`.
    pub(super) fn bias(&self) -> &Tensor {
        &self.bias
    }
}
