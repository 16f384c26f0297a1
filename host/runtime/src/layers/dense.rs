//! The weights of linear layers before they are packed, for folding other layers into them.

use candle_core::Tensor;

use super::batch_norm::BatchNorm;
use crate::error::Error;
use crate::weights::Scope;

/// A matrix `[outputs, inputs]` and one bias per output, from which a [`super::Linear`] is built.
#[derive(Clone, Debug)]
pub(crate) struct Dense {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl Dense {
    /// Reads `weight`, `[outputs, inputs]`, and, if `bias`, `bias`, `[outputs]`.
    pub(crate) fn load(
        scope: &Scope<'_>,
        [inputs, outputs]: [usize; 2],
        bias: bool,
    ) -> Result<Self, Error> {
        let weight = scope.get("weight", &[outputs, inputs])?;
        let bias = if bias {
            Some(scope.get("bias", &[outputs])?)
        } else {
            None
        };
        Self::new(&weight, bias.as_ref())
    }

    /// From `weight`, `[outputs, inputs]`, and `bias`, `[outputs]`, both f32.
    pub(crate) fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self, Error> {
        let (outputs, inputs) = weight.dims2()?;
        let bias = match bias {
            Some(bias) => bias.to_vec1::<f32>()?,
            None => vec![0.0; outputs],
        };
        if bias.len() != outputs {
            let reason = format!("{outputs} outputs and {} biases", bias.len());
            return Err(Error::bad_input("linear", reason));
        }
        Ok(Self {
            weight: weight.flatten_all()?.to_vec1::<f32>()?,
            bias,
            inputs,
            outputs,
        })
    }

    /// Joins several layers of the same inputs: their outputs one after another.
    pub(crate) fn stack(parts: &[Self]) -> Result<Self, Error> {
        let inputs = parts.first().map_or(0, |part| part.inputs);
        if parts.iter().any(|part| part.inputs != inputs) {
            let reason = "layers of different inputs cannot be one";
            return Err(Error::bad_input("linear", reason));
        }
        Ok(Self {
            weight: parts
                .iter()
                .flat_map(|part| &part.weight)
                .copied()
                .collect(),
            bias: parts.iter().flat_map(|part| &part.bias).copied().collect(),
            inputs,
            outputs: parts.iter().map(|part| part.outputs).sum(),
        })
    }

    /// With each output multiplied by its own factor (layer scale).
    pub(crate) fn scaled(mut self, factors: &Tensor) -> Result<Self, Error> {
        let factors = factors.to_vec1::<f32>()?;
        if factors.len() != self.outputs {
            let reason = format!("{} outputs and {} factors", self.outputs, factors.len());
            return Err(Error::bad_input("linear", reason));
        }
        let rows = self.weight.chunks_exact_mut(self.inputs.max(1));
        for ((row, bias), factor) in rows.zip(&mut self.bias).zip(factors) {
            row.iter_mut().for_each(|value| *value *= factor);
            *bias *= factor;
        }
        Ok(self)
    }

    /// With a batch norm of its outputs folded in.
    pub(crate) fn normed(mut self, norm: Option<&BatchNorm>) -> Self {
        if let Some(norm) = norm {
            norm.fold(&mut self.weight, &mut self.bias);
        }
        self
    }
}
