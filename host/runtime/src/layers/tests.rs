//! Each layer with our kernels against the same layer with candle's operations.

#![allow(
    clippy::needless_range_loop,
    reason = "sums are written as their formulas"
)]

use std::collections::HashMap;

use candle_core::{DType, Device as Candle, Tensor};
use modelzoo_kernels::{PoolKind, Window};

use super::*;
use crate::device::Device;
use crate::error::Error;
use crate::weights::Weights;

pub(super) fn random(dims: &[usize]) -> Tensor {
    Tensor::rand(-1f32, 1f32, dims, &Candle::Cpu).unwrap()
}

pub(super) fn size(least: usize, most: usize) -> usize {
    let value = Tensor::rand(least as f64, most as f64 + 0.999, (), &Candle::Cpu).unwrap();
    value.to_scalar::<f64>().unwrap() as usize
}

fn sides(least: usize, most: usize) -> [usize; 2] {
    [size(least, most), size(least, most)]
}

#[track_caller]
pub(super) fn assert_same(ours: &Tensor, theirs: &Tensor, what: &dyn std::fmt::Debug) {
    assert_eq!(ours.dims(), theirs.dims(), "{what:?}");
    let scale = theirs
        .abs()
        .unwrap()
        .flatten_all()
        .unwrap()
        .max(0)
        .unwrap()
        .to_scalar::<f32>()
        .unwrap();
    let error = (ours - theirs)
        .unwrap()
        .abs()
        .unwrap()
        .flatten_all()
        .unwrap()
        .max(0)
        .unwrap()
        .to_scalar::<f32>()
        .unwrap();
    assert!(
        error <= 1e-5 * scale.max(1.0),
        "{what:?}: apart by {error}, values up to {scale}"
    );
}

/// Weights in a temporary file.
pub(super) fn weights(tensors: &[(&str, Tensor)]) -> Weights {
    let dir = tempfile::tempdir().unwrap();
    let tensors: HashMap<_, _> = tensors.iter().cloned().collect();
    candle_core::safetensors::save(&tensors, dir.path().join("w")).unwrap();
    Weights::open(dir.path(), &["w".to_owned()]).unwrap()
}

fn norm_weights(prefix: &str, channels: usize) -> Vec<(String, Tensor)> {
    let mut tensors: Vec<_> = ["weight", "bias", "running_mean"]
        .iter()
        .map(|part| (format!("{prefix}.{part}"), random(&[channels])))
        .collect();
    let variance = Tensor::rand(0.1f32, 2f32, channels, &Candle::Cpu).unwrap();
    tensors.push((format!("{prefix}.running_var"), variance));
    tensors
}

/// A batch norm by its definition.
fn normed(x: &Tensor, tensors: &[(String, Tensor)], eps: f64) -> Tensor {
    let part = |at: usize| tensors[at].1.reshape((1, (), 1, 1)).unwrap();
    let (weight, bias, mean, variance) = (part(0), part(1), part(2), part(3));
    let scaled = x
        .broadcast_sub(&mean)
        .unwrap()
        .broadcast_div(&(variance + eps).unwrap().sqrt().unwrap())
        .unwrap();
    scaled
        .broadcast_mul(&weight)
        .unwrap()
        .broadcast_add(&bias)
        .unwrap()
}

#[test]
fn convolutions_match_candle() {
    for _ in 0..60 {
        let groups = [1, 1, 2, 4][size(0, 3)];
        let geometry = ConvGeometry {
            in_channels: groups * size(1, 9),
            out_channels: groups * size(1, 40),
            window: Window {
                kernel: sides(1, 4),
                stride: sides(1, 3),
                padding: sides(0, 3),
                dilation: sides(1, 2),
            },
            groups,
        };
        let (x, activation) = (
            random(&[size(1, 3), geometry.in_channels, size(7, 20), size(7, 20)]),
            Activation::EXAMPLES[size(0, 11)],
        );
        let [height, width] = geometry.window.kernel;
        let weight = random(&[
            geometry.out_channels,
            geometry.in_channels / groups,
            height,
            width,
        ]);
        let bias = random(&[geometry.out_channels]);
        let run = |device: Device| {
            let layer = Conv2d::new(
                "conv",
                geometry,
                &weight,
                Some(&bias),
                None,
                activation,
                &device,
            )
            .unwrap();
            layer
                .forward(&FeatureMap::from_channels_first(&x, &device).unwrap(), None)
                .unwrap()
                .to_channels_first()
                .unwrap()
        };
        assert_same(
            &run(Device::cpu()),
            &run(Device::cpu_reference()),
            &(geometry, activation, x.dims()),
        );
    }
}

