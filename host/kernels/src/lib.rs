//! CPU kernels: slices in, vectors out.
//!
//! Each kernel exists for AVX-512, for AVX2 with FMA, and for everything else; an [`Isa`] is the
//! proof that the CPU has the instructions. The kernels divide their work among the threads of
//! rayon's pool.
//!
//! Feature maps are `[batch, height, width, channels]`, because then a convolution is a matrix
//! product whose left side can be read in place: for one output pixel, each tap of the window is
//! one run of contiguous channels. Nothing is copied (no im2col), a 1x1 convolution and a linear
//! layer are the same kernel, the vector lanes lie along the output channels, of which there are
//! always enough, and a residual or a bias is contiguous too. The weights are packed once, when
//! the model is built, into panels as wide as one step of the kernel.
//!
//! ```
//! use modelzoo_kernels::{Activation, Epilogue, Isa, Packed, Windows, matmul};
//!
//! // A linear layer of two inputs and one output, on two rows.
//! let weights = Packed::new(Isa::detect(), &[1.0, -2.0], &[0.5], 1)?;
//! let rows = [3.0, 1.0, 1.0, 3.0];
//! let epilogue = Epilogue { residual: None, activation: Activation::Relu };
//! assert_eq!(matmul(&Windows::rows(&rows, 2), &weights, epilogue)?, [1.5, 0.0]);
//! # Ok::<(), std::collections::TryReserveError>(())
//! ```
//!
//! # Guarantees
//! - Every output element is summed in one fixed order, whatever the batch, the tile or the thread
//!   that computes it: a batch equals its singles to the last bit.
//! - Memory is allocated fallibly: a result that does not fit is an error.
//! - A slice whose length does not fit its shape is a panic; the layers check shapes before.
//!
//! # Unsafe code
//! It is in `isa` (functions with instructions that the CPU was asked for), `portable` and `x86`
//! (the inner kernels, on raw pointers), and `matmul`, `block`, `attention`, `fused` and `out`
//! (which hand out the pointers, and memory that is not written yet). Everything else is safe code
//! that the compiler vectorises.

#![allow(
    clippy::needless_range_loop,
    clippy::indexing_slicing,
    reason = "kernels index by shapes that their callers and assertions have checked"
)]

mod activation;
mod adaptive;
mod attention;
mod block;
mod chunks;
mod deformable;
mod depthwise;
mod fused;
#[cfg(test)]
mod fused_tests;
mod isa;
mod join;
mod math;
mod matmul;
mod microkernels;
mod out;
mod peaks;
mod pool;
mod portable;
mod resize;
mod roi;
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

pub use activation::Activation;
pub use adaptive::{adaptive_average, adaptive_range};
pub use attention::{AttentionJob, Heads, attention};
pub use deformable::{DeformableShape, References, deformable_attention};
pub use depthwise::{Depthwise, depthwise};
pub use fused::{Mlp, mlp, self_attention};
pub use isa::Isa;
pub use join::{Part, concat, interleave};
pub use math::activate;
pub use matmul::{Epilogue, Packed, matmul};
pub use peaks::{PEAK, cubic, peaks};
pub use pool::{PoolKind, global_average, pool};
pub use resize::{Sampling, Tap, resize, taps};
pub use roi::{Region, RegionLevel, roi_align};
pub use rows::{
    HeadOperation, Margins, add_repeated, change_heads, gate_rows, gather_rows, normalize_rows,
    pad, scale_channels,
};
pub use window::{Shape, Window, Windows, pad_width};
pub use winograd::{Winograd, winograd};
