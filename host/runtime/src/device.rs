//! Where a model runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, NoDeviceReason};
use crate::kernels::Isa;

/// A device as a user names it: `auto`, `cpu`, `cuda`, `cuda:1`, `metal`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceSpec {
    /// The first CUDA device, or Metal, or else the CPU: the best that is there.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by its number.
    Cuda(usize),
    /// The Metal device of a Mac.
    Metal,
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownDevice {
            name: name.to_owned(),
        };
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => {
                let number = name.strip_prefix("cuda:").ok_or_else(unknown)?;
                number.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl TryFrom<String> for DeviceSpec {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<DeviceSpec> for String {
    fn from(spec: DeviceSpec) -> Self {
        spec.to_string()
    }
}

impl DeviceSpec {
    /// Opens the device.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when the device is not there or this build cannot use it. `Auto`
    /// always finds the CPU.
    pub fn open(self) -> Result<Device, Error> {
        match self {
            Self::Auto => Ok(auto()),
            Self::Cpu => Ok(Device::cpu()),
            Self::Cuda(number) => {
                let built = candle_core::utils::cuda_is_available();
                self.opened("cuda", built, || candle_core::Device::new_cuda(number))
            }
            Self::Metal => {
                let built = candle_core::utils::metal_is_available();
                self.opened("metal", built, || candle_core::Device::new_metal(0))
            }
        }
    }

    fn opened(
        self,
        feature: &'static str,
        built: bool,
        open: impl FnOnce() -> candle_core::Result<candle_core::Device>,
    ) -> Result<Device, Error> {
        let no_device = |reason| Error::NoDevice {
            device: self.to_string(),
            reason,
        };
        if !built {
            return Err(no_device(NoDeviceReason::NotBuilt { feature }));
        }
        let inner = open().map_err(|source| no_device(NoDeviceReason::Failed(source)))?;
        Ok(Device {
            inner,
            spec: self,
            kernels: Kernels::Candle,
        })
    }
}

fn auto() -> Device {
    for spec in [DeviceSpec::Cuda(0), DeviceSpec::Metal] {
        match spec.open() {
            Ok(device) => return device,
            Err(Error::NoDevice {
                reason: NoDeviceReason::Failed(error),
                ..
            }) => {
                tracing::warn!(%error, "device {spec} does not answer");
            }
            Err(_) => {}
        }
    }
    Device::cpu()
}

/// Which code computes a layer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kernels {
    /// Our own, on the CPU; feature maps are `[batch, height, width, channels]`.
    Own,
    /// Candle's; feature maps are `[batch, channels, height, width]`.
    Candle,
}

/// An opened device. Cheap to clone.
///
/// Displays as the user would name it: `cpu`, `cuda:0`, `metal`.
#[derive(Clone, Debug)]
pub struct Device {
    inner: candle_core::Device,
    spec: DeviceSpec,
    kernels: Kernels,
}

impl Device {
    /// The CPU with this crate's own kernels, on as many threads as rayon's global pool has
    /// (`RAYON_NUM_THREADS`).
    #[must_use]
    pub fn cpu() -> Self {
        Self {
            inner: candle_core::Device::Cpu,
            spec: DeviceSpec::Cpu,
            kernels: Kernels::Own,
        }
    }

    /// The CPU with nothing but candle's plain operations: slow, and the reference that the
    /// kernels are compared with. It takes the same path as a CUDA or Metal device.
    #[must_use]
    pub fn cpu_reference() -> Self {
        Self {
            inner: candle_core::Device::Cpu,
            spec: DeviceSpec::Cpu,
            kernels: Kernels::Candle,
        }
    }

    /// The instructions that the CPU's own kernels use on this machine: `avx512`, `avx2`, or
    /// `portable` for what every such CPU has.
    #[must_use]
    pub fn cpu_kernels() -> &'static str {
        Isa::detect().name()
    }

    /// Whether it is the CPU.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.inner.is_cpu()
    }

    /// Candle's own handle.
    #[must_use]
    pub fn candle(&self) -> &candle_core::Device {
        &self.inner
    }

    pub(crate) fn kernels(&self) -> Kernels {
        self.kernels
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(name.parse::<DeviceSpec>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceSpec>().unwrap(), DeviceSpec::Cuda(0));
        for name in ["", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:1:2", "gpu"] {
            let error = name.parse::<DeviceSpec>().unwrap_err();
            assert!(error.hint().unwrap().contains("cuda:<number>"), "{error}");
        }
    }

    #[test]
    fn the_kernels_have_a_name() {
        assert!(["avx512", "avx2", "portable"].contains(&Device::cpu_kernels()));
    }

    #[test]
    fn auto_opens_something() {
        assert!(!DeviceSpec::Auto.open().unwrap().to_string().is_empty());
    }

    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    #[test]
    fn a_device_that_is_not_built_says_so() {
        for name in ["cuda:1", "metal"] {
            let error = name.parse::<DeviceSpec>().unwrap().open().unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(error.hint().unwrap().contains("--features"), "{error}");
        }
    }
}