#[test]
fn conv_folds_norm_and_adds_residual_before_activation() {
    let tensors = norm_weights("bn", 20);
    let mut all: Vec<(&str, Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.clone()))
        .collect();
    let weight = random(&[20, 6, 3, 3]);
    all.push(("conv.weight", weight.clone()));
    let weights = weights(&all);
    let (x, residual) = (random(&[2, 6, 9, 11]), random(&[2, 20, 9, 11]));
    let sum =
        (normed(&x.conv2d(&weight, 1, 1, 1, 1).unwrap(), &tensors, 1e-3) + &residual).unwrap();
    for device in [Device::cpu(), Device::cpu_reference()] {
        let norm = BatchNorm::load(&weights.root().child("bn"), 20, 1e-3, true).unwrap();
        let geometry = ConvGeometry::square(6, 20, 3, 1, 1);
        let scope = weights.root().child("conv");
        let layer = Conv2d::load(
            &scope,
            geometry,
            false,
            Some(&norm),
            Activation::Relu,
            &device,
        )
        .unwrap();
        let map = |x| FeatureMap::from_channels_first(x, &device).unwrap();
        let y = layer.forward(&map(&x), Some(&map(&residual))).unwrap();
        assert_same(
            &y.to_channels_first().unwrap(),
            &sum.relu().unwrap(),
            &device,
        );
        let error = layer.forward(&map(&x), Some(&map(&x))).unwrap_err();
        assert!(error.to_string().contains("residual"), "{error}");
    }
}

#[test]
fn batch_norm_matches_its_definition() {
    for channels in [1, 5, 40] {
        let tensors = norm_weights("bn", channels);
        let all: Vec<(&str, Tensor)> = tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.clone()))
            .collect();
        let weights = weights(&all);
        let x = random(&[2, channels, 4, 3]);
        let rows = x
            .narrow(2, 0, 1)
            .unwrap()
            .narrow(3, 0, 1)
            .unwrap()
            .flatten_from(1)
            .unwrap()
            .contiguous()
            .unwrap();
        let want = normed(&x, &tensors, 1e-5).relu().unwrap();
        let want_rows = want
            .narrow(2, 0, 1)
            .unwrap()
            .narrow(3, 0, 1)
            .unwrap()
            .flatten_from(1)
            .unwrap();
        for device in [Device::cpu(), Device::cpu_reference()] {
            let norm = BatchNorm::load(&weights.root().child("bn"), channels, 1e-5, true).unwrap();
            let layer = norm.into_layer("bn", Activation::Relu, &device).unwrap();
            let y = layer
                .forward(&FeatureMap::from_channels_first(&x, &device).unwrap())
                .unwrap();
            assert_same(&y.to_channels_first().unwrap(), &want, &device);
            assert_same(
                &layer.forward_rows(&rows, &device).unwrap(),
                &want_rows,
                &device,
            );
        }
    }
}

#[test]
fn linear_layers_match_candle() {
    for (batch, inputs, outputs) in [
        (1, 1, 1),
        (3, 17, 10),
        (14, 64, 33),
        (1, 512, 1000),
        (29, 100, 70),
    ] {
        let (x, weight, bias) = (
            random(&[batch, inputs]),
            random(&[outputs, inputs]),
            random(&[outputs]),
        );
        let weights = weights(&[("fc.weight", weight.clone()), ("fc.bias", bias.clone())]);
        let want = x
            .matmul(&weight.t().unwrap())
            .unwrap()
            .broadcast_add(&bias)
            .unwrap()
            .gelu_erf()
            .unwrap();
        for device in [Device::cpu(), Device::cpu_reference()] {
            let scope = weights.root().child("fc");
            let layer = Linear::load(
                &scope,
                [inputs, outputs],
                true,
                None,
                Activation::Gelu,
                &device,
            )
            .unwrap();
            assert_same(
                &layer.forward(&x).unwrap(),
                &want,
                &(batch, inputs, outputs, &device),
            );
        }
    }
}

#[test]
fn pools_match_candle() {
    let mut pooled = 0;
    while pooled < 80 {
        let kernel = sides(1, 4);
        let padding = [size(0, kernel[0] / 2), size(0, kernel[1] / 2)];
        let window = Window {
            kernel,
            stride: sides(1, 4),
            padding,
            dilation: [1; 2],
        };
        let kind = [
            PoolKind::Max,
            PoolKind::Average {
                count_padding: true,
            },
            PoolKind::Average {
                count_padding: false,
            },
        ][size(0, 2)];
        let pool = Pool {
            name: "pool".to_owned(),
            window: PoolWindow {
                window,
                ceil: size(0, 1) == 1,
            },
            kind,
        };
        let x = random(&[size(1, 2), size(1, 40), size(3, 12), size(3, 12)]);
        let run = |device: Device| {
            let map = FeatureMap::from_channels_first(&x, &device).unwrap();
            pool.forward(&map).map(|y| y.to_channels_first().unwrap())
        };
        let (Ok(ours), Ok(theirs)) = (run(Device::cpu()), run(Device::cpu_reference())) else {
            continue;
        };
        assert_same(&ours, &theirs, &(pool.window, kind, x.dims()));
        pooled += 1;
    }
}

