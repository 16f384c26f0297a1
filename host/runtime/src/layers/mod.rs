//! The layers that architectures are written against.
//!
//! A layer is built for a device and picks its code there: on the CPU this crate's own kernels,
//! through candle's public `CustomOp` interface; on other devices candle's operations. Which of
//! the two it is shows in nothing but the speed and the last digits.
//!
//! | of feature maps | |
//! |---|---|
//! | [`Conv2d`] | batch norm folded into its weights when it is built; bias, residual and activation applied while the result is in registers; grouped and depthwise too |
//! | [`BatchNorm`] | what a convolution folds in, or a layer of its own |
//! | [`Pool`], [`global_average`], [`adaptive_average`] | as PyTorch's, with padding and ceiling |
//! | [`fn@concat`], [`NormedConcat`], [`interleave`] | channels of several feature maps in one |
//! | [`FeatureMap::scale_channels`] | squeeze and excitation: channels times a feature map of one pixel |
//! | [`FeatureMap::pad`], [`activate`](FeatureMap::activate) | zeros around it (uneven padding), an activation |
//! | [`LayerNorm::forward_map`], [`FeedForward::forward_map`] | each pixel by itself |
//! | [`FeatureMap::to_tokens`], [`FeatureMap::from_tokens`] | the pixels as tokens and back; patches are a [`Conv2d`] whose stride is its kernel |
//!
//! | of tokens | |
//! |---|---|
//! | [`Linear`] | weights packed once, the same epilogue; any number of dimensions before the last |
//! | [`FeedForward`] | two of them with an activation between, some tokens at a time, so that what is between stays in the cache |
//! | [`Dense`] | weights on their way into a [`Linear`]: several as one, layer scale folded in |
//! | [`LayerNorm`] | with or without bias, and with a residual |
//! | [`SelfAttention`] | one product for queries, keys and values, the core, the projection after it, the residual, a sample at a time; or with a hook after the first, or for the first tokens alone |
//! | [`Attention`], [`Mask`] | the core alone: causal, padded, with biases, a scale for each head; queries from elsewhere |
//! | [`Rotary`], [`normalize_heads`] | rotary positions and cosine attention, for that hook |
//! | [`Embedding`] | rows of a table by number |
//! | [`add_rows`], [`prepend_rows`] | positions, and class tokens or registers |
//! | [`Gather`] | tokens by their places: windows, rolls, merged patches, a class token |
//! | [`gate`] | gated linear units |
//! | [`fn@activate`] | an activation on its own |
//!
//! Between them goes a [`FeatureMap`], which keeps its memory order to itself, or a
//! [`candle_core::Tensor`] of one row an image, `[batch, features]`, or of one row a token,
//! `[batch, tokens, features]`: contiguous, on the device, and of its
//! [precision](crate::Precision). In half precision norms, softmaxes and means are computed in f32
//! within the layer, as PyTorch does; biases of the attention stay f32.

mod activate;
mod adaptive;
mod attention;
mod conv;
mod cpu;
mod dense;
mod feed_forward;
#[cfg(test)]
mod half_tests;
mod heads;
mod join;
mod layer_norm;
mod linear;
mod map;
mod map_ops;
mod norm;
mod pool;
mod self_attention;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod token_op_tests;
#[cfg(test)]
mod token_tests;
mod tokens;

pub(crate) use activate::activate;
pub(crate) use adaptive::adaptive_average;
pub(crate) use attention::{Attention, Mask};
pub(crate) use conv::{Conv2d, ConvGeometry};
pub(crate) use dense::Dense;
pub(crate) use feed_forward::FeedForward;
pub(crate) use heads::{FirstHeads, Rotary, normalize_heads};
pub(crate) use join::{NormedConcat, concat, interleave};
pub(crate) use layer_norm::LayerNorm;
pub(crate) use linear::Linear;
pub(crate) use map::FeatureMap;
pub(crate) use norm::{BatchNorm, ChannelScale};
pub(crate) use pool::{Pool, PoolWindow, global_average};
pub(crate) use self_attention::SelfAttention;
pub(crate) use tokens::{Embedding, Gather, add_rows, gate, prepend_rows};

pub(crate) use modelzoo_kernels::Activation;

use crate::error::Error;

/// The most elements of one feature map, 4 GiB of f32: a plan can ask for any number of
/// channels, and the process must not be killed for it.
const MAX_ELEMENTS: usize = 1 << 30;

/// Refuses a result of more elements than are computed.
pub(crate) fn check_size(layer: &str, dims: &[usize]) -> Result<(), Error> {
    let elements = dims
        .iter()
        .fold(1_usize, |product, &dim| product.saturating_mul(dim));
    if elements > MAX_ELEMENTS {
        return Err(Error::TooLarge {
            layer: layer.to_owned(),
            elements,
            limit: MAX_ELEMENTS,
        });
    }
    Ok(())
}
