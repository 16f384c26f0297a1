//! The neck and the head of DPT (Ranftl et al., "Vision Transformers for Dense Prediction", 2021),
//! as Depth Anything has them.

use candle_core::Tensor;

use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Conv2d, ConvGeometry, ConvTranspose2d, FeatureMap, Sampling, TransposedGeometry,
};
use crate::weights::Scope;

/// How the map of a hidden state is resized before maps are joined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Factor {
    /// As many times larger.
    Up(usize),
    Same,
    /// As many times smaller.
    Down(usize),
}

/// The sizes of a neck.
pub(super) struct NeckConfig {
    /// Features per token of the backbone.
    pub(super) width: usize,
    /// Channels of each map, and how it is resized.
    pub(super) maps: Vec<(usize, Factor)>,
    /// Channels of the joined maps.
    pub(super) fusion: usize,
}

/// Maps of several hidden states, joined from the last to the first.
pub(super) struct Neck {
    reassembled: Vec<Reassembled>,
    convolutions: Vec<Conv2d>,
    fusions: Vec<Fusion>,
}

impl Neck {
    pub(super) fn load(
        scope: &Scope<'_>,
        config: &NeckConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let layers = scope.child("reassemble_stage.layers");
        let fusion = scope.child("fusion_stage.layers");
        let (mut reassembled, mut convolutions, mut fusions) = (Vec::new(), Vec::new(), Vec::new());
        for (index, &(channels, factor)) in config.maps.iter().enumerate() {
            let number = index.to_string();
            let scope_of = layers.child(&number);
            reassembled.push(Reassembled::load(
                &scope_of,
                [config.width, channels],
                factor,
                device,
            )?);
            convolutions.push(Conv2d::load(
                &scope.child("convs").child(&number),
                ConvGeometry::square(channels, config.fusion, 3, 1, 1),
                false,
                None,
                Activation::Identity,
                device,
            )?);
            // The first one joins nothing.
            let joins = index > 0;
            fusions.push(Fusion::load(
                &fusion.child(&number),
                config.fusion,
                joins,
                device,
            )?);
        }
        Ok(Self {
            reassembled,
            convolutions,
            fusions,
        })
    }

    /// From the maps of the hidden states, the first one first, to the last of the joined maps.
    pub(super) fn forward(&self, maps: Vec<FeatureMap>) -> Result<FeatureMap, Error> {
        let layers = self.reassembled.iter().zip(&self.convolutions);
        let mut features = Vec::with_capacity(maps.len());
        for (map, (reassembled, convolution)) in maps.iter().zip(layers) {
            features.push(convolution.forward(&reassembled.forward(map)?, None)?);
        }
        let mut joined: Option<FeatureMap> = None;
        let mut rest = features.iter().rev().peekable();
        for fusion in &self.fusions {
            let Some(map) = rest.next() else { break };
            let next = rest.peek().map(|next| next.shape()).transpose()?;
            let size = next.map(|shape| [shape.height, shape.width]);
            joined = Some(match joined {
                None => fusion.forward(map.clone(), None, size)?,
                Some(joined) => fusion.forward(joined, Some(map), size)?,
            });
        }
        joined.ok_or_else(|| Error::bad_input("neck", "there are no maps to join"))
    }
}

/// A projection of a hidden state's map, and its resizing.
struct Reassembled {
    projection: Conv2d,
    resize: Resize,
}

enum Resize {
    Up(ConvTranspose2d),
    Same,
    Down(Conv2d),
}

impl Reassembled {
    fn load(
        scope: &Scope<'_>,
        [width, channels]: [usize; 2],
        factor: Factor,
        device: &Device,
    ) -> Result<Self, Error> {
        let resize = scope.child("resize");
        let plain = Activation::Identity;
        Ok(Self {
            projection: Conv2d::load(
                &scope.child("projection"),
                ConvGeometry::square(width, channels, 1, 1, 0),
                true,
                None,
                plain,
                device,
            )?,
            resize: match factor {
                Factor::Same => Resize::Same,
                Factor::Up(stride) => {
                    let geometry = TransposedGeometry {
                        in_channels: channels,
                        out_channels: channels,
                        stride,
                        padding: 0,
                    };
                    Resize::Up(ConvTranspose2d::load(
                        &resize, geometry, true, None, plain, device,
                    )?)
                }
                Factor::Down(stride) => {
                    let geometry = ConvGeometry::square(channels, channels, 3, stride, 1);
                    Resize::Down(Conv2d::load(&resize, geometry, true, None, plain, device)?)
                }
            },
        })
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let x = self.projection.forward(x, None)?;
        match &self.resize {
            Resize::Up(layer) => layer.forward(&x),
            Resize::Same => Ok(x),
            Resize::Down(layer) => layer.forward(&x, None),
        }
    }
}

