//! SqueezeNet, as torchvision builds it (`torchvision/models/squeezenet.py`; Iandola et al.,
//! "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016).

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
use crate::layers::ConvGeometry;
use crate::weights::Scope;

/// The configuration of `squeezenet`.
///
/// | field | | default |
/// |---|---|---|
/// | `version` | `"1_0"` or `"1_1"` | `"1_0"` |
/// | `num_classes` | channels of `classifier.1` | 1000 |
///
/// The weights have torchvision's names: `features.0.weight`, `features.3.squeeze.weight`,
/// `features.3.expand1x1.weight`, `features.3.expand3x3.weight`, …, `classifier.1.weight`, and
/// the biases.
///
/// | torchvision | configuration |
/// |---|---|
/// | `squeezenet1_0` | `{"version": "1_0"}` |
/// | `squeezenet1_1` | `{"version": "1_1"}` |
///
/// Layers for embeddings: the outputs of `features.1`, of each pool and Fire module
/// (`features.2`, `features.3`, …), `features`, `classifier.2` and `classifier.3`, and the inputs
/// of the convolutions, pools and Fire modules. The default is the network's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqueezeNetConfig {
    /// Which of the two.
    #[serde(default)]
    pub version: SqueezeNetVersion,
    /// Outputs.
    #[serde(default = "imagenet")]
    pub num_classes: usize,
}

/// The two versions of SqueezeNet.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum SqueezeNetVersion {
    /// As in the paper.
    #[default]
    #[serde(rename = "1_0")]
    V1_0,
    /// With a smaller first convolution and earlier pools, and less than half of the work.
    #[serde(rename = "1_1")]
    V1_1,
}

/// The channels of a Fire module: its input's, between, and of each of its two outputs.
type Fire = [usize; 3];

const FIRES: [Fire; 7] = [
    [128, 16, 64],
    [128, 32, 128],
    [256, 32, 128],
    [256, 48, 192],
    [384, 48, 192],
    [384, 64, 256],
    [512, 64, 256],
];

impl SqueezeNetVersion {
    /// The first convolution, and the positions of the pools.
    fn layout(self) -> (ConvGeometry, [usize; 3]) {
        match self {
            Self::V1_0 => (ConvGeometry::square(3, 96, 7, 2, 0), [2, 6, 11]),
            Self::V1_1 => (ConvGeometry::square(3, 64, 3, 2, 0), [2, 5, 8]),
        }
    }

    /// The smallest side of an image that the pools do not reduce to nothing.
    const fn least(self) -> usize {
        match self {
            Self::V1_0 => 21,
            Self::V1_1 => 17,
        }
    }
}

/// A checked configuration.
pub(crate) struct SqueezeNet(SqueezeNetConfig);

impl SqueezeNet {
    fn classifier(&self, weights: &LayerLoader<'_>) -> Result<Classifier, Error> {
        let mut network = Classifier::default();
        let features = weights.child("features");
        let (first, pools) = self.0.version.layout();
        let conv = features.conv("0", first)?;
        network.fused(
            ["features.0", "features.1"].map(str::to_owned),
            Box::new(conv),
        );
        let stem = [first.out_channels, 16, 64];
        let mut fires = [stem].into_iter().chain(FIRES);
        for index in 2..2 + pools.len() + 1 + FIRES.len() {
            let name = format!("features.{index}");
            if pools.contains(&index) {
                network.step(name.clone(), max_pool(&name, [3, 2, 0], true));
            } else if let Some(fire) = fires.next() {
                let weights = features.child(&index.to_string());
                network.step(name, Box::new(self::fire(&weights, fire)?));
            }
        }
        network.name_features("features");
        let last = ConvGeometry::square(512, self.0.num_classes, 1, 1, 0);
        let last = weights.conv("classifier.1", last)?;
        network.fused(
            ["classifier.1", "classifier.2"].map(str::to_owned),
            Box::new(last),
        );
        network.average("classifier.3", [1; 2]);
        Ok(network)
    }
}

/// A 1x1 convolution to few channels, and from them a 1x1 and a 3x3 one.
fn fire(weights: &LayerLoader<'_>, [inputs, between, outputs]: Fire) -> Result<Series, Error> {
    let square = ConvGeometry::square;
    let squeeze = weights.conv("squeeze", square(inputs, between, 1, 1, 0))?;
    let small = weights.conv("expand1x1", square(between, outputs, 1, 1, 0))?;
    let large = weights.conv("expand3x3", square(between, outputs, 3, 1, 1))?;
    let expand = Branches {
        name: weights.scope.name().to_owned(),
        branches: vec![vec![Box::new(small)], vec![Box::new(large)]],
    };
    Ok(vec![Box::new(squeeze), Box::new(expand)])
}

impl ArchitectureConfig for SqueezeNet {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: SqueezeNetConfig = checker.read(config)?;
        checker.check_size("num_classes", config.num_classes)?;
        Ok(Self(config))
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        at_least(self.0.version.least(), size)?;
        Ok(Some(self.0.num_classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.classifier(&LayerLoader::new(weights, device))?;
        Ok(network.into_network(None))
    }
}
