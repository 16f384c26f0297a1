//! ShuffleNetV2, as torchvision builds it (`torchvision/models/shufflenetv2.py`; Ma et al.,
//! "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", 2018).

use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classifier::{Classifier, imagenet};
use super::loader::LayerLoader;
use super::steps::{Series, Step, max_pool};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, ConvGeometry, FeatureMap, interleave};
use crate::weights::Scope;

/// The configuration of `shufflenet_v2`.
///
/// | field | | default |
/// |---|---|---|
/// | `variant` | `"x0_5"`, `"x1_0"`, `"x1_5"` or `"x2_0"`; or else the next two | |
/// | `stages_repeats` | units in each of the three stages | |
/// | `stages_out_channels` | channels of the first convolution, of the three stages (even numbers), and of the last convolution | |
/// | `num_classes` | outputs of `fc` | 1000 |
///
/// The weights have torchvision's names: `conv1.0.weight`, `conv1.1.weight`,
/// `stage2.0.branch1.0.weight`, …, `conv5.0.weight`, `conv5.1.weight`, `fc.weight`, `fc.bias`.
///
/// | torchvision | configuration |
/// |---|---|
/// | `shufflenet_v2_x0_5` | `{"variant": "x0_5"}` |
/// | `shufflenet_v2_x1_0` | `{"variant": "x1_0"}` |
/// | `shufflenet_v2_x1_5` | `{"variant": "x1_5"}` |
/// | `shufflenet_v2_x2_0` | `{"variant": "x2_0"}` |
///
/// Layers for embeddings: the inputs and outputs of `conv1`, `maxpool`, `stage2`, `stage3`,
/// `stage4`, `conv5` and `fc`. The default is `<fc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShuffleNetV2Config {
    /// One of the published sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<ShuffleNetV2Variant>,
    /// Units in each stage, instead of a variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages_repeats: Option<[usize; 3]>,
    /// Channels, instead of a variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages_out_channels: Option<[usize; 5]>,
    /// Outputs.
    #[serde(default = "imagenet")]
    pub num_classes: usize,
}

/// The published sizes of ShuffleNetV2.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ShuffleNetV2Variant {
    /// Half of the channels.
    #[serde(rename = "x0_5")]
    X0_5,
    /// The base.
    #[serde(rename = "x1_0")]
    X1_0,
    /// One and a half times as many channels.
    #[serde(rename = "x1_5")]
    X1_5,
    /// Twice as many channels.
    #[serde(rename = "x2_0")]
    X2_0,
}

impl ShuffleNetV2Variant {
    const fn channels(self) -> [usize; 5] {
        match self {
            Self::X0_5 => [24, 48, 96, 192, 1024],
            Self::X1_0 => [24, 116, 232, 464, 1024],
            Self::X1_5 => [24, 176, 352, 704, 1024],
            Self::X2_0 => [24, 244, 488, 976, 2048],
        }
    }
}

/// A checked configuration.
pub(crate) struct ShuffleNetV2 {
    repeats: [usize; 3],
    channels: [usize; 5],
    num_classes: usize,
}

impl ShuffleNetV2 {
    fn classifier(&self, weights: &LayerLoader<'_>) -> Result<Classifier, Error> {
        let mut network = Classifier::default();
        let [mut channels, stages @ .., last] = self.channels;
        let square = ConvGeometry::square;
        let relu = Activation::Relu;
        let first = square(3, channels, 3, 2, 1);
        let first = weights.child("conv1").normed(["0", "1"], first, relu)?;
        network.step("conv1", Box::new(first));
        network.step("maxpool", max_pool("maxpool", [3, 2, 1], false));
        for (index, (outputs, units)) in stages.into_iter().zip(self.repeats).enumerate() {
            let name = format!("stage{}", index + 2);
            let stage = Stage::load(&weights.child(&name), channels, outputs / 2, units)?;
            network.step(name, Box::new(stage));
            channels = outputs;
        }
        let conv5 = square(channels, last, 1, 1, 0);
        let conv5 = weights.child("conv5").normed(["0", "1"], conv5, relu)?;
        network.step("conv5", Box::new(conv5));
        let fc = weights.linear("fc", [last, self.num_classes], Activation::Identity)?;
        network.linear(["fc"; 2], fc);
        Ok(network)
    }
}

