//! Fused layers equal the same layers one by one, to the last bit, with any number of threads.

use super::tests::Random;
use super::*;
use crate::activation::Activation;

/// Numbers of tokens, none to many: with few, each layer is divided among the threads; with many,
/// the tokens are.
const TOKENS: [usize; 6] = [0, 7, 52, 130, 700, 3000];

/// The largest of most sizes: Miri is slow.
const MOST: usize = if cfg!(miri) { 6 } else { 40 };

/// Runs `test` where there are one, two and three threads.
fn with_threads(test: impl Fn(usize) + Sync) {
    for threads in if cfg!(miri) { 1..2 } else { 1..4 } {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| test(threads));
    }
}

fn packed(random: &mut Random, isa: Isa, inputs: usize, outputs: usize) -> Packed {
    let (weight, bias) = (random.values(inputs * outputs), random.values(outputs));
    Packed::new(isa, &weight, &bias, 1).unwrap()
}

fn assert_equal(got: &[f32], want: &[f32], what: &dyn std::fmt::Debug) {
    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
    assert_eq!(got.len(), want.len(), "{what:?}");
    assert!(got.iter().zip(want).all(same), "{what:?}");
}

#[test]
fn fused_mlp_equals_its_layers() {
    with_threads(check_mlp);
}

fn check_mlp(threads: usize) {
    let mut random = Random(1);
    for isa in Isa::available() {
        for &rows in TOKENS
            .iter()
            .take(if cfg!(miri) { 2 } else { TOKENS.len() })
        {
            let (inputs, inner) = (random.size(1, MOST), random.size(1, 2 * MOST));
            let outputs = random.size(1, MOST);
            let (up, down) = (
                packed(&mut random, isa, inputs, inner),
                packed(&mut random, isa, inner, outputs),
            );
            let x = random.values(rows * inputs);
            let added = random.values(rows * outputs);
            for residual in [None, Some(&added[..])] {
                let activation = Activation::Gelu;
                let layers = Mlp {
                    up: &up,
                    activation,
                    down: &down,
                };
                let first = Epilogue {
                    residual: None,
                    activation,
                };
                let between = matmul(&Windows::rows(&x, inputs), &up, first).unwrap();
                let windows = Windows::rows(&between, inner);
                assert_equal(
                    &mlp(&x, inputs, layers, residual).unwrap(),
                    &matmul(&windows, &down, Epilogue::plain(residual)).unwrap(),
                    &(threads, isa, rows, inputs, inner, outputs),
                );
            }
        }
    }
}

#[test]
fn fused_self_attention_equals_its_layers() {
    with_threads(check_self_attention);
}

fn check_self_attention(threads: usize) {
    let mut random = Random(2);
    for isa in Isa::available() {
        for batch in if cfg!(miri) { 1..3 } else { 1..9 } {
            let (tokens, inputs) = (random.size(1, MOST), random.size(1, MOST));
            let (heads, head) = (random.size(1, 4), random.size(1, MOST));
            let (width, outputs) = (heads * head, random.size(1, MOST));
            let (qkv, out) = (
                packed(&mut random, isa, inputs, 3 * width),
                packed(&mut random, isa, width, outputs),
            );
            let x = random.values(batch * tokens * inputs);
            let added = random.values(batch * tokens * outputs);
            let entries = if batch % 2 == 0 { 2 } else { 1 };
            let bias = random.values(entries * heads * tokens * tokens);
            let scales = random.values(heads);
            let lengths: Vec<usize> = (0..batch).map(|_| random.size(1, tokens)).collect();
            for (special, residual) in [(false, None), (true, Some(&added[..]))] {
                let job = AttentionJob {
                    isa,
                    batch,
                    queries: tokens,
                    keys: tokens,
                    head,
                    scales: &scales,
                    causal: special,
                    lengths: special.then_some(&lengths[..]),
                    bias: special.then_some(&bias[..]),
                };
                let windows = Windows::rows(&x, inputs);
                let between = matmul(&windows, &qkv, Epilogue::plain(None)).unwrap();
                let sides = [0, 1, 2].map(|side| Heads {
                    values: &between,
                    row: 3 * width,
                    first: side * width,
                });
                let attended = attention(job, sides).unwrap();
                let windows = Windows::rows(&attended, width);
                assert_equal(
                    &self_attention(&x, &qkv, job, &out, residual).unwrap(),
                    &matmul(&windows, &out, Epilogue::plain(residual)).unwrap(),
                    &(threads, isa, batch, tokens, heads, head, special),
                );
            }
        }
    }
}
