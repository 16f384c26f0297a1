//! The layers of token sequences with our kernels against their definitions, and against the
//! same layers through candle's operations.

#![allow(
    clippy::needless_range_loop,
    reason = "sums are written as their formulas"
)]

use candle_core::{D, Device as Candle, Tensor};

use super::tests::{assert_same, random, size, weights};
use super::*;
use crate::device::Device;

const DEVICES: [fn() -> Device; 2] = [Device::cpu, Device::cpu_reference];

#[test]
fn linear_takes_any_rank_and_a_residual() {
    for dims in [
        vec![2, 5, 17],
        vec![1, 1, 1],
        vec![3, 2, 4, 64],
        vec![70, 33],
    ] {
        let inputs = *dims.last().unwrap();
        let outputs = size(1, 70);
        let (x, weight, bias) = (
            random(&dims),
            random(&[outputs, inputs]),
            random(&[outputs]),
        );
        let mut out = dims.clone();
        *out.last_mut().unwrap() = outputs;
        let residual = random(&out);
        let product = x.broadcast_matmul(&weight.t().unwrap());
        let want = if dims.len() == 2 {
            x.matmul(&weight.t().unwrap())
        } else {
            product
        }
        .and_then(|y| y.broadcast_add(&bias)? + &residual)
        .unwrap();
        for device in DEVICES {
            let device = device();
            let dense = Dense::new(&weight, Some(&bias)).unwrap();
            let layer = Linear::new("fc", dense, Activation::QuickGelu, &device).unwrap();
            let want = activate::with_candle(&want, Activation::QuickGelu).unwrap();
            assert_same(
                &layer.forward_add(&x, &residual).unwrap(),
                &want,
                &(&dims, &device),
            );
            let error = layer.forward_add(&x, &x.unsqueeze(0).unwrap()).unwrap_err();
            assert!(error.to_string().contains("residual"), "{error}");
        }
    }
}

#[test]
fn dense_stacks_and_scales_weights() {
    let x = random(&[3, 6]);
    let parts: Vec<_> = [4, 1, 7]
        .map(|outputs| (random(&[outputs, 6]), random(&[outputs])))
        .into();
    let scale = random(&[12]);
    let want: Vec<Tensor> = parts
        .iter()
        .map(|(weight, bias)| {
            x.matmul(&weight.t().unwrap())
                .unwrap()
                .broadcast_add(bias)
                .unwrap()
        })
        .collect();
    let want = Tensor::cat(&want, 1)
        .unwrap()
        .broadcast_mul(&scale)
        .unwrap();
    let dense: Vec<_> = parts
        .iter()
        .map(|(w, b)| Dense::new(w, Some(b)).unwrap())
        .collect();
    let dense = Dense::stack(&dense).unwrap().scaled(&scale).unwrap();
    let layer = Linear::new("fc", dense.clone(), Activation::Identity, &Device::cpu()).unwrap();
    assert_same(&layer.forward(&x).unwrap(), &want, &"stacked");
    assert!(dense.scaled(&random(&[3])).is_err());
}

#[test]
fn layer_norm_matches_its_definition() {
    for (dims, features) in [
        (vec![2, 3], 1),
        (vec![4], 37),
        (vec![1, 50], 768),
        (vec![2, 2], 16),
    ] {
        let mut dims = dims;
        dims.push(features);
        let x = (random(&dims) * 3.0).unwrap();
        let residual = random(&dims);
        let (weight, bias) = (random(&[features]), random(&[features]));
        let weights = weights(&[("n.weight", weight.clone()), ("n.bias", bias.clone())]);
        let centred = x
            .broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap())
            .unwrap();
        let root = (centred.sqr().unwrap().mean_keepdim(D::Minus1).unwrap() + 1e-5).unwrap();
        let layer = centred
            .broadcast_div(&root.sqrt().unwrap())
            .and_then(|y| y.broadcast_mul(&weight)?.broadcast_add(&bias))
            .unwrap();
        let added = (&layer + &residual).unwrap();
        for device in DEVICES {
            let device = device();
            let scope = weights.root().child("n");
            let norm = LayerNorm::load(&scope, features, 1e-5, true, &device).unwrap();
            assert_same(&norm.forward(&x).unwrap(), &layer, &(&dims, &device));
            assert_same(
                &norm.forward_add(&x, &residual).unwrap(),
                &added,
                &(&dims, &device),
            );
            assert!(norm.forward(&random(&[2, features + 1])).is_err());
        }
    }
}

