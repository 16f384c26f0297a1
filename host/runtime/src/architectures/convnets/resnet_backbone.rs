//! ResNets without their classifiers, as the backbones of other networks and of classifiers.

use super::loader::LayerLoader;
use super::resnet::Block;
use super::steps::{ResidualBlock, Series, Shortcut, Step, max_pool};
use crate::error::Error;
use crate::layers::{Activation, Conv2d, ConvGeometry, FeatureMap};

/// Channels of the four stages, before the expansion.
pub(super) const PLANES: [usize; 4] = [64, 128, 256, 512];

/// The kind and the numbers of the blocks of the published depths.
pub(super) fn of_depth(depth: u32) -> Option<(Block, [usize; 4])> {
    Some(match depth {
        18 => (Block::Basic, [2, 2, 2, 2]),
        34 => (Block::Basic, [3, 4, 6, 3]),
        50 => (Block::Bottleneck, [3, 4, 6, 3]),
        101 => (Block::Bottleneck, [3, 4, 23, 3]),
        152 => (Block::Bottleneck, [3, 8, 36, 3]),
        _ => return None,
    })
}

/// The layers of a ResNet before its classifier, with the names of torchvision: `conv1`, `bn1`,
/// `layer1.0.conv1`, ….
#[derive(Clone, Debug)]
pub(in crate::architectures) struct ResNetLayers {
    pub(super) block: Block,
    pub(super) blocks: [usize; 4],
    pub(super) in_channels: usize,
    pub(super) groups: usize,
    pub(super) width_per_group: usize,
    /// The stages that have a dilation instead of a stride.
    pub(super) dilated: [bool; 4],
}

impl ResNetLayers {
    /// With one group and no dilation.
    pub(super) fn new(block: Block, blocks: [usize; 4]) -> Self {
        Self {
            block,
            blocks,
            in_channels: 3,
            groups: 1,
            width_per_group: 64,
            dilated: [false; 4],
        }
    }

    /// Of a published depth: 18, 34, 50, 101 or 152.
    pub(in crate::architectures) fn of_depth(depth: u32) -> Option<Self> {
        let (block, blocks) = of_depth(depth)?;
        Some(Self::new(block, blocks))
    }

    /// With dilations instead of strides in these stages.
    pub(in crate::architectures) fn dilated(self, dilated: [bool; 4]) -> Self {
        Self { dilated, ..self }
    }

    /// Channels of the outputs of the stages.
    pub(in crate::architectures) fn channels(&self) -> [usize; 4] {
        PLANES.map(|planes| planes * self.expansion())
    }

    /// Channels of a bottleneck's 3x3 convolution.
    pub(super) fn inner_width(&self, planes: usize) -> usize {
        (planes * self.width_per_group / 64).saturating_mul(self.groups)
    }

    /// The output channels of a block, as a multiple of its planes.
    fn expansion(&self) -> usize {
        match self.block {
            Block::Basic => 1,
            Block::Bottleneck => 4,
        }
    }

    /// Reads the layers.
    pub(in crate::architectures) fn load(
        &self,
        weights: &LayerLoader<'_>,
    ) -> Result<ResNetBackbone, Error> {
        let [first, ..] = PLANES;
        let stem = ConvGeometry::square(self.in_channels, first, 7, 2, 3);
        let stem = weights.normed(["conv1", "bn1"], stem, Activation::Relu)?;
        let mut stages = Vec::with_capacity(PLANES.len());
        let (mut channels, mut dilation) = (first, 1);
        let sizes = self.blocks.iter().zip(PLANES).zip(self.dilated);
        for (stage, ((&count, planes), dilated)) in sizes.enumerate() {
            let weights = weights.child(&format!("layer{}", stage + 1));
            let (mut stride, mut current) = (if stage > 0 { 2 } else { 1 }, dilation);
            if dilated {
                // The first block still has the dilation of the stage before.
                dilation *= stride;
                stride = 1;
            }
            let mut blocks = Series::new();
            for index in 0..count {
                let weights = weights.child(&index.to_string());
                let block = self.block(&weights, channels, planes, [stride, current])?;
                blocks.push(Box::new(block));
                channels = planes * self.expansion();
                (stride, current) = (1, dilation);
            }
            stages.push(blocks);
        }
        Ok(ResNetBackbone {
            stem,
            pool: max_pool("maxpool", [3, 2, 1], false),
            stages,
        })
    }

    fn block(
        &self,
        weights: &LayerLoader<'_>,
        channels: usize,
        planes: usize,
        [stride, dilation]: [usize; 2],
    ) -> Result<ResidualBlock, Error> {
        let outputs = planes * self.expansion();
        let square = ConvGeometry::square;
        let geometries = match self.block {
            Block::Basic => vec![
                square(channels, planes, 3, stride, 1).dilated(dilation),
                square(planes, outputs, 3, 1, 1).dilated(dilation),
            ],
            Block::Bottleneck => {
                let width = self.inner_width(planes);
                vec![
                    square(channels, width, 1, 1, 0),
                    square(width, width, 3, stride, 1)
                        .dilated(dilation)
                        .grouped(self.groups),
                    square(width, outputs, 1, 1, 0),
                ]
            }
        };
        let mut convolutions = Vec::new();
        for (index, geometry) in geometries.into_iter().enumerate() {
            let (conv, norm) = (format!("conv{}", index + 1), format!("bn{}", index + 1));
            convolutions.push(weights.normed([&conv, &norm], geometry, Activation::Relu)?);
        }
        let shortcut = if stride != 1 || channels != outputs {
            let geometry = square(channels, outputs, 1, stride, 0);
            let downsample = weights.child("downsample");
            let projection = downsample.normed(["0", "1"], geometry, Activation::Identity)?;
            Shortcut::Projection(Box::new(projection))
        } else {
            Shortcut::Identity
        };
        Ok(ResidualBlock {
            convolutions,
            shortcut,
        })
    }
}

/// A built ResNet without its classifier.
pub(in crate::architectures) struct ResNetBackbone {
    pub(super) stem: Conv2d,
    pub(super) pool: Box<dyn Step>,
    pub(super) stages: Vec<Series>,
}

impl ResNetBackbone {
    /// The outputs of the four stages.
    pub(in crate::architectures) fn forward(
        &self,
        x: &FeatureMap,
    ) -> Result<Vec<FeatureMap>, Error> {
        let mut x = self.pool.forward(self.stem.forward(x, None)?)?;
        let mut outputs = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            x = stage.forward(x)?;
            outputs.push(x.clone());
        }
        Ok(outputs)
    }
}
