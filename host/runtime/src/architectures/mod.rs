//! The architectures that a plan can name, and their configurations.
//!
//! | name | configuration | weights |
//! |---|---|---|
//! | `sequential` | [`SequentialConfig`]: a list of layers | by the layers' names |
//! | `resnet` | [`ResNetConfig`]: a depth and a few sizes | torchvision's names |
//!
//! A configuration is a JSON object. An unknown field is an error, and so are weights that the
//! architecture does not use or does not find; `*.num_batches_tracked` is ignored.

mod network;
mod resnet;
mod sequential;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use resnet::{Block, ResNetConfig};
pub use sequential::{Approximation, Pair, SequentialConfig, SequentialLayer};

pub(crate) use network::{Blueprint, ImageTower, Network, Similarity, TextTower, TokenBatch};

use crate::error::Error;
use crate::nearest::nearest;
use crate::plan::Architecture;

/// The names of all architectures, as a plan writes them.
#[must_use]
pub fn architectures() -> &'static [&'static str] {
    &[sequential::NAME, resnet::NAME]
}

/// Reads the configuration that a plan gives to an architecture.
pub(crate) fn parse(architecture: &Architecture) -> Result<Box<dyn Blueprint>, Error> {
    let Architecture { name, config } = architecture;
    Ok(match name.as_str() {
        sequential::NAME => Box::new(sequential::Layers::parse(config)?),
        resnet::NAME => Box::new(resnet::Sizes::parse(config)?),
        _ => {
            return Err(Error::UnknownArchitecture {
                name: name.clone(),
                nearest: nearest(name, architectures().iter().copied()),
            });
        }
    })
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
