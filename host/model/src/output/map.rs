use super::{OutputError, equal, finite};

/// Numbers for each pixel, `[channels, height, width]`: scores of classes, probabilities, depth.
/// The resolution may be another than that of the network's input.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Map {
    /// A map from its values.
    ///
    /// # Errors
    /// [`OutputError`] when their number is not that of the shape, or one is not finite.
    pub fn new(
        [channels, height, width]: [usize; 3],
        values: Vec<f32>,
    ) -> Result<Self, OutputError> {
        let wanted = channels.saturating_mul(height).saturating_mul(width);
        equal("values of a map", wanted, values.len())?;
        finite(&values)?;
        Ok(Self {
            channels,
            height,
            width,
            values,
        })
    }

    /// Channels, rows and columns.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// The values, channel after channel and row after row.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Each channel's values, row after row.
    pub fn channels(&self) -> impl Iterator<Item = &[f32]> {
        let area = self.height.saturating_mul(self.width);
        // A map without pixels has no values, whatever its channels.
        self.values.chunks_exact(area.max(1))
    }
}
