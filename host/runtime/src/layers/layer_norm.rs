//! Layer norm, per token or per pixel.

use candle_core::{D, Tensor};
use candle_nn::ops::layer_norm;
use modelzoo_kernels::{self as kernels, Isa};

use super::cpu;
use super::map::FeatureMap;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::precision::in_full;
use crate::weights::Scope;

/// PyTorch's `LayerNorm` over the last dimension: `(x - mean) / sqrt(variance + eps) * weight +
/// bias`.
pub(crate) struct LayerNorm {
    name: String,
    eps: f64,
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// For candle's operations, f32 on the device.
    tensors: Option<[Tensor; 2]>,
}

impl LayerNorm {
    /// Reads `weight` and, if `bias`, `bias`, each of `size` values. BERT's first checkpoints name
    /// them `gamma` and `beta`; transformers reads both.
    pub(crate) fn load(
        scope: &Scope<'_>,
        size: usize,
        eps: f64,
        bias: bool,
        device: &Device,
    ) -> Result<Self, Error> {
        let [scale, shift] = if scope.has("gamma") {
            ["gamma", "beta"]
        } else {
            ["weight", "bias"]
        };
        let weight = scope.get(scale, &[size])?.to_vec1::<f32>()?;
        let bias = if bias {
            scope.get(shift, &[size])?.to_vec1::<f32>()?
        } else {
            vec![0.0; size]
        };
        let tensor = |values: &[f32]| Tensor::from_slice(values, size, device.candle());
        let tensors = match device.kernels() {
            Kernels::Own => None,
            Kernels::Candle => Some([tensor(&weight)?, tensor(&bias)?]),
        };
        Ok(Self {
            name: scope.name().to_owned(),
            eps,
            weight,
            bias,
            tensors,
        })
    }

    /// `[…, size]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        self.normalized(x, None)
    }

    /// `residual + norm(x)`.
    pub(crate) fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor, Error> {
        self.normalized(x, Some(residual))
    }

    /// Over the channels of each pixel.
    pub(crate) fn forward_map(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let shape = x.shape()?;
        let tokens = self.forward(&x.to_tokens()?)?;
        x.of_tokens(&tokens, [shape.height, shape.width])
    }

    fn normalized(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor, Error> {
        let size = self.weight.len();
        if x.dims().last() != Some(&size) {
            let reason = format!("takes {size} features, got {:?}", x.dims().last());
            return Err(Error::bad_input(&self.name, reason));
        }
        if residual.is_some_and(|residual| residual.dims() != x.dims()) {
            let reason = "the residual has another shape than the result";
            return Err(Error::bad_input(&self.name, reason));
        }
        if let Some([weight, bias]) = &self.tensors {
            let y = in_full(x, |x| self.with_candle(x, weight, bias))?;
            return Ok(residual.map_or(Ok(y.clone()), |residual| residual + &y)?);
        }
        Ok(cpu::added("norm", x, residual, x.dims(), |x, residual| {
            let affine = [self.weight.as_slice(), self.bias.as_slice()];
            kernels::normalize_rows(Isa::detect(), x, affine, self.eps, residual)
        })?)
    }

    /// candle's fused layer norm. It computes the variance as a difference of two means, which
    /// loses digits, and can become negative, where the mean is large; so the mean is subtracted
    /// before.
    fn with_candle(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "candle's operation takes f32"
        )]
        layer_norm(&centred, weight, bias, self.eps as f32)
    }
}
