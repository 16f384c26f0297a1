//! The layers of a built EfficientNet.

use candle_core::Tensor;

use crate::architectures::shared::hugging_face;
use crate::architectures::shared::network::ImageTower;
use crate::error::Error;
use crate::layers::{Conv2d, FeatureMap, Linear, global_average};
use crate::trace::Trace;

/// A built EfficientNet.
pub(super) struct Tower {
    pub(super) stem: Conv2d,
    pub(super) blocks: Vec<Block>,
    pub(super) top: Conv2d,
    pub(super) classifier: Option<Linear>,
}

/// An inverted bottleneck with squeeze and excitation.
pub(super) struct Block {
    pub(super) expansion: Option<Conv2d>,
    pub(super) depthwise: Conv2d,
    pub(super) reduce: Conv2d,
    pub(super) expand: Conv2d,
    pub(super) projection: Conv2d,
    pub(super) residual: bool,
}

impl ImageTower for Tower {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        trace.input("hidden_states.0", &x)?;
        let mut x = self.stem.forward(&x, None)?;
        trace.output("hidden_states.0", &x)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let name = format!("hidden_states.{}", index + 1);
            trace.input(&name, &x)?;
            x = block.forward(&x)?;
            trace.output(&name, &x)?;
        }
        trace.input("last_hidden_state", &x)?;
        let x = self.top.forward(&x, None)?;
        trace.output("last_hidden_state", &x)?;
        trace.input("pooler_output", &x)?;
        let pooled = global_average(&x)?.flatten()?;
        trace.output("pooler_output", &pooled)?;
        hugging_face::classify("classifier", self.classifier.as_ref(), pooled, trace)
    }
}

impl Block {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let expanded = match &self.expansion {
            Some(expansion) => Some(expansion.forward(x, None)?),
            None => None,
        };
        let inner = self
            .depthwise
            .forward(expanded.as_ref().unwrap_or(x), None)?;
        let gate = self.reduce.forward(&global_average(&inner)?, None)?;
        let gate = self.expand.forward(&gate, None)?;
        let inner = inner.scale_channels(&gate)?;
        self.projection.forward(&inner, self.residual.then_some(x))
    }
}
