//! MNASNet, as torchvision builds it (`torchvision/models/mnasnet.py`; Tan et al., "MnasNet:
//! Platform-Aware Neural Architecture Search for Mobile", 2018: MnasNet-B1).

use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classifier::{Classifier, imagenet};
use super::loader::{LayerLoader, make_divisible};
use super::steps::{ResidualBlock, Series, Shortcut};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, ConvGeometry};
use crate::weights::Scope;

/// The configuration of `mnasnet`.
///
/// | field | | default |
/// |---|---|---|
/// | `alpha` | the factor of the channels | 1 |
/// | `version` | 1, where the channels of the first layers are not multiplied, or 2 | 2 |
/// | `num_classes` | outputs of `classifier.1` | 1000 |
///
/// The weights have torchvision's names: `layers.0.weight`, `layers.1.weight`, …,
/// `layers.8.0.layers.0.weight`, …, `classifier.1.weight`, `classifier.1.bias`.
///
/// | torchvision | configuration |
/// |---|---|
/// | `mnasnet0_5` | `{"alpha": 0.5}` |
/// | `mnasnet0_75` | `{"alpha": 0.75}` |
/// | `mnasnet1_0` | `{"alpha": 1.0}` |
/// | `mnasnet1_3` | `{"alpha": 1.3}` |
///
/// Older releases of torchvision wrote checkpoints of version 1; with an `alpha` of 1 the two are the
/// same.
///
/// Layers for embeddings: the outputs of `layers.2`, `layers.5`, `layers.7`, of the stacks
/// `layers.8` to `layers.13`, `layers.16` and `layers`, the input and output of `classifier.1`,
/// and the inputs of the convolutions and stacks. The default is `<classifier.1`: 1280 values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MnasNetConfig {
    /// The factor of the channels.
    #[serde(default = "one")]
    pub alpha: f64,
    /// 1 or 2.
    #[serde(default = "two")]
    pub version: usize,
    /// Outputs.
    #[serde(default = "imagenet")]
    pub num_classes: usize,
}

const fn one() -> f64 {
    1.0
}

const fn two() -> usize {
    2
}

/// The stacks: channels, the depthwise convolution's side, stride, expansion, blocks.
const STACKS: [[usize; 5]; 6] = [
    [24, 3, 2, 3, 3],
    [40, 5, 2, 3, 3],
    [80, 5, 2, 6, 3],
    [96, 3, 1, 6, 2],
    [192, 5, 2, 6, 4],
    [320, 3, 1, 6, 1],
];

/// Features before the linear layer, whatever `alpha` is.
const FEATURES: usize = 1280;

/// A checked configuration.
pub(crate) struct MnasNet(MnasNetConfig);

impl MnasNet {
    fn classifier(&self, weights: &LayerLoader<'_>) -> Result<Classifier, Error> {
        let mut network = Classifier::default();
        let layers = weights.child("layers");
        let scaled = |channels: usize| make_divisible(channels, self.0.alpha, 8);
        let square = ConvGeometry::square;
        let relu = Activation::Relu;
        let [first, mut channels] = match self.0.version {
            1 => [32, 16],
            _ => [scaled(32), scaled(16)],
        };
        let name = |index: usize| format!("layers.{index}");
        let stem = [
            ([0, 1, 2], square(3, first, 3, 2, 1), relu),
            (
                [3, 4, 5],
                square(first, first, 3, 1, 1).grouped(first),
                relu,
            ),
            (
                [6, 7, 7],
                square(first, channels, 1, 1, 0),
                Activation::Identity,
            ),
        ];
        for ([conv, norm, last], geometry, activation) in stem {
            let names = [conv.to_string(), norm.to_string()];
            let layer = layers.normed([&names[0], &names[1]], geometry, activation)?;
            network.fused([name(conv), name(last)], Box::new(layer));
        }
        for (index, [outputs, kernel, stride, expansion, blocks]) in (8..).zip(STACKS) {
            let outputs = scaled(outputs);
            let stack = layers.child(&index.to_string());
            let mut series = Series::new();
            for at in 0..blocks {
                let weights = stack.child(&at.to_string()).child("layers");
                let stride = if at == 0 { stride } else { 1 };
                let sizes = [channels, outputs];
                series.push(Box::new(inverted(
                    &weights, sizes, kernel, stride, expansion,
                )?));
                channels = outputs;
            }
            network.step(name(index), Box::new(series));
        }
        let last = layers.normed(["14", "15"], square(channels, FEATURES, 1, 1, 0), relu)?;
        network.fused([name(14), name(16)], Box::new(last));
        network.name_features("layers");
        let sizes = [FEATURES, self.0.num_classes];
        let linear = weights.linear("classifier.1", sizes, Activation::Identity)?;
        network.linear(["classifier.1"; 2], linear);
        Ok(network)
    }
}

/// A 1x1 convolution to more channels, a depthwise one, and a 1x1 one to few channels, without
/// activation.
fn inverted(
    weights: &LayerLoader<'_>,
    [inputs, outputs]: [usize; 2],
    kernel: usize,
    stride: usize,
    expansion: usize,
) -> Result<ResidualBlock, Error> {
    let between = inputs * expansion;
    let square = ConvGeometry::square;
    let depthwise = square(between, between, kernel, stride, kernel / 2).grouped(between);
    let relu = Activation::Relu;
    Ok(ResidualBlock {
        convolutions: vec![
            weights.normed(["0", "1"], square(inputs, between, 1, 1, 0), relu)?,
            weights.normed(["3", "4"], depthwise, relu)?,
            weights.normed(
                ["6", "7"],
                square(between, outputs, 1, 1, 0),
                Activation::Identity,
            )?,
        ],
        shortcut: Shortcut::identity_if(stride == 1 && inputs == outputs),
    })
}

impl ArchitectureConfig for MnasNet {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: MnasNetConfig = checker.read(config)?;
        checker.check_factor("alpha", config.alpha)?;
        checker.check_range("version", config.version, 1..=2)?;
        checker.check_size("num_classes", config.num_classes)?;
        Ok(Self(config))
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(Some(self.0.num_classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.classifier(&LayerLoader::new(weights, device))?;
        Ok(network.into_network(Some("<classifier.1")))
    }
}
