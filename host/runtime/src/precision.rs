//! The precision of a network's tensors.

use std::fmt;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

/// The precision of the values between a network's layers. Inputs and outputs are always f32.
///
/// Displays as a user names it: `full` or `half`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// f32: seven decimal digits.
    #[default]
    Full,
    /// f16, like PyTorch's `.half()`: three decimal digits, and at most 65504. Weights and the values
    /// between layers need half the memory. Norms, activation functions, softmaxes, means and
    /// similarities are computed in f32.
    Half,
}

impl Precision {
    /// The type of a network's tensors.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::Full => DType::F32,
            Self::Half => DType::F16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Half => "half",
        })
    }
}

/// A tensor in f32.
pub(crate) fn full(x: &Tensor) -> candle_core::Result<Tensor> {
    x.to_dtype(DType::F32)
}

/// Computes in f32 what half precision would round too much. The result has the type of `x`.
pub(crate) fn in_full(
    x: &Tensor,
    compute: impl FnOnce(&Tensor) -> candle_core::Result<Tensor>,
) -> candle_core::Result<Tensor> {
    compute(&full(x)?)?.to_dtype(x.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_full_does_not_round_intermediate_values() {
        // The sum is too large for f16, the mean is not.
        let x = Tensor::full(100f32, (1, 1000), &candle_core::Device::Cpu).unwrap();
        let x = x.to_dtype(DType::F16).unwrap();
        let mean = in_full(&x, |x| x.mean_keepdim(1)).unwrap();
        assert_eq!(mean.dtype(), DType::F16);
        let mean = full(&mean).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(mean, [[100.0]]);
    }
}
