//! Our own CPU kernels: plain slices in, plain vectors out, nothing of candle.
//!
//! Feature maps are `[batch, height, width, channels]` here, because then a convolution is a
//! matrix product whose left side can be read in place: for one output pixel, each tap of the
//! window is one run of contiguous channels. Nothing is copied (no im2col), a 1x1 convolution and
//! a linear layer are the same kernel, the vector lanes lie along the output channels, of which
//! there are always enough, and a residual or a bias is contiguous too. The weights are packed
//! once, when the model is built, into panels as wide as one step of the kernel.
//!
//! All `unsafe` of the crate but the mapping of weight files is in this module: in [`isa`]
//! (instructions that the CPU was asked for), [`tile`] and [`x86`] (the inner kernels, on raw
//! pointers), and [`mod@matmul`], [`block`], [`mod@attention`], [`fused`] and [`out`] (which hand
//! out the pointers, and memory that is not written yet).
//! Everything else is safe code that the compiler vectorises.
//!
//! Every output element is summed in one fixed order, whatever the batch, the tile or the thread
//! that it falls to: a batch equals its singles to the last bit.

#![allow(
    clippy::needless_range_loop,
    clippy::indexing_slicing,
    reason = "kernels index by shapes that their callers and assertions have checked"
)]
#![allow(unsafe_code, reason = "see the module's documentation")]

mod adaptive;
mod attention;
mod block;
mod chunks;
mod depthwise;
mod fused;
#[cfg(test)]
mod fused_tests;
mod isa;
mod join;
mod math;
mod matmul;
mod out;
mod pool;
#[cfg(test)]
mod row_tests;
mod rows;
#[cfg(test)]
mod tests;
mod tile;
mod window;
mod winograd;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use adaptive::{adaptive_average, adaptive_range};
pub(crate) use attention::{AttentionJob, Heads, attention};
pub(crate) use depthwise::{Depthwise, depthwise};
pub(crate) use fused::{TwoLayers, self_attention, two_layers};
pub(crate) use isa::Isa;
pub(crate) use join::{concat, interleave};
pub(crate) use math::activate;
pub(crate) use matmul::{Epilogue, Packed, matmul};
pub(crate) use pool::{PoolKind, global_average, pool};
pub(crate) use rows::{
    HeadOperation, Margins, add_repeated, change_heads, gate_rows, gather_rows, normalize_rows,
    pad, scale_channels,
};
pub(crate) use window::{Shape, Window, Windows, pad_width};
pub(crate) use winograd::{Winograd, winograd};
