//! ConvNeXt, as transformers builds it (`models/convnext`; Liu et al., "A ConvNet for the 2020s",
//! 2022).

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use crate::architectures::shared::block::scaled;
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::hugging_face::{self, Labels, Sides};
use crate::architectures::shared::network::{ArchitectureConfig, ImageTower, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Conv2d, ConvGeometry, Dense, FeatureMap, FeedForward, LayerNorm, Linear,
    global_average,
};
use crate::trace::Trace;
use crate::weights::Scope;

/// The epsilon of the norms before the last one; it is not configurable.
const EPS: f64 = 1e-6;

/// The configuration of `convnext`: a repository's `config.json`, `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `num_channels` | channels of the input | 3 |
/// | `patch_size` | the side of a patch, or both | 4 |
/// | `hidden_sizes` | channels of the stages | 96, 192, 384, 768 |
/// | `depths` | blocks of the stages | 3, 3, 9, 3 |
/// | `hidden_act` | | `"gelu"` |
/// | `layer_norm_eps` | of the last norm | 1e-12 |
/// | `layer_scale_init_value` | above 0: blocks have layer scale | 1e-6 |
/// | `id2label` or `num_labels` | the number of classes | 2 |
///
/// The weights have the names of transformers' `ConvNextForImageClassification` or
/// `ConvNextModel`: `convnext.embeddings.patch_embeddings.weight`,
/// `convnext.encoder.stages.0.layers.0.dwconv.weight`, …, `classifier.weight`. Published:
/// `facebook/convnext-tiny-224` to `-xlarge-224-22k-1k`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ConvNextConfig {
    /// Channels of the input.
    pub num_channels: usize,
    /// A patch's side, or its height and width.
    patch_size: Sides,
    /// Channels of the stages.
    pub hidden_sizes: Vec<usize>,
    /// Blocks of the stages.
    pub depths: Vec<usize>,
    /// The activation.
    pub hidden_act: String,
    /// The epsilon of the last norm.
    pub layer_norm_eps: f64,
    /// Above 0: blocks have layer scale.
    pub layer_scale_init_value: f64,
}

impl Default for ConvNextConfig {
    fn default() -> Self {
        Self {
            num_channels: 3,
            patch_size: Sides::Both(4),
            hidden_sizes: vec![96, 192, 384, 768],
            depths: vec![3, 3, 9, 3],
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-12,
            layer_scale_init_value: 1e-6,
        }
    }
}

/// A checked configuration.
pub(crate) struct ConvNext {
    config: ConvNextConfig,
    patch: [usize; 2],
    activation: Activation,
    labels: Labels,
}

impl ConvNext {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<ConvNextNetwork, Error> {
        let base = hugging_face::base(weights, "convnext", "embeddings.patch_embeddings.weight");
        let embeddings = base.child("embeddings");
        let mut channels = self.config.hidden_sizes.first().copied().unwrap_or(1);
        let patches = ConvGeometry::patches([self.config.num_channels, channels], self.patch);
        let patches = plain(&embeddings.child("patch_embeddings"), patches, device)?;
        let norm = LayerNorm::load(&embeddings.child("layernorm"), channels, EPS, true, device)?;
        let mut stages = Vec::new();
        let sizes = self.config.hidden_sizes.iter().zip(&self.config.depths);
        for (index, (&width, &depth)) in sizes.enumerate() {
            let scope = base.child(&format!("encoder.stages.{index}"));
            let downsampling = if index > 0 {
                let scope = scope.child("downsampling_layer");
                let convolution = ConvGeometry::patches([channels, width], [2; 2]);
                Some((
                    LayerNorm::load(&scope.child("0"), channels, EPS, true, device)?,
                    plain(&scope.child("1"), convolution, device)?,
                ))
            } else {
                None
            };
            let blocks = (0..depth)
                .map(|block| self.block(&scope.child(&format!("layers.{block}")), width, device))
                .collect::<Result<_, _>>()?;
            stages.push(Stage {
                downsampling,
                blocks,
            });
            channels = width;
        }
        let eps = self.config.layer_norm_eps;
        let last = LayerNorm::load(&base.child("layernorm"), channels, eps, true, device)?;
        Ok(ConvNextNetwork {
            patches,
            norm,
            stages,
            last,
            classifier: hugging_face::classifier(
                weights,
                "classifier",
                channels,
                self.labels,
                device,
            )?,
        })
    }

