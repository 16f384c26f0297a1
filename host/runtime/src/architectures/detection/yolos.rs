//! YOLOS (Fang et al., "You Only Look at One Sequence", 2021): a vision transformer with tokens that
//! become objects, as transformers builds it.

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use super::attention::{BoxHead, norm_with};
use super::found::{self, Candidates, QueryTower, Scores};
use crate::architectures::shared::block::{AttentionExtras, Block};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::encoder::{EncoderConfig, EncoderDefaults, EncoderFields};
use crate::architectures::shared::grid::{Grid, GridCache, Interpolation};
use crate::architectures::shared::hugging_face::Labels;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::architectures::shared::patches::Patches;
use crate::architectures::transformers::VIT_LAYOUT;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Conv2d, FeatureMap, LayerNorm, add_rows, prepend_rows};
use crate::trace::Trace;
use crate::weights::Scope;

/// The configuration of `yolos`: a repository's `config.json`, of a `YolosForObjectDetection`.
///
/// | field | | default |
/// |---|---|---|
/// | `image_size` | height and width that positions are for; others are interpolated | `[512, 864]` |
/// | `patch_size`, `num_channels` | | 16, 3 |
/// | `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `intermediate_size` | | 768, 12, 12, 3072 |
/// | `hidden_act`, `layer_norm_eps` | | `"gelu"`, 1e-12 |
/// | `qkv_bias` | whether queries, keys and values have a bias | true |
/// | `num_detection_tokens` | objects that are looked for | 100 |
/// | `use_mid_position_embeddings` | whether all layers but the last have positions after them | true |
/// | `id2label` or `num_labels` | the number of classes, without that of no object | 2 |
///
/// The weights have the names of published checkpoints: `vit.embeddings.detection_tokens`, …,
/// `bbox_predictor.layers.2.bias`. There is one box per detection token; overlapping boxes need no
/// suppression.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct YolosConfig {
    #[serde(flatten)]
    fields: EncoderFields,
    /// Height and width that positions are for.
    pub image_size: [usize; 2],
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Objects that are looked for.
    pub num_detection_tokens: usize,
    /// Whether all layers but the last have positions after them.
    pub use_mid_position_embeddings: bool,
}

impl Default for YolosConfig {
    fn default() -> Self {
        Self {
            fields: EncoderFields::default(),
            image_size: [512, 864],
            qkv_bias: true,
            num_detection_tokens: 100,
            use_mid_position_embeddings: true,
        }
    }
}

/// A checked configuration.
pub(crate) struct Yolos {
    config: YolosConfig,
    patches: Patches,
    grid: [usize; 2],
    encoder: EncoderConfig,
    labels: Labels,
}

impl ArchitectureConfig for Yolos {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: YolosConfig = checker.read(config)?;
        let defaults = EncoderDefaults::VIT;
        let mut encoder = parsed.fields.encoder(checker, &defaults)?;
        encoder.block.qkv_bias = [parsed.qkv_bias; 3];
        checker.check_range(
            "num_detection_tokens",
            parsed.num_detection_tokens,
            1..=10_000,
        )?;
        let patches = parsed.fields.patches(checker, &defaults)?;
        let size = checker.check_sides("image_size", parsed.image_size)?;
        Ok(Self {
            grid: patches.configured_grid(checker, size)?,
            labels: Labels::read(checker, config)?,
            config: parsed,
            patches,
            encoder,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.patches.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.patches.check_plan(size)?;
        Ok(Some(self.labels.count))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let layers = ["last_hidden_state", "logits", "pred_boxes"];
        Ok(found::network(network, &layers))
    }
}

impl Yolos {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<YolosTower, Error> {
        let base = weights.child("vit");
        let embeddings = base.child("embeddings");
        let (width, count) = (self.encoder.block.width, self.config.num_detection_tokens);
        let [rows, columns] = self.grid;
        let tokens = 1 + rows * columns + count;
        let positions = |values: &Tensor| Positions::new(values, self.grid, count, device);
        let first = embeddings.get("position_embeddings", &[1, tokens, width])?;
        let between = self.encoder.blocks.saturating_sub(1);
        let mut later = Vec::with_capacity(between);
        if self.config.use_mid_position_embeddings && between > 0 {
            let sizes = [between, 1, tokens, width];
            let values = base.get("encoder.mid_position_embeddings", &sizes)?;
            for layer in 0..between {
                later.push(positions(&values.get(layer)?.squeeze(0)?)?);
            }
        }
        let token = |name: &str, count: usize| -> Result<Tensor, Error> {
            let values = embeddings.get(name, &[1, count, width])?.squeeze(0)?;
            device.place_weights(name, &values)
        };
        let scope = embeddings.child("patch_embeddings.projection");
        let eps = self.encoder.block.eps;
        let head = |name: &str, outputs| {
            BoxHead::load(&weights.child(name), [width, width, outputs], 3, device)
        };
        Ok(YolosTower {
            projection: self.patches.load(&scope, width, true, device)?,
            patches: self.patches,
            class_token: token("cls_token", 1)?,
            detection_tokens: token("detection_tokens", count)?,
            positions: positions(&first.squeeze(0)?)?,
            later,
            blocks: self
                .encoder
                .load(&base.child("encoder.layer"), &VIT_LAYOUT, device)?,
            norm: norm_with(&base, "layernorm", width, eps, device)?,
            classes: head("class_labels_classifier", self.labels.count + 1)?,
            boxes: head("bbox_predictor", 4)?,
            device: device.clone(),
        })
    }
}

/// Positions of all tokens, those of the patches on a grid.
struct Positions {
    first: Tensor,
    grid: Grid,
    last: Tensor,
    tensors: GridCache<Tensor>,
}

impl Positions {
    /// `[1 + rows * columns + count, width]`
    fn new(
        values: &Tensor,
        [rows, columns]: [usize; 2],
        count: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        let patches = values.narrow(0, 1, rows * columns)?;
        let grid = Grid::new(patches.flatten_all()?.to_vec1()?, [rows, columns]);
        let end = |first, count| -> Result<Tensor, Error> {
            device.place_weights("positions", &values.narrow(0, first, count)?.contiguous()?)
        };
        Ok(Self {
            first: end(0, 1)?,
            grid: grid.ok_or_else(|| Error::bad_input("positions", "are of another grid"))?,
            last: end(1 + rows * columns, count)?,
            tensors: GridCache::new(),
        })
    }

