//! Half precision: intermediate values that it cannot hold, on the way to results that it can.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;

use candle_core::{DType, Device as Candle, Tensor};
use modelzoo_kernels::PoolKind;

use super::*;
use crate::device::Device;
use crate::precision::full;
use crate::weights::Weights;

fn half() -> Device {
    Device::cpu_reference().in_half().unwrap()
}

fn tensor(values: &[f32], dims: &[usize]) -> Tensor {
    let values: Vec<f32> = values
        .iter()
        .copied()
        .cycle()
        .take(dims.iter().product())
        .collect();
    let x = Tensor::from_vec(values, dims, &Candle::Cpu).unwrap();
    half().place(&x).unwrap()
}

/// The values of a result that is in half precision.
fn values(x: &Tensor) -> Vec<f32> {
    assert_eq!(x.dtype(), DType::F16);
    full(&x.flatten_all().unwrap()).unwrap().to_vec1().unwrap()
}

/// A pool with a square window of this side and stride, and a padding of one.
fn pool([kernel, stride]: [usize; 2], ceil: bool, kind: PoolKind) -> Pool {
    Pool::square("pool", [kernel, stride, 1], ceil, kind)
}

fn weights(tensors: &[(&str, f32)]) -> Weights {
    let dir = tempfile::tempdir().unwrap();
    let tensors: HashMap<_, _> = tensors
        .iter()
        .map(|&(name, value)| (name, Tensor::full(value, 2, &Candle::Cpu).unwrap()))
        .collect();
    candle_core::safetensors::save(&tensors, dir.path().join("w")).unwrap();
    Weights::open(dir.path(), &["w".to_owned()]).unwrap()
}

#[test]
fn layer_norm_squares_in_f32() {
    let weights = weights(&[("weight", 1.0), ("bias", 1.0)]);
    let norm = LayerNorm::load(&weights.root(), 2, 0.0, true, &half()).unwrap();
    let x = tensor(&[500.0, -500.0], &[1, 3, 2]);
    let y = norm.forward(&x).unwrap();
    assert_eq!(values(&y), [2.0, 0.0].repeat(3));
    let y = norm.forward_add(&x, &x).unwrap();
    assert_eq!(values(&y), [502.0, -500.0].repeat(3));
}

#[test]
fn head_norm_squares_in_f32() {
    let heads = FirstHeads { count: 1, size: 2 };
    let x = tensor(&[300.0, 400.0, 7.0], &[1, 2, 3]);
    let y = normalize_heads(&x, heads, 1e-12, &half()).unwrap();
    let want = tensor(&[0.6, 0.8, 7.0], &[1, 2, 3]);
    assert_eq!(values(&y), values(&want));
}

#[test]
fn averages_sum_in_f32() {
    let x = tensor(&[1000.0], &[1, 2, 20, 20]);
    let x = FeatureMap::from_channels_first(&x, &half()).unwrap();
    let average = PoolKind::Average {
        count_padding: false,
    };
    let pool = pool([10, 10], false, average);
    for mean in [global_average(&x), pool.forward(&x)] {
        let mean = values(&mean.unwrap().to_channels_first().unwrap());
        assert!(mean.iter().all(|&mean| (mean - 1000.0).abs() < 1e-3));
    }
}

#[test]
fn batch_norm_scales_in_f32() {
    let weights = weights(&[
        ("weight", 100.0),
        ("bias", 1.0),
        ("running_mean", 1000.0),
        ("running_var", 1.0),
    ]);
    let load = || BatchNorm::load(&weights.root(), 2, 0.0, true).unwrap();
    let x = tensor(&[1001.0], &[1, 2, 2, 2]);
    let x = FeatureMap::from_channels_first(&x, &half()).unwrap();
    let layer = load()
        .into_layer("n", Activation::Identity, &half())
        .unwrap();
    let concat = NormedConcat::new("n", &load(), Activation::Identity, &half()).unwrap();
    for y in [layer.forward(&x), concat.forward(std::slice::from_ref(&x))] {
        let y = values(&y.unwrap().to_channels_first().unwrap());
        assert_eq!(y, [101.0; 8]);
    }
}

#[test]
fn attention_scores_are_f32() {
    // The products are 262144 before scaling and 32768 after it, where neighbours in half precision
    // are 16 apart: the small bias must be added in f32.
    let [q, k] = [tensor(&[64.0], &[1, 4, 64]), tensor(&[64.0], &[1, 4, 64])];
    let v = [1.0, 5.0, 9.0, 13.0].map(|key| [key; 64]).concat();
    let v = tensor(&v, &[1, 4, 64]);
    let bias = full(&tensor(&[-(3f32.ln()), 0.0], &[1, 1, 4, 4])).unwrap();
    let attention = Attention::new("a", 1, 64, &half());
    let check = |mask: Mask<'_>, want: [f32; 4]| {
        let y = values(&attention.forward(&q, &k, &v, mask).unwrap());
        let want = want.map(|query| [query; 64]).concat();
        assert_eq!(y.len(), want.len());
        for (y, want) in y.iter().zip(&want) {
            assert!((y - want).abs() < 0.02, "{y} instead of {want}");
        }
    };
    let none = Mask::default();
    check(none, [7.0; 4]);
    let bias = Some(&bias);
    check(Mask { bias, ..none }, [8.0; 4]);
    let causal = true;
    check(Mask { causal, ..none }, [1.0, 3.0, 5.0, 7.0]);
    let lengths = Some(&[2][..]);
    check(
        Mask {
            causal,
            lengths,
            bias,
        },
        [1.0, 4.0, 4.0, 4.0],
    );
}

#[test]
fn activations_compute_in_f32() {
    let x = tensor(
        &[-4.1, -2.9, -1.3, -0.7, -0.02, 0.3, 0.9, 1.7, 3.2, 12.0],
        &[10],
    );
    for activation in Activation::EXAMPLES {
        let want = activate::with_candle(&full(&x).unwrap(), *activation).unwrap();
        let want = half().place(&want).unwrap();
        let y = activate(&x, *activation, half().kernels()).unwrap();
        assert_eq!(values(&y), values(&want), "{activation:?}");
    }
}

#[test]
fn max_pool_padding_is_minus_infinity() {
    let x = tensor(&[-60000.0], &[1, 1, 3, 3]);
    let x = FeatureMap::from_channels_first(&x, &half()).unwrap();
    let pool = pool([3, 2], true, PoolKind::Max);
    let y = pool.forward(&x).unwrap().to_channels_first().unwrap();
    assert_eq!(values(&y), values(&tensor(&[-60000.0], &[1, 1, 2, 2])));
}
