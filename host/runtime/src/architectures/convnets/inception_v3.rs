//! Inception v3, as torchvision builds it (`torchvision/models/inception.py`; Szegedy et al.,
//! "Rethinking the Inception Architecture for Computer Vision", 2015).

use modelzoo_kernels::Window;
use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classifier::{Classifier, at_least, imagenet};
use super::loader::LayerLoader;
use super::steps::{Branches, Series, Step, average_pool, max_pool};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, ConvGeometry};
use crate::weights::Scope;

/// The configuration of `inception_v3`.
///
/// | field | | default |
/// |---|---|---|
/// | `transform_input` | whether to convert images from ImageNet's mean and standard deviation to 0.5 and 0.5, as the published weights expect | false |
/// | `width_divisor` | the divisor of all channels: 1, 2, 4, 8 or 16 | 1 |
/// | `num_classes` | outputs of `fc` | 1000 |
///
/// The weights have torchvision's names: `Conv2d_1a_3x3.conv.weight`, `Conv2d_1a_3x3.bn.weight`,
/// `Mixed_5b.branch1x1.conv.weight`, …, `fc.weight`, `fc.bias`. Those of the auxiliary classifier,
/// `AuxLogits.*`, are for training and ignored. torchvision's `inception_v3` with its published
/// weights is `{"transform_input": true}`, and without them `{}`. Images have at least 75x75
/// pixels, and 299x299 for the published weights.
///
/// Layers for embeddings: the inputs and outputs of `Conv2d_1a_3x3`, `Conv2d_2a_3x3`,
/// `Conv2d_2b_3x3`, `maxpool1`, `Conv2d_3b_1x1`, `Conv2d_4a_3x3`, `maxpool2`, `Mixed_5b`, … and
/// `fc`, and the output of `avgpool`. The default is `<fc`: 2048 values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InceptionV3Config {
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

/// The tensors of the auxiliary classifier.
const AUXILIARY: [&str; 12] = [
    "conv0.conv.weight",
    "conv0.bn.weight",
    "conv0.bn.bias",
    "conv0.bn.running_mean",
    "conv0.bn.running_var",
    "conv1.conv.weight",
    "conv1.bn.weight",
    "conv1.bn.bias",
    "conv1.bn.running_mean",
    "conv1.bn.running_var",
    "fc.weight",
    "fc.bias",
];

/// The smallest side of an image that the pools do not reduce to nothing.
const LEAST: usize = 75;

