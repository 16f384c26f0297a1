//! VGG, as torchvision builds it (`torchvision/models/vgg.py`; Simonyan & Zisserman, "Very Deep
//! Convolutional Networks for Large-Scale Image Recognition", 2014).

use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classifier::{Classifier, at_least, imagenet};
use super::loader::LayerLoader;
use super::steps::max_pool;
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, ConvGeometry};
use crate::weights::Scope;

/// One layer of a [`VggConfig`]: in JSON a number of channels, or `"M"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum VggLayer {
    /// A 3x3 convolution to so many channels.
    Conv(usize),
    /// A 2x2 max pool.
    Pool,
}

impl TryFrom<Value> for VggLayer {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let channels = value.as_u64().and_then(|value| usize::try_from(value).ok());
        match (channels, value.as_str()) {
            (Some(channels), _) => Ok(Self::Conv(channels)),
            (None, Some("M")) => Ok(Self::Pool),
            _ => Err("each of `layers` must be a number of channels or \"M\""),
        }
    }
}

impl From<VggLayer> for Value {
    fn from(layer: VggLayer) -> Self {
        match layer {
            VggLayer::Conv(channels) => channels.into(),
            VggLayer::Pool => "M".into(),
        }
    }
}

/// The configuration of `vgg`.
///
/// | field | | default |
/// |---|---|---|
/// | `depth` | 11, 13, 16 or 19; or else `layers` | |
/// | `layers` | the channels of each 3x3 convolution, and `"M"` for each 2x2 max pool | |
/// | `batch_norm` | whether a batch norm follows each convolution | false |
/// | `hidden` | features of the two hidden linear layers | 4096 |
/// | `num_classes` | outputs of `classifier.6` | 1000 |
///
/// The weights have torchvision's names: `features.0.weight`, `features.0.bias`, …,
/// `classifier.0.weight`, `classifier.3.weight`, `classifier.6.weight`, …
///
/// | torchvision | configuration |
/// |---|---|
/// | `vgg11`, `vgg13`, `vgg16`, `vgg19` | `{"depth": 11}`, … |
/// | `vgg11_bn`, … | `{"depth": 11, "batch_norm": true}`, … |
///
/// Layers for embeddings: the outputs of each `features.N` that is a ReLU or a pool, `features`,
/// `avgpool`, `classifier.1`, `classifier.4`, `classifier.6`, and the inputs of the convolutions,
/// the pools and the linear layers. The default is `<classifier.6`: 4096 values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VggConfig {
    /// 11, 13, 16 or 19.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// Convolutions and pools, instead of a depth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<VggLayer>>,
    /// Whether a batch norm follows each convolution.
    #[serde(default)]
    pub batch_norm: bool,
    /// Features of the hidden linear layers.
    #[serde(default = "hidden")]
    pub hidden: usize,
    /// Outputs.
    #[serde(default = "imagenet")]
    pub num_classes: usize,
}

const fn hidden() -> usize {
    4096
}

/// Rows and columns after the average pool.
const PLACES: usize = 7;

/// Convolutions before each of the five pools.
const fn convolutions(depth: u32) -> Option<[usize; 5]> {
    match depth {
        11 => Some([1, 1, 2, 2, 2]),
        13 => Some([2, 2, 2, 2, 2]),
        16 => Some([2, 2, 3, 3, 3]),
        19 => Some([2, 2, 4, 4, 4]),
        _ => None,
    }
}

/// A checked configuration.
pub(crate) struct Vgg {
    layers: Vec<VggLayer>,
    config: VggConfig,
}

impl Vgg {
    fn classifier(&self, weights: &LayerLoader<'_>) -> Result<Classifier, Error> {
        let mut network = Classifier::default();
        let features = weights.child("features");
        let (mut channels, mut index) = (3, 0);
        for layer in &self.layers {
            let name = |index: usize| format!("features.{index}");
            match *layer {
                VggLayer::Conv(outputs) => {
                    let geometry = ConvGeometry::square(channels, outputs, 3, 1, 1);
                    channels = outputs;
                    let norm = self.config.batch_norm.then(|| (index + 1).to_string());
                    let conv = index.to_string();
                    let (conv, last) = match norm {
                        Some(norm) => (features.conv_normed([&conv, &norm], geometry)?, index + 2),
                        None => (features.conv(&conv, geometry)?, index + 1),
                    };
                    network.fused([name(index), name(last)], Box::new(conv));
                    index = last + 1;
                }
                VggLayer::Pool => {
                    network.step(name(index), max_pool(&name(index), [2, 2, 0], false));
                    index += 1;
                }
            }
        }
        network.name_features("features");
        network.average("avgpool", [PLACES; 2]);
        let VggConfig {
            hidden,
            num_classes,
            ..
        } = self.config;
        let (relu, none) = (Activation::Relu, Activation::Identity);
        let flat = channels * PLACES * PLACES;
        let linears = [
            (["classifier.0", "classifier.1"], [flat, hidden], relu),
            (["classifier.3", "classifier.4"], [hidden, hidden], relu),
            (
                ["classifier.6", "classifier.6"],
                [hidden, num_classes],
                none,
            ),
        ];
        network.classifier(weights, linears)?;
        Ok(network)
    }
}

impl ArchitectureConfig for Vgg {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: VggConfig = checker.read(config)?;
        let layers = match (config.depth, &config.layers) {
            (Some(depth), None) => {
                let counts = convolutions(depth)
                    .ok_or_else(|| checker.error("depth", "must be 11, 13, 16 or 19"))?;
                let mut layers = Vec::new();
                for (count, channels) in counts.into_iter().zip([64, 128, 256, 512, 512]) {
                    layers.extend([VggLayer::Conv(channels)].repeat(count));
                    layers.push(VggLayer::Pool);
                }
                layers
            }
            (None, Some(layers)) => layers.clone(),
            (None, None) => return Err(checker.error("depth", "must be given, or else `layers`")),
            (Some(_), Some(_)) => {
                let reason = "already determines `layers`: give one or the other";
                return Err(checker.error("depth", reason));
            }
        };
        checker.check_count("layers", layers.len())?;
        for layer in &layers {
            if let VggLayer::Conv(channels) = layer {
                checker.check_size("layers", *channels)?;
            }
        }
        checker.check_size("hidden", config.hidden)?;
        checker.check_size("num_classes", config.num_classes)?;
        Ok(Self { layers, config })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        let pools = self.layers.iter().filter(|&&layer| layer == VggLayer::Pool);
        let least = u32::try_from(pools.count())
            .ok()
            .and_then(|pools| 1_usize.checked_shl(pools))
            .unwrap_or(usize::MAX);
        at_least(least, size)?;
        Ok(Some(self.config.num_classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.classifier(&LayerLoader::new(weights, device))?;
        Ok(network.into_network(Some("<classifier.6")))
    }
}
