//! Attention: `softmax(q kᵀ * scale + mask) v` for each head.
//!
//! One head of one sample is a piece of work: its keys and values are packed once, and then blocks
//! of queries follow, whose attention scores never leave the cache. The heads are read where the
//! projection has written them, and written where the next layer reads them.

use std::collections::TryReserveError;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::block::{Panels, Rows, product};
use crate::isa::{Isa, MultiplyAdd};
use crate::math::{exp_below, fold};
use crate::out::{Out, written};

/// Attention scores of a block, few enough to stay in the cache.
const BLOCK: usize = 1 << 15;
/// The fewest queries of a block: a few tiles.
const LEAST_ROWS: usize = 39;
/// Multiply-adds below which waking the other threads costs more than it saves.
const SMALL: usize = 1 << 17;

/// Queries, keys or values: rows of `row` elements, in which the heads begin at element `first`.
#[derive(Clone, Copy)]
pub struct Heads<'a> {
    /// All rows, `[batch * tokens, row]`.
    pub values: &'a [f32],
    /// Elements per row.
    pub row: usize,
    /// The first element of the first head.
    pub first: usize,
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
        self.first.saturating_add(width) <= self.row
            && self.values.len() == rows.saturating_mul(self.row)
    }
}

/// An attention: its sizes, scales and mask.
#[derive(Clone, Copy)]
pub struct AttentionJob<'a> {
    /// The instructions to use.
    pub isa: Isa,
    /// Samples.
    pub batch: usize,
    /// Queries per sample.
    pub queries: usize,
    /// Keys per sample.
    pub keys: usize,
    /// Elements per head.
    pub head: usize,
    /// The factor of the attention scores, one per head.
    pub scales: &'a [f32],
    /// Whether a query sees only keys that are no later than itself.
    pub causal: bool,
    /// The number of keys that are not padding, one per sample, each at least 1.
    pub lengths: Option<&'a [usize]>,
    /// Added to the scaled attention scores: `[n, heads, queries, keys]`, where sample `i` uses
    /// entry `i % n`.
    pub bias: Option<&'a [f32]>,
}

/// Memory that each head reuses.
#[derive(Default)]
pub(crate) struct Scratch {
    keys: Panels,
    values: Panels,
    scores: Vec<f32>,
    /// One over the sum of the exponentials, per query.
    inverses: Vec<f32>,
    result: Vec<f32>,
}

/// Computes an attention; the result has the shape `[batch, queries, heads * head]`.
///
/// # Errors
/// There is no memory for the result.
pub fn attention(
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
    unsafe { written(job.elements(), write) }
}

/// As [`attention`], into `out`, all of which is written, and on the calling thread.
pub(crate) fn attention_into(
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
    /// Features per token.
    fn width(&self) -> usize {
        self.scales.len().saturating_mul(self.head)
    }

    /// Elements of the result; the largest `usize` where that is more.
    fn elements(&self) -> usize {
        self.batch
            .saturating_mul(self.queries)
            .saturating_mul(self.width())
    }

    /// Checks what [`run`](Self::run) relies on; `length` is the result's.
    fn check(&self, [queries, keys, values]: [Heads<'_>; 3], length: usize) {
        let width = self.width();
        assert_eq!(length, self.elements());
        assert!(queries.holds(self.batch * self.queries, width));
        for side in [keys, values] {
            assert!(side.holds(self.batch * self.keys, width));
        }
        self.check_mask();
    }

    /// Checks the mask that [`of_sample`](Self::of_sample) slices.
    pub(crate) fn check_mask(&self) {
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

    /// The job of one sample, whose queries, keys and values are slices of their own.
    pub(crate) fn of_sample(self, sample: usize) -> Self {
        let biases = self.scales.len() * self.queries * self.keys;
        Self {
            batch: 1,
            lengths: self.lengths.map(|lengths| &lengths[sample..=sample]),
            bias: self.bias.map(|bias| {
                let entry = sample % (bias.len() / biases);
                &bias[entry * biases..][..biases]
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
            scores,
            inverses,
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
        scores.resize(block * count, 0.0);
        inverses.resize(block, 0.0);
        result.resize(block * self.head, 0.0);
        let queries = queries.rows(sample, self.queries, head, self.head);
        let mut first = 0;
        while first < self.queries {
            let rows = block.min(self.queries - first);
            let part = Rows {
                values: &queries.values[first * queries.stride..],
                ..queries
            };
            product(self.isa, part, rows, right, scores, count);
            let (weights, inverses) = (&mut scores[..rows * count], &mut inverses[..rows]);
            self.isa.run_with(
                #[inline(always)]
                |fma| self.exponentiate(fma, [sample, head, first], weights, inverses),
            );
            let weights = Rows {
                values: weights,
                stride: count,
                length: count,
            };
            product(self.isa, weights, rows, weighted, result, self.head);
            for (row, (values, inverse)) in result.chunks_exact(self.head).zip(inverses).enumerate()
            {
                let row = sample * self.queries + first + row;
                let at = (row * heads + head) * self.head;
                for (value, at) in values.iter().zip(at..) {
                    // SAFETY: the element is inside the result, and belongs to this sample and head,
                    // which no other piece writes.
                    unsafe { out.at(at).write(value * *inverse) };
                }
            }
            first += rows;
        }
    }

    /// Replaces the attention scores of some queries, from `first` on, by their exponentials, and
    /// gives for each query the inverse of their sum.
    #[inline(always)]
    fn exponentiate(
        &self,
        fma: MultiplyAdd,
        [sample, head, first]: [usize; 3],
        scores: &mut [f32],
        inverses: &mut [f32],
    ) {
        let heads = self.scales.len();
        let count = scores.len() / inverses.len();
        let rows = scores.chunks_exact_mut(count.max(1));
        for (row, (values, inverse)) in rows.zip(inverses).enumerate() {
            let query = first + row;
            let bias = self.bias.map(|bias| {
                let entries = bias.len() / (heads * self.queries * self.keys);
                let at = ((sample % entries) * heads + head) * self.queries + query;
                &bias[at * self.keys..][..count]
            });
            let seen = if self.causal {
                count.min(query + 1)
            } else {
                count
            };
            let (seen, unseen) = values.split_at_mut(seen);
            *inverse = exponentials(fma, seen, self.scales[head], bias);
            unseen.fill(0.0);
        }
    }
}

/// Replaces values by `e^(value * scale + bias)`, divided by the largest of them. Returns one over
/// their sum.
#[inline(always)]
fn exponentials(fma: MultiplyAdd, values: &mut [f32], scale: f32, bias: Option<&[f32]>) -> f32 {
    match bias {
        Some(bias) => {
            for (value, bias) in values.iter_mut().zip(bias) {
                *value = fma.of(*value, scale, *bias);
            }
        }
        None => values.iter_mut().for_each(|value| *value *= scale),
    }
    // NaN is never the largest, but makes the sum NaN.
    let largest = |a, b| if b > a { b } else { a };
    let largest = fold(values, f32::NEG_INFINITY, largest, largest);
    for value in &mut *values {
        *value = exp_below(fma, *value - largest);
    }
    1.0 / fold(values, 0.0, |a, b| a + b, |a, b| a + b)
}