/// A convolution of a module: its name, the channels that it gives, its window.
type Conv = (&'static str, usize, Kernel);

/// The windows that occur.
#[derive(Clone, Copy)]
enum Kernel {
    /// A square that keeps the sides.
    Same(usize),
    /// A row or a column that keeps the sides: height, width.
    Flat(usize, usize),
    /// 3x3 without padding, every place.
    Inner,
    /// 3x3 without padding, every second place.
    Halving,
}

impl Kernel {
    fn window(self) -> Window {
        let (kernel, stride, padding) = match self {
            Self::Same(side) => ([side; 2], 1, [side / 2; 2]),
            Self::Flat(height, width) => ([height, width], 1, [height / 2, width / 2]),
            Self::Inner => ([3; 2], 1, [0; 2]),
            Self::Halving => ([3; 2], 2, [0; 2]),
        };
        Window {
            kernel,
            stride: [stride; 2],
            padding,
            dilation: [1; 2],
        }
    }
}

use Kernel::{Flat, Halving, Inner, Same};

/// A branch of a module.
enum Branch {
    /// Convolutions one after another.
    Chain(Vec<Conv>),
    /// The same, and then two side by side.
    Forked(Vec<Conv>, [Conv; 2]),
    /// An average pool that keeps the sides, and a 1x1 convolution, `branch_pool`.
    Averaged(usize),
    /// A max pool that halves the sides.
    Max,
}

use Branch::{Averaged, Chain, Forked, Max};

/// The modules' branches, by torchvision's names for the kinds of modules.
mod kinds {
    use super::{Averaged, Branch, Chain, Flat, Forked, Halving, Max, Same};

    pub(super) fn a(pooled: usize) -> Vec<Branch> {
        vec![
            Chain(vec![("branch1x1", 64, Same(1))]),
            Chain(vec![
                ("branch5x5_1", 48, Same(1)),
                ("branch5x5_2", 64, Same(5)),
            ]),
            Chain(vec![
                ("branch3x3dbl_1", 64, Same(1)),
                ("branch3x3dbl_2", 96, Same(3)),
                ("branch3x3dbl_3", 96, Same(3)),
            ]),
            Averaged(pooled),
        ]
    }

    pub(super) fn b() -> Vec<Branch> {
        vec![
            Chain(vec![("branch3x3", 384, Halving)]),
            Chain(vec![
                ("branch3x3dbl_1", 64, Same(1)),
                ("branch3x3dbl_2", 96, Same(3)),
                ("branch3x3dbl_3", 96, Halving),
            ]),
            Max,
        ]
    }

    pub(super) fn c(between: usize) -> Vec<Branch> {
        vec![
            Chain(vec![("branch1x1", 192, Same(1))]),
            Chain(vec![
                ("branch7x7_1", between, Same(1)),
                ("branch7x7_2", between, Flat(1, 7)),
                ("branch7x7_3", 192, Flat(7, 1)),
            ]),
            Chain(vec![
                ("branch7x7dbl_1", between, Same(1)),
                ("branch7x7dbl_2", between, Flat(7, 1)),
                ("branch7x7dbl_3", between, Flat(1, 7)),
                ("branch7x7dbl_4", between, Flat(7, 1)),
                ("branch7x7dbl_5", 192, Flat(1, 7)),
            ]),
            Averaged(192),
        ]
    }

    pub(super) fn d() -> Vec<Branch> {
        vec![
            Chain(vec![
                ("branch3x3_1", 192, Same(1)),
                ("branch3x3_2", 320, Halving),
            ]),
            Chain(vec![
                ("branch7x7x3_1", 192, Same(1)),
                ("branch7x7x3_2", 192, Flat(1, 7)),
                ("branch7x7x3_3", 192, Flat(7, 1)),
                ("branch7x7x3_4", 192, Halving),
            ]),
            Max,
        ]
    }

    pub(super) fn e() -> Vec<Branch> {
        vec![
            Chain(vec![("branch1x1", 320, Same(1))]),
            Forked(
                vec![("branch3x3_1", 384, Same(1))],
                [
                    ("branch3x3_2a", 384, Flat(1, 3)),
                    ("branch3x3_2b", 384, Flat(3, 1)),
                ],
            ),
            Forked(
                vec![
                    ("branch3x3dbl_1", 448, Same(1)),
                    ("branch3x3dbl_2", 384, Same(3)),
                ],
                [
                    ("branch3x3dbl_3a", 384, Flat(1, 3)),
                    ("branch3x3dbl_3b", 384, Flat(3, 1)),
                ],
            ),
            Averaged(192),
        ]
    }
}

/// A checked configuration.
pub(crate) struct InceptionV3(InceptionV3Config);

impl InceptionV3 {
    fn classifier(&self, weights: &LayerLoader<'_>) -> Result<Classifier, Error> {
        let mut network = Classifier::default();
        if self.0.transform_input {
            network.rescale(weights.rescale()?);
        }
        let builder = Builder {
            weights: LayerLoader {
                eps: 0.001,
                ..weights.clone()
            },
            divisor: self.0.width_divisor,
        };
        let channels = builder.stem(&mut network)?;
        let channels = builder.modules(&mut network, channels)?;
        weights.ignore("AuxLogits", &AUXILIARY);
        network.average("avgpool", [1; 2]);
        let sizes = [channels, self.0.num_classes];
        network.linear(
            ["fc"; 2],
            weights.linear("fc", sizes, Activation::Identity)?,
        );
        Ok(network)
    }
}

/// What builds the steps. Channels are those after the division, but for a [`Conv`]'s.
struct Builder<'a> {
    weights: LayerLoader<'a>,
    divisor: usize,
}

