//! MobileNetV2, as torchvision builds it (`torchvision/models/mobilenetv2.py`; Sandler et al.,
//! "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018).

use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classifier::{Classifier, imagenet};
use super::loader::{LayerLoader, make_divisible};
use super::steps::{ResidualBlock, Shortcut};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, ConvGeometry};
use crate::weights::Scope;

/// The configuration of `mobilenet_v2`.
///
/// | field | | default |
/// |---|---|---|
/// | `width_mult` | the factor of the channels | 1 |
/// | `inverted_residual_setting` | for each stage the expansion, the channels, the number of blocks and the stride of the first, as `[6, 24, 2, 2]` | the seven of the paper |
/// | `round_nearest` | the divisor of the channels | 8 |
/// | `num_classes` | outputs of `classifier.1` | 1000 |
///
/// The weights have torchvision's names: `features.0.0.weight`, `features.0.1.weight`,
/// `features.1.conv.0.0.weight`, …, `classifier.1.weight`, `classifier.1.bias`; `mobilenet_v2` is
/// `{}`.
///
/// Layers for embeddings: the inputs and outputs of `features.0`, `features.1`, … and of
/// `classifier.1`, and the output of `features`. The default is `<classifier.1`: 1280 values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MobileNetV2Config {
    /// The factor of the channels.
    #[serde(default = "one")]
    pub width_mult: f64,
    /// The stages: expansion, channels, blocks, stride.
    #[serde(default = "stages")]
    pub inverted_residual_setting: Vec<[usize; 4]>,
    /// The divisor of the channels.
    #[serde(default = "eight")]
    pub round_nearest: usize,
    /// Outputs.
    #[serde(default = "imagenet")]
    pub num_classes: usize,
}

const fn one() -> f64 {
    1.0
}

const fn eight() -> usize {
    8
}

fn stages() -> Vec<[usize; 4]> {
    vec![
        [1, 16, 1, 1],
        [6, 24, 2, 2],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
}

const STAGES: &str = "inverted_residual_setting";

/// A checked configuration.
pub(crate) struct MobileNetV2(MobileNetV2Config);

impl MobileNetV2 {
    fn scaled(&self, channels: usize, factor: f64) -> usize {
        make_divisible(channels, factor, self.0.round_nearest)
    }

    fn classifier(&self, weights: &LayerLoader<'_>) -> Result<Classifier, Error> {
        let mut network = Classifier::default();
        let features = weights.child("features");
        let width = self.0.width_mult;
        let relu = Activation::Relu6;
        let mut channels = self.scaled(32, width);
        let first = ConvGeometry::square(3, channels, 3, 2, 1);
        let first = features.normed(["0.0", "0.1"], first, relu)?;
        network.step("features.0", Box::new(first));
        let mut index = 1;
        for &[expansion, outputs, count, stride] in &self.0.inverted_residual_setting {
            let outputs = self.scaled(outputs, width);
            for at in 0..count {
                let stride = if at == 0 { stride } else { 1 };
                let block = features.child(&index.to_string()).child("conv");
                let block = inverted(&block, [channels, outputs], expansion, stride)?;
                network.step(format!("features.{index}"), Box::new(block));
                channels = outputs;
                index += 1;
            }
        }
        let features_out = self.scaled(1280, width.max(1.0));
        let last = ConvGeometry::square(channels, features_out, 1, 1, 0);
        let last = features.normed([&format!("{index}.0"), &format!("{index}.1")], last, relu)?;
        network.step(format!("features.{index}"), Box::new(last));
        network.name_features("features");
        let sizes = [features_out, self.0.num_classes];
        let linear = weights.linear("classifier.1", sizes, Activation::Identity)?;
        network.linear(["classifier.1"; 2], linear);
        Ok(network)
    }
}

/// A 1x1 convolution to more channels (unless `expansion` is 1), a 3x3 depthwise one, and a 1x1 one
/// to few channels, without activation.
fn inverted(
    weights: &LayerLoader<'_>,
    [inputs, outputs]: [usize; 2],
    expansion: usize,
    stride: usize,
) -> Result<ResidualBlock, Error> {
    let between = inputs.saturating_mul(expansion);
    let square = ConvGeometry::square;
    let relu = Activation::Relu6;
    let mut convolutions = Vec::new();
    if expansion != 1 {
        let expand = square(inputs, between, 1, 1, 0);
        convolutions.push(weights.normed(["0.0", "0.1"], expand, relu)?);
    }
    let at = convolutions.len();
    let name = |part: &str| format!("{at}.{part}");
    let depthwise = square(between, between, 3, stride, 1).grouped(between);
    convolutions.push(weights.normed([&name("0"), &name("1")], depthwise, relu)?);
    let (conv, norm) = ((at + 1).to_string(), (at + 2).to_string());
    let narrow = square(between, outputs, 1, 1, 0);
    convolutions.push(weights.normed([&conv, &norm], narrow, Activation::Identity)?);
    Ok(ResidualBlock {
        convolutions,
        shortcut: Shortcut::identity_if(stride == 1 && inputs == outputs),
    })
}

impl ArchitectureConfig for MobileNetV2 {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: MobileNetV2Config = checker.read(config)?;
        checker.check_factor("width_mult", config.width_mult)?;
        checker.check_size("round_nearest", config.round_nearest)?;
        checker.check_size("num_classes", config.num_classes)?;
        let stages = &config.inverted_residual_setting;
        checker.check_count(STAGES, stages.len())?;
        let mut blocks = 0;
        for &[expansion, channels, count, stride] in stages {
            checker.check_size(STAGES, expansion)?;
            checker.check_size(STAGES, channels)?;
            checker.check_count(STAGES, count)?;
            blocks += count;
            if !(1..=2).contains(&stride) {
                return Err(checker.error(STAGES, "the strides must be 1 or 2"));
            }
        }
        checker.check_count(STAGES, blocks)?;
        let network = Self(config);
        let width = network.0.width_mult;
        let mut inputs = network.scaled(32, width);
        for &[expansion, outputs, count, _] in &network.0.inverted_residual_setting {
            let outputs = network.scaled(outputs, width);
            // The inputs of the first block, and those of the others.
            let channels = if count > 1 {
                inputs.max(outputs)
            } else {
                inputs
            };
            checker.check_size(STAGES, channels.saturating_mul(expansion))?;
            inputs = outputs;
        }
        Ok(network)
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
