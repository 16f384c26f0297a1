//! Bottlenecks and the blocks that are made of them.

use modelzoo_kernels::PoolKind;

use super::attention::PsaBlock;
use super::loader::{Block, Conv, Loader, Measured, Walk};
use crate::error::Error;
use crate::layers::{Activation, FeatureMap, Pool, concat};

/// Blocks one after the other.
pub(super) struct Chain(pub(super) Vec<Box<dyn Block>>);

impl Block for Chain {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let mut x = x.clone();
        for block in &self.0 {
            x = block.forward(&x)?;
        }
        Ok(x)
    }
}

/// `Bottleneck`, `CIB` and others: blocks one after the other, beside a shortcut or not.
pub(super) struct Shortcut {
    pub(super) blocks: Chain,
    pub(super) adds: bool,
}

impl Block for Shortcut {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let y = self.blocks.forward(x)?;
        match self.adds {
            true => x.plus(&y),
            false => Ok(y),
        }
    }
}

/// `Bottleneck`: two convolutions `cv1` and `cv2`.
pub(super) fn bottleneck(
    loader: &Loader<'_>,
    channels: usize,
    shortcut: bool,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let (first, between) = loader.silu("cv1", channels)?;
    let (second, outputs) = loader.silu("cv2", between)?;
    let block = Shortcut {
        blocks: Chain(vec![Box::new(first), Box::new(second)]),
        adds: shortcut && outputs == channels,
    };
    Ok((Box::new(block), outputs))
}

/// `C2f`, `C3k2`, `C2fCIB` and `A2C2f`: the parts of a convolution, and what blocks make of the
/// last one, one after the other; all of it joined.
pub(super) struct Gathered {
    pub(super) name: String,
    pub(super) first: Vec<Conv>,
    pub(super) blocks: Vec<Box<dyn Block>>,
    pub(super) last: Conv,
}

impl Block for Gathered {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let parts = self.first.iter().map(|conv| conv.forward(x));
        let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
        for block in &self.blocks {
            if let Some(last) = parts.last() {
                parts.push(block.forward(last)?);
            }
        }
        self.last.forward(&concat(&self.name, &parts)?)
    }
}

/// The blocks `m.0`, `m.1`, … of a module, each of `channels`; `tensor` is one that each has.
pub(super) fn repeated(
    loader: &Loader<'_>,
    channels: usize,
    tensor: &str,
    block: impl Fn(&Loader<'_>) -> Result<Measured<Box<dyn Block>>, Error>,
) -> Result<Vec<Box<dyn Block>>, Error> {
    let mut blocks = Vec::new();
    for at in 0..loader.count("m", tensor) {
        let part = loader.child(&format!("m.{at}"));
        let (block, outputs) = block(&part)?;
        if outputs != channels {
            let reason = format!("gives {outputs} channels, and the next block takes {channels}");
            return Err(Error::bad_input(part.scope.name(), reason));
        }
        blocks.push(block);
    }
    Ok(blocks)
}

/// `C2f`, whose blocks may be those of `C3k2` and `C2fCIB` too: the weights show which.
pub(super) fn c2f(
    loader: &Loader<'_>,
    in_channels: usize,
    shortcut: bool,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let (first, half) = loader.halves("cv1", in_channels)?;
    let has = |tensor: &str| loader.has(&format!("m.0.{tensor}"));
    let blocks = if has("cv3.conv.weight") {
        repeated(loader, half, "cv3.conv.weight", |part| {
            c3(part, half, Inner::Plain, shortcut)
        })?
    } else if has("0.cv1.conv.weight") {
        repeated(loader, half, "0.cv1.conv.weight", |part| {
            let (first, outputs) = bottleneck(&part.child("0"), half, shortcut)?;
            let attention = PsaBlock::load(&part.child("1"), outputs)?;
            let chain = Chain(vec![first, Box::new(attention)]);
            Ok((Box::new(chain), outputs))
        })?
    } else if has("cv1.0.conv.weight") {
        repeated(loader, half, "cv1.0.conv.weight", |part| {
            cib(part, half, shortcut)
        })?
    } else {
        repeated(loader, half, "cv1.conv.weight", |part| {
            bottleneck(part, half, shortcut)
        })?
    };
    let (last, outputs) = loader.silu("cv2", half * (2 + blocks.len()))?;
    let block = Gathered {
        name: loader.scope.name().to_owned(),
        first: first.into(),
        blocks,
        last,
    };
    Ok((Box::new(block), outputs))
}

/// `CIB`: depthwise and pointwise convolutions in turn, the middle one perhaps of 7x7 pixels.
fn cib(
    loader: &Loader<'_>,
    channels: usize,
    shortcut: bool,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let (mut blocks, mut width): (Vec<Box<dyn Block>>, _) = (Vec::new(), channels);
    for at in 0..5 {
        let name = format!("cv1.{at}");
        let (conv, outputs) = match loader.has(&format!("{name}.conv.conv.weight")) {
            true => large_kernel(&loader.child(&name), width)?,
            false => loader.silu(&name, width)?,
        };
        blocks.push(Box::new(conv));
        width = outputs;
    }
    let block = Shortcut {
        blocks: Chain(blocks),
        adds: shortcut && width == channels,
    };
    Ok((Box::new(block), width))
}

/// `RepVGGDW`: depthwise convolutions of 7x7 and 3x3 pixels, added, as one.
fn large_kernel(loader: &Loader<'_>, channels: usize) -> Result<Measured<Conv>, Error> {
    let (large, bias, geometry) = loader.child("conv").folded(channels, Walk::default())?;
    let (small, more, of_small) = loader.child("conv1").folded(channels, Walk::default())?;
    let ([height, width], [rows, columns]) = (geometry.window.kernel, of_small.window.kernel);
    let (Some(down), Some(across)) = (height.checked_sub(rows), width.checked_sub(columns)) else {
        let reason = "the smaller of two kernels is larger";
        return Err(Error::bad_input(loader.scope.name(), reason));
    };
    let small = small.pad_with_zeros(2, down / 2, down - down / 2)?;
    let small = small.pad_with_zeros(3, across / 2, across - across / 2)?;
    let (weight, bias) = ((large + small)?, (bias + more)?);
    let conv = loader.fused("conv", geometry, &weight, &bias, Activation::Silu)?;
    Ok((conv, geometry.out_channels))
}

/// What the blocks of a `C3` are.
#[derive(Clone, Copy)]
pub(super) enum Inner {
    /// `Bottleneck`.
    Plain,
    /// `RepBottleneck`, whose first convolution is a `RepConv`.
    Rep,
}

/// `C3`, `C3k` and `RepCSP`: blocks beside one convolution, joined by another.
struct Csp {
    name: String,
    first: Conv,
    blocks: Chain,
    beside: Conv,
    last: Conv,
}

impl Block for Csp {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let through = self.blocks.forward(&self.first.forward(x)?)?;
        let parts = [through, self.beside.forward(x)?];
        self.last.forward(&concat(&self.name, &parts)?)
    }
}

