//! Attention and the operations on rows, on every instruction set that this CPU has, against their
//! definitions in f64.

#![allow(
    clippy::needless_range_loop,
    reason = "sums are written as their formulas"
)]

use super::tests::{Random, assert_close};
use super::*;

/// Miri is slow, and a few cases reach all of the unsafe code.
const CASES: usize = if cfg!(miri) { 2 } else { 40 };

/// Attention by its definition, one attention score after another.
fn attend(job: &AttentionJob<'_>, [q, k, v]: [Heads<'_>; 3]) -> Vec<f64> {
    let (heads, head) = (job.scales.len(), job.head);
    let mut result = Vec::new();
    for row in 0..job.batch * job.queries {
        let (sample, query) = (row / job.queries, row % job.queries);
        for column in 0..heads * head {
            let at = column / head;
            let value = |side: &Heads<'_>, row: usize, column: usize| {
                f64::from(side.values[row * side.row + side.first + column])
            };
            let (mut sum, mut all) = (0.0, 0.0);
            for key in 0..job.lengths.map_or(job.keys, |lengths| lengths[sample]) {
                if job.causal && key > query {
                    continue;
                }
                let of_key = sample * job.keys + key;
                let score: f64 = (at * head..(at + 1) * head)
                    .map(|i| value(&q, row, i) * value(&k, of_key, i))
                    .sum();
                let bias = job.bias.map_or(0.0, |bias| {
                    let entries = bias.len() / (heads * job.queries * job.keys);
                    let row = (sample % entries * heads + at) * job.queries + query;
                    f64::from(bias[row * job.keys + key])
                });
                let weight = (score * f64::from(job.scales[at]) + bias).exp();
                all += weight;
                sum += weight * value(&v, of_key, column);
            }
            result.push(sum / all);
        }
    }
    result
}

#[test]
fn attention_matches_f64() {
    let mut random = Random(6);
    for _ in 0..CASES {
        let (batch, heads) = (random.size(1, 3), random.size(1, 3));
        let most = if cfg!(miri) { 20 } else { 70 };
        let (head, tokens) = (random.size(1, most), random.size(1, most));
        let width = heads * head;
        // Queries, keys and values in one, with something before and after.
        let (first, row) = (random.size(0, 3), 3 * width + 5);
        let values = random.values(batch * tokens * row);
        let side = |at: usize| Heads {
            values: &values,
            row,
            first: first + at * width,
        };
        let sides = [side(0), side(1), side(2)];
        let scales: Vec<f32> = (0..heads).map(|head| 1.0 + head as f32).collect();
        let lengths: Vec<usize> = (0..batch).map(|_| random.size(1, tokens)).collect();
        let bias = random.values(heads * tokens * tokens);
        let causal = random.size(0, 1) == 1;
        let lengths = (random.size(0, 1) == 1).then_some(&lengths[..]);
        let bias = (random.size(0, 1) == 1).then_some(&bias[..]);
        for isa in Isa::available() {
            let job = AttentionJob {
                isa,
                batch,
                queries: tokens,
                keys: tokens,
                head,
                scales: &scales,
                causal,
                lengths,
                bias,
            };
            let what = (isa, batch, heads, head, tokens, causal, lengths);
            assert_close(&attention(job, sides).unwrap(), &attend(&job, sides), &what);
        }
    }
}

#[test]
fn attention_to_nan_is_nan() {
    // One head of one value, and 17 keys: a vector and one more.
    let tokens = 17;
    let attend = |isa, values: &[f32], bias: &[f32]| {
        let side = |first| Heads {
            values,
            row: 3,
            first,
        };
        let job = AttentionJob {
            isa,
            batch: 1,
            queries: tokens,
            keys: tokens,
            head: 1,
            scales: &[1.0],
            causal: false,
            lengths: None,
            bias: Some(bias),
        };
        attention(job, [side(0), side(1), side(2)]).unwrap()
    };
    for isa in Isa::available() {
        let ones = vec![1.0; 3 * tokens];
        for (at, other) in [(3, f32::NAN), (16, f32::NAN), (4, f32::INFINITY)] {
            let mut bias = vec![0.0; tokens * tokens];
            bias[5 * tokens + at] = other;
            let result = attend(isa, &ones, &bias);
            for (query, value) in result.iter().enumerate() {
                let right = if query == 5 {
                    value.is_nan()
                } else {
                    *value == 1.0
                };
                assert!(right, "{isa:?} {other} at {at}: {result:?}");
            }
        }
        // A masked key has no weight; where all keys are masked, the result is NaN.
        let mut values = ones.clone();
        values[3 * 2 + 2] = 1000.0;
        let mut bias = vec![0.0; tokens * tokens];
        bias.iter_mut()
            .skip(2)
            .step_by(tokens)
            .for_each(|bias| *bias = f32::NEG_INFINITY);
        bias[..tokens].fill(f32::NEG_INFINITY);
        let result = attend(isa, &values, &bias);
        assert!(result[0].is_nan(), "{isa:?}: {result:?}");
        assert!(
            result[1..].iter().all(|&value| value == 1.0),
            "{isa:?}: {result:?}"
        );
    }
}

#[test]
fn layer_norms_match_f64() {
    let mut random = Random(7);
    for _ in 0..CASES {
        let (rows, length) = (random.size(1, 5), random.size(1, 70));
        let x = random.values(rows * length);
        let (scale, shift) = (random.values(length), random.values(length));
        let residual = random.values(rows * length);
        let mut want = Vec::new();
        for (row, residual) in x.chunks(length).zip(residual.chunks(length)) {
            let mean = |f: &dyn Fn(f64) -> f64| {
                row.iter().map(|&x| f(f64::from(x))).sum::<f64>() / length as f64
            };
            let centre = mean(&|x| x);
            let factor = 1.0 / (mean(&|x| (x - centre) * (x - centre)) + 1e-3).sqrt();
            for (at, &x) in row.iter().enumerate() {
                let normed = (f64::from(x) - centre) * factor * f64::from(scale[at]);
                want.push(normed + f64::from(shift[at]) + f64::from(residual[at]));
            }
        }
        for isa in Isa::available() {
            let affine = [&scale[..], &shift[..]];
            let got = normalize_rows(isa, &x, affine, 1e-3, Some(&residual)).unwrap();
            assert_close(&got, &want, &(isa, rows, length));
        }
    }
}