/// Units of two branches each, whose channels are shuffled after each unit.
struct Stage {
    name: String,
    /// Channels of a branch.
    half: usize,
    /// The first unit's other branch; those of the next units pass their input on.
    first: Series,
    /// The branch that each unit computes.
    units: Vec<Series>,
}

impl Stage {
    fn load(
        weights: &LayerLoader<'_>,
        inputs: usize,
        half: usize,
        units: usize,
    ) -> Result<Self, Error> {
        let square = ConvGeometry::square;
        let (relu, none) = (Activation::Relu, Activation::Identity);
        let one_by_one = |inputs| square(inputs, half, 1, 1, 0);
        let depthwise =
            |channels, stride| square(channels, channels, 3, stride, 1).grouped(channels);
        let branch = weights.child("0.branch1");
        let first: Series = vec![
            Box::new(branch.normed(["0", "1"], depthwise(inputs, 2), none)?),
            Box::new(branch.normed(["2", "3"], one_by_one(inputs), relu)?),
        ];
        let unit = |index: usize| -> Result<Series, Error> {
            let branch = weights.child(&format!("{index}.branch2"));
            let (inputs, stride) = if index == 0 { (inputs, 2) } else { (half, 1) };
            Ok(vec![
                Box::new(branch.normed(["0", "1"], one_by_one(inputs), relu)?),
                Box::new(branch.normed(["3", "4"], depthwise(half, stride), none)?),
                Box::new(branch.normed(["5", "6"], one_by_one(half), relu)?),
            ])
        };
        Ok(Self {
            name: weights.scope.name().to_owned(),
            half,
            first,
            units: (0..units).map(unit).collect::<Result<_, _>>()?,
        })
    }
}

impl Step for Stage {
    /// The shuffled channels are never in one place before the end: each unit takes the half that
    /// it computes with, and the half that it passes on.
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        let Some((unit, rest)) = self.units.split_first() else {
            return Ok(x);
        };
        let mut kept = self.first.forward(x.clone())?;
        let mut computed = unit.forward(x)?;
        let mix = |kept: &FeatureMap, computed: &FeatureMap, from: usize, to: usize| {
            interleave(&self.name, kept, computed, from..to)
        };
        for unit in rest {
            let next = mix(&kept, &computed, self.half, 2 * self.half)?;
            kept = mix(&kept, &computed, 0, self.half)?;
            computed = unit.forward(next)?;
        }
        mix(&kept, &computed, 0, 2 * self.half)
    }
}

impl ArchitectureConfig for ShuffleNetV2 {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: ShuffleNetV2Config = checker.read(config)?;
        let explicit = (config.stages_repeats, config.stages_out_channels);
        let (repeats, channels) = match (config.variant, explicit) {
            (Some(variant), (None, None)) => ([4, 8, 4], variant.channels()),
            (None, (Some(repeats), Some(channels))) => (repeats, channels),
            (None, _) => {
                let reason =
                    "must be given, or else both `stages_repeats` and `stages_out_channels`";
                return Err(checker.error("variant", reason));
            }
            (Some(_), _) => {
                let reason = "already determines `stages_repeats` and `stages_out_channels`: give one or the other";
                return Err(checker.error("variant", reason));
            }
        };
        for count in repeats {
            checker.check_count("stages_repeats", count)?;
        }
        for count in channels {
            checker.check_size("stages_out_channels", count)?;
        }
        let [_, stages @ .., _] = channels;
        if stages.iter().any(|channels| channels % 2 != 0) {
            let reason = "those of the stages are halved, so they must be even";
            return Err(checker.error("stages_out_channels", reason));
        }
        checker.check_size("num_classes", config.num_classes)?;
        Ok(Self {
            repeats,
            channels,
            num_classes: config.num_classes,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(Some(self.num_classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.classifier(&LayerLoader::new(weights, device))?;
        Ok(network.into_network(Some("<fc")))
    }
}
