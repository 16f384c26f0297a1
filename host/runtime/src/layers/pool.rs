//! Pooling, like PyTorch's `MaxPool2d`, `AvgPool2d` and `AdaptiveAvgPool2d(1)`.

use candle_core::{DType, Tensor};
use modelzoo_kernels::{self as kernels, Isa, PoolKind, Shape, Window};

use super::cpu;
use super::map::FeatureMap;
use super::size::check_size;
use crate::device::Kernels;
use crate::error::Error;
use crate::precision::in_full;

/// The window of a pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PoolWindow {
    pub(crate) window: Window,
    /// Whether a last window counts that begins inside the padded image and reaches beyond it.
    pub(crate) ceil: bool,
}

impl PoolWindow {
    /// The number of places along one side of `length`; zero where the window does not fit.
    pub(crate) fn places(&self, axis: usize, length: usize) -> usize {
        let floor = self.window.places(axis, length);
        if !self.ceil {
            return floor;
        }
        let (Some(&kernel), Some(&stride), Some(&padding)) = (
            self.window.kernel.get(axis),
            self.window.stride.get(axis),
            self.window.padding.get(axis),
        ) else {
            return floor;
        };
        let padded = length + 2 * padding;
        let ceiling = (padded + stride)
            .saturating_sub(kernel)
            .div_ceil(stride.max(1));
        // The last window must begin inside the feature map or the padding before it.
        if ceiling > 1 && (ceiling - 1) * stride >= length + padding {
            ceiling - 1
        } else {
            ceiling
        }
    }
}

/// A pool.
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) window: PoolWindow,
    pub(crate) kind: PoolKind,
}

impl Pool {
    /// A pool over a square window: its kernel, stride and padding.
    pub(crate) fn square(
        name: &str,
        [kernel, stride, padding]: [usize; 3],
        ceil: bool,
        kind: PoolKind,
    ) -> Self {
        let window = Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
        };
        Self {
            name: name.to_owned(),
            window: PoolWindow { window, ceil },
            kind,
        }
    }

    pub(crate) fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let shape = x.shape()?;
        let out = [
            self.window.places(0, shape.height),
            self.window.places(1, shape.width),
        ];
        let [height, width] = out;
        if height == 0 || width == 0 {
            let reason = format!(
                "the window does not fit into a feature map of {}x{}",
                shape.height, shape.width
            );
            return Err(Error::bad_input(&self.name, reason));
        }
        let dims = [shape.batch, height, width, shape.channels];
        check_size(&self.name, &dims)?;
        let tensor = match x.kernels() {
            Kernels::Own => cpu::unary("pool", x.tensor(), &dims, |x| {
                kernels::pool(Isa::detect(), x, shape, &self.window.window, out, self.kind)
            })?,
            Kernels::Candle => self.with_candle(x.tensor(), shape, out)?,
        };
        Ok(x.with(tensor))
    }

    /// candle's pools have no padding, so it is added before.
    fn with_candle(
        &self,
        x: &Tensor,
        shape: Shape,
        out: [usize; 2],
    ) -> candle_core::Result<Tensor> {
        let Window {
            kernel: [height, width],
            stride: [down, across],
            ..
        } = self.window.window;
        let (kernel, stride) = ((height, width), (down, across));
        match self.kind {
            PoolKind::Max => self
                .fit(x, out, f32::NEG_INFINITY, f32::NEG_INFINITY)?
                .max_pool2d_with_stride(kernel, stride),
            PoolKind::Average { count_padding } => in_full(x, |x| {
                let mean = |x: &Tensor| x.avg_pool2d_with_stride(kernel, stride);
                let sums = mean(&self.fit(x, out, 0.0, 0.0)?)?;
                // The part of each window that counts.
                let ones = Tensor::ones((1, 1, shape.height, shape.width), DType::F32, x.device())?;
                let counted =
                    mean(&self.fit(&ones, out, f32::from(u8::from(count_padding)), 0.0)?)?;
                // A window of nothing but padding is zero, as in PyTorch.
                sums.broadcast_div(&counted.clamp(f32::MIN_POSITIVE, 1f32)?)
            }),
        }
    }

    /// Pads until the windows fit: with `padding` around the feature map, and with `beyond` where the
    /// last windows reach further.
    fn fit(
        &self,
        x: &Tensor,
        out: [usize; 2],
        padding: f32,
        beyond: f32,
    ) -> candle_core::Result<Tensor> {
        let Window {
            kernel,
            stride,
            padding: margins,
            ..
        } = self.window.window;
        let mut x = x.clone();
        for (axis, margin) in margins.into_iter().enumerate() {
            x = extend(&x, axis + 2, margin, padding, true)?;
            x = extend(&x, axis + 2, margin, padding, false)?;
        }
        let axes = kernel.into_iter().zip(stride).zip(out);
        for (axis, ((kernel, stride), places)) in axes.enumerate() {
            let dim = axis + 2;
            let (have, want) = (x.dim(dim)?, (places - 1) * stride + kernel);
            x = if want > have {
                extend(&x, dim, want - have, beyond, false)?
            } else {
                x.narrow(dim, 0, want)?
            };
        }
        x.contiguous()
    }
}

/// Adds `count` places of one value before or after a dimension.
fn extend(
    x: &Tensor,
    dim: usize,
    count: usize,
    value: f32,
    before: bool,
) -> candle_core::Result<Tensor> {
    if count == 0 {
        return Ok(x.clone());
    }
    let mut dims = x.dims().to_vec();
    if let Some(size) = dims.get_mut(dim) {
        *size = count;
    }
    let more = Tensor::full(value, dims, x.device())?.to_dtype(x.dtype())?;
    if before {
        Tensor::cat(&[&more, x], dim)
    } else {
        Tensor::cat(&[x, &more], dim)
    }
}

/// The mean of each channel over the whole image: a feature map of one pixel.
pub(crate) fn global_average(x: &FeatureMap) -> Result<FeatureMap, Error> {
    let shape = x.shape()?;
    let tensor = match x.kernels() {
        Kernels::Own => {
            let dims = [shape.batch, 1, 1, shape.channels];
            cpu::unary("global_average", x.tensor(), &dims, |x| {
                kernels::global_average(Isa::detect(), x, shape)
            })?
        }
        Kernels::Candle => in_full(x.tensor(), |x| x.mean_keepdim((2, 3)))?,
    };
    Ok(x.with(tensor))
}
