//! Concatenation and interleaving of feature maps along their channels.

use std::ops::Range;

use candle_core::Tensor;
use modelzoo_kernels::{self as kernels, Activation, Isa, Shape};

use super::activate::with_candle;
use super::batch_norm::BatchNorm;
use super::cpu;
use super::map::FeatureMap;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::precision::in_full;

/// Concatenates the channels of the feature maps.
pub(crate) fn concat(name: &str, parts: &[FeatureMap]) -> Result<FeatureMap, Error> {
    if let [part] = parts {
        return Ok(part.clone());
    }
    let (first, out) = joined(name, parts)?;
    let tensor = match first.kernels() {
        Kernels::Candle => Tensor::cat(&tensors(parts), 1)?,
        Kernels::Own => with_own(parts, out, None, Activation::Identity)?,
    };
    Ok(first.with(tensor))
}

/// A concatenation followed by a batch norm and an activation, in one pass over the memory.
pub(crate) struct NormedConcat {
    name: String,
    scale: Vec<f32>,
    shift: Vec<f32>,
    activation: Activation,
    /// For candle's operations, f32 on the device.
    tensors: Option<[Tensor; 2]>,
}

impl NormedConcat {
    pub(crate) fn new(
        name: &str,
        norm: &BatchNorm,
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        let [scale, shift] = norm.values();
        let tensors = match device.kernels() {
            Kernels::Own => None,
            Kernels::Candle => {
                let tensor = |values: &[f32]| {
                    Tensor::from_slice(values, (1, values.len(), 1, 1), device.candle())
                };
                Some([tensor(&scale)?, tensor(&shift)?])
            }
        };
        Ok(Self {
            name: name.to_owned(),
            scale,
            shift,
            activation,
            tensors,
        })
    }

    pub(crate) fn forward(&self, parts: &[FeatureMap]) -> Result<FeatureMap, Error> {
        let (first, out) = joined(&self.name, parts)?;
        if out.channels != self.scale.len() {
            let reason = format!("takes {} channels, got {}", self.scale.len(), out.channels);
            return Err(Error::bad_input(&self.name, reason));
        }
        let tensor = match &self.tensors {
            Some([scale, shift]) => {
                let x = Tensor::cat(&tensors(parts), 1)?;
                in_full(&x, |x| {
                    let y = x.broadcast_mul(scale)?.broadcast_add(shift)?;
                    with_candle(&y, self.activation)
                })?
            }
            None => with_own(
                parts,
                out,
                Some([&self.scale, &self.shift]),
                self.activation,
            )?,
        };
        Ok(first.with(tensor))
    }
}

/// The channels in `range` of two interleaved feature maps of one shape: torchvision's
/// `channel_shuffle` of their concatenation.
pub(crate) fn interleave(
    name: &str,
    a: &FeatureMap,
    b: &FeatureMap,
    range: Range<usize>,
) -> Result<FeatureMap, Error> {
    let shape = a.shape()?;
    if shape != b.shape()? || range.is_empty() || range.end > 2 * shape.channels {
        let reason = format!(
            "channels {range:?} of {shape:?} and {:?}, interleaved",
            b.shape()?
        );
        return Err(Error::bad_input(name, reason));
    }
    let dims = [shape.batch, shape.height, shape.width, range.len()];
    check_size(name, &dims)?;
    let tensor = match a.kernels() {
        Kernels::Candle => {
            let pairs = Tensor::stack(&[a.tensor(), b.tensor()], 2)?;
            let (batch, channels) = (shape.batch, 2 * shape.channels);
            let whole = pairs.reshape((batch, channels, shape.height, shape.width))?;
            whole.narrow(1, range.start, range.len())?.contiguous()?
        }
        Kernels::Own => cpu::binary("interleave", a.tensor(), b.tensor(), &dims, |a, b| {
            kernels::interleave(
                Isa::detect(),
                a,
                b,
                shape.channels,
                shape.width,
                range.clone(),
            )
        })?,
    };
    Ok(a.with(tensor))
}

/// The first of the feature maps, and the shape of the concatenation.
fn joined<'a>(name: &str, parts: &'a [FeatureMap]) -> Result<(&'a FeatureMap, Shape), Error> {
    let Some(first) = parts.first() else {
        return Err(Error::bad_input(name, "there is nothing to concatenate"));
    };
    let mut out = first.shape()?;
    out.channels = 0;
    for part in parts {
        let shape = part.shape()?;
        let (of_part, of_first) = (
            [shape.batch, shape.height, shape.width],
            [out.batch, out.height, out.width],
        );
        if of_part != of_first {
            let reason = format!(
                "feature maps of {}x{} and {}x{} cannot be concatenated",
                out.height, out.width, shape.height, shape.width
            );
            return Err(Error::bad_input(name, reason));
        }
        out.channels = out.channels.saturating_add(shape.channels);
    }
    check_size(name, &[out.batch, out.height, out.width, out.channels])?;
    Ok((first, out))
}

fn tensors(parts: &[FeatureMap]) -> Vec<&Tensor> {
    parts.iter().map(FeatureMap::tensor).collect()
}

