//! Attention: for each head, the rows of the values weighted by how much each query is like each
//! key.
//!
//! A head of one sample is one piece of work: its keys and values are packed once, and then a
//! block of queries at a time passes by, whose likenesses never leave the cache. The heads are
//! read where the projection has written them, and written where the next layer reads them.

use std::collections::TryReserveError;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::block::{Panels, Rows, product};
use super::isa::{Isa, MultiplyAdd};
use super::math::{exp_below, fold};
use super::out::{Out, written};

/// Likenesses that are worked on at a time, so that they stay in the cache.
const BLOCK: usize = 1 << 15;
/// The fewest queries of a block, a few tiles' worth.
const LEAST_ROWS: usize = 39;
/// Multiply-adds below which waking the other threads costs more than it brings.
const SMALL: usize = 1 << 17;

/// Queries, keys or values: rows of `row` values, of which the heads begin at `first`.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) row: usize,
    pub(crate) first: usize,
}

impl<'a> Heads<'a> {
    /// One head of one sample.
    fn rows(&self, sample: usize, tokens: usize, head: usize, length: usize) -> Rows<'a> {
        let start = sample * tokens * self.row + self.first + head * length;
        Rows {
            values: &self.values[start..],
            stride: self.row,
            length,
        }
    }

    fn holds(&self, rows: usize, width: usize) -> bool {
        self.first + width <= self.row && self.values.len() == rows * self.row
    }
}

/// What is computed.
#[derive(Clone, Copy)]
pub(crate) struct AttentionJob<'a> {
    pub(crate) isa: Isa,
    pub(crate) batch: usize,
    /// Of a sample.
    pub(crate) queries: usize,
    /// Of a sample.
    pub(crate) keys: usize,
    /// Values of a head.
    pub(crate) head: usize,
    /// What likenesses are multiplied by, for each head.
    pub(crate) scales: &'a [f32],
    /// Whether a query sees only keys that are no later than itself.
    pub(crate) causal: bool,
    /// How many keys there really are, for each sample.
    pub(crate) lengths: Option<&'a [usize]>,
    /// What is added to the likenesses, `[some, heads, queries, keys]`, for the samples in turn.
    pub(crate) bias: Option<&'a [f32]>,
}

/// Memory that is used again for each head.
#[derive(Default)]
pub(super) struct Scratch {
    keys: Panels,
    values: Panels,
    likenesses: Vec<f32>,
    /// One a query: what the sum of its powers is to be multiplied by.
    shares: Vec<f32>,
    result: Vec<f32>,
}

