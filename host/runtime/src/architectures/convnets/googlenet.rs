//! GoogLeNet, as torchvision builds it (`torchvision/models/googlenet.py`; Szegedy et al., "Going
//! Deeper with Convolutions", 2014), with 3x3 convolutions where the paper has 5x5.

use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classifier::{Classifier, at_least, imagenet};
use super::loader::LayerLoader;
use super::steps::{Branches, Series, max_pool};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, ConvGeometry};
use crate::weights::Scope;

/// The configuration of `googlenet`.
///
/// | field | | default |
/// |---|---|---|
/// | `transform_input` | whether to convert images from ImageNet's mean and standard deviation to 0.5 and 0.5, as the published weights expect | false |
/// | `width_divisor` | the divisor of all channels: 1, 2, 4 or 8 | 1 |
/// | `num_classes` | outputs of `fc` | 1000 |
///
/// The weights have torchvision's names: `conv1.conv.weight`, `conv1.bn.weight`,
/// `inception3a.branch1.conv.weight`, `inception3a.branch2.0.conv.weight`, …, `fc.weight`,
/// `fc.bias`. Those of the auxiliary classifiers, `aux1.*` and `aux2.*`, are for training and
/// ignored. torchvision's `googlenet` with its published weights is `{"transform_input": true}`, and
/// without them `{}`.
///
/// Layers for embeddings: the inputs and outputs of `conv1`, `maxpool1`, `conv2`, `conv3`,
/// `maxpool2`, `inception3a`, … and `fc`, and the output of `avgpool`. The default is `<fc`: 1024
/// values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoogLeNetConfig {
    /// Whether to convert images from ImageNet's mean and standard deviation to 0.5 and 0.5.
    #[serde(default)]
    pub transform_input: bool,
    /// The divisor of all channels.
    #[serde(default = "one")]
    pub width_divisor: usize,
    /// Outputs.
    #[serde(default = "imagenet")]
    pub num_classes: usize,
}

const fn one() -> usize {
    1
}

/// A module of four branches: the channels that each of its convolutions gives.
struct Inception {
    name: &'static str,
    one: usize,
    three: [usize; 2],
    five: [usize; 2],
    pool: usize,
}

const fn inception(
    name: &'static str,
    one: usize,
    three: [usize; 2],
    five: [usize; 2],
    pool: usize,
) -> Inception {
    Inception {
        name,
        one,
        three,
        five,
        pool,
    }
}

const THIRD: [Inception; 2] = [
    inception("inception3a", 64, [96, 128], [16, 32], 32),
    inception("inception3b", 128, [128, 192], [32, 96], 64),
];
const FOURTH: [Inception; 5] = [
    inception("inception4a", 192, [96, 208], [16, 48], 64),
    inception("inception4b", 160, [112, 224], [24, 64], 64),
    inception("inception4c", 128, [128, 256], [24, 64], 64),
    inception("inception4d", 112, [144, 288], [32, 64], 64),
    inception("inception4e", 256, [160, 320], [32, 128], 128),
];
const FIFTH: [Inception; 2] = [
    inception("inception5a", 256, [160, 320], [32, 128], 128),
    inception("inception5b", 384, [192, 384], [48, 128], 128),
];

/// The tensors of an auxiliary classifier.
const AUXILIARY: [&str; 9] = [
    "conv.conv.weight",
    "conv.bn.weight",
    "conv.bn.bias",
    "conv.bn.running_mean",
    "conv.bn.running_var",
    "fc1.weight",
    "fc1.bias",
    "fc2.weight",
    "fc2.bias",
];

/// The smallest side of an image that the pools do not reduce to nothing.
const LEAST: usize = 15;

/// A checked configuration.
pub(crate) struct GoogLeNet(GoogLeNetConfig);

impl GoogLeNet {
    /// A square convolution that keeps the sides, divided by the divisor.
    fn square(&self, inputs: usize, outputs: usize, kernel: usize) -> ConvGeometry {
        let divisor = self.0.width_divisor;
        ConvGeometry::square(inputs / divisor, outputs / divisor, kernel, 1, kernel / 2)
    }