/// `C3` and its kin.
pub(super) fn c3(
    loader: &Loader<'_>,
    in_channels: usize,
    inner: Inner,
    shortcut: bool,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let (first, width) = loader.silu("cv1", in_channels)?;
    let (beside, more) = loader.silu("cv2", in_channels)?;
    let blocks = match inner {
        Inner::Plain => repeated(loader, width, "cv1.conv.weight", |part| {
            bottleneck(part, width, shortcut)
        })?,
        Inner::Rep => repeated(loader, width, "cv2.conv.weight", |part| {
            let (first, between) = super::elan::rep_conv(&part.child("cv1"), width)?;
            let (second, outputs) = part.silu("cv2", between)?;
            let block = Shortcut {
                blocks: Chain(vec![Box::new(first), Box::new(second)]),
                adds: shortcut && outputs == width,
            };
            Ok((Box::new(block), outputs))
        })?,
    };
    let (last, outputs) = loader.silu("cv3", width + more)?;
    let block = Csp {
        name: loader.scope.name().to_owned(),
        first,
        blocks: Chain(blocks),
        beside,
        last,
    };
    Ok((Box::new(block), outputs))
}

/// `SPPF` and `SPPELAN`: a convolution, max pools one after the other, all of it joined.
pub(super) struct Pyramid {
    name: String,
    first: Conv,
    pool: Pool,
    times: usize,
    last: Conv,
    adds: bool,
}

impl Block for Pyramid {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let mut parts = vec![self.first.forward(x)?];
        for _ in 0..self.times {
            if let Some(last) = parts.last() {
                parts.push(self.pool.forward(last)?);
            }
        }
        let y = self.last.forward(&concat(&self.name, &parts)?)?;
        match self.adds {
            true => y.plus(x),
            false => Ok(y),
        }
    }
}

/// A max pool over windows of `kernel` pixels that keeps the size where the stride is 1.
pub(super) fn max_pool(name: &str, kernel: usize, stride: usize) -> Pool {
    Pool::square(name, [kernel, stride, kernel / 2], false, PoolKind::Max)
}

/// `SPPF` with the names of its first and last convolutions, those of `SPPELAN` too.
pub(super) fn pyramid(
    loader: &Loader<'_>,
    in_channels: usize,
    names: [&str; 2],
    kernel: usize,
    activation: Activation,
    shortcut: bool,
) -> Result<Measured<Box<dyn Block>>, Error> {
    let [first, last] = names;
    let (first, width) = loader.conv(first, in_channels, Walk::default(), activation)?;
    let joined = loader.scope.shape(&format!("{last}.conv.weight"))?;
    let joined = joined.get(1).copied().unwrap_or_default();
    let times = (joined / width.max(1)).saturating_sub(1);
    let (last, outputs) = loader.silu(last, width * (times + 1))?;
    let name = loader.scope.name();
    let block = Pyramid {
        name: name.to_owned(),
        first,
        pool: max_pool(name, kernel, 1),
        times,
        last,
        adds: shortcut && outputs == in_channels,
    };
    Ok((Box::new(block), outputs))
}