    fn block(&self, scope: &Scope<'_>, width: usize, device: &Device) -> Result<Block, Error> {
        let depthwise = ConvGeometry::square(width, width, 7, 1, 3).grouped(width);
        let inner = width.saturating_mul(4);
        let (up, down) = (scope.child("pwconv1"), scope.child("pwconv2"));
        let dense = Dense::load(&down, [inner, width], true)?;
        let dense = if self.config.layer_scale_init_value > 0.0 {
            scaled(dense, scope, "layer_scale_parameter", width)?
        } else {
            dense
        };
        Ok(Block {
            depthwise: plain(&scope.child("dwconv"), depthwise, device)?,
            norm: LayerNorm::load(&scope.child("layernorm"), width, EPS, true, device)?,
            mlp: FeedForward::new(
                Linear::load(&up, [width, inner], true, None, self.activation, device)?,
                Linear::new(down.name(), dense, Activation::Identity, device)?,
            ),
        })
    }
}

/// A convolution with a bias, without norm and activation.
fn plain(scope: &Scope<'_>, geometry: ConvGeometry, device: &Device) -> Result<Conv2d, Error> {
    Conv2d::load(scope, geometry, true, None, Activation::Identity, device)
}

impl ArchitectureConfig for ConvNext {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: ConvNextConfig = checker.read(config)?;
        checker.check_count("hidden_sizes", parsed.hidden_sizes.len())?;
        if parsed.depths.len() != parsed.hidden_sizes.len() {
            return Err(checker.error("depths", "must have as many values as `hidden_sizes`"));
        }
        checker.check_size("num_channels", parsed.num_channels)?;
        for &size in &parsed.hidden_sizes {
            checker.check_size("hidden_sizes", size)?;
        }
        let depth = parsed.depths.iter().copied().fold(0, usize::saturating_add);
        checker.check_count("depths", depth)?;
        checker.check_eps("layer_norm_eps", parsed.layer_norm_eps)?;
        Ok(Self {
            patch: checker.check_sides("patch_size", parsed.patch_size.pair())?,
            activation: checker.activation("hidden_act", &parsed.hidden_act)?,
            labels: Labels::read(checker, config)?,
            config: parsed,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.config.num_channels)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(self.labels.known())
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let classifies = network.classifier.is_some();
        Ok(hugging_face::network(
            network,
            self.config.depths.len(),
            classifies,
        ))
    }
}

/// A built ConvNeXt.
pub(crate) struct ConvNextNetwork {
    patches: Conv2d,
    norm: LayerNorm,
    stages: Vec<Stage>,
    last: LayerNorm,
    classifier: Option<Linear>,
}

struct Stage {
    downsampling: Option<(LayerNorm, Conv2d)>,
    blocks: Vec<Block>,
}

/// A 7x7 depthwise convolution and an MLP.
struct Block {
    depthwise: Conv2d,
    norm: LayerNorm,
    mlp: FeedForward,
}

impl ImageTower for ConvNextNetwork {
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        trace.input("hidden_states.0", &x)?;
        let x = self.patches.forward(&x, None)?;
        let mut x = self.norm.forward_map(&x)?;
        trace.output("hidden_states.0", &x)?;
        for (index, stage) in self.stages.iter().enumerate() {
            let name = format!("hidden_states.{}", index + 1);
            trace.input(&name, &x)?;
            if let Some((norm, convolution)) = &stage.downsampling {
                x = convolution.forward(&norm.forward_map(&x)?, None)?;
            }
            for block in &stage.blocks {
                x = block.forward(&x)?;
            }
            trace.output(&name, &x)?;
        }
        trace.input("last_hidden_state", &x)?;
        trace.output("last_hidden_state", &x)?;
        trace.input("pooler_output", &x)?;
        let pooled = self.last.forward(&global_average(&x)?.flatten()?)?;
        trace.output("pooler_output", &pooled)?;
        hugging_face::classify("classifier", self.classifier.as_ref(), pooled, trace)
    }
}

impl Block {
    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap, Error> {
        let inner = self.norm.forward_map(&self.depthwise.forward(x, None)?)?;
        self.mlp.forward_map(&inner, x)
    }
}
