//! DenseNet, as torchvision builds it (`torchvision/models/densenet.py`; Huang et al., "Densely
//! Connected Convolutional Networks", 2016: DenseNet-BC).

use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classifier::{Classifier, at_least, imagenet};
use super::loader::LayerLoader;
use super::steps::{Series, Step, average_pool, max_pool};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, ConvGeometry, FeatureMap, NormedConcat, concat};
use crate::weights::Scope;

/// The configuration of `densenet`.
///
/// | field | | default |
/// |---|---|---|
/// | `depth` | 121, 161, 169 or 201; or else the next three | |
/// | `growth_rate` | channels that each layer adds | |
/// | `block_config` | layers in each of the four blocks | |
/// | `num_init_features` | channels of the first convolution | |
/// | `bn_size` | channels within a layer, times the growth rate | 4 |
/// | `num_classes` | outputs of `classifier` | 1000 |
///
/// The weights have torchvision's names: `features.conv0.weight`, `features.norm0.weight`,
/// `features.denseblock1.denselayer1.norm1.weight`, `features.denseblock1.denselayer1.conv1.weight`,
/// `features.transition1.conv.weight`, …, `features.norm5.weight`, `classifier.weight`, …. The
/// published files write `denselayer1.norm.1.weight` for `denselayer1.norm1.weight`, and so on;
/// both are read.
///
/// | torchvision | configuration |
/// |---|---|
/// | `densenet121` | `{"depth": 121}` |
/// | `densenet161` | `{"depth": 161}` |
/// | `densenet169` | `{"depth": 169}` |
/// | `densenet201` | `{"depth": 201}` |
///
/// Layers for embeddings: `features.relu0`, `features.pool0`, `features.denseblock1`,
/// `features.transition1`, …, `features` (after its last ReLU, which torchvision computes in
/// place), `classifier`, and their inputs. The default is `<classifier`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseNetConfig {
    /// 121, 161, 169 or 201.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// Channels that each layer adds, instead of a depth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_rate: Option<usize>,
    /// Layers in each block, instead of a depth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_config: Option<[usize; 4]>,
    /// Channels of the first convolution, instead of a depth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_init_features: Option<usize>,
    /// Channels within a layer, times the growth rate.
    #[serde(default = "bn_size")]
    pub bn_size: usize,
    /// Outputs.
    #[serde(default = "imagenet")]
    pub num_classes: usize,
}

const fn bn_size() -> usize {
    4
}

/// The smallest side of an image that the pools do not reduce to nothing.
const LEAST: usize = 29;

/// A checked configuration.
pub(crate) struct DenseNet {
    growth_rate: usize,
    block_config: [usize; 4],
    num_init_features: usize,
    config: DenseNetConfig,
}

impl DenseNet {
    fn classifier(&self, weights: &LayerLoader<'_>) -> Result<Classifier, Error> {
        let mut network = Classifier::default();
        let features = weights.child("features");
        let mut channels = self.num_init_features;
        let stem = ConvGeometry::square(3, channels, 7, 2, 3);
        let stem = features.normed(["conv0", "norm0"], stem, Activation::Relu)?;
        network.fused(
            ["features.conv0", "features.relu0"].map(str::to_owned),
            Box::new(stem),
        );
        network.step(
            "features.pool0",
            max_pool("features.pool0", [3, 2, 1], false),
        );
        for (index, layers) in self.block_config.into_iter().enumerate() {
            let name = format!("denseblock{}", index + 1);
            let block = self.block(&features.child(&name), layers, channels)?;
            network.step(format!("features.{name}"), Box::new(block));
            channels += layers * self.growth_rate;
            if index + 1 < self.block_config.len() {
                let name = format!("transition{}", index + 1);
                let transition = transition(&features.child(&name), channels)?;
                network.step(format!("features.{name}"), Box::new(transition));
                channels /= 2;
            }
        }
        let norm = features.norm("norm5", channels)?.into_layer(
            "features.norm5",
            Activation::Relu,
            weights.device,
        )?;
        network.fused(
            ["features.norm5", "features"].map(str::to_owned),
            Box::new(norm),
        );
        let sizes = [channels, self.config.num_classes];
        let classifier = weights.linear("classifier", sizes, Activation::Identity)?;
        network.linear(["classifier"; 2], classifier);
        Ok(network)
    }

    fn block(
        &self,
        weights: &LayerLoader<'_>,
        layers: usize,
        channels: usize,
    ) -> Result<DenseBlock, Error> {
        let layer = |index: usize| {
            let weights = weights.child(&format!("denselayer{}", index + 1));
            self.layer(&weights, channels + index * self.growth_rate)
        };
        Ok(DenseBlock {
            name: weights.scope.name().to_owned(),
            layers: (0..layers).map(layer).collect::<Result<_, _>>()?,
        })
    }

