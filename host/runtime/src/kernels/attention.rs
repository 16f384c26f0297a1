//! Attention: for each head, the rows of the values weighted by how much each query is like each
//! key.
//!
//! A head of one sample is one piece of work: its keys and values are packed once, and then a
//! block of queries at a time passes by, whose likenesses never leave the cache. The heads are
//! read where the projection has written them, and written where the next layer reads them.

use std::collections::TryReserveError;

use rayon::prelude::*;

use super::block::{Panels, Rows, product};
use super::isa::Isa;
use super::math::exp;

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

/// Where the result goes.
struct Out(*mut f32);

// SAFETY: the pieces of a job write to disjoint elements, and nobody reads before all are done.
unsafe impl Sync for Out {}

#[derive(Default)]
struct Scratch {
    keys: Panels,
    values: Panels,
    likenesses: Vec<f32>,
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
    let heads = job.scales.len();
    let width = heads * job.head;
    assert!(queries.holds(job.batch * job.queries, width));
    assert!(
        [keys, values]
            .iter()
            .all(|side| side.holds(job.batch * job.keys, width))
    );
    if let Some(lengths) = job.lengths {
        assert!(lengths.len() == job.batch && lengths.iter().all(|&length| length <= job.keys));
    }
    let biases = heads * job.queries * job.keys;
    assert!(
        job.bias
            .is_none_or(|bias| biases > 0 && bias.len().is_multiple_of(biases))
    );
    let length = job.batch * job.queries * width;
    let mut result: Vec<f32> = Vec::new();
    result.try_reserve_exact(length)?;
    let out = Out(result.as_mut_ptr());
    let pieces = job.batch * heads;
    let run = |scratch: &mut Scratch, piece| job.run(piece, [queries, keys, values], scratch, &out);
    if pieces * job.queries * job.keys * job.head < SMALL {
        let mut scratch = Scratch::default();
        (0..pieces).for_each(|piece| run(&mut scratch, piece));
    } else {
        let pieces = (0..pieces).into_par_iter();
        pieces.for_each_init(Scratch::default, run);
    }
    // SAFETY: the capacity is there, and the pieces cover all samples and heads, so all elements,
    // each of which was written by `AttentionJob::run`.
    unsafe { result.set_len(length) };
    Ok(result)
}

impl AttentionJob<'_> {
    /// One head of one sample.
    fn run(
        &self,
        piece: usize,
        [queries, keys, values]: [Heads<'_>; 3],
        scratch: &mut Scratch,
        out: &Out,
    ) {
        let heads = self.scales.len();
        let (sample, head) = (piece / heads, piece % heads);
        let count = self.lengths.map_or(self.keys, |lengths| lengths[sample]);
        let Scratch {
            keys: right,
            values: weighted,
            likenesses,
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
            self.isa.run(
                #[inline(always)]
                || self.weigh(sample, head, first, &mut likenesses[..rows * count], count),
            );
            let shares = Rows {
                values: likenesses,
                stride: count,
                length: count,
            };
            product(self.isa, shares, rows, weighted, result, self.head);
            for (row, values) in result.chunks_exact(self.head).enumerate().take(rows) {
                let row = sample * self.queries + first + row;
                let at = (row * heads + head) * self.head;
                // SAFETY: the element is in the result, as are the `head` elements that follow;
                // they are of this sample and head, which no other piece has.
                unsafe {
                    std::ptr::copy_nonoverlapping(values.as_ptr(), out.0.add(at), self.head);
                }
            }
            first += rows;
        }
    }

    /// Makes likenesses to weights, which are 1 together.
    #[inline(always)]
    fn weigh(
        &self,
        sample: usize,
        head: usize,
        first: usize,
        likenesses: &mut [f32],
        count: usize,
    ) {
        let heads = self.scales.len();
        for (row, values) in likenesses.chunks_exact_mut(count.max(1)).enumerate() {
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
            softmax(seen, self.scales[head], bias);
            unseen.fill(0.0);
        }
    }
}

/// Lanes of the sums and of the largest value.
const LANES: usize = 16;

/// `e^x` of each value, scaled and shifted, divided by the sum of all.
#[inline(always)]
fn softmax(values: &mut [f32], scale: f32, bias: Option<&[f32]>) {
    if let Some(bias) = bias {
        for (value, bias) in values.iter_mut().zip(bias) {
            *value = *value * scale + bias;
        }
    } else {
        values.iter_mut().for_each(|value| *value *= scale);
    }
    let (whole, rest) = values.as_chunks_mut::<LANES>();
    // A value that is not a number is not the largest, but makes the sum one of its kind.
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in &*whole {
        for lane in 0..LANES {
            largest[lane] = if chunk[lane] > largest[lane] {
                chunk[lane]
            } else {
                largest[lane]
            };
        }
    }
    let both = largest.iter().chain(&*rest);
    let largest = both.fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    let mut sums = [0.0_f32; LANES];
    for chunk in whole {
        for lane in 0..LANES {
            chunk[lane] = exp(chunk[lane] - largest);
            sums[lane] += chunk[lane];
        }
    }
    for (value, sum) in rest.iter_mut().zip(&mut sums) {
        *value = exp(*value - largest);
        *sum += *value;
    }
    let share = 1.0 / sums.iter().sum::<f32>();
    values.iter_mut().for_each(|value| *value *= share);
}
