//! The layers that architectures are written against.
//!
//! A layer is built for a device: on the CPU it uses the kernels of `modelzoo-kernels`, through
//! candle's `CustomOp` interface; on other devices candle's operations, and the fused ones of
//! candle-nn. The results differ in the last digits only.
//!
//! | layers of feature maps | |
//! |---|---|
//! | [`Conv2d`] | folds a batch norm into its weights; applies bias, residual and activation while the result is in registers; also grouped and depthwise |
//! | [`BatchNorm`] | folded into a convolution, or a layer of its own |
//! | [`ConvTranspose2d`] | for kernels that make each side a whole number of times as long |
//! | [`FeatureMap::resized`], [`repeated`](FeatureMap::repeated) | like PyTorch's `interpolate` |
//! | [`roi_align`] | the parts of feature maps under boxes, at one size |
//! | [`Pool`], [`global_average`], [`adaptive_average`] | like PyTorch's, with padding and ceiling |
//! | [`fn@concat`], [`NormedConcat`], [`interleave`] | join the channels of several feature maps |
//! | [`FeatureMap::scale_channels`] | squeeze and excitation |
//! | [`FeatureMap::pad`], [`activate`](FeatureMap::activate) | padding with zeros (also uneven), an activation |
//! | [`LayerNorm::forward_map`], [`FeedForward::forward_map`] | per pixel |
//! | [`FeatureMap::to_tokens`], [`FeatureMap::from_tokens`] | pixels as tokens and back; patches are a [`Conv2d`] whose stride is its kernel |
//!
//! | layers of tokens | |
//! |---|---|
//! | [`Linear`] | packs its weights once; applies bias, residual and activation like [`Conv2d`]; any number of dimensions before the last |
//! | [`FeedForward`] | an MLP, some tokens at a time, so that the hidden features stay in the cache |
//! | [`Dense`] | the weights of a [`Linear`] before it is built: joins several, folds layer scale |
//! | [`LayerNorm`] | with or without bias, and with a residual |
//! | [`SelfAttention`] | joint projection, attention, projection and residual, one sample at a time; optionally with a hook after the first projection, or for the first tokens only |
//! | [`Attention`], [`Mask`] | attention without projections: causal, padded, with biases, one scale per head, cross-attention |
//! | [`DeformableAttention`] | attention to a few places of several feature maps |
//! | [`Rotary`], [`normalize_heads`] | rotary position embedding and cosine attention, for that hook |
//! | [`Embedding`] | rows of a table by id |
//! | [`add_rows`], [`prepend_rows`] | position embeddings, and class tokens or registers |
//! | [`Gather`] | tokens by their places: windows, rolls, merged patches |
//! | [`gate`] | gated linear units |
//! | [`fn@activate`] | an activation |
//!
//! The values between layers are [`FeatureMap`]s, which hide their memory order, or
//! [`candle_core::Tensor`]s of one row per image, `[batch, features]`, or per token,
//! `[batch, tokens, features]`: contiguous, on the device, and of its
//! [precision](crate::Precision). In half precision, norms, softmaxes and means are computed in f32
//! within the layer, as in PyTorch; biases of the attention stay f32.

mod activate;
mod adaptive;
mod attention;
mod batch_norm;
mod channel_scale;
mod conv;
mod conv_transpose;
mod cpu;
mod deformable;
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
mod pool;
mod resize;
mod roi;
mod self_attention;
mod size;
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
pub(crate) use batch_norm::BatchNorm;
pub(crate) use channel_scale::ChannelScale;
pub(crate) use conv::{Conv2d, ConvGeometry};
pub(crate) use conv_transpose::{ConvTranspose2d, TransposedGeometry};
pub(crate) use deformable::DeformableAttention;
pub(crate) use dense::Dense;
pub(crate) use feed_forward::FeedForward;
pub(crate) use heads::{FirstHeads, Rotary, normalize_heads};
pub(crate) use join::{NormedConcat, concat, interleave};
pub(crate) use layer_norm::LayerNorm;
pub(crate) use linear::Linear;
pub(crate) use map::FeatureMap;
pub(crate) use pool::{Pool, PoolWindow, global_average};
pub(crate) use roi::roi_align;
pub(crate) use self_attention::SelfAttention;
pub(crate) use size::check_size;
pub(crate) use tokens::{Embedding, Gather, add_rows, gate, prepend_rows};

pub(crate) use modelzoo_kernels::{Activation, References, Region, Sampling};
