//! The precision that a user asks for.

use std::fmt;
use std::str::FromStr;

use crate::device::Device;
use crate::error::Error;

/// A precision by its name: `auto`, `full` or `half`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PrecisionSpec {
    /// Half if the model asks for it and the device is not the CPU, or else full.
    #[default]
    Auto,
    /// Full, also if the model asks for half.
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
    /// The device with this precision, for a model that asks for half precision if `wants_half`.
    ///
    /// # Errors
    /// [`Error::NoHalf`] for [`PrecisionSpec::Half`] on the CPU.
    pub fn on(self, device: &Device, wants_half: bool) -> Result<Device, Error> {
        match self {
            Self::Half => device.clone().in_half(),
            Self::Auto if wants_half && !device.is_cpu() => device.clone().in_half(),
            Self::Auto | Self::Full => Ok(device.clone().in_full()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::Precision;

    #[test]
    fn precision_names_round_trip() {
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
    fn auto_is_half_only_on_a_gpu() {
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
}
