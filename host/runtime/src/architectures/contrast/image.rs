//! The tower for images: a vision transformer, and one vector of its tokens.

use candle_core::Tensor;
use modelzoo_kernels::Window;

use super::super::ImageTower;
use super::{Blocks, Projection};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Attention, Conv2d, ConvGeometry, Dense, FeatureMap, FeedForward, LayerNorm, Linear,
    Mask, add_rows, prepend_rows,
};
use crate::plan::Size;
use crate::trace::Trace;
use crate::weights::Scope;

/// The most pixels along a side.
const MAX_SIDE: usize = 1 << 14;

/// How images are cut into patches.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct ImageSizes {
    pub(in super::super) channels: usize,
    /// Pixels along each side of an image.
    pub(in super::super) image: usize,
    /// Pixels along each side of a patch.
    pub(in super::super) patch: usize,
}

impl ImageSizes {
    /// Checks what comes from a configuration.
    pub(in super::super) fn check(&self, bad: impl Fn(&str, String) -> Error) -> Result<(), Error> {
        for (field, side) in [("image_size", self.image), ("patch_size", self.patch)] {
            if !(1..=MAX_SIDE).contains(&side) {
                return Err(bad(field, format!("must be 1 to {MAX_SIDE}")));
            }
        }
        if self.patch > self.image {
            return Err(bad("patch_size", "is larger than `image_size`".to_owned()));
        }
        if !matches!(self.channels, 1 | 3) {
            return Err(bad("num_channels", "must be 1 or 3".to_owned()));
        }
        Ok(())
    }

    /// How many patches an image has.
    pub(in super::super) fn patches(&self) -> usize {
        let along = self.image / self.patch.max(1);
        along * along
    }

    /// The layer that makes a token of a patch.
    pub(in super::super) fn load(
        &self,
        scope: &Scope<'_>,
        width: usize,
        bias: bool,
        device: &Device,
    ) -> Result<Conv2d, Error> {
        let geometry = ConvGeometry {
            in_channels: self.channels,
            out_channels: width,
            window: Window {
                kernel: [self.patch; 2],
                stride: [self.patch; 2],
                padding: [0; 2],
                dilation: [1; 2],
            },
            groups: 1,
        };
        Conv2d::load(scope, geometry, bias, None, Activation::Identity, device)
    }

    /// Checks the size that a plan brings images to.
    pub(in super::super) fn check_plan(&self, size: Option<Size>) -> Result<(), Error> {
        let side = |side: u32| usize::try_from(side).unwrap_or(usize::MAX);
        size.map_or(Ok(()), |size| {
            self.check_image(side(size.height), side(size.width))
        })
    }

    fn check_image(&self, height: usize, width: usize) -> Result<(), Error> {
        let side = self.image;
        if (height, width) == (side, side) {
            return Ok(());
        }
        let reason = format!(
            "takes images of {side}x{side}, got {height}x{width}: its positions are for that size alone"
        );
        Err(Error::bad_input("patches", reason))
    }
}

/// How the tokens become one vector.
pub(in super::super) enum Pool {
    /// The first one, which is no patch.
    First,
    /// They are attended to.
    Attended(Box<Attended>),
}