/// Joins a map with the maps of later hidden states, and resizes both.
struct Fusion {
    /// Of the map that is added.
    added: Option<ResidualUnit>,
    joined: ResidualUnit,
    projection: Conv2d,
}

impl Fusion {
    fn load(
        scope: &Scope<'_>,
        channels: usize,
        joins: bool,
        device: &Device,
    ) -> Result<Self, Error> {
        let unit = |name: &str| ResidualUnit::load(&scope.child(name), channels, device);
        // It is there, though nothing is added.
        if !joins {
            scope.ignore_below("residual_layer1");
        }
        Ok(Self {
            added: joins.then(|| unit("residual_layer1")).transpose()?,
            joined: unit("residual_layer2")?,
            projection: Conv2d::load(
                &scope.child("projection"),
                ConvGeometry::square(channels, channels, 1, 1, 0),
                true,
                None,
                Activation::Identity,
                device,
            )?,
        })
    }

    /// `size` is that of the next map; twice that of this one without it.
    fn forward(
        &self,
        mut x: FeatureMap,
        added: Option<&FeatureMap>,
        size: Option<[usize; 2]>,
    ) -> Result<FeatureMap, Error> {
        let shape = x.shape()?;
        if let (Some(added), Some(unit)) = (added, &self.added) {
            let added = added.resized([shape.height, shape.width], Sampling::Bilinear)?;
            x = unit.forward(&added, Some(&x))?;
        }
        let x = self.joined.forward(&x, None)?;
        let size = size.unwrap_or([2 * shape.height, 2 * shape.width]);
        let x = x.resized(size, Sampling::BilinearCorners)?;
        self.projection.forward(&x, None)
    }
}

/// Two convolutions, each after a ReLU, with a residual.
struct ResidualUnit {
    first: Conv2d,
    second: Conv2d,
}

impl ResidualUnit {
    fn load(scope: &Scope<'_>, channels: usize, device: &Device) -> Result<Self, Error> {
        let conv = |name: &str, activation| {
            let geometry = ConvGeometry::square(channels, channels, 3, 1, 1);
            Conv2d::load(&scope.child(name), geometry, true, None, activation, device)
        };
        Ok(Self {
            first: conv("convolution1", Activation::Relu)?,
            second: conv("convolution2", Activation::Identity)?,
        })
    }

    /// `x` with the convolutions' result, and `other` added.
    fn forward(&self, x: &FeatureMap, other: Option<&FeatureMap>) -> Result<FeatureMap, Error> {
        let inner = self.first.forward(&x.activate(Activation::Relu)?, None)?;
        let residual = match other {
            None => x.clone(),
            Some(other) => x.plus(other)?,
        };
        self.second.forward(&inner, Some(&residual))
    }
}

/// From the joined map to one number per pixel.
pub(super) struct DepthHead {
    first: Conv2d,
    second: Conv2d,
    last: Conv2d,
    scale: f64,
}

impl DepthHead {
    /// `last` is the activation after the last layer, whose values are multiplied by `scale`.
    pub(super) fn load(
        scope: &Scope<'_>,
        [fusion, hidden]: [usize; 2],
        last: Activation,
        scale: f64,
        device: &Device,
    ) -> Result<Self, Error> {
        let conv = |name: &str, [inputs, outputs, kernel]: [usize; 3], activation| {
            let geometry = ConvGeometry::square(inputs, outputs, kernel, 1, kernel / 2);
            Conv2d::load(&scope.child(name), geometry, true, None, activation, device)
        };
        Ok(Self {
            first: conv("conv1", [fusion, fusion / 2, 3], Activation::Identity)?,
            second: conv("conv2", [fusion / 2, hidden, 3], Activation::Relu)?,
            last: conv("conv3", [hidden, 1, 1], last)?,
            scale,
        })
    }

    /// A map of `size` pixels with one channel.
    pub(super) fn forward(&self, x: &FeatureMap, size: [usize; 2]) -> Result<FeatureMap, Error> {
        let x = self.first.forward(x, None)?;
        let x = x.resized(size, Sampling::BilinearCorners)?;
        let x = self.last.forward(&self.second.forward(&x, None)?, None)?;
        x.scaled(self.scale)
    }
}

/// The map of the patches of a hidden state, `[batch, prefix + rows * columns, width]`.
pub(super) fn patch_map(
    tokens: &Tensor,
    prefix: usize,
    grid: [usize; 2],
    device: &Device,
) -> Result<FeatureMap, Error> {
    let count = tokens.dim(1)?.saturating_sub(prefix);
    let patches = tokens.narrow(1, prefix, count)?.contiguous()?;
    FeatureMap::from_tokens(&patches, grid, device)
}
