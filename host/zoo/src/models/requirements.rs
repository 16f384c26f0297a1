//! Checking a device against what a model's manifest requires.

use modelzoo_runtime::Device;

use crate::error::Error;
use crate::store::ModelRecord;

/// What happens if a requirement is not met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ErrorLevel {
    /// It is an error.
    #[default]
    Error,
    /// It is a warning.
    Warn,
    /// Nothing.
    Ignore,
}

impl ModelRecord {
    /// Checks a device against the devices that the model's manifest supports.
    ///
    /// # Errors
    /// [`Error::Requirement`] under [`ErrorLevel::Error`] if the manifest excludes the device.
    pub fn check_requirements(&self, device: &Device, level: ErrorLevel) -> Result<(), Error> {
        let requirements = &self.entry.requirements;
        let (supported, device) = match device.is_cpu() {
            true => (requirements.cpu, "the CPU"),
            false => (requirements.gpu, "a GPU"),
        };
        if supported != Some(false) {
            return Ok(());
        }
        let error = Error::Requirement {
            model: self.name(),
            device,
        };
        match level {
            ErrorLevel::Error => Err(error),
            ErrorLevel::Warn => {
                tracing::warn!("{error}");
                Ok(())
            }
            ErrorLevel::Ignore => Ok(()),
        }
    }
}