/// The sizes that PyTorch gives for 1D pools: (length, kernel, stride, padding, floor, ceiling).
#[test]
fn pool_sizes_match_pytorch() {
    let cases = [
        (112, 3, 2, 1, 56, 57),
        (5, 2, 2, 0, 2, 3),
        (6, 3, 2, 0, 2, 3),
        (4, 1, 3, 0, 2, 2),
        (3, 2, 3, 1, 2, 2),
        (7, 2, 2, 1, 4, 4),
    ];
    for (length, kernel, stride, padding, floor, ceiling) in cases {
        let window = Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
        };
        let places = |ceil| PoolWindow { window, ceil }.places(0, length);
        assert_eq!(
            (places(false), places(true)),
            (floor, ceiling),
            "{window:?} on {length}"
        );
    }
}

#[test]
fn average_pool_counts_padding_like_pytorch() {
    // x = 1..=5 in a row; kernel 2, stride 2, ceiling: the last window holds 5 alone.
    let x = Tensor::from_vec(vec![1f32, 2., 3., 4., 5.], (1, 1, 1, 5), &Candle::Cpu).unwrap();
    let cases = [
        ([0, 0], true, vec![1.5, 3.5, 5.0]),
        ([0, 1], true, vec![0.5, 2.5, 4.5]),
        ([0, 1], false, vec![1.0, 2.5, 4.5]),
    ];
    for (padding, count_padding, want) in cases {
        let window = Window {
            kernel: [1, 2],
            stride: [1, 2],
            padding,
            dilation: [1; 2],
        };
        let pool = Pool {
            name: "pool".to_owned(),
            window: PoolWindow { window, ceil: true },
            kind: PoolKind::Average { count_padding },
        };
        for device in [Device::cpu(), Device::cpu_reference()] {
            let y = pool
                .forward(&FeatureMap::from_channels_first(&x, &device).unwrap())
                .unwrap();
            let y = y
                .to_channels_first()
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap();
            assert_eq!(y, want, "{padding:?} {count_padding} {device:?}");
        }
    }
}

#[test]
fn global_average_and_activations_match_candle() {
    let x = random(&[3, 21, 5, 8]);
    for device in [Device::cpu(), Device::cpu_reference()] {
        let map = FeatureMap::from_channels_first(&x, &device).unwrap();
        let mean = global_average(&map).unwrap().to_channels_first().unwrap();
        assert_same(&mean, &x.mean_keepdim((2, 3)).unwrap(), &device);
        for &activation in Activation::EXAMPLES {
            let y = map
                .activate(activation)
                .unwrap()
                .to_channels_first()
                .unwrap();
            assert_same(
                &y,
                &activate::with_candle(&x, activation).unwrap(),
                &(activation, &device),
            );
        }
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let weight = Tensor::zeros((4, 3, 3, 3), DType::F32, &Candle::Cpu).unwrap();
    for device in [Device::cpu(), Device::cpu_reference()] {
        let geometry = ConvGeometry::square(3, 4, 3, 1, 0);
        let layer = Conv2d::new(
            "c1",
            geometry,
            &weight,
            None,
            None,
            Activation::Identity,
            &device,
        )
        .unwrap();
        for (dims, reason) in [
            ([1, 2, 9, 9], "c1: takes 3 channels"),
            ([1, 3, 2, 9], "does not fit"),
        ] {
            let map = FeatureMap::from_channels_first(&random(&dims), &device).unwrap();
            let error = layer.forward(&map, None).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let error = FeatureMap::from_channels_first(&random(&[1, 3, 0, 2]), &device)
            .unwrap_err()
            .to_string();
        assert!(error.contains("[1, 3, 0, 2]"), "{error}");
    }
}

#[test]
fn result_beyond_the_limit_is_refused_before_allocation() {
    let weight = Tensor::zeros((100_000, 1, 1, 1), DType::F32, &Candle::Cpu).unwrap();
    let geometry = ConvGeometry::square(1, 100_000, 1, 1, 0);
    for device in [Device::cpu(), Device::cpu_reference()] {
        let layer = Conv2d::new(
            "wide",
            geometry,
            &weight,
            None,
            None,
            Activation::Identity,
            &device,
        )
        .unwrap();
        let map = FeatureMap::from_channels_first(&random(&[1, 1, 200, 200]), &device).unwrap();
        let error = layer.forward(&map, None).unwrap_err();
        assert!(
            matches!(
                &error,
                Error::TooLarge {
                    elements: 4_000_000_000,
                    ..
                }
            ),
            "{error}"
        );
    }
}
