//! Feature pyramids (Lin et al., "Feature Pyramid Networks for Object Detection", 2017) over a ResNet,
//! as torchvision builds them.

use modelzoo_kernels::PoolKind;

use crate::architectures::convnets::loader::LayerLoader;
use crate::architectures::convnets::{ResNetBackbone, ResNetLayers};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, ConvGeometry, FeatureMap, Pool, Sampling};
use crate::weights::Scope;

/// Channels of each feature map.
pub(super) const CHANNELS: usize = 256;

/// The part of the weights that has a layer, under its name of today or of older checkpoints.
pub(super) fn either<'a>(scope: &Scope<'a>, today: &str, before: &str) -> Scope<'a> {
    let new = scope.child(today);
    if new.has("weight") || !scope.child(before).has("weight") {
        new
    } else {
        scope.child(before)
    }
}

/// A convolution `[inputs, outputs, kernel, stride]` with a bias.
pub(super) fn conv(
    scope: &Scope<'_>,
    [inputs, outputs, kernel, stride]: [usize; 4],
    activation: Activation,
    device: &Device,
) -> Result<Conv2d, Error> {
    let geometry = ConvGeometry::square(inputs, outputs, kernel, stride, kernel / 2);
    Conv2d::load(scope, geometry, true, None, activation, device)
}

/// The feature maps beyond the last stage of the backbone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extra {
    /// One: every second pixel of the smallest.
    Pool,
    /// Two, by convolutions.
    Convolutions,
}

enum Beyond {
    Pool(Pool),
    Convolutions(Box<[Conv2d; 2]>),
}

/// A ResNet and its feature pyramid.
pub(super) struct Pyramid {
    body: ResNetBackbone,
    /// The first stage that is used, counted from 0.
    first: usize,
    inner: Vec<Conv2d>,
    outer: Vec<Conv2d>,
    beyond: Beyond,
}

impl Pyramid {
    /// Reads `body` and `fpn`; the feature maps are those of the stages from `first` on.
    pub(super) fn load(
        weights: &LayerLoader<'_>,
        layers: &ResNetLayers,
        first: usize,
        extra: Extra,
    ) -> Result<Self, Error> {
        let (fpn, device) = (weights.scope.child("fpn"), weights.device);
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        for (index, channels) in layers.channels().into_iter().skip(first).enumerate() {
            let block = |name: &str| {
                let before = format!("{name}.{index}");
                either(&fpn, &format!("{before}.0"), &before)
            };
            let (sideways, out) = (block("inner_blocks"), block("layer_blocks"));
            let plain = Activation::Identity;
            inner.push(conv(&sideways, [channels, CHANNELS, 1, 1], plain, device)?);
            outer.push(conv(&out, [CHANNELS, CHANNELS, 3, 1], plain, device)?);
        }
        let beyond = match extra {
            Extra::Pool => Beyond::Pool(Pool::square("pool", [1, 2, 0], false, PoolKind::Max)),
            Extra::Convolutions => {
                let extra = |name: &str| {
                    let scope = fpn.child("extra_blocks").child(name);
                    let sizes = [CHANNELS, CHANNELS, 3, 2];
                    conv(&scope, sizes, Activation::Identity, device)
                };
                Beyond::Convolutions(Box::new([extra("p6")?, extra("p7")?]))
            }
        };
        Ok(Self {
            body: layers.load(&weights.child("body"))?,
            first,
            inner,
            outer,
            beyond,
        })
    }

    /// The feature maps, the largest first.
    pub(super) fn forward(&self, x: &FeatureMap) -> Result<Vec<FeatureMap>, Error> {
        let stages = self.body.forward(x)?;
        let stages = stages.iter().skip(self.first);
        let layers = self.inner.iter().zip(&self.outer);
        let mut maps = Vec::new();
        let mut above: Option<FeatureMap> = None;
        for (stage, (inner, outer)) in stages.zip(layers).rev() {
            let shape = stage.shape()?;
            let size = [shape.height, shape.width];
            let above_it = above
                .as_ref()
                .map(|above| above.resized(size, Sampling::Nearest))
                .transpose()?;
            let joined = inner.forward(stage, above_it.as_ref())?;
            maps.push(outer.forward(&joined, None)?);
            above = Some(joined);
        }
        maps.reverse();
        let Some(smallest) = maps.last() else {
            return Ok(maps);
        };
        match &self.beyond {
            Beyond::Pool(pool) => {
                let pooled = pool.forward(smallest)?;
                maps.push(pooled);
            }
            Beyond::Convolutions(layers) => {
                let [sixth, seventh] = layers.as_ref();
                let sixth = sixth.forward(smallest, None)?;
                let active = sixth.activate(Activation::Relu)?;
                let seventh = seventh.forward(&active, None)?;
                maps.extend([sixth, seventh]);
            }
        }
        Ok(maps)
    }
}
