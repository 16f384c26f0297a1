//! AlexNet, as torchvision builds it (`torchvision/models/alexnet.py`; Krizhevsky, "One weird
//! trick for parallelizing convolutional neural networks", 2014).

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

/// The configuration of `alexnet`.
///
/// | field | | default |
/// |---|---|---|
/// | `hidden` | features of the two hidden linear layers | 4096 |
/// | `num_classes` | outputs of `classifier.6` | 1000 |
///
/// The weights have torchvision's names: `features.0.weight`, `features.0.bias`, …,
/// `classifier.1.weight`, `classifier.4.weight`, `classifier.6.weight`, …; `alexnet` is `{}`.
///
/// Layers for embeddings: the outputs of each `features.N` that is a ReLU or a pool, `features`,
/// `avgpool`, `classifier.2`, `classifier.5`, `classifier.6`, and the inputs of the convolutions,
/// the pools and the linear layers. The default is `<classifier.6`: 4096 values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlexNetConfig {
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
const PLACES: usize = 6;

/// The smallest side of an image that the pools do not reduce to nothing.
const LEAST: usize = 63;

/// A checked configuration.
pub(crate) struct AlexNet(AlexNetConfig);

impl AlexNet {
    fn classifier(&self, weights: &LayerLoader<'_>) -> Result<Classifier, Error> {
        let mut network = Classifier::default();
        let features = weights.child("features");
        let square = ConvGeometry::square;
        // Each with its position, and whether a pool follows its ReLU.
        let convolutions = [
            (0, square(3, 64, 11, 4, 2), true),
            (3, square(64, 192, 5, 1, 2), true),
            (6, square(192, 384, 3, 1, 1), false),
            (8, square(384, 256, 3, 1, 1), false),
            (10, square(256, 256, 3, 1, 1), true),
        ];
        for (index, geometry, pooled) in convolutions {
            let name = |index: usize| format!("features.{index}");
            let conv = features.conv(&index.to_string(), geometry)?;
            network.fused([name(index), name(index + 1)], Box::new(conv));
            if pooled {
                let name = name(index + 2);
                network.step(name.clone(), max_pool(&name, [3, 2, 0], false));
            }
        }
        network.name_features("features");
        network.average("avgpool", [PLACES; 2]);
        let AlexNetConfig {
            hidden,
            num_classes,
        } = self.0;
        let (relu, none) = (Activation::Relu, Activation::Identity);
        let linears = [
            (
                ["classifier.1", "classifier.2"],
                [256 * PLACES * PLACES, hidden],
                relu,
            ),
            (["classifier.4", "classifier.5"], [hidden, hidden], relu),
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

impl ArchitectureConfig for AlexNet {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: AlexNetConfig = checker.read(config)?;
        checker.check_size("hidden", config.hidden)?;
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
        Ok(network.into_network(Some("<classifier.6")))
    }
}
