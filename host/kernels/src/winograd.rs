//! 3x3 convolutions of stride 1 by Winograd's algorithm, with a quarter of the multiplications
//! (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015: F(4x4, 3x3), at
//! other points).
//!
//! Blocks of 4x4 results come from tiles of 6x6 pixels. A tile is transformed, each of its 36
//! places is a product of matrices with the transformed weights of that place, and the products
//! are transformed back. Rounding errors are about ten times those of direct sums, 1e-6 to
//! 1e-5 of the largest value; a NaN or an infinity makes its whole block of results NaN.

use std::collections::TryReserveError;
use std::ops::Range;

use rayon::prelude::*;

use crate::block::{Panels, Rows, product};
use crate::chunks;
use crate::isa::Isa;
use crate::math;
use crate::matmul::Epilogue;
use crate::window::{Shape, Window};

/// Results along a side of a block.
const OUT: usize = 4;
/// Pixels along a side of a tile.
const TILE: usize = 6;
/// Places of a tile.
const PLACES: usize = TILE * TILE;
/// Channels that are transformed at once.
const LANES: usize = 16;
/// Elements between the rows of a matrix, so that they do not evict each other from the cache.
const APART: usize = 16;
/// Tiles that are computed together: a few steps of the kernel for each time that the weights are
/// read.
const BLOCK: usize = 39;
/// The most weights per place: reading more takes as long as the multiplications that are saved.
const MOST_WEIGHTS: usize = 256 * 256;
/// Multiply-adds below which waking the other threads costs more than it saves.
const SMALL: usize = 1 << 18;
/// The most tiles across an image: each thread computes a row of them at once, with up to 75 KB
/// per tile.
const MOST_ACROSS: usize = 1 << 11;

/// The polynomials are evaluated at 0, ±this, ±[`FAR`] and infinity: the factors are then of one
/// size, and rounding errors a third of those with 1 and 2.
const NEAR: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// See [`NEAR`].
const FAR: f32 = std::f32::consts::SQRT_2;

type Lanes = [f32; LANES];

/// Weights, transformed and packed.
pub struct Winograd {
    isa: Isa,
    /// On each side: above and below, left and right.
    padding: [usize; 2],
    inputs: usize,
    /// For each place of a tile.
    panels: Vec<Panels>,
    bias: Vec<f32>,
}

impl Winograd {
    /// From `weight`, `[outputs, 3, 3, inputs]`; none where the algorithm does not apply.
    pub fn new(
        isa: Isa,
        window: &Window,
        groups: usize,
        weight: &[f32],
        bias: &[f32],
    ) -> Option<Self> {
        let outputs = bias.len();
        let inputs = weight.len() / 9 / outputs.max(1);
        let fits = window.kernel == [3; 2]
            && window.stride == [1; 2]
            && window.dilation == [1; 2]
            && groups == 1
            && [inputs, outputs]
                .iter()
                .all(|&side| side > 0 && side.is_multiple_of(LANES))
            && inputs * outputs <= MOST_WEIGHTS;
        if !fits {
            return None;
        }
        assert_eq!(weight.len(), outputs * 9 * inputs);
        // [places, outputs, inputs]
        let mut transformed = vec![0.0; PLACES * outputs * inputs];
        for output in 0..outputs {
            for input in 0..inputs {
                let tap = |at: usize| f64::from(weight[(output * 9 + at) * inputs + input]);
                for (place, value) in transform_weight(tap).into_iter().enumerate() {
                    transformed[(place * outputs + output) * inputs + input] = value;
                }
            }
        }
        let panels = transformed.chunks_exact(outputs * inputs).map(|values| {
            let rows = Rows {
                values,
                stride: inputs,
                length: inputs,
            };
            let mut panels = Panels::default();
            panels.pack_transposed(isa, rows, outputs);
            panels
        });
        Some(Self {
            isa,
            padding: window.padding,
            inputs,
            panels: panels.collect(),
            bias: bias.to_vec(),
        })
    }

