//! ResNet, as torchvision builds it (`torchvision/models/resnet.py`; He et al., "Deep Residual
//! Learning for Image Recognition", 2015, with the stride on the 3x3 convolution).

use candle_core::Tensor;
use modelzoo_kernels::{PoolKind, Window};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::encoder::{MAX_BLOCKS, MAX_SIZE};
use super::{Blueprint, ImageTower, Network, read};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, BatchNorm, Conv2d, ConvGeometry, FeatureMap, Linear, Pool, PoolWindow,
    global_average,
};
use crate::plan::Size;
use crate::trace::Trace;
use crate::weights::Scope;

pub(super) const NAME: &str = "resnet";

/// Channels of the four stages, before the expansion.
const PLANES: [usize; 4] = [64, 128, 256, 512];

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
/// | `width_per_group` | channels a group in the first stage; bottleneck only | 64 |
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
    #[serde(default = "num_classes")]
    pub num_classes: usize,
    /// Channels of the input.
    #[serde(default = "in_channels")]
    pub in_channels: usize,
    /// Groups of the 3x3 convolutions.
    #[serde(default = "groups")]
    pub groups: usize,
    /// Channels a group in the first stage.
    #[serde(default = "width_per_group")]
    pub width_per_group: usize,
}

const fn num_classes() -> usize {
    1000
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
pub(crate) struct Sizes {
    block: Block,
    layers: [usize; 4],
    config: ResNetConfig,
}

impl Sizes {
    pub(super) fn parse(config: &Value) -> Result<Self, Error> {
        let config: ResNetConfig = read(NAME, String::new(), config)?;
        let (block, layers) = match (config.depth, config.block, config.layers) {
            (Some(18), None, None) => (Block::Basic, [2, 2, 2, 2]),
            (Some(34), None, None) => (Block::Basic, [3, 4, 6, 3]),
            (Some(50), None, None) => (Block::Bottleneck, [3, 4, 6, 3]),
            (Some(101), None, None) => (Block::Bottleneck, [3, 4, 23, 3]),
            (Some(152), None, None) => (Block::Bottleneck, [3, 8, 36, 3]),
            (Some(_), None, None) => return Err(bad("depth", "must be 18, 34, 50, 101 or 152")),
            (None, Some(block), Some(layers)) => (block, layers),
            (None, ..) => {
                return Err(bad(
                    "depth",
                    "must be given, or else both `block` and `layers`",
                ));
            }
            (Some(_), ..) => {
                return Err(bad(
                    "depth",
                    "says all that `block` and `layers` say: give one or the other",
                ));
            }
        };
        if layers
            .iter()
            .any(|blocks| !(1..=MAX_BLOCKS).contains(blocks))
        {
            return Err(bad("layers", format!("each must be 1 to {MAX_BLOCKS}")));
        }
        let sizes = [
            ("num_classes", config.num_classes),
            ("in_channels", config.in_channels),
            ("groups", config.groups),
            ("width_per_group", config.width_per_group),
        ];
        for (field, size) in sizes {
            if !(1..=MAX_SIZE).contains(&size) {
                return Err(bad(field, format!("must be 1 to {MAX_SIZE}")));
            }
        }
        if block == Block::Basic
            && (config.groups, config.width_per_group) != (groups(), width_per_group())
        {
            return Err(bad(
                "groups",
                "only bottleneck blocks have groups and another width",
            ));
        }
        let sizes = Self {
            block,
            layers,
            config,
        };
        // The widths of the stages are multiples of the first one's.
        for planes in [PLANES[0], PLANES[3]] {
            let width = sizes.inner_width(planes);
            if !(1..=MAX_SIZE).contains(&width) {
                let reason = format!("gives {width} channels, and 1 to {MAX_SIZE} are possible");
                return Err(bad("width_per_group", reason));
            }
        }
        Ok(sizes)
    }

    /// Channels between a bottleneck's outer convolutions.
    fn inner_width(&self, planes: usize) -> usize {
        (planes * self.config.width_per_group / 64).saturating_mul(self.config.groups)
    }

    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<ResNet, Error> {
        let stem = ConvGeometry::square(self.config.in_channels, 64, 7, 2, 3);
        let stem = normed(weights, "conv1", "bn1", stem, Activation::Relu, device)?;
        let mut channels = 64;
        let mut built = Vec::new();
        let stages = self.layers.iter().zip(PLANES).enumerate();
        for (stage, (&count, planes)) in stages {
            let stage_weights = weights.child(&format!("layer{}", stage + 1));
            let mut blocks = Vec::new();
            for index in 0..count {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let weights = stage_weights.child(&index.to_string());
                blocks.push(self.build_block(&weights, channels, planes, stride, device)?);
                channels = planes * self.expansion();
            }
            built.push(blocks);
        }
        let fc = [channels, self.config.num_classes];
        let fc = Linear::load(
            &weights.child("fc"),
            fc,
            true,
            None,
            Activation::Identity,
            device,
        )?;
        let window = Window {
            kernel: [3; 2],
            stride: [2; 2],
            padding: [1; 2],
            dilation: [1; 2],
        };
        let pool = Pool {
            name: "maxpool".to_owned(),
            window: PoolWindow {
                window,
                ceil: false,
            },
            kind: PoolKind::Max,
        };
        Ok(ResNet {
            stem,
            pool,
            stages: built,
            fc,
        })
    }

    /// How many times more channels a block has than its planes.
    fn expansion(&self) -> usize {
        match self.block {
            Block::Basic => 1,
            Block::Bottleneck => 4,
        }
    }

    fn build_block(
        &self,
        weights: &Scope<'_>,
        channels: usize,
        planes: usize,
        stride: usize,
        device: &Device,
    ) -> Result<Residual, Error> {
        let outputs = planes * self.expansion();
        let square = ConvGeometry::square;
        let geometries = match self.block {
            Block::Basic => vec![
                square(channels, planes, 3, stride, 1),
                square(planes, outputs, 3, 1, 1),
            ],
            Block::Bottleneck => {
                let width = self.inner_width(planes);
                vec![
                    square(channels, width, 1, 1, 0),
                    square(width, width, 3, stride, 1).grouped(self.config.groups),
                    square(width, outputs, 1, 1, 0),
                ]
            }
        };
        let mut convolutions = Vec::new();
        for (index, geometry) in geometries.into_iter().enumerate() {
            // The last one's activation comes after the residual, which it adds.
            let (conv, norm) = (format!("conv{}", index + 1), format!("bn{}", index + 1));
            convolutions.push(normed(
                weights,
                &conv,
                &norm,
                geometry,
                Activation::Relu,
                device,
            )?);
        }
        let downsample = if stride != 1 || channels != outputs {
            let geometry = square(channels, outputs, 1, stride, 0);
            Some(normed(
                &weights.child("downsample"),
                "0",
                "1",
                geometry,
                Activation::Identity,
                device,
            )?)
        } else {
            None
        };
        Ok(Residual {
            convolutions,
            downsample,
        })
    }
}

impl Blueprint for Sizes {
    fn in_channels(&self) -> Option<usize> {
        Some(self.config.in_channels)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(Some(self.config.num_classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let stages = (1..=self.layers.len()).map(|stage| format!("layer{stage}"));
        let layers = ["relu", "maxpool"].map(str::to_owned).into_iter();
        let layers = layers
            .chain(stages)
            .chain(["avgpool", "fc"].map(str::to_owned))
            .collect();
        Ok(Network {
            // The convolution, its norm and the ReLU are computed as one.
            hidden: vec!["<relu".to_owned()],
            ..Network::of_images(network, layers, Some("<fc".to_owned()))
        })
    }
}

fn bad(field: &str, reason: impl Into<String>) -> Error {
    Error::BadConfig {
        architecture: NAME,
        field: field.to_owned(),
        reason: reason.into(),
    }
}

/// A convolution without bias and the batch norm that follows it, as one layer.
fn normed(
    weights: &Scope<'_>,
    conv: &str,
    norm: &str,
    geometry: ConvGeometry,
    activation: Activation,
    device: &Device,
) -> Result<Conv2d, Error> {
    let norm = BatchNorm::load(
        &weights.child(norm),
        geometry.out_channels,
        BatchNorm::EPS,
        true,
    )?;
    Conv2d::load(
        &weights.child(conv),
        geometry,
        false,
        Some(&norm),
        activation,
        device,
    )
}

/// A built ResNet.
pub(crate) struct ResNet {
    stem: Conv2d,
    pool: Pool,
    stages: Vec<Vec<Residual>>,
    fc: Linear,
}

/// Convolutions, of which the last adds the block's input, or what `downsample` makes of it.
struct Residual {
    convolutions: Vec<Conv2d>,
    downsample: Option<Conv2d>,
}

impl ImageTower for ResNet {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let x = self.stem.forward(&x, None)?;
        trace.output("relu", &x)?;
        trace.input("maxpool", &x)?;
        let mut x = self.pool.forward(&x)?;
        trace.output("maxpool", &x)?;
        for (stage, blocks) in self.stages.iter().enumerate() {
            let name = format!("layer{}", stage + 1);
            trace.input(&name, &x)?;
            for block in blocks {
                x = block.forward(x)?;
            }
            trace.output(&name, &x)?;
        }
        trace.input("avgpool", &x)?;
        let x = global_average(&x)?;
        trace.output("avgpool", &x)?;
        let x = x.flatten()?;
        trace.input("fc", &x)?;
        let x = self.fc.forward(&x)?;
        trace.output("fc", &x)?;
        Ok(x)
    }
}

impl Residual {
    fn forward(&self, x: FeatureMap) -> Result<FeatureMap, Error> {
        let Some((last, before)) = self.convolutions.split_last() else {
            return Ok(x);
        };
        let mut inner = x.clone();
        for convolution in before {
            inner = convolution.forward(&inner, None)?;
        }
        let residual = match &self.downsample {
            Some(downsample) => downsample.forward(&x, None)?,
            None => x,
        };
        last.forward(&inner, Some(&residual))
    }
}