/// A built tower for images.
pub(in super::super) struct Images {
    pub(in super::super) sizes: ImageSizes,
    pub(in super::super) patches: Conv2d,
    /// `[1, width]`: a token before the patches.
    pub(in super::super) class: Option<Tensor>,
    /// `[tokens, width]`.
    pub(in super::super) positions: Tensor,
    /// The norm before the blocks, by its name.
    pub(in super::super) before: Option<(&'static str, LayerNorm)>,
    pub(in super::super) blocks: Blocks,
    /// The norm after the blocks, by its name.
    pub(in super::super) after: (&'static str, LayerNorm),
    pub(in super::super) pool: Pool,
    pub(in super::super) projection: Option<Projection>,
    pub(in super::super) device: Device,
}

impl Images {
    pub(super) fn layers(&self) -> impl Iterator<Item = String> {
        let before = self.before.as_ref().map(|(name, _)| *name);
        let pool = match &self.pool {
            Pool::First => None,
            Pool::Attended(_) => Some(Attended::NAME),
        };
        let projection = self.projection.as_ref().map(|projection| projection.name);
        let last = [Some(self.after.0), pool, projection];
        let own = |name: Option<&str>| name.map(str::to_owned);
        own(before)
            .into_iter()
            .chain(self.blocks.names())
            .chain(last.into_iter().filter_map(own))
    }
}

impl ImageTower for Images {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let shape = x.shape()?;
        self.sizes.check_image(shape.height, shape.width)?;
        let mut x = self.patches.forward(&x, None)?.to_tokens()?;
        if let Some(class) = &self.class {
            x = prepend_rows(&x, class)?;
        }
        x = add_rows(&x, &self.positions, &self.device)?;
        if let Some((name, norm)) = &self.before {
            trace.input(name, &x)?;
            x = norm.forward(&x)?;
            trace.output(name, &x)?;
        }
        let first = match &self.pool {
            Pool::First => Some(1),
            Pool::Attended(_) => None,
        };
        let x = self.blocks.forward(x, Mask::default(), first, trace)?;
        let (name, norm) = &self.after;
        let pooled = match &self.pool {
            // Of each token by itself: the others need not be normed.
            Pool::First => {
                let first = x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?;
                trace.input(name, &first)?;
                let pooled = norm.forward(&first)?;
                trace.output(name, &pooled)?;
                pooled
            }
            Pool::Attended(attended) => {
                trace.input(name, &x)?;
                let x = norm.forward(&x)?;
                trace.output(name, &x)?;
                trace.input(Attended::NAME, &x)?;
                let pooled = attended.forward(&x)?;
                trace.output(Attended::NAME, &pooled)?;
                pooled
            }
        };
        match &self.projection {
            Some(projection) => projection.forward(&pooled, trace),
            None => Ok(pooled),
        }
    }
}

/// SigLIP's head: a learned query attends to all tokens, and a small network follows.
pub(in super::super) struct Attended {
    /// `[1, 1, width]`, projected.
    query: Tensor,
    keys: Linear,
    values: Linear,
    attention: Attention,
    out: Linear,
    norm: LayerNorm,
    mlp: FeedForward,
}

impl Attended {
    pub(super) const NAME: &'static str = "vision_model.head";

    pub(in super::super) fn load(
        scope: &Scope<'_>,
        sizes: &super::Sizes,
        device: &Device,
    ) -> Result<Self, Error> {
        let super::Sizes {
            width,
            heads,
            inner,
            eps,
            activation,
            ..
        } = *sizes;
        let attention = scope.child("attention");
        let linear = |scope: &Scope<'_>, name: &str, sizes, activation| {
            Linear::load(&scope.child(name), sizes, true, None, activation, device)
        };
        let identity = Activation::Identity;
        let [queries, keys, values] = joined_parts(&attention, width)?;
        let built = |part| Linear::new(attention.name(), part, identity, device);
        let probe = scope.get("probe", &[1, 1, width])?;
        let probe = device.place_weights(scope.name(), &probe)?;
        let mlp = scope.child("mlp");
        Ok(Self {
            query: built(queries)?.forward(&probe)?,
            keys: built(keys)?,
            values: built(values)?,
            attention: Attention::new(attention.name(), heads, width / heads, device),
            out: linear(&attention, "out_proj", [width; 2], identity)?,
            norm: LayerNorm::load(&scope.child("layernorm"), width, eps, true, device)?,
            mlp: FeedForward::new(
                linear(&mlp, "fc1", [width, inner], activation)?,
                linear(&mlp, "fc2", [inner, width], identity)?,
            ),
        })
    }

    /// `[batch, tokens, width]` to `[batch, width]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        let (batch, _, width) = x.dims3()?;
        let query = self.query.expand((batch, 1, width))?.contiguous()?;
        let (keys, values) = (self.keys.forward(x)?, self.values.forward(x)?);
        let attended = self
            .attention
            .forward(&query, &keys, &values, Mask::default())?;
        let x = self.out.forward(&attended)?;
        let x = self.mlp.forward(&self.norm.forward(&x)?, Some(&x))?;
        Ok(x.squeeze(1)?)
    }
}

/// The joined projections of PyTorch's `MultiheadAttention`, as three layers.
fn joined_parts(scope: &Scope<'_>, width: usize) -> Result<[Dense; 3], Error> {
    let weight = scope.get("in_proj_weight", &[3 * width, width])?;
    let bias = scope.get("in_proj_bias", &[3 * width])?;
    let part = |at: usize| {
        let weight = weight.narrow(0, at * width, width)?;
        let bias = bias.narrow(0, at * width, width)?;
        Dense::new(&weight, Some(&bias))
    };
    Ok([part(0)?, part(1)?, part(2)?])
}
