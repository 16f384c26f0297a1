//! The output, or the input, of a layer while its network runs.

use candle_core::Tensor;

use crate::error::Error;
use crate::layers::FeatureMap;
use crate::precision::full;

/// Takes a value of a network while it runs.
///
/// A network calls [`Trace::input`] before and [`Trace::output`] after each layer that it names;
/// both are free except for the wanted value. Of a layer that runs several times, the last run
/// counts.
#[derive(Default)]
pub(crate) struct Trace<'a> {
    wanted: Option<&'a str>,
    found: Option<Tensor>,
}

/// A value between layers.
pub(crate) trait Traced {
    /// In PyTorch's layout: `[batch, channels, height, width]`, `[batch, tokens, features]` or
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
    /// Takes no value.
    pub(crate) fn off() -> Self {
        Self::default()
    }

    /// Takes the output of the layer `wanted`, or with a `<` before the name its input.
    pub(crate) fn of(wanted: &'a str) -> Self {
        Self {
            wanted: Some(wanted),
            found: None,
        }
    }

    /// Offers the input of `layer`.
    pub(crate) fn input(&mut self, layer: &str, x: &impl Traced) -> Result<(), Error> {
        if self.wanted.and_then(|wanted| wanted.strip_prefix('<')) == Some(layer) {
            self.found = Some(x.traced()?);
        }
        Ok(())
    }

    /// Offers the output of `layer`.
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

    /// The value, once the network has run.
    pub(crate) fn found(self) -> Option<Tensor> {
        self.found
    }
}
