//! The kernels as candle operations: from tensors to slices, and from vectors to tensors.

use std::collections::TryReserveError;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Storage, Tensor};

/// The result of a kernel.
type Computed = std::result::Result<Vec<f32>, TryReserveError>;

/// Computes a tensor of the shape `dims` from the elements of a tensor.
pub(super) fn unary(
    name: &'static str,
    x: &Tensor,
    dims: &[usize],
    kernel: impl Fn(&[f32]) -> Computed,
) -> Result<Tensor> {
    x.contiguous()?
        .apply_op1_no_bwd(&Unary { name, dims, kernel })
}

/// Computes a tensor of the shape `dims` from the elements of two tensors.
pub(super) fn binary(
    name: &'static str,
    x: &Tensor,
    y: &Tensor,
    dims: &[usize],
    kernel: impl Fn(&[f32], &[f32]) -> Computed,
) -> Result<Tensor> {
    x.contiguous()?
        .apply_op2_no_bwd(&y.contiguous()?, &Binary { name, dims, kernel })
}

/// Computes a tensor of the shape `dims` from the elements of a tensor and of a residual, where
/// there is one.
pub(super) fn added(
    name: &'static str,
    x: &Tensor,
    residual: Option<&Tensor>,
    dims: &[usize],
    kernel: impl Fn(&[f32], Option<&[f32]>) -> Computed,
) -> Result<Tensor> {
    match residual {
        None => unary(name, x, dims, |x| kernel(x, None)),
        Some(residual) => binary(name, x, residual, dims, |x, y| kernel(x, Some(y))),
    }
}

/// Computes a tensor of the shape `dims` from the elements of any number of tensors.
pub(super) fn many(
    tensors: &[&Tensor],
    dims: &[usize],
    kernel: impl FnOnce(&[&[f32]]) -> Computed,
) -> Result<Tensor> {
    let tensors: Vec<Tensor> = tensors
        .iter()
        .map(|tensor| tensor.contiguous())
        .collect::<Result<_>>()?;
    let stored: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let mut values = Vec::with_capacity(stored.len());
    for (storage, layout) in &stored {
        match &**storage {
            Storage::Cpu(storage) => values.push(elements(storage, layout)?),
            _ => candle_core::bail!("a kernel got a tensor that is not on the CPU"),
        }
    }
    let (storage, shape) = finish(kernel(&values), dims)?;
    let CpuStorage::F32(values) = storage else {
        candle_core::bail!("a kernel computes f32");
    };
    Tensor::from_vec(values, shape, &candle_core::Device::Cpu)
}

struct Unary<'a, F> {
    name: &'static str,
    dims: &'a [usize],
    kernel: F,
}

impl<F: Fn(&[f32]) -> Computed> CustomOp1 for Unary<'_, F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        finish((self.kernel)(elements(storage, layout)?), self.dims)
    }
}

struct Binary<'a, F> {
    name: &'static str,
    dims: &'a [usize],
    kernel: F,
}

impl<F: Fn(&[f32], &[f32]) -> Computed> CustomOp2 for Binary<'_, F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        finish(
            (self.kernel)(elements(s1, l1)?, elements(s2, l2)?),
            self.dims,
        )
    }
}

fn elements<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let contiguous = layout.contiguous_offsets();
    let found = contiguous.and_then(|(start, end)| storage.as_slice::<f32>().ok()?.get(start..end));
    found.ok_or_else(|| candle_core::Error::msg("a kernel got a tensor that is not contiguous f32"))
}

fn finish(computed: Computed, dims: &[usize]) -> Result<(CpuStorage, Shape)> {
    let values = computed
        .map_err(|error| candle_core::Error::msg(format!("no memory for a result: {error}")))?;
    Ok((CpuStorage::F32(values), Shape::from(dims)))
}
