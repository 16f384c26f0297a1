//! The layers that architectures are written against.
//!
//! A layer is built for a device and picks its code there: on the CPU this crate's own kernels,
//! through candle's public `CustomOp` interface; on other devices candle's operations. Which of
//! the two it is shows in nothing but the speed and the last digits.
//!
//! - [`Conv2d`]: batch norm folded into its weights when it is built; bias, residual and
//!   activation applied while the result is in registers. Grouped and depthwise too.
//! - [`Linear`]: weights packed once, the same epilogue.
//! - [`BatchNorm`]: what a convolution folds in, or a layer of its own.
//! - [`Pool`], [`global_average`]: as PyTorch's, with padding and ceiling.
//!
//! Between them goes a [`FeatureMap`], which keeps its memory order to itself, or a matrix of one
//! row an image: a [`candle_core::Tensor`] of the shape `[batch, features]`.

mod activation;
mod conv;
mod cpu;
mod linear;
mod map;
mod norm;
mod pool;
#[cfg(test)]
mod tests;

pub(crate) use activation::Activation;
pub(crate) use conv::{Conv2d, ConvGeometry};
pub(crate) use linear::Linear;
pub(crate) use map::FeatureMap;
pub(crate) use norm::{BatchNorm, ChannelScale};
pub(crate) use pool::{Pool, PoolWindow, global_average};

use crate::error::Error;

/// The most elements of one feature map, 4 GiB of f32: a plan can ask for any number of
/// channels, and the process must not be killed for it.
const MAX_ELEMENTS: usize = 1 << 30;

/// Refuses a result of more elements than are computed.
fn check_size(layer: &str, dims: &[usize]) -> Result<(), Error> {
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
