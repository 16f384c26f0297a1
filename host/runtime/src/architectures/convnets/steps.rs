//! Steps of convolutional networks: from a feature map to a feature map.

use modelzoo_kernels::PoolKind;

use crate::error::Error;
use crate::layers::{ChannelScale, Conv2d, FeatureMap, Pool, concat};

/// A square max pool.
pub(in crate::architectures) fn max_pool(
    name: &str,
    sizes: [usize; 3],
    ceil: bool,
) -> Box<dyn Step> {
    Box::new(Pool::square(name, sizes, ceil, PoolKind::Max))
}

/// A square average pool that counts its padding.
pub(in crate::architectures) fn average_pool(name: &str, sizes: [usize; 3]) -> Box<dyn Step> {
    let kind = PoolKind::Average {
        count_padding: true,
    };
    Box::new(Pool::square(name, sizes, false, kind))
}

/// A layer or a group of layers.
pub(in crate::architectures) trait Step: Send + Sync {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error>;
}

impl Step for Conv2d {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        self.forward(&x, None)
    }
}

impl Step for ChannelScale {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        self.forward(&x)
    }
}

impl Step for Pool {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        self.forward(&x)
    }
}

/// Steps in sequence.
pub(in crate::architectures) type Series = Vec<Box<dyn Step>>;

impl Step for Series {
    fn forward(&self, mut x: FeatureMap) -> Result<FeatureMap, Error> {
        for step in self {
            x = step.forward(x)?;
        }
        Ok(x)
    }
}

/// Parallel steps, whose outputs are concatenated along the channels.
pub(in crate::architectures) struct Branches {
    pub(in crate::architectures) name: String,
    pub(in crate::architectures) branches: Vec<Series>,
}

impl Step for Branches {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        let results = self.branches.iter().map(|branch| branch.forward(x.clone()));
        concat(&self.name, &results.collect::<Result<Vec<_>, _>>()?)
    }
}

/// The residual of a block.
pub(in crate::architectures) enum Shortcut {
    None,
    Identity,
    /// A convolution of the block's input.
    Projection(Box<Conv2d>),
}

impl Shortcut {
    /// The input, where a block with an identity shortcut can add it.
    pub(in crate::architectures) fn identity_if(possible: bool) -> Self {
        if possible { Self::Identity } else { Self::None }
    }
}

/// Convolutions with a residual, which the last of them adds before its activation.
pub(in crate::architectures) struct ResidualBlock {
    pub(in crate::architectures) convolutions: Vec<Conv2d>,
    pub(in crate::architectures) shortcut: Shortcut,
}

impl Step for ResidualBlock {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        let Some((last, before)) = self.convolutions.split_last() else {
            return Ok(x);
        };
        let mut inner = x.clone();
        for convolution in before {
            inner = convolution.forward(&inner, None)?;
        }
        match &self.shortcut {
            Shortcut::None => last.forward(&inner, None),
            Shortcut::Identity => last.forward(&inner, Some(&x)),
            Shortcut::Projection(projection) => {
                last.forward(&inner, Some(&projection.forward(&x, None)?))
            }
        }
    }
}