#[test]
fn layer_norm_and_mlp_apply_per_pixel() {
    let x = random(&[2, 10, 3, 5]);
    let weights = weights(&[
        ("n.weight", random(&[10])),
        ("n.bias", random(&[10])),
        ("up.weight", random(&[23, 10])),
        ("up.bias", random(&[23])),
        ("down.weight", random(&[7, 23])),
        ("down.bias", random(&[7])),
    ]);
    let residual = random(&[2, 7, 3, 5]);
    let run = |device: Device| {
        let root = weights.root();
        let norm = LayerNorm::load(&root.child("n"), 10, 1e-6, true, &device).unwrap();
        let linear = |name: &str, sizes, activation| {
            Linear::load(&root.child(name), sizes, true, None, activation, &device).unwrap()
        };
        let network = FeedForward::new(
            linear("up", [10, 23], Activation::Gelu),
            linear("down", [23, 7], Activation::Identity),
        );
        let map = |x| FeatureMap::from_channels_first(x, &device).unwrap();
        let y = norm.forward_map(&map(&x)).unwrap();
        let alone = network.forward(&y.to_tokens().unwrap(), None).unwrap();
        let y = network.forward_map(&y, &map(&residual)).unwrap();
        let residual = map(&residual).to_tokens().unwrap();
        let added = (alone + residual).unwrap();
        assert_same(&y.to_tokens().unwrap(), &added, &"a residual");
        assert!(network.forward(&random(&[2, 11]), None).is_err());
        y.to_channels_first().unwrap()
    };
    assert_same(
        &run(Device::cpu()),
        &run(Device::cpu_reference()),
        &"pixels",
    );
}

/// Attention by its definition, one attention score after another, in f64.
struct Definition<'a> {
    heads: usize,
    scales: &'a [f32],
    mask: Mask<'a>,
}

impl Definition<'_> {
    fn run(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
        let ((batch, queries, width), keys) = (q.dims3().unwrap(), k.dim(1).unwrap());
        let head = width / self.heads;
        let [q, k, v] = [q, k, v].map(|x| x.to_vec3::<f32>().unwrap());
        let bias = self.mask.bias.map(|bias| {
            (
                bias.dim(0).unwrap(),
                bias.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            )
        });
        let mut result = Vec::new();
        for sample in 0..batch {
            for query in 0..queries {
                for column in 0..width {
                    let at = column / head;
                    let score = |key: usize| {
                        let seen = !(self.mask.causal && key > query)
                            && self
                                .mask
                                .lengths
                                .is_none_or(|lengths| key < lengths[sample]);
                        let more = bias.as_ref().map_or(0.0, |(entries, bias)| {
                            let row = (sample % entries * self.heads + at) * queries + query;
                            bias[row * keys + key]
                        });
                        let products = (at * head..(at + 1) * head)
                            .map(|i| f64::from(q[sample][query][i]) * f64::from(k[sample][key][i]));
                        let product = products.sum::<f64>() * f64::from(self.scales[at]);
                        if seen {
                            (product + f64::from(more)).exp()
                        } else {
                            0.0
                        }
                    };
                    let weights: Vec<f64> = (0..keys).map(score).collect();
                    let weighted = weights.iter().enumerate();
                    let sum: f64 = weighted
                        .map(|(key, x)| x * f64::from(v[sample][key][column]))
                        .sum();
                    result.push((sum / weights.iter().sum::<f64>()) as f32);
                }
            }
        }
        Tensor::from_vec(result, (batch, queries, width), &Candle::Cpu).unwrap()
    }
}

#[test]
fn attention_matches_its_definition() {
    // Samples, heads, values of a head, queries, keys: of one, of no multiple of a tile, of more
    // than a block.
    let sizes = [
        (1, 1, 1, 1, 1),
        (2, 3, 5, 7, 7),
        (4, 2, 64, 50, 50),
        (1, 2, 33, 90, 90),
        (2, 1, 16, 1, 40),
        (2, 2, 8, 600, 600),
    ];
    for (batch, heads, head, queries, keys) in sizes {
        let width = heads * head;
        let q = (random(&[batch, queries, width]) * 3.0).unwrap();
        let (k, v) = (random(&[batch, keys, width]), random(&[batch, keys, width]));
        let scales: Vec<f32> = (0..heads).map(|head| 0.3 + head as f32).collect();
        let lengths: Vec<usize> = (0..batch).map(|_| size(1, keys)).collect();
        let shared = random(&[1, heads, queries, keys]);
        let each = random(&[batch, heads, queries, keys]);
        let mut masks = vec![
            Mask::default(),
            Mask {
                lengths: Some(&lengths),
                ..Mask::default()
            },
            Mask {
                bias: Some(&shared),
                ..Mask::default()
            },
            Mask {
                bias: Some(&each),
                lengths: Some(&lengths),
                causal: false,
            },
        ];
        if queries == keys {
            masks.push(Mask {
                causal: true,
                ..Mask::default()
            });
            masks.push(Mask {
                bias: Some(&each),
                lengths: Some(&lengths),
                causal: true,
            });
        }
        for mask in masks.into_iter().take(if queries > 100 { 1 } else { 6 }) {
            let definition = Definition {
                heads,
                scales: &scales,
                mask,
            };
            let want = definition.run(&q, &k, &v);
            for device in DEVICES {
                let device = device();
                let core = Attention::with_scales("a", scales.clone(), &device);
                let what = (batch, heads, head, queries, keys, mask, &device);
                assert_same(&core.forward(&q, &k, &v, mask).unwrap(), &want, &what);
                if queries == keys {
                    let qkv = Tensor::cat(&[&q, &k, &v], 2).unwrap();
                    assert_same(&core.forward_fused(&qkv, mask).unwrap(), &want, &what);
                }
            }
        }
    }
}

