//! The architectures that a plan can name, and their configurations.
//!
//! | name | configuration | weights |
//! |---|---|---|
//! | `sequential` | [`SequentialConfig`]: a list of layers | by the layers' names |
//! | `resnet` | [`ResNetConfig`]: a depth and a few sizes | torchvision's names |
//!
//! A configuration is a JSON object. An unknown field is an error, and so are weights that the
//! architecture does not use or does not find; `*.num_batches_tracked` is ignored.

mod resnet;
mod sequential;

use candle_core::Tensor;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use resnet::{Block, ResNetConfig};
pub use sequential::{Approximation, Pair, SequentialConfig, SequentialLayer};

use crate::device::Device;
use crate::error::Error;
use crate::layers::FeatureMap;
use crate::nearest::nearest;
use crate::plan::{Architecture, Size};
use crate::weights::Scope;

/// The names of all architectures, as a plan writes them.
#[must_use]
pub fn architectures() -> &'static [&'static str] {
    &[sequential::NAME, resnet::NAME]
}

/// An architecture with its configuration, which is checked as far as it can be without weights.
pub(crate) enum Config {
    Sequential(sequential::Layers),
    ResNet(resnet::Sizes),
}

impl Config {
    pub(crate) fn parse(architecture: &Architecture) -> Result<Self, Error> {
        let Architecture { name, config } = architecture;
        match name.as_str() {
            sequential::NAME => sequential::Layers::parse(config).map(Self::Sequential),
            resnet::NAME => resnet::Sizes::parse(config).map(Self::ResNet),
            _ => Err(Error::UnknownArchitecture {
                name: name.clone(),
                nearest: nearest(name, architectures().iter().copied()),
            }),
        }
    }

    /// The channels that the network takes; none where any number would do.
    pub(crate) fn in_channels(&self) -> Option<usize> {
        match self {
            Self::Sequential(layers) => layers.in_channels(),
            Self::ResNet(sizes) => Some(sizes.in_channels()),
        }
    }

    /// Follows the sizes of the feature maps through the network, for an input of `channels`
    /// and, where the plan fixes it, `size`. Returns the number of outputs, where it is known.
    pub(crate) fn outputs(
        &self,
        channels: usize,
        size: Option<Size>,
    ) -> Result<Option<usize>, Error> {
        match self {
            Self::Sequential(layers) => layers.outputs(channels, size),
            Self::ResNet(sizes) => Ok(Some(sizes.outputs())),
        }
    }

    /// Builds the network with its weights.
    pub(crate) fn build(self, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        match self {
            Self::Sequential(layers) => layers.build(weights, device).map(Network::Sequential),
            Self::ResNet(sizes) => sizes
                .build(weights, device)
                .map(|network| Network::ResNet(Box::new(network))),
        }
    }
}

/// A built network.
pub(crate) enum Network {
    Sequential(sequential::Sequential),
    ResNet(Box<resnet::ResNet>),
}

impl Network {
    /// One row an image.
    pub(crate) fn forward(&self, x: FeatureMap) -> Result<Tensor, Error> {
        match self {
            Self::Sequential(network) => network.forward(x),
            Self::ResNet(network) => network.forward(x),
        }
    }
}

/// Reads a configuration, or a part of it that is at `field`.
fn read<T: DeserializeOwned>(
    architecture: &'static str,
    field: String,
    config: &Value,
) -> Result<T, Error> {
    if !config.is_object() {
        return Err(Error::BadConfig {
            architecture,
            field,
            reason: "must be a JSON object".to_owned(),
        });
    }
    T::deserialize(config).map_err(|error| Error::BadConfig {
        architecture,
        field,
        reason: error.to_string(),
    })
}