    fn layer(&self, weights: &LayerLoader<'_>, channels: usize) -> Result<DenseLayer, Error> {
        let dot = if weights.scope.has("norm.1.weight") {
            "."
        } else {
            ""
        };
        let names = ["norm", "conv"].map(|kind| [1, 2].map(|n| format!("{kind}{dot}{n}")));
        let [[norm1, norm2], [conv1, conv2]] = &names;
        let between = self.growth_rate * self.config.bn_size;
        let square = ConvGeometry::square;
        let norm = weights.norm(norm1, channels)?;
        let name = weights.scope.child(norm1);
        let norm = NormedConcat::new(name.name(), &norm, Activation::Relu, weights.device)?;
        let squeeze = square(channels, between, 1, 1, 0);
        let squeeze = weights.normed([conv1, norm2], squeeze, Activation::Relu)?;
        let grow = square(between, self.growth_rate, 3, 1, 1);
        Ok(DenseLayer {
            norm,
            squeeze,
            grow: weights.plain(conv2, grow)?,
        })
    }
}

/// What halves the channels and the sides: a norm, a ReLU, a 1x1 convolution and an average pool.
fn transition(weights: &LayerLoader<'_>, channels: usize) -> Result<Series, Error> {
    let scope = weights.scope.name();
    let norm = weights.norm("norm", channels)?;
    let norm = norm.into_layer(&format!("{scope}.norm"), Activation::Relu, weights.device)?;
    let halve = ConvGeometry::square(channels, channels / 2, 1, 1, 0);
    let halve = weights.plain("conv", halve)?;
    // The convolution of a mean is the mean of the convolution: pooled first, it costs a quarter.
    let pool = average_pool(&format!("{scope}.pool"), [2, 2, 0]);
    Ok(vec![Box::new(norm), pool, Box::new(halve)])
}

/// Layers of which each is fed with the channels of all before it.
struct DenseBlock {
    name: String,
    layers: Vec<DenseLayer>,
}

struct DenseLayer {
    norm: NormedConcat,
    squeeze: Conv2d,
    grow: Conv2d,
}

impl Step for DenseBlock {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        let mut parts = vec![x];
        for layer in &self.layers {
            let x = layer.norm.forward(&parts)?;
            let x = layer.squeeze.forward(&x, None)?;
            parts.push(layer.grow.forward(&x, None)?);
        }
        concat(&self.name, &parts)
    }
}

impl ArchitectureConfig for DenseNet {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: DenseNetConfig = checker.read(config)?;
        let explicit = (
            config.growth_rate,
            config.block_config,
            config.num_init_features,
        );
        let (growth_rate, block_config, num_init_features) = match (config.depth, explicit) {
            (Some(121), (None, None, None)) => (32, [6, 12, 24, 16], 64),
            (Some(161), (None, None, None)) => (48, [6, 12, 36, 24], 96),
            (Some(169), (None, None, None)) => (32, [6, 12, 32, 32], 64),
            (Some(201), (None, None, None)) => (32, [6, 12, 48, 32], 64),
            (Some(_), (None, None, None)) => {
                return Err(checker.error("depth", "must be 121, 161, 169 or 201"));
            }
            (None, (Some(growth), Some(blocks), Some(first))) => (growth, blocks, first),
            (None, _) => {
                let reason =
                    "must be given, or else `growth_rate`, `block_config` and `num_init_features`";
                return Err(checker.error("depth", reason));
            }
            (Some(_), _) => {
                let reason = "already determines `growth_rate`, `block_config` and `num_init_features`: give one or the other";
                return Err(checker.error("depth", reason));
            }
        };
        for layers in block_config {
            checker.check_count("block_config", layers)?;
        }
        let sizes = [
            ("growth_rate", growth_rate),
            ("num_init_features", num_init_features),
            ("bn_size", config.bn_size),
            ("num_classes", config.num_classes),
            ("bn_size", growth_rate.saturating_mul(config.bn_size)),
        ];
        for (field, size) in sizes {
            checker.check_size(field, size)?;
        }
        Ok(Self {
            growth_rate,
            block_config,
            num_init_features,
            config,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        at_least(LEAST, size)?;
        Ok(Some(self.config.num_classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.classifier(&LayerLoader::new(weights, device))?;
        Ok(network.into_network(Some("<classifier")))
    }
}