    fn classifier(&self, weights: &LayerLoader<'_>) -> Result<Classifier, Error> {
        let weights = LayerLoader {
            eps: 0.001,
            ..weights.clone()
        };
        let mut network = Classifier::default();
        if self.0.transform_input {
            network.rescale(weights.rescale()?);
        }
        let first = ConvGeometry::square(3, 64 / self.0.width_divisor, 7, 2, 3);
        network.step("conv1", Box::new(weights.basic("conv1", first)?));
        let pool = |name, kernel| max_pool(name, [kernel, 2, 0], true);
        network.step("maxpool1", pool("maxpool1", 3));
        for (name, geometry) in [
            ("conv2", self.square(64, 64, 1)),
            ("conv3", self.square(64, 192, 3)),
        ] {
            network.step(name, Box::new(weights.basic(name, geometry)?));
        }
        network.step("maxpool2", pool("maxpool2", 3));
        let mut channels = self.modules(&mut network, &weights, 192, &THIRD)?;
        network.step("maxpool3", pool("maxpool3", 3));
        channels = self.modules(&mut network, &weights, channels, &FOURTH)?;
        network.step("maxpool4", pool("maxpool4", 2));
        channels = self.modules(&mut network, &weights, channels, &FIFTH)?;
        for auxiliary in ["aux1", "aux2"] {
            weights.ignore(auxiliary, &AUXILIARY);
        }
        network.average("avgpool", [1; 2]);
        let sizes = [channels / self.0.width_divisor, self.0.num_classes];
        network.linear(
            ["fc"; 2],
            weights.linear("fc", sizes, Activation::Identity)?,
        );
        Ok(network)
    }

    /// Adds modules of four branches; returns the channels, undivided, that the last one gives.
    fn modules(
        &self,
        network: &mut Classifier,
        weights: &LayerLoader<'_>,
        mut channels: usize,
        modules: &[Inception],
    ) -> Result<usize, Error> {
        for &Inception {
            name,
            one,
            three,
            five,
            pool,
        } in modules
        {
            let weights = weights.child(name);
            let chain = |branch: &str, [between, outputs]: [usize; 2]| -> Result<_, Error> {
                let weights = weights.child(branch);
                let wide = self.square(between, outputs, 3);
                Ok([
                    weights.basic("0", self.square(channels, between, 1))?,
                    weights.basic("1", wide)?,
                ])
            };
            let [three_narrow, three_wide] = chain("branch2", three)?;
            let [five_narrow, five_wide] = chain("branch3", five)?;
            let point = |outputs| self.square(channels, outputs, 1);
            let pooled = max_pool(&format!("{name}.branch4.0"), [3, 1, 1], true);
            let branches: Vec<Series> = vec![
                vec![Box::new(weights.basic("branch1", point(one))?)],
                vec![Box::new(three_narrow), Box::new(three_wide)],
                vec![Box::new(five_narrow), Box::new(five_wide)],
                vec![pooled, Box::new(weights.basic("branch4.1", point(pool))?)],
            ];
            let name = name.to_owned();
            network.step(name.clone(), Box::new(Branches { name, branches }));
            channels = one + three[1] + five[1] + pool;
        }
        Ok(channels)
    }
}

impl ArchitectureConfig for GoogLeNet {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: GoogLeNetConfig = checker.read(config)?;
        if ![1, 2, 4, 8].contains(&config.width_divisor) {
            return Err(checker.error("width_divisor", "must be 1, 2, 4 or 8"));
        }
        checker.check_size("num_classes", config.num_classes)?;
        Ok(Self(config))
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        at_least(LEAST, size)?;
        Ok(Some(self.0.num_classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.classifier(&LayerLoader::new(weights, device))?;
        Ok(network.into_network(Some("<fc")))
    }
}
