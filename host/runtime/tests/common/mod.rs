//! Shared by the tests and the benchmark: weights from a recipe instead of large files.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

pub(crate) mod parity;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

/// The tensor of a name, a shape and a seed, by the recipe of `tests/parity/README.md`.
pub(crate) fn recipe(name: &str, shape: &[usize], seed: u64) -> Tensor {
    let state = fnv1a(name.as_bytes()) ^ seed;
    let count: usize = shape.iter().product();
    let fan_in = count / shape.first().copied().unwrap_or(1).max(1);
    let scaled = |value: f64| match shape.len() {
        1 if [".weight", ".lab.scale", ".running_var"]
            .iter()
            .any(|end| name.ends_with(end)) =>
        {
            0.5 + (value + 0.5)
        }
        0 | 1 => value * 0.2,
        _ => value * 2.0 * (3.0 / fan_in as f64).sqrt(),
    };
    let values: Vec<f32> = (0..count as u64)
        .map(|i| {
            let random = splitmix(state.wrapping_add(i)) >> 40;
            scaled(random as f64 / f64::from(1 << 24) - 0.5) as f32
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn splitmix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The names and shapes of a torchvision ResNet's tensors.
pub(crate) fn resnet_tensors(
    bottleneck: bool,
    layers: [usize; 4],
    classes: usize,
    width: usize,
    groups: usize,
) -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::new();
    let mut conv = |name: String, norm: String, out: usize, inputs: usize, kernel: usize| {
        tensors.push((format!("{name}.weight"), vec![out, inputs, kernel, kernel]));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push((format!("{norm}.{part}"), vec![out]));
        }
    };
    conv("conv1".into(), "bn1".into(), 64, 3, 7);
    let mut channels = 64;
    for (stage, planes) in [64, 128, 256, 512].into_iter().enumerate() {
        let out = if bottleneck { planes * 4 } else { planes };
        for block in 0..layers[stage] {
            let prefix = format!("layer{}.{block}", stage + 1);
            let mut numbered = |n: usize, out, inputs, kernel| {
                conv(
                    format!("{prefix}.conv{n}"),
                    format!("{prefix}.bn{n}"),
                    out,
                    inputs,
                    kernel,
                )
            };
            if bottleneck {
                let inner = planes * width / 64 * groups;
                numbered(1, inner, channels, 1);
                numbered(2, inner, inner / groups, 3);
                numbered(3, out, inner, 1);
            } else {
                numbered(1, planes, channels, 3);
                numbered(2, planes, planes, 3);
            }
            if block == 0 && (stage > 0 || channels != out) {
                conv(
                    format!("{prefix}.downsample.0"),
                    format!("{prefix}.downsample.1"),
                    out,
                    channels,
                    1,
                );
            }
            channels = out;
        }
    }
    tensors.push(("fc.weight".into(), vec![classes, channels]));
    tensors.push(("fc.bias".into(), vec![classes]));
    tensors
}

/// As [`write_recipe`], with the weights of layers magnified by `gain`.
pub(crate) fn write_magnified(path: &Path, tensors: &[(String, Vec<usize>)], seed: u64, gain: f64) {
    let tensors: HashMap<String, Tensor> = tensors
        .iter()
        .map(|(name, shape)| {
            let values = recipe(name, shape, seed);
            let gain = if shape.len() > 1 { gain } else { 1.0 };
            (name.clone(), values.affine(gain, 0.0).unwrap())
        })
        .collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

/// Writes tensors of these names and shapes by the recipe.
pub(crate) fn write_recipe(path: &Path, tensors: &[(String, Vec<usize>)], seed: u64) {
    let tensors: HashMap<String, Tensor> = tensors
        .iter()
        .map(|(name, shape)| (name.clone(), recipe(name, shape, seed)))
        .collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}