    /// `[tokens, width]` for a grid of patches.
    fn of(&self, grid: [usize; 2], device: &Device) -> Result<Tensor, Error> {
        self.tensors.get(grid, || {
            let values = self.grid.resized(grid, Interpolation::Bicubic);
            let places = grid.iter().product::<usize>();
            let width = values.len() / places.max(1);
            let values = Tensor::from_vec(values, (places, width), &candle_core::Device::Cpu)?;
            let values = device.place_weights("positions", &values)?;
            Ok(Tensor::cat(&[&self.first, &values, &self.last], 0)?)
        })
    }
}

/// A built YOLOS.
struct YolosTower {
    patches: Patches,
    projection: Conv2d,
    /// `[1, width]`
    class_token: Tensor,
    /// `[objects, width]`
    detection_tokens: Tensor,
    positions: Positions,
    /// What is added after all layers but the last.
    later: Vec<Positions>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    classes: BoxHead,
    boxes: BoxHead,
    device: Device,
}

impl QueryTower for YolosTower {
    fn candidates(&self, x: &FeatureMap, trace: &mut Trace<'_>) -> Result<Candidates, Error> {
        let shape = x.shape()?;
        let grid = self.patches.grid([shape.height, shape.width])?;
        let patches = self.projection.forward(x, None)?.to_tokens()?;
        let (count, width) = self.detection_tokens.dims2()?;
        let ends = self.detection_tokens.unsqueeze(0)?;
        let ends = ends.expand((shape.batch, count, width))?.contiguous()?;
        let tokens = Tensor::cat(&[prepend_rows(&patches, &self.class_token)?, ends], 1)?;
        let positions = self.positions.of(grid, &self.device)?;
        let mut x = add_rows(&tokens, &positions, &self.device)?;
        let mut later = self.later.iter();
        for block in &self.blocks {
            x = block.forward(&x, AttentionExtras::default())?;
            if let Some(positions) = later.next() {
                x = add_rows(&x, &positions.of(grid, &self.device)?, &self.device)?;
            }
        }
        trace.input("last_hidden_state", &x)?;
        let x = self.norm.forward(&x)?;
        trace.output("last_hidden_state", &x)?;
        let all = x.dim(1)?;
        let objects = x
            .narrow(1, all.saturating_sub(count), count)?
            .contiguous()?;
        trace.input("logits", &objects)?;
        let logits = self.classes.forward(&objects)?;
        trace.output("logits", &logits)?;
        trace.input("pred_boxes", &objects)?;
        let boxes = candle_nn::ops::sigmoid(&self.boxes.forward(&objects)?)?;
        trace.output("pred_boxes", &boxes)?;
        Ok(Candidates {
            logits,
            boxes,
            scores: Scores::SoftmaxWithNone,
        })
    }
}