fn with_own(
    parts: &[FeatureMap],
    out: Shape,
    affine: Option<[&[f32]; 2]>,
    activation: Activation,
) -> Result<Tensor, Error> {
    let channels: Vec<usize> = parts
        .iter()
        .map(|part| Ok(part.shape()?.channels))
        .collect::<Result<_, Error>>()?;
    let dims = [out.batch, out.height, out.width, out.channels];
    Ok(cpu::many(&tensors(parts), &dims, |values| {
        let parts: Vec<_> = values.iter().copied().zip(channels).collect();
        kernels::concat(Isa::detect(), &parts, out.width, affine, activation)
    })?)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]
mod tests {
    use candle_core::Device as Candle;

    use super::*;

    const DEVICES: [fn() -> Device; 2] = [Device::cpu, Device::cpu_reference];

    fn random(dims: &[usize]) -> Tensor {
        Tensor::rand(-1f32, 1f32, dims, &Candle::Cpu).unwrap()
    }

    fn values(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn maps(tensors: &[Tensor], device: &Device) -> Vec<FeatureMap> {
        tensors
            .iter()
            .map(|tensor| FeatureMap::from_channels_first(tensor, device).unwrap())
            .collect()
    }

    /// Small feature maps, one whose rows are divided among threads, and a single part.
    const SIZES: [(&[usize], [usize; 3]); 4] = [
        (&[3, 1, 20], [2, 5, 7]),
        (&[33, 32, 1, 64], [2, 40, 30]),
        (&[1, 1], [1, 1, 1]),
        (&[5], [3, 2, 9]),
    ];

    fn parts(channels: &[usize], [batch, height, width]: [usize; 3]) -> Vec<Tensor> {
        let part = |&channels: &usize| random(&[batch, channels, height, width]);
        channels.iter().map(part).collect()
    }

    #[test]
    fn concat_matches_candle() {
        for (channels, size) in SIZES {
            let tensors = parts(channels, size);
            let want = values(&Tensor::cat(&tensors, 1).unwrap());
            for device in DEVICES {
                let joined = concat("join", &maps(&tensors, &device())).unwrap();
                assert_eq!(values(&joined.to_channels_first().unwrap()), want);
            }
        }
    }

    #[test]
    fn normed_concat_matches_its_parts() {
        for (channels, size) in SIZES {
            let tensors = parts(channels, size);
            let count = channels.iter().sum::<usize>();
            let [scale, shift] = [random(&[count]), random(&[count])];
            let per_channel = |x: &Tensor| x.reshape((1, count, 1, 1)).unwrap();
            let want = Tensor::cat(&tensors, 1)
                .and_then(|x| x.broadcast_mul(&per_channel(&scale)))
                .and_then(|x| x.broadcast_add(&per_channel(&shift)))
                .and_then(|x| x.relu())
                .unwrap();
            let doubles = |x: &Tensor| values(x).into_iter().map(f64::from).collect();
            let norm = BatchNorm::of(doubles(&scale), doubles(&shift));
            for device in DEVICES {
                let device = device();
                let layer = NormedConcat::new("join", &norm, Activation::Relu, &device).unwrap();
                let joined = layer.forward(&maps(&tensors, &device)).unwrap();
                let joined = values(&joined.to_channels_first().unwrap());
                for (ours, theirs) in joined.into_iter().zip(values(&want)) {
                    assert!((ours - theirs).abs() <= 1e-6, "{ours} and {theirs}");
                }
                let less = maps(&tensors[1..], &device);
                assert!(layer.forward(&less).is_err());
            }
        }
    }

    #[test]
    fn interleave_matches_channel_shuffle() {
        for (channels, [batch, height, width]) in
            [(4, [2, 3, 5]), (7, [1, 2, 2]), (33, [2, 50, 40])]
        {
            let [a, b] = [(); 2].map(|()| random(&[batch, channels, height, width]));
            // As torchvision shuffles: [2, channels] becomes [channels, 2].
            let whole = Tensor::cat(&[&a, &b], 1)
                .and_then(|x| x.reshape((batch, 2, channels, height * width)))
                .and_then(|x| x.transpose(1, 2)?.contiguous())
                .and_then(|x| x.reshape((batch, 2 * channels, height, width)))
                .unwrap();
            for range in [
                0..2 * channels,
                0..channels,
                channels..2 * channels,
                1..2,
                3..channels,
            ] {
                let want = whole.narrow(1, range.start, range.len()).unwrap();
                for device in DEVICES {
                    let maps = maps(&[a.clone(), b.clone()], &device());
                    let ours = interleave("shuffle", &maps[0], &maps[1], range.clone()).unwrap();
                    assert_eq!(values(&ours.to_channels_first().unwrap()), values(&want));
                }
            }
        }
    }

    #[test]
    fn mismatched_feature_maps_are_refused() {
        let tensors = [random(&[1, 2, 3, 4]), random(&[1, 2, 3, 5])];
        for device in DEVICES {
            let maps = maps(&tensors, &device());
            let error = concat("mix", &maps).unwrap_err().to_string();
            assert!(
                error.starts_with("mix: feature maps of 3x4 and 3x5"),
                "{error}"
            );
            assert!(interleave("mix", &maps[0], &maps[1], 0..1).is_err());
            assert!(interleave("mix", &maps[0], &maps[0], 2..5).is_err());
            assert!(concat("mix", &[]).is_err());
        }
    }
}
