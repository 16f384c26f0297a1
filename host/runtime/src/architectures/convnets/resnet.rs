//! ResNet, as torchvision builds it (`torchvision/models/resnet.py`; He et al., "Deep Residual
//! Learning for Image Recognition", 2015, with the stride on the 3x3 convolution).

use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classifier::{Classifier, imagenet};
use super::loader::LayerLoader;
use super::resnet_backbone::{PLANES, ResNetBackbone, ResNetLayers, of_depth};
use crate::architectures::shared::config::{ConfigChecker, MAX_SIZE};
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::Activation;
use crate::weights::Scope;

/// The kind of a ResNet's blocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Two 3x3 convolutions (ResNet-18 and -34).
    Basic,
    /// A 1x1, a 3x3 and a 1x1 convolution (ResNet-50 and deeper).
    Bottleneck,
}

/// The configuration of `resnet`: the ResNet, ResNeXt and Wide ResNet of torchvision.
///
/// | field | | default |
/// |---|---|---|
/// | `depth` | 18, 34, 50, 101 or 152; or else `block` and `layers` | |
/// | `block` | `"basic"` or `"bottleneck"` | |
/// | `layers` | the number of blocks in each of the four stages | |
/// | `num_classes` | outputs of `fc` | 1000 |
/// | `in_channels` | channels of the input: 3, or 1 for `"color": "gray"` | 3 |
/// | `groups` | groups of the 3x3 convolutions; bottleneck only | 1 |
/// | `width_per_group` | channels per group in the first stage; bottleneck only | 64 |
///
/// The weights have torchvision's names: `conv1.weight`, `bn1.weight`,
/// `layer1.0.conv1.weight`, `layer1.0.downsample.0.weight`, …, `fc.weight`, `fc.bias`.
///
/// | torchvision | configuration |
/// |---|---|
/// | `resnet18` | `{"depth": 18}` |
/// | `resnet50` | `{"depth": 50}` |
/// | `resnext50_32x4d` | `{"depth": 50, "groups": 32, "width_per_group": 4}` |
/// | `resnext101_64x4d` | `{"depth": 101, "groups": 64, "width_per_group": 4}` |
/// | `wide_resnet50_2` | `{"depth": 50, "width_per_group": 128}` |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// 18, 34, 50, 101 or 152.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// The kind of the blocks, instead of a depth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Block>,
    /// Blocks in each stage, instead of a depth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<[usize; 4]>,
    /// Outputs.
    #[serde(default = "imagenet")]
    pub num_classes: usize,
    /// Channels of the input.
    #[serde(default = "in_channels")]
    pub in_channels: usize,
    /// Groups of the 3x3 convolutions.
    #[serde(default = "groups")]
    pub groups: usize,
    /// Channels per group in the first stage.
    #[serde(default = "width_per_group")]
    pub width_per_group: usize,
}

const fn in_channels() -> usize {
    3
}

const fn groups() -> usize {
    1
}

const fn width_per_group() -> usize {
    64
}

/// A checked configuration.
pub(crate) struct ResNet {
    layers: ResNetLayers,
    classes: usize,
}

impl ResNet {
    fn classifier(&self, weights: &LayerLoader<'_>) -> Result<Classifier, Error> {
        let ResNetBackbone { stem, pool, stages } = self.layers.load(weights)?;
        let mut network = Classifier::default();
        network.fused(["conv1", "relu"].map(str::to_owned), Box::new(stem));
        network.step("maxpool", pool);
        for (index, blocks) in stages.into_iter().enumerate() {
            network.step(format!("layer{}", index + 1), Box::new(blocks));
        }
        network.average("avgpool", [1; 2]);
        let [.., channels] = self.layers.channels();
        network.linear(
            ["fc"; 2],
            weights.linear("fc", [channels, self.classes], Activation::Identity)?,
        );
        Ok(network)
    }
}

/// The kind and the numbers of the blocks.
fn blocks(checker: &ConfigChecker, config: &ResNetConfig) -> Result<(Block, [usize; 4]), Error> {
    let reason = match (config.depth, config.block, config.layers) {
        (Some(depth), None, None) => match of_depth(depth) {
            Some(found) => return Ok(found),
            None => "must be 18, 34, 50, 101 or 152",
        },
        (None, Some(block), Some(layers)) => return Ok((block, layers)),
        (None, ..) => "must be given, or else both `block` and `layers`",
        (Some(_), ..) => "already determines `block` and `layers`: give one or the other",
    };
    Err(checker.error("depth", reason))
}

impl ArchitectureConfig for ResNet {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: ResNetConfig = checker.read(config)?;
        let (block, layers) = blocks(checker, &config)?;
        for blocks in layers {
            checker.check_count("layers", blocks)?;
        }
        checker.check_sizes(&[
            ("num_classes", config.num_classes),
            ("in_channels", config.in_channels),
            ("groups", config.groups),
            ("width_per_group", config.width_per_group),
        ])?;
        if block == Block::Basic
            && (config.groups, config.width_per_group) != (groups(), width_per_group())
        {
            let reason = "only bottleneck blocks have groups and another width";
            return Err(checker.error("groups", reason));
        }
        let network = Self {
            classes: config.num_classes,
            layers: ResNetLayers {
                in_channels: config.in_channels,
                groups: config.groups,
                width_per_group: config.width_per_group,
                ..ResNetLayers::new(block, layers)
            },
        };
        // The widths of the stages are multiples of the first one's.
        let [first, .., last] = PLANES;
        for planes in [first, last] {
            let width = network.layers.inner_width(planes);
            if !(1..=MAX_SIZE).contains(&width) {
                let reason = format!("gives {width} channels, and 1 to {MAX_SIZE} are possible");
                return Err(checker.error("width_per_group", reason));
            }
        }
        Ok(network)
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.layers.in_channels)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(Some(self.classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.classifier(&LayerLoader::new(weights, device))?;
        Ok(network.into_network(Some("<fc")))
    }
}
