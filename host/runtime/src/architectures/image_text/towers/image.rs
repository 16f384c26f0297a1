//! The image tower: a vision transformer, and features from its tokens.

use candle_core::Tensor;

use super::blocks::{Blocks, Projection};
use crate::architectures::shared::block::BlockConfig;
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::network::ImageTower;
use crate::architectures::shared::patches::{ImageSizes, Patches};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Attention, Conv2d, Dense, FeatureMap, FeedForward, LayerNorm, Linear, Mask,
    add_rows, prepend_rows,
};
use crate::trace::Trace;
use crate::weights::Scope;

/// Checks what the image towers require of patches: images of one square size, of 1 or 3 channels.
pub(crate) fn check_patches(config: &ConfigChecker, patches: &Patches) -> Result<(), Error> {
    let [height, width] = patches.size;
    if height != width {
        return Err(config.error("patch_size", "must be one side"));
    }
    if let ImageSizes::Fixed([height, width]) = patches.images
        && height != width
    {
        return Err(config.error("image_size", "must be one side"));
    }
    if matches!(patches.channels, 1 | 3) {
        return Ok(());
    }
    Err(config.error("num_channels", "must be 1 or 3"))
}

/// The features of an image, from those of its tokens.
pub(crate) enum ImagePool {
    /// Those of the class token.
    ClassToken,
    /// Attention pooling.
    Attention(Box<AttentionPool>),
}

/// A built image tower.
pub(crate) struct ClipImageTower {
    pub(crate) patches: Patches,
    pub(crate) projection: Conv2d,
    /// The class token, `[1, width]`.
    pub(crate) class: Option<Tensor>,
    /// The position embeddings, `[tokens, width]`.
    pub(crate) positions: Tensor,
    /// The norm before the blocks, by its name.
    pub(crate) before: Option<(&'static str, LayerNorm)>,
    pub(crate) blocks: Blocks,
    /// The norm after the blocks, by its name.
    pub(crate) after: (&'static str, LayerNorm),
    pub(crate) pool: ImagePool,
    pub(crate) last: Option<Projection>,
    pub(crate) device: Device,
}

impl ClipImageTower {
    pub(super) fn layers(&self) -> impl Iterator<Item = String> {
        let before = self.before.as_ref().map(|(name, _)| *name);
        let pool = match &self.pool {
            ImagePool::ClassToken => None,
            ImagePool::Attention(_) => Some(AttentionPool::NAME),
        };
        let projection = self.last.as_ref().map(|projection| projection.name);
        let last = [Some(self.after.0), pool, projection];
        let own = |name: Option<&str>| name.map(str::to_owned);
        own(before)
            .into_iter()
            .chain(self.blocks.names())
            .chain(last.into_iter().filter_map(own))
    }
}

impl ImageTower for ClipImageTower {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let shape = x.shape()?;
        self.patches.grid([shape.height, shape.width])?;
        let mut x = self.projection.forward(&x, None)?.to_tokens()?;
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
            ImagePool::ClassToken => Some(1),
            ImagePool::Attention(_) => None,
        };
        let x = self.blocks.forward(x, Mask::default(), first, trace)?;
        let (name, norm) = &self.after;
        let pooled = match &self.pool {
            // The norm is per token: the others are not needed.
            ImagePool::ClassToken => {
                let first = x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?;
                trace.input(name, &first)?;
                let pooled = norm.forward(&first)?;
                trace.output(name, &pooled)?;
                pooled
            }
            ImagePool::Attention(attention) => {
                trace.input(name, &x)?;
                let x = norm.forward(&x)?;
                trace.output(name, &x)?;
                trace.input(AttentionPool::NAME, &x)?;
                let pooled = attention.forward(&x)?;
                trace.output(AttentionPool::NAME, &pooled)?;
                pooled
            }
        };
        match &self.last {
            Some(projection) => projection.forward(&pooled, trace),
            None => Ok(pooled),
        }
    }
}

/// SigLIP's head: a learned query attends to all tokens, and an MLP follows.
pub(crate) struct AttentionPool {
    /// `[1, 1, width]`, projected.
    query: Tensor,
    keys: Linear,
    values: Linear,
    attention: Attention,
    out: Linear,
    norm: LayerNorm,
    mlp: FeedForward,
}

impl AttentionPool {
    pub(super) const NAME: &'static str = "vision_model.head";

    pub(crate) fn load(
        scope: &Scope<'_>,
        config: &BlockConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let BlockConfig {
            width,
            heads,
            inner,
            eps,
            activation,
            ..
        } = *config;
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
