//! Operations on the heads of queries and keys: rotary position embedding and L2 normalisation.

use candle_core::{D, Tensor};
use candle_nn::rotary_emb::rope_thd;
use modelzoo_kernels::{self as kernels, HeadOperation, Isa};

use super::cpu;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::precision::in_full;

/// The heads at the beginning of each token's row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstHeads {
    /// The number of heads: twice that of the attention for the queries and keys of a fused
    /// projection.
    pub(crate) count: usize,
    /// Features per head.
    pub(crate) size: usize,
}

/// Rotary position embedding: `[a, b]`, the halves of a head, become
/// `[a * cos - b * sin, b * cos + a * sin]`.
pub(crate) struct Rotary {
    cosines: Tensor,
    sines: Tensor,
    kernels: Kernels,
}

impl Rotary {
    /// `cosines` and `sines` have the shape `[tokens, half of a head]`.
    pub(crate) fn new(cosines: &Tensor, sines: &Tensor, device: &Device) -> Result<Self, Error> {
        cosines.dims2()?;
        if sines.dims() != cosines.dims() {
            let reason = format!("angles of {:?} and {:?}", cosines.dims(), sines.dims());
            return Err(Error::bad_input("rotary", reason));
        }
        Ok(Self {
            cosines: device.place(cosines)?.contiguous()?,
            sines: device.place(sines)?.contiguous()?,
            kernels: device.kernels(),
        })
    }

    /// Rotates the first heads of each row of `[batch, tokens, row]`. With fewer angles than tokens,
    /// the first tokens (a class token, registers) stay as they are.
    pub(crate) fn forward(&self, x: &Tensor, heads: FirstHeads) -> Result<Tensor, Error> {
        let (batch, tokens, row) = x.dims3()?;
        let (angles, half) = self.cosines.dims2()?;
        let size = 2 * half;
        let width = heads.count * size;
        if angles > tokens || size != heads.size || width > row {
            let reason = format!(
                "{heads:?} of {tokens} tokens of {row} features, and {angles} angles of {size}"
            );
            return Err(Error::bad_input("rotary", reason));
        }
        match self.kernels {
            Kernels::Own => {
                let tensors = [x, &self.cosines, &self.sines];
                Ok(cpu::many(&tensors, x.dims(), |values| {
                    let [x, cosines, sines] = values else {
                        return Ok(Vec::new());
                    };
                    let operation = HeadOperation::Rotate { cosines, sines };
                    let heads = [heads.count, size];
                    kernels::change_heads(Isa::detect(), x, [tokens, row], heads, operation)
                })?)
            }
            Kernels::Candle => {
                let before = x.narrow(1, 0, tokens - angles)?;
                let after = x.narrow(1, tokens - angles, angles)?;
                let changed = after.narrow(2, 0, width)?.contiguous()?;
                let changed = changed.reshape((batch, angles, heads.count, size))?;
                let changed = rope_thd(&changed, &self.cosines, &self.sines)?;
                let changed = changed.reshape((batch, angles, width))?;
                let rest = after.narrow(2, width, row - width)?;
                let after = Tensor::cat(&[&changed, &rest], 2)?;
                Ok(Tensor::cat(&[&before, &after], 1)?)
            }
        }
    }
}

/// Divides each of the first heads of each row of `[batch, tokens, row]` by its L2 norm, or by
/// `floor` where that is more.
pub(crate) fn normalize_heads(
    x: &Tensor,
    heads: FirstHeads,
    floor: f32,
    device: &Device,
) -> Result<Tensor, Error> {
    let (batch, tokens, row) = x.dims3()?;
    let width = heads.count * heads.size;
    if width > row || heads.size == 0 || tokens == 0 {
        let reason = format!("{heads:?} of {tokens} tokens of {row} features");
        return Err(Error::bad_input("heads", reason));
    }
    match device.kernels() {
        Kernels::Own => Ok(cpu::unary("normalize_heads", x, x.dims(), |x| {
            let operation = HeadOperation::Normalize { floor };
            let heads = [heads.count, heads.size];
            kernels::change_heads(Isa::detect(), x, [tokens, row], heads, operation)
        })?),
        Kernels::Candle => {
            let changed = x.narrow(2, 0, width)?.contiguous()?;
            let changed = changed.reshape((batch, tokens, heads.count, heads.size))?;
            let changed = in_full(&changed, |changed| {
                let norm = changed.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
                changed.broadcast_div(&norm.clamp(floor, f32::INFINITY)?)
            })?;
            let changed = changed.reshape((batch, tokens, width))?;
            let rest = x.narrow(2, width, row - width)?;
            Ok(Tensor::cat(&[&changed, &rest], 2)?)
        }
    }
}
