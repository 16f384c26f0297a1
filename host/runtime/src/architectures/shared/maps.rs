//! Networks that give numbers for each pixel.

use candle_core::Tensor;
use modelzoo_model::output::{Map, Output, OutputError, OutputKind};

use super::network::{ImageTower, Network};
use crate::error::Error;
use crate::layers::FeatureMap;
use crate::precision::full;
use crate::trace::Trace;

/// A network that gives a map: scores of classes, or depths, of any resolution.
pub(crate) trait MapTower: Send + Sync {
    /// One map per image, which covers all of it.
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<FeatureMap, Error>;
}

/// The outputs of such a network.
struct Maps<T>(T);

impl<T: MapTower> ImageTower for Maps<T> {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        self.0.forward(x, trace)?.to_channels_first()
    }

    fn gives(&self) -> OutputKind {
        OutputKind::Map
    }

    fn outputs(&self, x: FeatureMap) -> Result<Vec<Result<Output, OutputError>>, Error> {
        let maps = self.0.forward(x, &mut Trace::off())?;
        let shape = maps.shape()?;
        let sizes = [shape.channels, shape.height, shape.width];
        let values = full(&maps.to_channels_first()?)?;
        let rows = values.flatten_from(1)?.to_vec2::<f32>()?.into_iter();
        let output = |values| Ok(Output::Map(Map::new(sizes, values)?));
        Ok(rows.map(output).collect())
    }
}

impl Network {
    /// A network that gives maps for images.
    pub(crate) fn of_maps(tower: impl MapTower + 'static, layers: Vec<String>) -> Self {
        Self::of_images(Maps(tower), layers, None)
    }
}
