//! The layers that join two neighbouring feature maps of a hybrid encoder.

use candle_core::Tensor;

use super::hybrid_encoder::{HybridConfig, Joining, normed};
use crate::architectures::convnets::loader::LayerLoader;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, ConvGeometry, FeatureMap, concat};

/// A layer that joins two feature maps.
pub(super) enum Joined {
    Halves(Box<Halves>),
    Chain(Box<Chain>),
}

impl Joined {
    pub(super) fn load(weights: &LayerLoader<'_>, config: &HybridConfig) -> Result<Self, Error> {
        let (width, hidden) = (config.width, config.hidden);
        Ok(match config.joining {
            Joining::Halves => {
                let sizes = [2 * width, hidden, width];
                let layer = Halves::load(weights, sizes, config.blocks, config.activation)?;
                Self::Halves(Box::new(layer))
            }
            Joining::Chain => Self::Chain(Box::new(Chain::load(weights, config)?)),
        })
    }

    pub(super) fn forward(&self, maps: &[FeatureMap]) -> Result<FeatureMap, Error> {
        let x = concat("hybrid encoder", maps)?;
        match self {
            Self::Halves(layer) => layer.forward(&x),
            Self::Chain(layer) => layer.forward(&x),
        }
    }
}

/// Convolutions of which one half passes through blocks (cross stage partial, of RepVGG's blocks).
pub(super) struct Halves {
    first: Conv2d,
    second: Conv2d,
    blocks: Vec<Conv2d>,
    last: Option<Conv2d>,
}

impl Halves {
    /// `[inputs, hidden, outputs]` channels.
    fn load(
        weights: &LayerLoader<'_>,
        [inputs, hidden, outputs]: [usize; 3],
        blocks: usize,
        activation: Activation,
    ) -> Result<Self, Error> {
        let conv = |name: &str, [from, to]: [usize; 2]| {
            let geometry = ConvGeometry::square(from, to, 1, 1, 0);
            normed(&weights.child(name), geometry, activation)
        };
        let block = |at: usize| {
            let block = weights.child(&format!("bottlenecks.{at}"));
            let folded = |name: &str, kernel: usize| -> Result<[Tensor; 2], Error> {
                let (part, sizes) = (block.child(name), [hidden, hidden, kernel, kernel]);
                let norm = part.norm("norm", hidden)?;
                norm.folded(&part.scope.get("conv.weight", &sizes)?)
            };
            // Both as one convolution.
            let ([large, bias], [small, more]) = (folded("conv1", 3)?, folded("conv2", 1)?);
            let small = small.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
            let (weight, bias) = ((large + small)?, (bias + more)?);
            let geometry = ConvGeometry::square(hidden, hidden, 3, 1, 1);
            let (name, device) = (block.scope.name(), weights.device);
            Conv2d::new(
                name,
                geometry,
                &weight,
                Some(&bias),
                None,
                activation,
                device,
            )
        };
        Ok(Self {
            first: conv("conv1", [inputs, hidden])?,
            second: conv("conv2", [inputs, hidden])?,
            blocks: (0..blocks).map(block).collect::<Result<_, Error>>()?,
            last: (hidden != outputs)
                .then(|| conv("conv3", [hidden, outputs]))
                .transpose()?,
        })
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let mut first = self.first.forward(x, None)?;
        for block in &self.blocks {
            first = block.forward(&first, None)?;
        }
        let sum = first.plus(&self.second.forward(x, None)?)?;
        match &self.last {
            Some(last) => last.forward(&sum, None),
            None => Ok(sum),
        }
    }
}

/// Blocks after one another, all of whose results are joined (generalized ELAN, of YOLOv9).
pub(super) struct Chain {
    first: Conv2d,
    links: [(Halves, Conv2d); 2],
    last: Conv2d,
    width: usize,
}

impl Chain {
    fn load(weights: &LayerLoader<'_>, config: &HybridConfig) -> Result<Self, Error> {
        let (width, hidden, activation) = (config.width, config.hidden, config.activation);
        let conv = |name: &str, [from, to, kernel]: [usize; 3]| {
            let geometry = ConvGeometry::square(from, to, kernel, 1, kernel / 2);
            normed(&weights.child(name), geometry, activation)
        };
        let halves = |name: &str, inputs| {
            let sizes = [inputs, hidden, hidden];
            Halves::load(&weights.child(name), sizes, config.blocks, activation)
        };
        let both = 2 * width;
        Ok(Self {
            first: conv("conv1", [both, both, 1])?,
            links: [
                (
                    halves("csp_rep1", width)?,
                    conv("conv2", [hidden, hidden, 3])?,
                ),
                (
                    halves("csp_rep2", hidden)?,
                    conv("conv3", [hidden, hidden, 3])?,
                ),
            ],
            last: conv("conv4", [both + 2 * hidden, width, 1])?,
            width,
        })
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let x = self.first.forward(x, None)?;
        let mut current = x.channels(self.width, self.width)?;
        let mut parts = vec![x];
        for (halves, convolution) in &self.links {
            current = convolution.forward(&halves.forward(&current)?, None)?;
            parts.push(current.clone());
        }
        self.last.forward(&concat("hybrid encoder", &parts)?, None)
    }
}
