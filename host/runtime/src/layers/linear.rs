//! Linear layers.

use candle_core::Tensor;
use modelzoo_kernels::{self as kernels, Activation, Epilogue, Isa, Packed, Windows};

use super::activate::with_candle;
use super::batch_norm::BatchNorm;
use super::cpu;
use super::dense::Dense;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::weights::Scope;

/// A linear layer with a bias, an optional residual and an activation.
pub(crate) struct Linear {
    name: String,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    code: Code,
}

enum Code {
    Packed(Packed),
    Candle { transposed: Tensor, bias: Tensor },
}

/// Packs weights for the kernels, if they are no larger than a feature map may be.
pub(super) fn packed(
    layer: &str,
    isa: Isa,
    weight: &[f32],
    bias: &[f32],
    groups: usize,
) -> Result<Packed, Error> {
    let depth = weight.len() / bias.len().max(1);
    check_size(layer, &Packed::dims(isa, bias.len(), depth, groups))?;
    let packed = Packed::new(isa, weight, bias, groups);
    Ok(packed.map_err(candle_core::Error::wrap)?)
}

impl Linear {
    /// Reads `weight`, `[outputs, inputs]`, and, if `bias`, `bias`, `[outputs]`.
    pub(crate) fn load(
        scope: &Scope<'_>,
        sizes: [usize; 2],
        bias: bool,
        norm: Option<&BatchNorm>,
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        let dense = Dense::load(scope, sizes, bias)?.normed(norm);
        Self::new(scope.name(), dense, activation, device)
    }

    /// From weights; `name` is for messages.
    pub(crate) fn new(
        name: &str,
        dense: Dense,
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        let Dense {
            weight,
            bias,
            inputs,
            outputs,
        } = dense;
        let code = match device.kernels() {
            Kernels::Own => Code::Packed(packed(name, Isa::detect(), &weight, &bias, 1)?),
            Kernels::Candle => {
                let cpu = candle_core::Device::Cpu;
                let weight = Tensor::from_vec(weight, (outputs, inputs), &cpu)?;
                let bias = Tensor::from_vec(bias, outputs, &cpu)?;
                Code::Candle {
                    transposed: device.place_weights(name, &weight)?.t()?.contiguous()?,
                    bias: device.place_weights(name, &bias)?,
                }
            }
        };
        Ok(Self {
            name: name.to_owned(),
            inputs,
            outputs,
            activation,
            code,
        })
    }

    /// `[…, inputs]` to `[…, outputs]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        self.compute(x, None)
    }

    /// As [`forward`](Self::forward), with `residual`, of the result's shape, added before the
    /// activation.
    pub(crate) fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor, Error> {
        self.compute(x, Some(residual))
    }

    /// Checks an input of the shape `dims`, and returns the shape of the result.
    pub(super) fn result(
        &self,
        dims: &[usize],
        residual: Option<&Tensor>,
    ) -> Result<Vec<usize>, Error> {
        let mut dims = dims.to_vec();
        let inputs = dims.pop().unwrap_or_default();
        if inputs != self.inputs {
            let reason = format!(
                "takes {} features, got {inputs}: the input has another size than it was made for",
                self.inputs
            );
            return Err(Error::bad_input(&self.name, reason));
        }
        dims.push(self.outputs);
        check_size(&self.name, &dims)?;
        if residual.is_some_and(|residual| residual.dims() != dims) {
            let reason = "the residual has another shape than the result";
            return Err(Error::bad_input(&self.name, reason));
        }
        Ok(dims)
    }

    /// The weights for our own kernels, where these compute the layer.
    pub(super) fn packed(&self) -> Option<&Packed> {
        match &self.code {
            Code::Packed(packed) => Some(packed),
            Code::Candle { .. } => None,
        }
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn activation(&self) -> Activation {
        self.activation
    }

    /// As [`forward_add`](Self::forward_add), with an optional residual.
    pub(super) fn compute(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor, Error> {
        let dims = self.result(x.dims(), residual)?;
        match &self.code {
            Code::Candle { transposed, bias } => {
                let y = x.reshape(((), self.inputs))?.matmul(transposed)?;
                let mut y = y.broadcast_add(bias)?.reshape(dims)?;
                if let Some(residual) = residual {
                    y = (y + residual)?;
                }
                Ok(with_candle(&y, self.activation)?)
            }
            Code::Packed(packed) => Ok(cpu::added("linear", x, residual, &dims, |x, residual| {
                let epilogue = Epilogue {
                    residual,
                    activation: self.activation,
                };
                kernels::matmul(&Windows::rows(x, self.inputs), packed, epilogue)
            })?),
        }
    }
}
