//! Looking into a network while it runs: the output, or the input, of one of its layers.

use candle_core::Tensor;

use crate::error::Error;
use crate::layers::FeatureMap;
use crate::precision::full;

/// What a network tells of its layers' values while it runs, and which of them is wanted.
///
/// A network calls [`Trace::input`] before and [`Trace::output`] after each layer that it names;
/// neither costs anything but for the one that is wanted. A layer that runs several times is
/// taken at its last time.
#[derive(Default)]
pub(crate) struct Trace<'a> {
    wanted: Option<&'a str>,
    found: Option<Tensor>,
}

/// A value between layers.
pub(crate) trait Traced {
    /// As PyTorch has it: `[batch, channels, height, width]`, `[batch, tokens, features]` or
    /// `[batch, features]`; f32, whatever the precision.
    fn traced(&self) -> Result<Tensor, Error>;
}

impl Traced for Tensor {
    fn traced(&self) -> Result<Tensor, Error> {
        Ok(full(self)?)
    }
}

impl Traced for FeatureMap {
    fn traced(&self) -> Result<Tensor, Error> {
        Ok(full(&self.to_channels_first()?)?)
    }
}

impl<'a> Trace<'a> {
    /// Nothing is wanted but the network's output.
    pub(crate) fn off() -> Self {
        Self::default()
    }

    /// The output of the layer `wanted`, or its input where the name follows a `<`.
    pub(crate) fn of(wanted: &'a str) -> Self {
        Self {
            wanted: Some(wanted),
            found: None,
        }
    }

    /// Tells what goes into `layer`.
    pub(crate) fn input(&mut self, layer: &str, x: &impl Traced) -> Result<(), Error> {
        if self.wanted.and_then(|wanted| wanted.strip_prefix('<')) == Some(layer) {
            self.found = Some(x.traced()?);
        }
        Ok(())
    }

    /// Tells what comes out of `layer`.
    pub(crate) fn output(&mut self, layer: &str, x: &impl Traced) -> Result<(), Error> {
        if self.wanted == Some(layer) {
            self.found = Some(x.traced()?);
        }
        Ok(())
    }

    /// Whether the input or the output of `layer` is wanted.
    pub(crate) fn wants(&self, layer: &str) -> bool {
        let wanted = self
            .wanted
            .map(|name| name.strip_prefix('<').unwrap_or(name));
        wanted == Some(layer)
    }

    /// What was wanted, once the network has run.
    pub(crate) fn found(self) -> Option<Tensor> {
        self.found
    }
}
