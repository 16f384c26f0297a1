//! The hybrid encoder of RT-DETR (Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection",
//! 2023): attention on the smallest feature maps, and convolutions that join neighbouring sizes.

use super::attention::{EncoderLayer, SineOrder, SinePositions};
use super::joined::Joined;
use crate::architectures::convnets::loader::LayerLoader;
use crate::architectures::convnets::steps::{Series, Step};
use crate::error::Error;
use crate::layers::{Activation, Conv2d, ConvGeometry, FeatureMap};

/// How neighbouring feature maps are joined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Joining {
    /// RT-DETR's: convolutions of which one half passes through blocks; the convolutions before
    /// have activations.
    Halves,
    /// D-FINE's: blocks after one another, all of whose results are joined; the convolutions before
    /// have no activations, and a map is made smaller by a depthwise one.
    Chain,
}

/// The sizes of a hybrid encoder.
#[derive(Clone, Debug)]
pub(super) struct HybridConfig {
    /// Channels of each feature map.
    pub(super) width: usize,
    /// The number of feature maps.
    pub(super) maps: usize,
    /// The feature maps that have attention.
    pub(super) attended: Vec<usize>,
    /// Attention layers of each of them.
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) inner: usize,
    /// The activation of the attention layers' MLPs.
    pub(super) mlp_activation: Activation,
    /// The activation of the convolutions.
    pub(super) activation: Activation,
    pub(super) joining: Joining,
    /// Channels inside of the joining layers.
    pub(super) hidden: usize,
    /// Blocks of each joining layer, or of each of its two chains.
    pub(super) blocks: usize,
    pub(super) temperature: f64,
}

/// A built hybrid encoder.
pub(super) struct HybridEncoder {
    positions: SinePositions,
    attention: Vec<(usize, Vec<EncoderLayer>)>,
    /// From the smallest feature map to the largest: the convolutions before, and the joining layer.
    down: Vec<(Series, Joined)>,
    /// And back.
    up: Vec<(Series, Joined)>,
}

impl HybridEncoder {
    pub(super) fn load(weights: &LayerLoader<'_>, config: &HybridConfig) -> Result<Self, Error> {
        let width = config.width;
        let sizes = [width, config.heads, config.inner];
        let (scope, device) = (&weights.scope, weights.device);
        let mut attention = Vec::with_capacity(config.attended.len());
        for (index, &map) in config.attended.iter().enumerate() {
            let layer = |at: usize| {
                let scope = scope.child(&format!("encoder.{index}.layers.{at}"));
                EncoderLayer::load(&scope, sizes, config.mlp_activation, device)
            };
            let layers: Result<_, Error> = (0..config.layers).map(layer).collect();
            attention.push((map, layers?));
        }
        let pairs = config.maps.saturating_sub(1);
        let layers = |at: usize, names: [&str; 2]| {
            let [before, joined] = names.map(|name| weights.child(&format!("{name}.{at}")));
            Ok::<_, Error>((before, Joined::load(&joined, config)?))
        };
        let (mut down, mut up) = (Vec::with_capacity(pairs), Vec::with_capacity(pairs));
        for at in 0..pairs {
            let (lateral, joined) = layers(at, ["lateral_convs", "fpn_blocks"])?;
            let activation = match config.joining {
                Joining::Halves => config.activation,
                Joining::Chain => Activation::Identity,
            };
            let same = ConvGeometry::square(width, width, 1, 1, 0);
            let lateral = normed(&lateral, same, activation)?;
            down.push((vec![Box::new(lateral) as Box<dyn Step>], joined));
            let (before, joined) = layers(at, ["downsample_convs", "pan_blocks"])?;
            let smaller = ConvGeometry::square(width, width, 3, 2, 1);
            let mut steps = Series::new();
            match config.joining {
                Joining::Halves => {
                    steps.push(Box::new(normed(&before, smaller, config.activation)?));
                }
                Joining::Chain => {
                    let none = Activation::Identity;
                    let conv = |name: &str, geometry| normed(&before.child(name), geometry, none);
                    steps.push(Box::new(conv("conv1", same)?));
                    steps.push(Box::new(conv("conv2", smaller.grouped(width))?));
                }
            }
            up.push((steps, joined));
        }
        let order = SineOrder::Halves;
        Ok(Self {
            positions: SinePositions::new(order, width, config.temperature, device),
            attention,
            down,
            up,
        })
    }

    /// Feature maps, the largest first, each twice as large as the next.
    pub(super) fn forward(&self, mut maps: Vec<FeatureMap>) -> Result<Vec<FeatureMap>, Error> {
        for (at, layers) in &self.attention {
            if let Some(map) = maps.get_mut(*at) {
                *map = self.attend(map, layers)?;
            }
        }
        let Some(smallest) = maps.pop() else {
            return Ok(maps);
        };
        // The smallest last, after its lateral convolution; the joined ones are found from it on.
        let (mut joined, mut current) = (Vec::with_capacity(maps.len() + 1), smallest);
        for (lateral, layer) in &self.down {
            let Some(next) = maps.pop() else { break };
            let small = lateral.forward(current)?;
            let large = small.repeated(2)?;
            joined.push(small);
            current = layer.forward(&[large, next])?;
        }
        let mut outputs = vec![current.clone()];
        for (shrink, layer) in &self.up {
            let Some(next) = joined.pop() else { break };
            let small = shrink.forward(current)?;
            current = layer.forward(&[small, next])?;
            outputs.push(current.clone());
        }
        Ok(outputs)
    }

    fn attend(&self, map: &FeatureMap, layers: &[EncoderLayer]) -> Result<FeatureMap, Error> {
        let shape = map.shape()?;
        let size = [shape.height, shape.width];
        let positions = self.positions.of(size)?;
        let mut tokens = map.to_tokens()?;
        for layer in layers {
            tokens = layer.forward(&tokens, &positions)?;
        }
        FeatureMap::from_tokens(&tokens, size, self.positions.device())
    }
}

/// A convolution `conv` without bias, a batch norm `norm` and an activation.
pub(super) fn normed(
    weights: &LayerLoader<'_>,
    geometry: ConvGeometry,
    activation: Activation,
) -> Result<Conv2d, Error> {
    weights.normed(["conv", "norm"], geometry, activation)
}