    /// The sizes of the result, `[height, width]`.
    fn out(&self, shape: Shape) -> [usize; 2] {
        let [down, across] = self.padding;
        [shape.height + 2 * down, shape.width + 2 * across].map(|side| side.saturating_sub(2))
    }

    /// Whether it is faster than direct sums for feature maps of this size: blocks at their edges
    /// are only partly used.
    pub fn suits(&self, shape: Shape) -> bool {
        let [height, width] = self.out(shape);
        let across = width.div_ceil(OUT);
        let tiles = height.div_ceil(OUT) * across;
        // Direct sums need 9 multiplications per result, this 36 per tile.
        across <= MOST_ACROSS && 2 * tiles * PLACES <= height * width * 9
    }
}

/// Convolves; the result has the shape `[batch, height, width, outputs]`.
///
/// # Errors
/// There is no memory for the result, or for the transformed tiles.
pub fn winograd(
    input: &[f32],
    shape: Shape,
    weights: &Winograd,
    epilogue: Epilogue<'_>,
) -> Result<Vec<f32>, TryReserveError> {
    assert_eq!(input.len(), shape.elements());
    assert_eq!(shape.channels, weights.inputs);
    let outputs = weights.bias.len();
    let [height, width] = weights.out(shape);
    let mut result = chunks::zeros(shape.batch * height * width * outputs)?;
    assert!(
        epilogue
            .residual
            .is_none_or(|residual| residual.len() == result.len())
    );
    if result.is_empty() {
        return Ok(result);
    }
    let job = Job {
        input,
        shape,
        weights,
        epilogue,
        out: [height, width],
        tiles: [height, width].map(|side| side.div_ceil(OUT)),
    };
    let mut pieces = job.pieces(&mut result);
    let work = pieces.len() * BLOCK * PLACES * weights.inputs * outputs;
    if pieces.len() >= rayon::current_num_threads() {
        let run = |scratch: &mut Scratch, piece: Piece<'_>| job.run(scratch, piece, false);
        let pieces = pieces.into_par_iter();
        pieces
            .map_init(Scratch::default, run)
            .collect::<Result<(), _>>()?;
    } else {
        // Too few for all threads: they share each piece.
        let mut scratch = Scratch::default();
        for piece in pieces.drain(..) {
            job.run(&mut scratch, piece, work > SMALL)?;
        }
    }
    Ok(result)
}

struct Job<'a> {
    input: &'a [f32],
    shape: Shape,
    weights: &'a Winograd,
    epilogue: Epilogue<'a>,
    /// Of a result.
    out: [usize; 2],
    /// Down and across an image.
    tiles: [usize; 2],
}

/// Some rows of tiles, counted through all images, and their part of the result.
struct Piece<'a> {
    rows: Range<usize>,
    out: &'a mut [f32],
    /// Where `out` begins in the result.
    first: usize,
}

#[derive(Default)]
struct Scratch {
    /// `[places, tiles, inputs]`.
    tiles: Vec<f32>,
    /// `[places, tiles, outputs]`.
    products: Vec<f32>,
}

