//! The devices that models run on.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Tensor};
use modelzoo_kernels::Isa;
use serde::{Deserialize, Serialize};

use crate::error::{Error, NoDeviceReason};
use crate::precision::Precision;

/// A device as a user names it: `auto`, `cpu`, `cuda`, `cuda:1`, `metal`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceSpec {
    /// The first CUDA device, or Metal, or else the CPU.
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
            precision: Precision::Full,
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

/// The code that computes a layer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kernels {
    /// The kernels of `modelzoo-kernels`, on the CPU; feature maps are `[batch, height, width, channels]`.
    Own,
    /// candle's operations; feature maps are `[batch, channels, height, width]`.
    Candle,
}

/// The largest number of half precision.
const MAX_HALF: f32 = 65504.0;

/// An opened device, and its precision, by default full. Cheap to clone.
///
/// Displays as a user names it: `cpu`, `cuda:0`, `metal`.
#[derive(Clone, Debug)]
pub struct Device {
    inner: candle_core::Device,
    spec: DeviceSpec,
    kernels: Kernels,
    precision: Precision,
}

impl Device {
    /// The CPU with the kernels of `modelzoo-kernels`, on the threads of rayon's global pool
    /// (`RAYON_NUM_THREADS`).
    #[must_use]
    pub fn cpu() -> Self {
        Self {
            inner: candle_core::Device::Cpu,
            spec: DeviceSpec::Cpu,
            kernels: Kernels::Own,
            precision: Precision::Full,
        }
    }

    /// The CPU with candle's operations: slow, and the reference for the kernels. It uses the same
    /// code as a CUDA or Metal device.
    #[must_use]
    pub fn cpu_reference() -> Self {
        Self {
            inner: candle_core::Device::Cpu,
            spec: DeviceSpec::Cpu,
            kernels: Kernels::Candle,
            precision: Precision::Full,
        }
    }

    /// The instruction set that the kernels use on this CPU: `avx512`, `avx2`, or `portable`.
    #[must_use]
    pub fn cpu_kernels() -> &'static str {
        Isa::detect().name()
    }

    /// Whether it is the CPU.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.inner.is_cpu()
    }

    /// candle's device.
    #[must_use]
    pub fn candle(&self) -> &candle_core::Device {
        &self.inner
    }

    /// The precision of its computations.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The same device in half precision; also [`Device::cpu_reference`], for tests of CUDA's and
    /// Metal's code.
    ///
    /// # Errors
    /// [`Error::NoHalf`] for the CPU: its kernels compute f32, and are faster with it.
    pub fn in_half(self) -> Result<Self, Error> {
        if self.kernels == Kernels::Own {
            return Err(Error::NoHalf {
                device: self.to_string(),
            });
        }
        Ok(Self {
            precision: Precision::Half,
            ..self
        })
    }

    /// The same device in full precision.
    #[must_use]
    pub fn in_full(self) -> Self {
        Self {
            precision: Precision::Full,
            ..self
        }
    }

    pub(crate) fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// The type of the tensors between its layers.
    pub(crate) fn dtype(&self) -> DType {
        self.precision.dtype()
    }

    /// A tensor on the device, with its precision.
    pub(crate) fn place(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.to_device(&self.inner)?.to_dtype(self.dtype())
    }

    /// Weights, f32 and on the CPU, on the device, with its precision; `name` is for messages.
    /// Weights that half precision would turn into infinities are an error.
    pub(crate) fn place_weights(&self, name: &str, weights: &Tensor) -> Result<Tensor, Error> {
        if self.precision == Precision::Half && weights.elem_count() > 0 {
            let largest = weights.abs()?.max_all()?.to_scalar::<f32>()?;
            if largest > MAX_HALF {
                return Err(Error::TooLargeForHalf {
                    layer: name.to_owned(),
                    largest,
                });
            }
        }
        Ok(self.place(weights)?)
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
    fn device_names_round_trip() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(name.parse::<DeviceSpec>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceSpec>().unwrap(), DeviceSpec::Cuda(0));
        for name in ["", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:1:2", "gpu"] {
            let error = name.parse::<DeviceSpec>().unwrap_err();
            assert!(
                error
                    .remedy()
                    .unwrap()
                    .to_string()
                    .contains("cuda:<number>"),
                "{error}"
            );
        }
    }

    #[test]
    fn cpu_kernels_refuse_half_precision() {
        let error = Device::cpu().in_half().unwrap_err();
        assert!(error.to_string().contains("`cpu`"), "{error}");
        assert!(error.to_string().contains("slower"), "{error}");
        assert!(error.remedy().unwrap().to_string().contains("`full`"));
        let half = Device::cpu_reference().in_half().unwrap();
        assert_eq!(half.precision(), Precision::Half);
        assert_eq!(half.in_full().precision(), Precision::Full);
    }

    #[test]
    fn weights_beyond_half_precision_are_refused() {
        let weights = |value: f32| Tensor::new(&[1.0, value], &candle_core::Device::Cpu).unwrap();
        let half = Device::cpu_reference().in_half().unwrap();
        let placed = half.place_weights("fc", &weights(-65504.0)).unwrap();
        assert_eq!(placed.dtype(), DType::F16);
        let error = half.place_weights("fc", &weights(-70000.0)).unwrap_err();
        assert!(error.to_string().starts_with("fc: "), "{error}");
        assert!(error.remedy().unwrap().to_string().contains("`full`"));
        for device in [Device::cpu(), Device::cpu_reference()] {
            assert!(device.place_weights("fc", &weights(-70000.0)).is_ok());
        }
    }

    #[test]
    fn kernels_have_a_name() {
        assert!(["avx512", "avx2", "portable"].contains(&Device::cpu_kernels()));
    }

    #[test]
    fn auto_opens_a_device() {
        assert!(!DeviceSpec::Auto.open().unwrap().to_string().is_empty());
    }

    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    #[test]
    fn missing_device_support_is_reported() {
        for name in ["cuda:1", "metal"] {
            let error = name.parse::<DeviceSpec>().unwrap().open().unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(
                error.remedy().unwrap().to_string().contains("feature"),
                "{error}"
            );
        }
    }
}