#[test]
fn padded_batch_equals_its_singles_to_the_last_bit() {
    let lengths = [3, 40, 17];
    let core = Attention::new("a", 2, 20, &Device::cpu());
    let qkv = random(&[3, 40, 120]);
    let mask = Mask {
        lengths: Some(&lengths),
        ..Mask::default()
    };
    let all = core.forward_fused(&qkv, mask).unwrap();
    for (sample, length) in lengths.into_iter().enumerate() {
        let part = |x: &Tensor| {
            x.narrow(0, sample, 1)
                .and_then(|x| x.narrow(1, 0, length))
                .unwrap()
        };
        let one = core.forward_fused(&part(&qkv), Mask::default()).unwrap();
        let bits = |x: &Tensor| -> Vec<u32> {
            let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        };
        assert_eq!(bits(&part(&all)), bits(&one));
    }
}

#[test]
fn nan_spreads_to_all_queries_that_attend_to_it() {
    let mut values = vec![0.5_f32; 20 * 12];
    values[5 * 12 + 4] = f32::NAN;
    let qkv = Tensor::from_vec(values, (1, 20, 12), &Candle::Cpu).unwrap();
    for (device, hides) in [(Device::cpu(), true), (Device::cpu_reference(), false)] {
        let core = Attention::new("a", 1, 4, &device);
        let causal = Mask {
            causal: true,
            ..Mask::default()
        };
        let y = core
            .forward_fused(&qkv, causal)
            .unwrap()
            .to_vec3::<f32>()
            .unwrap();
        for (query, row) in y[0].iter().enumerate() {
            // Where the mask is added, NaN and minus infinity are NaN.
            let sees = query >= 5 || !hides;
            assert_eq!(
                row.iter().any(|value| value.is_nan()),
                sees,
                "{query}: {row:?}"
            );
        }
    }
}

#[test]
fn self_attention_matches_its_parts() {
    let (x, residual) = (random(&[2, 9, 12]), random(&[2, 9, 12]));
    let dense = |outputs, inputs| {
        Dense::new(&random(&[outputs, inputs]), Some(&random(&[outputs]))).unwrap()
    };
    let (parts, out) = ([dense(8, 12), dense(8, 12), dense(8, 12)], dense(12, 8));
    let cosines = random(&[7, 2]);
    let sines = random(&[7, 2]);
    let heads = FirstHeads { count: 4, size: 4 };
    let mut results = Vec::new();
    for device in DEVICES {
        let device = device();
        let linear =
            |dense: &Dense| Linear::new("l", dense.clone(), Activation::Identity, &device).unwrap();
        let [q, k, v] = [0, 1, 2].map(|at| linear(&parts[at]).forward(&x).unwrap());
        let rotary = Rotary::new(&cosines, &sines, &device).unwrap();
        let qk = Tensor::cat(&[&q, &k], 2).unwrap();
        let qk = rotary.forward(&qk, heads).unwrap();
        let qk = normalize_heads(&qk, heads, 1e-12, &device).unwrap();
        let (q, k) = (qk.narrow(2, 0, 8).unwrap(), qk.narrow(2, 8, 8).unwrap());
        let core = Attention::with_scales("a", vec![3.0, 4.0], &device);
        let y = core.forward(
            &q.contiguous().unwrap(),
            &k.contiguous().unwrap(),
            &v,
            Mask::default(),
        );
        let want = linear(&out).forward_add(&y.unwrap(), &residual).unwrap();
        let layer = SelfAttention::new("a", parts.clone(), out.clone(), 2, &device).unwrap();
        let layer = layer.with_scales(vec![3.0, 4.0]);
        let y = layer.forward_with(&x, Some(&residual), Mask::default(), |qkv| {
            let qkv = rotary.forward(&qkv, heads)?;
            normalize_heads(&qkv, heads, 1e-12, &device)
        });
        let y = y.unwrap();
        assert_same(&y, &want, &device);
        results.push(y);
    }
    assert_same(&results[0], &results[1], &"both");
}