/// The result has the shape `[batch, queries, heads * head]`.
///
/// # Errors
/// There is no memory for the result.
pub(crate) fn attention(
    job: AttentionJob<'_>,
    [queries, keys, values]: [Heads<'_>; 3],
) -> Result<Vec<f32>, TryReserveError> {
    let sides = [queries, keys, values];
    let pieces = job.batch * job.scales.len();
    let write = |out: &mut [MaybeUninit<f32>]| {
        job.check(sides, out.len());
        let out = Out::new(out);
        let run = |scratch: &mut Scratch, piece| job.run(piece, sides, scratch, &out);
        if pieces * job.queries * job.keys * job.head < SMALL {
            let mut scratch = Scratch::default();
            (0..pieces).for_each(|piece| run(&mut scratch, piece));
        } else {
            let pieces = (0..pieces).into_par_iter();
            pieces.for_each_init(Scratch::default, run);
        }
    };
    // SAFETY: the pieces cover all samples and heads, so all elements, each of which is written by
    // `AttentionJob::run`.
    unsafe { written(job.batch * job.queries * job.width(), write) }
}

/// As [`attention`], into `out`, all of which is written, and on the calling thread.
pub(super) fn attention_into(
    job: AttentionJob<'_>,
    sides: [Heads<'_>; 3],
    scratch: &mut Scratch,
    out: &mut [MaybeUninit<f32>],
) {
    job.check(sides, out.len());
    let out = Out::new(out);
    for piece in 0..job.batch * job.scales.len() {
        job.run(piece, sides, scratch, &out);
    }
}

impl AttentionJob<'_> {
    /// Features of a token.
    fn width(&self) -> usize {
        self.scales.len() * self.head
    }

    /// Checks what [`run`](Self::run) relies on; `length` is the result's.
    fn check(&self, [queries, keys, values]: [Heads<'_>; 3], length: usize) {
        let width = self.width();
        assert_eq!(length, self.batch * self.queries * width);
        assert!(queries.holds(self.batch * self.queries, width));
        for side in [keys, values] {
            assert!(side.holds(self.batch * self.keys, width));
        }
        self.check_mask();
    }

    /// Checks what each sample's part of the mask is cut out of.
    pub(super) fn check_mask(&self) {
        if let Some(lengths) = self.lengths {
            assert_eq!(lengths.len(), self.batch);
            assert!(
                lengths
                    .iter()
                    .all(|length| (1..=self.keys).contains(length))
            );
        }
        let biases = self.scales.len() * self.queries * self.keys;
        let fits =
            |bias: &[f32]| biases > 0 && !bias.is_empty() && bias.len().is_multiple_of(biases);
        assert!(self.bias.is_none_or(fits));
    }

    /// What is left to do for one sample, whose queries, keys and values are by themselves.
    pub(super) fn of_sample(self, sample: usize) -> Self {
        let biases = self.scales.len() * self.queries * self.keys;
        Self {
            batch: 1,
            lengths: self.lengths.map(|lengths| &lengths[sample..=sample]),
            bias: self.bias.map(|bias| {
                let turn = sample % (bias.len() / biases);
                &bias[turn * biases..][..biases]
            }),
            ..self
        }
    }

    /// One head of one sample.
    fn run(
        &self,
        piece: usize,
        [queries, keys, values]: [Heads<'_>; 3],
        scratch: &mut Scratch,
        out: &Out<'_>,
    ) {
        let heads = self.scales.len();
        let (sample, head) = (piece / heads, piece % heads);
        let count = self.lengths.map_or(self.keys, |lengths| lengths[sample]);
        let Scratch {
            keys: right,
            values: weighted,
            likenesses,
            shares,
            result,
        } = scratch;
        right.pack_transposed(
            self.isa,
            keys.rows(sample, self.keys, head, self.head),
            count,
        );
        weighted.pack(
            self.isa,
            values.rows(sample, self.keys, head, self.head),
            count,
        );
        let block = (BLOCK / count.max(1)).max(LEAST_ROWS).min(self.queries);
        likenesses.resize(block * count, 0.0);
        shares.resize(block, 0.0);
        result.resize(block * self.head, 0.0);
        let queries = queries.rows(sample, self.queries, head, self.head);
        let mut first = 0;
        while first < self.queries {
            let rows = block.min(self.queries - first);
            let part = Rows {
                values: &queries.values[first * queries.stride..],
                ..queries
            };
            product(self.isa, part, rows, right, likenesses, count);
            let (powers, shares) = (&mut likenesses[..rows * count], &mut shares[..rows]);
            self.isa.run_with(
                #[inline(always)]
                |fma| self.raise(fma, [sample, head, first], powers, shares),
            );
            let powers = Rows {
                values: powers,
                stride: count,
                length: count,
            };
            product(self.isa, powers, rows, weighted, result, self.head);
            for (row, (values, share)) in result.chunks_exact(self.head).zip(shares).enumerate() {
                let row = sample * self.queries + first + row;
                let at = (row * heads + head) * self.head;
                for (value, at) in values.iter().zip(at..) {
                    // SAFETY: the element is in the result, and of this sample and head, which no
                    // other piece has.
                    unsafe { out.at(at).write(value * *share) };
                }
            }
            first += rows;
        }
    }

    /// Makes the likenesses of some queries, from `first` on, to powers, and gives for each query
    /// what makes them weights, which are 1 together.
    #[inline(always)]
    fn raise(
        &self,
        fma: MultiplyAdd,
        [sample, head, first]: [usize; 3],
        likenesses: &mut [f32],
        shares: &mut [f32],
    ) {
        let heads = self.scales.len();
        let count = likenesses.len() / shares.len();
        let rows = likenesses.chunks_exact_mut(count.max(1));
        for (row, (values, share)) in rows.zip(shares).enumerate() {
            let query = first + row;
            let bias = self.bias.map(|bias| {
                let turns = bias.len() / (heads * self.queries * self.keys);
                let at = ((sample % turns) * heads + head) * self.queries + query;
                &bias[at * self.keys..][..count]
            });
            let seen = if self.causal {
                count.min(query + 1)
            } else {
                count
            };
            let (seen, unseen) = values.split_at_mut(seen);
            *share = powers(fma, seen, self.scales[head], bias);
            unseen.fill(0.0);
        }
    }
}

/// Makes values to `e^(value * scale + bias)`, each divided by the largest of them. Returns one
/// over their sum.
#[inline(always)]
fn powers(fma: MultiplyAdd, values: &mut [f32], scale: f32, bias: Option<&[f32]>) -> f32 {
    match bias {
        Some(bias) => {
            for (value, bias) in values.iter_mut().zip(bias) {
                *value = fma.of(*value, scale, *bias);
            }
        }
        None => values.iter_mut().for_each(|value| *value *= scale),
    }
    // A value that is not a number is not the largest, but makes the sum one of its kind.
    let largest = |a, b| if b > a { b } else { a };
    let largest = fold(values, f32::NEG_INFINITY, largest, largest);
    for value in &mut *values {
        *value = exp_below(fma, *value - largest);
    }
    1.0 / fold(values, 0.0, |a, b| a + b, |a, b| a + b)
}
