//! Attention whose keys and values are those of fewer pixels (Wang et al., "Pyramid Vision
//! Transformer", 2021).

use candle_core::Tensor;

use super::segformer::EPS;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Attention, Conv2d, ConvGeometry, Dense, FeatureMap, LayerNorm, Linear, Mask,
    SelfAttention,
};
use crate::weights::Scope;

/// Attention of all pixels to the pixels of a smaller map.
pub(super) enum ReducedAttention {
    /// To all pixels.
    Full(Box<SelfAttention>),
    /// To those of a smaller map.
    Reduced(Box<Reduced>),
}

/// The layers of an attention to a smaller map.
pub(super) struct Reduced {
    queries: Linear,
    reduction: Conv2d,
    norm: LayerNorm,
    keys: Linear,
    values: Linear,
    core: Attention,
    out: Linear,
}

impl ReducedAttention {
    /// From `[width, heads]`; `reduction` pixels each way become one key.
    pub(super) fn load(
        scope: &Scope<'_>,
        [width, heads]: [usize; 2],
        reduction: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        let own = scope.child("self");
        let dense = |name: &str| Dense::load(&own.child(name), [width; 2], true);
        let out = Dense::load(&scope.child("output.dense"), [width; 2], true)?;
        let name = scope.name();
        if reduction == 1 {
            let qkv = [dense("query")?, dense("key")?, dense("value")?];
            let attention = SelfAttention::new(name, qkv, out, heads, device)?;
            return Ok(Self::Full(Box::new(attention)));
        }
        let linear = |dense| Linear::new(name, dense, Activation::Identity, device);
        Ok(Self::Reduced(Box::new(Reduced {
            queries: linear(dense("query")?)?,
            reduction: Conv2d::load(
                &own.child("sr"),
                ConvGeometry::patches([width; 2], [reduction; 2]),
                true,
                None,
                Activation::Identity,
                device,
            )?,
            norm: LayerNorm::load(&own.child("layer_norm"), width, EPS, true, device)?,
            keys: linear(dense("key")?)?,
            values: linear(dense("value")?)?,
            core: Attention::new(name, heads, width / heads, device),
            out: linear(out)?,
        })))
    }

    pub(super) fn forward(
        &self,
        x: &Tensor,
        residual: &Tensor,
        size: [usize; 2],
        device: &Device,
    ) -> Result<Tensor, Error> {
        match self {
            Self::Full(attention) => attention.forward(x, Some(residual), Mask::default()),
            Self::Reduced(layers) => layers.forward(x, residual, size, device),
        }
    }
}

impl Reduced {
    fn forward(
        &self,
        x: &Tensor,
        residual: &Tensor,
        size: [usize; 2],
        device: &Device,
    ) -> Result<Tensor, Error> {
        let map = FeatureMap::from_tokens(x, size, device)?;
        let fewer = self.reduction.forward(&map, None)?.to_tokens()?;
        let fewer = self.norm.forward(&fewer)?;
        let (keys, values) = (self.keys.forward(&fewer)?, self.values.forward(&fewer)?);
        let queries = self.queries.forward(x)?;
        let y = self
            .core
            .forward(&queries, &keys, &values, Mask::default())?;
        self.out.forward_add(&y, residual)
    }
}
