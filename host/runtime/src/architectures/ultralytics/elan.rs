//! The blocks of YOLOv9 (arXiv 2402.13616).

use candle_core::Tensor;
use modelzoo_kernels::PoolKind;

use super::blocks::{Chain, Gathered, Inner, c3, max_pool};
use super::loader::{Block, Conv, Loader, Measured, Walk};
use crate::error::Error;
use crate::layers::{Activation, BatchNorm, FeatureMap, Pool, concat};

/// `RepConv`: convolutions of 3x3 pixels and of one, and perhaps a batch norm of the input, added,
/// as one convolution.
pub(super) fn rep_conv(loader: &Loader<'_>, channels: usize) -> Result<Measured<Conv>, Error> {
    let (large, mut bias, geometry) = loader.child("conv1").folded(channels, Walk::default())?;
    let (small, more, _) = loader.child("conv2").folded(channels, Walk::default())?;
    let small = small.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
    let mut weight = (large + small)?;
    bias = (bias + more)?;
    if loader.has("bn.running_mean") {
        let norm = BatchNorm::load(&loader.scope.child("bn"), channels, loader.eps, true)?;
        let [same, more] = norm.folded(&identity(weight.dims())?)?;
        weight = (weight + same)?;
        bias = (bias + more)?;
    }
    let conv = loader.fused("conv1", geometry, &weight, &bias, Activation::Silu)?;
    Ok((conv, geometry.out_channels))
}

/// The weight of a convolution that gives its input.
fn identity(dims: &[usize]) -> Result<Tensor, Error> {
    let mut values = vec![0_f32; dims.iter().product()];
    let [_, of_group, height, width] = *dims else {
        return Err(Error::bad_input(
            "conv",
            "the weight is not that of a convolution",
        ));
    };
    let kernel = height * width;
    let filters = values.chunks_exact_mut((of_group * kernel).max(1));
    for (at, filter) in filters.enumerate() {
        let middle = (at % of_group) * kernel + kernel / 2;
        if let Some(value) = filter.get_mut(middle) {
            *value = 1.0;
        }
    }
    Ok(Tensor::from_vec(values, dims, &candle_core::Device::Cpu)?)
}

/// `RepNCSPELAN4` and `ELAN1`: the halves of a convolution, and what two blocks make of the second
/// one; all of it joined.
pub(super) fn elan(
    loader: &Loader<'_>,
    in_channels: usize,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let (first, half) = loader.halves("cv1", in_channels)?;
    let (mut width, mut joined) = (half, 2 * half);
    let mut blocks: Vec<Box<dyn Block>> = Vec::new();
    for name in ["cv2", "cv3"] {
        let part = loader.child(name);
        let (block, outputs): Measured<Box<dyn Block>> = if part.has("conv.weight") {
            let (conv, outputs) = loader.silu(name, width)?;
            (Box::new(conv), outputs)
        } else {
            let (inner, between) = c3(&part.child("0"), width, Inner::Rep, true)?;
            let (conv, outputs) = part.silu("1", between)?;
            (Box::new(Chain(vec![inner, Box::new(conv)])), outputs)
        };
        blocks.push(block);
        joined += outputs;
        width = outputs;
    }
    let (last, outputs) = loader.silu("cv4", joined)?;
    let block = Gathered {
        name: loader.scope.name().to_owned(),
        first: first.into(),
        blocks,
        last,
    };
    Ok((Box::new(block), outputs))
}

/// `AConv`: an average pool and a convolution of stride 2.
pub(super) fn aconv(
    loader: &Loader<'_>,
    in_channels: usize,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let walk = Walk::stride(2);
    let (conv, outputs) = loader.conv("cv1", in_channels, walk, Activation::Silu)?;
    let block = AConv {
        average: average(loader.scope.name()),
        conv,
    };
    Ok((Box::new(block), outputs))
}

fn average(name: &str) -> Pool {
    let kind = PoolKind::Average {
        count_padding: true,
    };
    Pool::square(name, [2, 1, 0], false, kind)
}

struct AConv {
    average: Pool,
    conv: Conv,
}

impl Block for AConv {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        self.conv.forward(&self.average.forward(x)?)
    }
}

/// `ADown`: an average pool; half of the channels through a convolution of stride 2, the others
/// through a max pool of stride 2 and a convolution of one pixel.
pub(super) fn adown(
    loader: &Loader<'_>,
    in_channels: usize,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let half = in_channels / 2;
    let walk = Walk::stride(2);
    let (through, first) = loader.conv("cv1", half, walk, Activation::Silu)?;
    let (pooled, second) = loader.silu("cv2", half)?;
    let name = loader.scope.name();
    let block = ADown {
        name: name.to_owned(),
        half,
        average: average(name),
        through,
        max: max_pool(name, 3, 2),
        pooled,
    };
    Ok((Box::new(block), first + second))
}

struct ADown {
    name: String,
    half: usize,
    average: Pool,
    through: Conv,
    max: Pool,
    pooled: Conv,
}

impl Block for ADown {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let x = self.average.forward(x)?;
        let first = self.through.forward(&x.channels(0, self.half)?)?;
        let second = x.channels(self.half, self.half)?;
        let second = self.pooled.forward(&self.max.forward(&second)?)?;
        concat(&self.name, &[first, second])
    }
}