impl Job<'_> {
    /// Where in the result a row of tiles begins; the row after the last is the end.
    fn start(&self, row: usize) -> usize {
        let (image, down) = (row / self.tiles[0], row % self.tiles[0]);
        (image * self.out[0] + down * OUT) * self.out[1] * self.weights.bias.len()
    }

    fn pieces<'a>(&self, mut result: &'a mut [f32]) -> Vec<Piece<'a>> {
        let rows = self.shape.batch * self.tiles[0];
        let whole = BLOCK.div_ceil(self.tiles[1]).min(rows);
        // A multiple of the threads, where there are enough.
        let count = rows.div_ceil(whole);
        let threads = rayon::current_num_threads();
        let count = if count > threads {
            count.next_multiple_of(threads).min(rows)
        } else {
            count
        };
        let mut pieces = Vec::with_capacity(count);
        for piece in 0..count {
            let rows = piece * rows / count..(piece + 1) * rows / count;
            let first = self.start(rows.start);
            let (out, rest) = result.split_at_mut(self.start(rows.end) - first);
            result = rest;
            pieces.push(Piece { rows, out, first });
        }
        pieces
    }

    fn run(
        &self,
        scratch: &mut Scratch,
        piece: Piece<'_>,
        shared: bool,
    ) -> Result<(), TryReserveError> {
        let Winograd { isa, inputs, .. } = *self.weights;
        let outputs = self.weights.bias.len();
        let count = piece.rows.len() * self.tiles[1];
        let (from, to) = (inputs + APART, outputs + APART);
        let Scratch { tiles, products } = scratch;
        chunks::resize(tiles, PLACES * count * from)?;
        chunks::resize(products, PLACES * count * to)?;
        let mut tile = 0;
        for row in piece.rows.clone() {
            for column in 0..self.tiles[1] {
                isa.run(
                    #[inline(always)]
                    || self.transform(row, column, &mut tiles[tile * from..], count * from),
                );
                tile += 1;
            }
        }
        let one = |(place, out): (usize, &mut [f32])| {
            let left = Rows {
                values: &tiles[place * count * from..][..count * from],
                stride: from,
                length: inputs,
            };
            product(isa, left, count, &self.weights.panels[place], out, to);
        };
        if shared {
            products
                .par_chunks_exact_mut(count * to)
                .enumerate()
                .for_each(one);
        } else {
            products
                .chunks_exact_mut(count * to)
                .enumerate()
                .for_each(one);
        }
        let Piece { rows, out, first } = piece;
        let mut tile = 0;
        for row in rows {
            for column in 0..self.tiles[1] {
                isa.run(
                    #[inline(always)]
                    || self.collect(row, column, &products[tile * to..], count * to, out, first),
                );
                tile += 1;
            }
        }
        math::activate(isa, self.epilogue.activation, out);
        Ok(())
    }

    /// Transforms a tile; its places are `apart` in `target`.
    #[inline(always)]
    fn transform(&self, row: usize, column: usize, target: &mut [f32], apart: usize) {
        let Shape {
            height,
            width,
            channels,
            ..
        } = self.shape;
        let image = row / self.tiles[0];
        let [down, across] = self.weights.padding;
        let (top, left) = (row % self.tiles[0] * OUT, column * OUT);
        // Where each pixel of the tile begins; none in the padding.
        let mut starts = [[None; TILE]; TILE];
        for (y, starts) in starts.iter_mut().enumerate() {
            let Some(y) = (top + y).checked_sub(down).filter(|&y| y < height) else {
                continue;
            };
            for (x, start) in starts.iter_mut().enumerate() {
                let x = (left + x).checked_sub(across).filter(|&x| x < width);
                *start = x.map(|x| ((image * height + y) * width + x) * channels);
            }
        }
        for first in (0..channels).step_by(LANES) {
            let mut half = [[[0.0; LANES]; TILE]; TILE];
            for (y, starts) in starts.iter().enumerate() {
                half[y] = transform_tile(starts.map(|start| match start {
                    Some(start) => lanes(&self.input[start + first..]),
                    None => [0.0; LANES],
                }));
            }
            for x in 0..TILE {
                let column = transform_tile(std::array::from_fn(|y| half[y][x]));
                for (y, values) in column.iter().enumerate() {
                    target[(y * TILE + x) * apart + first..][..LANES].copy_from_slice(values);
                }
            }
        }
    }

    /// Transforms the products of a tile back, into its block of the result.
    #[inline(always)]
    fn collect(
        &self,
        row: usize,
        column: usize,
        products: &[f32],
        apart: usize,
        out: &mut [f32],
        first: usize,
    ) {
        let outputs = self.weights.bias.len();
        let [height, width] = self.out;
        let (image, top, left) = (row / self.tiles[0], row % self.tiles[0] * OUT, column * OUT);
        let (rows, columns) = ((height - top).min(OUT), (width - left).min(OUT));
        for channel in (0..outputs).step_by(LANES) {
            let mut half = [[[0.0; LANES]; OUT]; TILE];
            for (y, half) in half.iter_mut().enumerate() {
                *half = transform_back(std::array::from_fn(|x| {
                    lanes(&products[(y * TILE + x) * apart + channel..])
                }));
            }
            let bias = lanes(&self.weights.bias[channel..]);
            for x in 0..columns {
                let column = transform_back(std::array::from_fn(|y| half[y][x]));
                for (y, values) in column.iter().enumerate().take(rows) {
                    let pixel = (image * height + top + y) * width + left + x;
                    let at = pixel * outputs + channel;
                    let mut sums = *values;
                    for lane in 0..LANES {
                        sums[lane] += bias[lane];
                    }
                    if let Some(residual) = self.epilogue.residual {
                        let residual = lanes(&residual[at..]);
                        for lane in 0..LANES {
                            sums[lane] += residual[lane];
                        }
                    }
                    out[at - first..][..LANES].copy_from_slice(&sums);
                }
            }
        }
    }
}

