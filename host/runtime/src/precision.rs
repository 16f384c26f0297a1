//! How many digits a device computes with.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::error::Error;

/// How many digits the values of a network have while it runs. What goes in and what comes out
/// has f32 whichever it is.
///
/// Displays as a user would name it: `full` or `half`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// f32: seven decimal digits.
    #[default]
    Full,
    /// f16, as PyTorch's `.half()`: three decimal digits, and nothing beyond 65504. Weights and
    /// what goes between layers take half the memory. Norms, activation functions, softmaxes, means
    /// and similarities compute in f32.
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

/// A precision as a user asks for it: `auto`, `full` or `half`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PrecisionSpec {
    /// Half where the model asks for it and the device gains from it, or else full.
    #[default]
    Auto,
    /// Full, also where the model asks for half.
    Full,
    /// Half, or an error.
    Half,
}

impl FromStr for PrecisionSpec {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "auto" => Ok(Self::Auto),
            "full" => Ok(Self::Full),
            "half" => Ok(Self::Half),
            _ => Err(Error::UnknownPrecision {
                name: name.to_owned(),
            }),
        }
    }
}

impl fmt::Display for PrecisionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Full => "full",
            Self::Half => "half",
        })
    }
}

impl PrecisionSpec {
    /// The device with this precision, for a model that `wants_half` or does not.
    ///
    /// # Errors
    /// [`Error::NoHalf`] for [`PrecisionSpec::Half`] on a device that does not compute so.
    pub fn on(self, device: &Device, wants_half: bool) -> Result<Device, Error> {
        match self {
            Self::Half => device.clone().in_half(),
            Self::Auto if wants_half && !device.is_cpu() => device.clone().in_half(),
            Self::Auto | Self::Full => Ok(device.clone().in_full()),
        }
    }
}

/// A tensor in f32.
pub(crate) fn full(x: &Tensor) -> candle_core::Result<Tensor> {
    x.to_dtype(DType::F32)
}

/// Computes in f32 what would lose too much in half precision. The result is of the type of `x`.
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
    fn names_are_read_and_written() {
        for name in ["auto", "full", "half"] {
            assert_eq!(name.parse::<PrecisionSpec>().unwrap().to_string(), name);
        }
        for name in ["", "Half", "f16"] {
            let error = name.parse::<PrecisionSpec>().unwrap_err();
            assert!(
                error.remedy().unwrap().to_string().contains("`half`"),
                "{error}"
            );
        }
    }

    #[test]
    fn auto_takes_half_only_where_it_gains() {
        for device in [Device::cpu(), Device::cpu_reference()] {
            for spec in [PrecisionSpec::Auto, PrecisionSpec::Full] {
                let device = spec.on(&device, true).unwrap();
                assert_eq!(device.precision(), Precision::Full);
            }
        }
        let half = PrecisionSpec::Half.on(&Device::cpu_reference(), false);
        let half = half.unwrap();
        assert_eq!(half.precision(), Precision::Half);
        let full = PrecisionSpec::Full.on(&half, true).unwrap();
        assert_eq!(full.precision(), Precision::Full);
        assert!(PrecisionSpec::Half.on(&Device::cpu(), true).is_err());
    }

    #[test]
    fn what_is_computed_in_full_does_not_round_on_the_way() {
        // The sum of so many does not fit into f16, their mean does.
        let x = Tensor::full(100f32, (1, 1000), &candle_core::Device::Cpu).unwrap();
        let x = x.to_dtype(DType::F16).unwrap();
        let mean = in_full(&x, |x| x.mean_keepdim(1)).unwrap();
        assert_eq!(mean.dtype(), DType::F16);
        let mean = full(&mean).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(mean, [[100.0]]);
    }
}
