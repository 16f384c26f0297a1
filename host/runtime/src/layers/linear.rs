//! Linear layers.

use candle_core::Tensor;

use super::{Activation, BatchNorm, check_size, cpu};
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::kernels::{self, Epilogue, Isa, Packed, Shape, Window, Windows};
use crate::weights::Scope;

/// A linear layer with its bias and what follows it.
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

impl Linear {
    /// Reads `weight`, `[outputs, inputs]`, and, where `bias`, `bias`, `[outputs]`.
    pub(crate) fn load(
        scope: &Scope<'_>,
        [inputs, outputs]: [usize; 2],
        bias: bool,
        norm: Option<&BatchNorm>,
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        let mut weight = scope
            .get("weight", &[outputs, inputs])?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let mut biases = if bias {
            scope.get("bias", &[outputs])?.to_vec1::<f32>()?
        } else {
            vec![0.0; outputs]
        };
        if let Some(norm) = norm {
            norm.fold(&mut weight, &mut biases);
        }
        let code = match device.kernels() {
            Kernels::Own => Code::Packed(Packed::new(Isa::detect(), &weight, &biases, 1)),
            Kernels::Candle => Code::Candle {
                transposed: Tensor::from_vec(weight, (outputs, inputs), device.candle())?
                    .t()?
                    .contiguous()?,
                bias: Tensor::from_vec(biases, outputs, device.candle())?,
            },
        };
        Ok(Self {
            name: scope.name().to_owned(),
            inputs,
            outputs,
            activation,
            code,
        })
    }

    /// `[batch, inputs]` to `[batch, outputs]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, Error> {
        let (batch, inputs) = x.dims2()?;
        if inputs != self.inputs {
            let reason = format!(
                "takes {} features, got {inputs}: the input has another size than it was made for",
                self.inputs
            );
            return Err(Error::bad_input(&self.name, reason));
        }
        let dims = [batch, self.outputs];
        check_size(&self.name, &dims)?;
        match &self.code {
            Code::Candle { transposed, bias } => {
                let y = x.matmul(transposed)?.broadcast_add(bias)?;
                Ok(self.activation.with_candle(&y)?)
            }
            Code::Packed(packed) => {
                let shape = Shape {
                    batch,
                    height: 1,
                    width: 1,
                    channels: inputs,
                };
                let epilogue = Epilogue {
                    residual: None,
                    activation: self.activation,
                };
                let compute = |x: &[f32]| {
                    kernels::matmul(&Windows::new(x, shape, Window::POINT, 1), packed, epilogue)
                };
                Ok(cpu::unary("linear", x, &dims, compute)?)
            }
        }
    }
}