#[inline(always)]
fn lanes(values: &[f32]) -> Lanes {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&values[..LANES]);
    lanes
}

#[inline(always)]
fn each(function: impl Fn(usize) -> f32) -> Lanes {
    std::array::from_fn(function)
}

/// A row of a tile, transformed.
#[inline(always)]
fn transform_tile(d: [Lanes; TILE]) -> [Lanes; TILE] {
    let (even, odd) = (
        each(|i| d[4][i] - 2.0 * d[2][i]),
        each(|i| NEAR * d[3][i] - FAR * d[1][i]),
    );
    let (far_even, far_odd) = (
        each(|i| d[4][i] - 0.5 * d[2][i]),
        each(|i| FAR * d[3][i] - NEAR * d[1][i]),
    );
    [
        each(|i| d[0][i] - 2.5 * d[2][i] + d[4][i]),
        each(|i| even[i] + odd[i]),
        each(|i| even[i] - odd[i]),
        each(|i| far_even[i] + far_odd[i]),
        each(|i| far_even[i] - far_odd[i]),
        each(|i| d[1][i] - 2.5 * d[3][i] + d[5][i]),
    ]
}

/// A row of products, transformed back.
#[inline(always)]
fn transform_back(m: [Lanes; TILE]) -> [Lanes; OUT] {
    let near = each(|i| m[1][i] + m[2][i]);
    let far = each(|i| m[3][i] + m[4][i]);
    let near_apart = each(|i| m[1][i] - m[2][i]);
    let far_apart = each(|i| m[3][i] - m[4][i]);
    [
        each(|i| m[0][i] + near[i] + far[i]),
        each(|i| NEAR * near_apart[i] + FAR * far_apart[i]),
        each(|i| 0.5 * near[i] + 2.0 * far[i]),
        each(|i| 0.5 * NEAR * near_apart[i] + 2.0 * FAR * far_apart[i] + m[5][i]),
    ]
}

/// The 3x3 weights of one input and one output, transformed.
fn transform_weight(tap: impl Fn(usize) -> f64) -> [f32; PLACES] {
    const ROOT: f64 = std::f64::consts::SQRT_2;
    const ROWS: [[f64; 3]; TILE] = [
        [1.0, 0.0, 0.0],
        [-2.0 / 3.0, -ROOT / 3.0, -1.0 / 3.0],
        [-2.0 / 3.0, ROOT / 3.0, -1.0 / 3.0],
        [1.0 / 6.0, ROOT / 6.0, 1.0 / 3.0],
        [1.0 / 6.0, -ROOT / 6.0, 1.0 / 3.0],
        [0.0, 0.0, 1.0],
    ];
    let mut transformed = [0.0; PLACES];
    for (place, value) in transformed.iter_mut().enumerate() {
        let (down, across) = (ROWS[place / TILE], ROWS[place % TILE]);
        let sum: f64 = (0..9)
            .map(|at| down[at / 3] * tap(at) * across[at % 3])
            .sum();
        #[allow(clippy::cast_possible_truncation, reason = "rounded once")]
        {
            *value = sum as f32;
        }
    }
    transformed
}
