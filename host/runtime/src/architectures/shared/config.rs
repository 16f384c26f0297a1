//! Checks of configurations, with errors that name the architecture and the field.

use std::fmt::Display;
use std::ops::RangeInclusive;

use modelzoo_base::text::escape;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;
use crate::layers::Activation;

/// The most channels, features, heads, tokens or classes: larger numbers are refused before the
/// weights are read.
pub(crate) const MAX_SIZE: usize = 1 << 20;
/// The most layers or blocks of a network.
const MAX_COUNT: usize = 1000;
/// The most pixels along a side of an image.
const MAX_SIDE: usize = 1 << 14;

/// Checks the fields of an architecture's configuration, or of a part of it.
#[derive(Clone, Debug)]
pub(crate) struct ConfigChecker {
    architecture: &'static str,
    /// Where the part is; empty for the whole.
    path: String,
}

impl ConfigChecker {
    pub(crate) fn new(architecture: &'static str) -> Self {
        Self {
            architecture,
            path: String::new(),
        }
    }

    /// The name that the plan uses.
    pub(crate) fn architecture(&self) -> &'static str {
        self.architecture
    }

    /// Checks the part that is in a field.
    pub(crate) fn child(&self, field: &str) -> Self {
        Self {
            architecture: self.architecture,
            path: self.join(field),
        }
    }

    fn join(&self, field: &str) -> String {
        match (self.path.as_str(), field) {
            ("", field) => field.to_owned(),
            (path, "") => path.to_owned(),
            (path, field) => format!("{path}.{field}"),
        }
    }

    /// The error of a field, or of the whole part where `field` is empty.
    pub(crate) fn error(&self, field: &str, reason: impl Into<String>) -> Error {
        Error::BadConfig {
            architecture: self.architecture,
            field: self.join(field),
            reason: reason.into(),
        }
    }

    /// Reads the part, which must be an object.
    pub(crate) fn read<T: DeserializeOwned>(&self, value: &Value) -> Result<T, Error> {
        if !value.is_object() {
            return Err(self.error("", "must be a JSON object"));
        }
        T::deserialize(value).map_err(|error| self.error("", error.to_string()))
    }

    /// Checks that a number is in a range.
    pub(crate) fn check_range<T: PartialOrd + Display>(
        &self,
        field: &str,
        value: T,
        range: RangeInclusive<T>,
    ) -> Result<(), Error> {
        if range.contains(&value) {
            return Ok(());
        }
        let reason = format!("must be {} to {}, not {value}", range.start(), range.end());
        Err(self.error(field, reason))
    }

    /// Checks a number of channels, features, heads, tokens or classes.
    pub(crate) fn check_size(&self, field: &str, size: usize) -> Result<(), Error> {
        self.check_range(field, size, 1..=MAX_SIZE)
    }

    /// Checks several of them.
    pub(crate) fn check_sizes(&self, sizes: &[(&str, usize)]) -> Result<(), Error> {
        let mut sizes = sizes.iter();
        sizes.try_for_each(|&(field, size)| self.check_size(field, size))
    }

    /// Checks a number of layers or blocks.
    pub(crate) fn check_count(&self, field: &str, count: usize) -> Result<(), Error> {
        self.check_range(field, count, 1..=MAX_COUNT)
    }

    /// Checks the sides of an image or of a patch, in pixels.
    pub(crate) fn check_sides(&self, field: &str, sides: [usize; 2]) -> Result<[usize; 2], Error> {
        for side in sides {
            self.check_range(field, side, 1..=MAX_SIDE)?;
        }
        Ok(sides)
    }

    /// Checks a factor on numbers of channels or blocks.
    pub(crate) fn check_factor(&self, field: &str, factor: f64) -> Result<(), Error> {
        self.check_range(field, factor, 0.001..=1000.0)
    }

    /// Checks the epsilon of norms.
    pub(crate) fn check_eps(&self, field: &str, eps: f64) -> Result<(), Error> {
        self.check_range(field, eps, 0.0..=1.0)
    }

    /// An activation by its name in transformers.
    pub(crate) fn activation(&self, field: &str, name: &str) -> Result<Activation, Error> {
        Ok(match name {
            "gelu" | "gelu_python" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
            "quick_gelu" => Activation::QuickGelu,
            "relu" => Activation::Relu,
            "relu6" => Activation::Relu6,
            "silu" | "swish" => Activation::Silu,
            "sigmoid" => Activation::Sigmoid,
            "tanh" => Activation::Tanh,
            _ => return Err(self.unsupported(field, name)),
        })
    }

    /// The error of a value that asks for something that is not implemented.
    pub(crate) fn unsupported(&self, field: &str, value: &str) -> Error {
        self.error(field, format!("`{}` is not supported", escape(value)))
    }
}