impl<'a> Builder<'a> {
    /// Adds the layers before the first module; returns their channels.
    fn stem(&self, network: &mut Classifier) -> Result<usize, Error> {
        let before = [
            ("Conv2d_1a_3x3", 32, Halving),
            ("Conv2d_2a_3x3", 32, Inner),
            ("Conv2d_2b_3x3", 64, Same(3)),
        ];
        let after = [
            ("Conv2d_3b_1x1", 80, Same(1)),
            ("Conv2d_4a_3x3", 192, Inner),
        ];
        let mut channels = 3;
        let stages = [("maxpool1", &before[..]), ("maxpool2", &after[..])];
        for (pool, convolutions) in stages {
            for conv in convolutions {
                let mut layers = Series::new();
                self.push(&mut layers, &self.weights, &mut channels, conv)?;
                network.step(conv.0, Box::new(layers));
            }
            network.step(pool, max_pool(pool, [3, 2, 0], false));
        }
        Ok(channels)
    }

    /// Adds the modules; returns the last one's channels.
    fn modules(&self, network: &mut Classifier, mut channels: usize) -> Result<usize, Error> {
        let modules = [
            ("Mixed_5b", kinds::a(32)),
            ("Mixed_5c", kinds::a(64)),
            ("Mixed_5d", kinds::a(64)),
            ("Mixed_6a", kinds::b()),
            ("Mixed_6b", kinds::c(128)),
            ("Mixed_6c", kinds::c(160)),
            ("Mixed_6d", kinds::c(160)),
            ("Mixed_6e", kinds::c(192)),
            ("Mixed_7a", kinds::d()),
            ("Mixed_7b", kinds::e()),
            ("Mixed_7c", kinds::e()),
        ];
        for (name, branches) in modules {
            let weights = self.weights.child(name);
            let (mut built, mut outputs) = (Vec::new(), 0);
            for branch in branches {
                let mut layers = Series::new();
                outputs += self.branch(&mut layers, &weights, channels, branch)?;
                built.push(layers);
            }
            let branches = Branches {
                name: name.to_owned(),
                branches: built,
            };
            network.step(name, Box::new(branches));
            channels = outputs;
        }
        Ok(channels)
    }

    /// Adds the layers of a branch; returns its channels.
    fn branch(
        &self,
        layers: &mut Series,
        weights: &LayerLoader<'a>,
        mut channels: usize,
        branch: Branch,
    ) -> Result<usize, Error> {
        let scope = weights.scope.name();
        match branch {
            Chain(convolutions) => {
                for conv in &convolutions {
                    self.push(layers, weights, &mut channels, conv)?;
                }
            }
            Forked(convolutions, fork) => {
                for conv in &convolutions {
                    self.push(layers, weights, &mut channels, conv)?;
                }
                let (mut sides, mut outputs) = (Vec::new(), 0);
                for conv in &fork {
                    let (mut side, mut channels) = (Series::new(), channels);
                    self.push(&mut side, weights, &mut channels, conv)?;
                    sides.push(side);
                    outputs += channels;
                }
                layers.push(Box::new(Branches {
                    name: scope.to_owned(),
                    branches: sides,
                }));
                channels = outputs;
            }
            Averaged(outputs) => {
                layers.push(average_pool(&format!("{scope}.avg_pool2d"), [3, 1, 1]));
                let conv = ("branch_pool", outputs, Same(1));
                self.push(layers, weights, &mut channels, &conv)?;
            }
            Max => layers.push(max_pool(&format!("{scope}.max_pool2d"), [3, 2, 0], false)),
        }
        Ok(channels)
    }

    /// Adds a convolution of `channels` channels, which become those that it gives.
    fn push(
        &self,
        layers: &mut Series,
        weights: &LayerLoader<'a>,
        channels: &mut usize,
        &(name, outputs, kernel): &Conv,
    ) -> Result<(), Error> {
        let geometry = ConvGeometry {
            in_channels: *channels,
            out_channels: outputs / self.divisor,
            window: kernel.window(),
            groups: 1,
        };
        *channels = geometry.out_channels;
        let layer: Box<dyn Step> = Box::new(weights.basic(name, geometry)?);
        layers.push(layer);
        Ok(())
    }
}

impl ArchitectureConfig for InceptionV3 {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: InceptionV3Config = checker.read(config)?;
        if ![1, 2, 4, 8, 16].contains(&config.width_divisor) {
            return Err(checker.error("width_divisor", "must be 1, 2, 4, 8 or 16"));
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
