//! D-FINE (Peng et al., "D-FINE: Redefine Regression Task in DETRs as Fine-grained Distribution
//! Refinement", 2024), as transformers builds it.

mod distances;

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use distances::Distances;

use super::attention::{BoxHead, NormedMlp, ProjectedAttention, linear, norm};
use super::found::{self, Candidates, QueryTower, Scores};
use super::hgnet::{HgNet, HgNetBackbone};
use super::hybrid_encoder::{HybridConfig, HybridEncoder, Joining};
use super::proposals::{Proposals, flattened, inverse_sigmoid, project};
use super::rt_detr::{
    Heads, RtDetrConfig, check_fixed, check_multiple, ignore_unused, projections,
};
use crate::architectures::convnets::loader::LayerLoader;
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::hugging_face::Labels;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Conv2d, DeformableAttention, FeatureMap, LayerNorm, Linear, References,
};
use crate::precision::full;
use crate::trace::Trace;
use crate::weights::Scope;

/// The configuration of `d_fine`: a repository's `config.json`, of a `DFineForObjectDetection`.
///
/// It has the fields of [`RtDetrConfig`], with a `backbone_config` of `hgnet_v2`, and:
///
/// | field | | default |
/// |---|---|---|
/// | `depth_mult` | blocks of the encoder's joining layers, as a part of 3 | 1 |
/// | `max_num_bins` | bins of an edge's distances | 32 |
/// | `reg_scale`, `up` | where the bins are, if the weights do not have them | 4, 0.5 |
/// | `top_prob_values`, `lqe_hidden_dim`, `lqe_layers` | the estimate of how good a box is | 4, 64, 2 |
///
/// The weights have the names of published checkpoints: `model.backbone.model.embedder.stem1.convolution.weight`,
/// …, `model.decoder.bbox_embed.0.layers.0.weight`, …. Images have sides that are multiples of 32. The
/// candidates are those of [`RtDetrConfig`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct DFineConfig {
    /// What RT-DETR has too.
    #[serde(flatten)]
    pub common: RtDetrConfig,
    /// Blocks of the encoder's joining layers, as a part of 3.
    pub depth_mult: f64,
    /// Bins of an edge's distances.
    pub max_num_bins: usize,
    /// How curved the distances of the bins are.
    pub reg_scale: f32,
    /// The largest distance.
    pub up: f32,
    /// The probabilities of each edge that tell how good a box is.
    pub top_prob_values: usize,
    /// Hidden features of the layers that tell it.
    pub lqe_hidden_dim: usize,
    /// The number of these layers.
    pub lqe_layers: usize,
}

impl Default for DFineConfig {
    fn default() -> Self {
        Self {
            common: RtDetrConfig::default(),
            depth_mult: 1.0,
            max_num_bins: 32,
            reg_scale: 4.0,
            up: 0.5,
            top_prob_values: 4,
            lqe_hidden_dim: 64,
            lqe_layers: 2,
        }
    }
}

/// A checked configuration.
pub(crate) struct DFine {
    config: DFineConfig,
    backbone: HgNet,
    encoder: HybridConfig,
    activation: Activation,
    labels: Labels,
}

impl DFineConfig {
    fn check(&self, checker: &ConfigChecker, value: &Value) -> Result<(), Error> {
        checker.check_range("max_num_bins", self.max_num_bins, 4..=1024)?;
        if !self.max_num_bins.is_multiple_of(2) {
            return Err(checker.error("max_num_bins", "must be even"));
        }
        checker.check_range("reg_scale", self.reg_scale, 1e-3..=1e3)?;
        checker.check_range("up", self.up, 0.0..=1e3)?;
        checker.check_range("depth_mult", self.depth_mult, 0.0..=100.0)?;
        let top = self.top_prob_values;
        checker.check_range("top_prob_values", top, 1..=self.max_num_bins)?;
        checker.check_size("lqe_hidden_dim", self.lqe_hidden_dim)?;
        checker.check_range("lqe_layers", self.lqe_layers, 1..=16)?;
        let last = i64::try_from(self.common.decoder_layers).unwrap_or(i64::MAX) - 1;
        let evaluated = value.get("eval_idx").and_then(Value::as_i64).unwrap_or(-1);
        if evaluated != -1 && evaluated != last {
            return Err(checker.unsupported("eval_idx", &evaluated.to_string()));
        }
        Ok(())
    }

    /// The channels inside of a joining layer, and the blocks of each of its chains.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "both are far below the limits of the types"
    )]
    fn joining(&self) -> (usize, usize) {
        let width = self.common.encoder_hidden_dim as f64;
        let hidden = (self.common.hidden_expansion * width / 2.0).floor();
        let blocks = (3.0 * self.depth_mult).round_ties_even();
        (hidden as usize, blocks as usize)
    }
}

impl ArchitectureConfig for DFine {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: DFineConfig = checker.read(config)?;
        check_fixed(checker, config)?;
        let child = checker.child("backbone_config");
        let Some(backbone) = config.get("backbone_config").filter(|own| own.is_object()) else {
            let reason = "must be the configuration of an HGNetV2";
            return Err(checker.error("backbone_config", reason));
        };
        let kind = backbone.get("model_type").and_then(Value::as_str);
        if let Some(kind) = kind.filter(|kind| *kind != "hgnet_v2") {
            return Err(child.unsupported("model_type", kind));
        }
        let backbone = HgNet::parse(&child, backbone)?;
        let maps = backbone.channels().len();
        let common = &parsed.common;
        common.check(checker, maps)?;
        parsed.check(checker, config)?;
        let (hidden, blocks) = parsed.joining();
        checker.check_size("hidden_expansion", hidden)?;
        checker.check_range("depth_mult", blocks, 0..=1000)?;
        let encoder = common.encoder(checker, maps, (Joining::Chain, hidden, blocks))?;
        Ok(Self {
            activation: common.decoder_activation(checker)?,
            labels: Labels::read(checker, config)?,
            config: parsed,
            backbone,
            encoder,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.backbone.in_channels())
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        check_multiple(size)?;
        Ok(Some(self.labels.count))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let layers = ["encoder", "logits", "pred_boxes"];
        Ok(Network {
            // They have several.
            hidden: vec!["<encoder".to_owned(), "<pred_boxes".to_owned()],
            ..found::network(network, &layers)
        })
    }
}

impl DFine {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<DFineTower, Error> {
        let (config, common) = (&self.config, &self.config.common);
        let model = weights.child("model");
        ignore_unused(&model);
        let loader = LayerLoader::new(&model, device);
        let (width, count) = (common.d_model, common.decoder_layers);
        let encoded = vec![self.encoder.width; self.encoder.maps];
        let decoder = model.child("decoder");
        let layers = (0..count).map(|index| {
            let scope = decoder.child(&format!("layers.{index}"));
            DecoderLayer::load(&scope, common, self.activation, device)
        });
        let number = |name: &str, default: f32| -> Result<f32, Error> {
            if !decoder.has(name) {
                return Ok(default);
            }
            let values = decoder.get(name, &[1])?.to_vec1::<f32>()?;
            Ok(values.first().copied().unwrap_or(default))
        };
        let (up, scale) = (
            number("up", config.up)?,
            number("reg_scale", config.reg_scale)?,
        );
        let (bins, top) = (config.max_num_bins, config.top_prob_values);
        let heads = Heads::scope(weights);
        let last = count.saturating_sub(1);
        for index in 0..last {
            // The last layer alone tells the classes.
            heads.ignore_below(&format!("class_embed.{index}"));
            decoder.ignore_below(&format!("lqe_layers.{index}"));
        }
        let boxes = (0..count).map(|index| {
            let scope = heads.child(&format!("bbox_embed.{index}"));
            BoxHead::load(&scope, [width, width, 4 * (bins + 1)], 3, device)
        });
        Ok(DFineTower {
            backbone: self.backbone.load(&loader.child("backbone.model"))?,
            into_encoder: projections(
                &loader.child("encoder_input_proj"),
                &self.backbone.channels(),
                self.encoder.width,
            )?,
            encoder: HybridEncoder::load(&loader.child("encoder"), &self.encoder)?,
            into_decoder: (width != self.encoder.width)
                .then(|| projections(&loader.child("decoder_input_proj"), &encoded, width))
                .transpose()?,
            proposals: Proposals::load(
                &model,
                [width, self.labels.count, common.num_queries],
                device,
            )?,
            positions: BoxHead::load(
                &decoder.child("query_pos_head"),
                [4, 2 * width, width],
                2,
                device,
            )?,
            first_boxes: BoxHead::load(
                &decoder.child("pre_bbox_head"),
                [width, width, 4],
                3,
                device,
            )?,
            decoder: layers.collect::<Result<_, _>>()?,
            boxes: boxes.collect::<Result<_, _>>()?,
            classes: linear(
                &heads,
                &format!("class_embed.{last}"),
                [width, self.labels.count],
                Activation::Identity,
                device,
            )?,
            quality: BoxHead::load(
                &decoder.child(&format!("lqe_layers.{last}.reg_conf")),
                [4 * (top + 1), config.lqe_hidden_dim, 1],
                config.lqe_layers,
                device,
            )?,
            distances: Distances::new(bins, up, scale, top),
            references: References::Boxes(common.decoder_offset_scale),
            device: device.clone(),
        })
    }
}

/// A built D-FINE.
struct DFineTower {
    backbone: HgNetBackbone,
    into_encoder: Vec<Conv2d>,
    encoder: HybridEncoder,
    /// None where the encoder's maps have as many channels as queries have features.
    into_decoder: Option<Vec<Conv2d>>,
    proposals: Proposals,
    /// From a box to a position embedding.
    positions: BoxHead,
    /// From the first layer's queries to the boxes that distances are counted from.
    first_boxes: BoxHead,
    decoder: Vec<DecoderLayer>,
    /// From each layer's queries to changes of the distances.
    boxes: Vec<BoxHead>,
    classes: Linear,
    /// From how sure the distances are to what scores gain.
    quality: BoxHead,
    distances: Distances,
    references: References,
    device: Device,
}

impl DFineTower {
    /// The boxes of all queries, `[batch, queries, 4]`; `first` are the boxes that distances are
    /// counted from.
    fn decode(&self, corners: &Tensor, first: &Tensor) -> Result<Tensor, Error> {
        let (batch, count, _) = corners.dims3()?;
        let corners = corners.to_vec3::<f32>()?;
        let first = first.to_vec3::<f32>()?;
        let mut edges = Vec::with_capacity(4 * batch * count);
        let rows = corners.iter().flatten().zip(first.iter().flatten());
        for (logits, place) in rows {
            let [x, y, width, height] = place[..] else {
                continue;
            };
            edges.extend(self.distances.decode(logits, [x, y, width, height]));
        }
        let device = self.device.candle();
        Ok(Tensor::from_vec(edges, (batch, count, 4), device)?)
    }

    /// How sure the edges of all queries are, `[batch, queries, of each]`.
    fn sureness(&self, corners: &Tensor) -> Result<Tensor, Error> {
        let (batch, count, _) = corners.dims3()?;
        let rows = corners.to_vec3::<f32>()?;
        let each = rows.iter().flatten();
        let values: Vec<f32> = each.flat_map(|row| self.distances.sureness(row)).collect();
        let each = values.len() / (batch * count).max(1);
        let device = self.device.candle();
        Ok(Tensor::from_vec(values, (batch, count, each), device)?)
    }
}

impl QueryTower for DFineTower {
    fn candidates(&self, x: &FeatureMap, trace: &mut Trace<'_>) -> Result<Candidates, Error> {
        let maps = project(&self.into_encoder, &self.backbone.forward(x)?)?;
        let maps = self.encoder.forward(maps)?;
        let maps = match &self.into_decoder {
            Some(layers) => project(layers, &maps)?,
            None => maps,
        };
        let (tokens, levels) = flattened(&maps)?;
        trace.output("encoder", &tokens)?;
        let (mut x, mut boxes) = self.proposals.choose(&tokens, &levels)?;
        let mut before: Option<(Tensor, Tensor)> = None;
        let mut first = boxes.clone();
        for (layer, heads) in self.decoder.iter().zip(&self.boxes) {
            let positions = self.positions.forward(&self.device.place(&boxes)?)?;
            let positions = positions.clamp(-10f32, 10f32)?;
            let references = (&boxes, self.references);
            x = layer.forward(&x, &positions, &tokens, &levels, references)?;
            let corners = match &before {
                None => {
                    let moved = full(&self.first_boxes.forward(&x)?)?;
                    first = candle_nn::ops::sigmoid(&(moved + inverse_sigmoid(&boxes)?)?)?;
                    full(&heads.forward(&x)?)?
                }
                Some((queries, corners)) => (full(&heads.forward(&(&x + queries)?)?)? + corners)?,
            };
            boxes = self.decode(&corners, &first)?;
            before = Some((x.clone(), corners));
        }
        let (_, corners) = before.ok_or_else(|| Error::bad_input("decoder", "has no layers"))?;
        let sureness = self.sureness(&corners)?;
        trace.output("pred_boxes", &boxes)?;
        trace.input("logits", &x)?;
        let quality = self.quality.forward(&self.device.place(&sureness)?)?;
        let logits = self.classes.forward(&x)?.broadcast_add(&quality)?;
        trace.output("logits", &logits)?;
        Ok(Candidates {
            logits,
            boxes,
            scores: Scores::SigmoidOfPairs,
        })
    }
}

/// Self-attention of the queries, deformable attention to the feature maps that a gate lets through,
/// and an MLP.
struct DecoderLayer {
    attention: ProjectedAttention,
    norm: LayerNorm,
    cross: DeformableAttention,
    gate: Linear,
    gate_norm: LayerNorm,
    mlp: NormedMlp,
}

impl DecoderLayer {
    fn load(
        scope: &Scope<'_>,
        config: &RtDetrConfig,
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        let (width, heads) = (config.d_model, config.decoder_attention_heads);
        let cross = scope.child("encoder_attn");
        // One divided by the numbers of places, as a tensor.
        cross.ignore("num_points_scale");
        let gate = scope.child("gateway");
        Ok(Self {
            attention: ProjectedAttention::load(&scope.child("self_attn"), [width, heads], device)?,
            norm: norm(scope, "self_attn_layer_norm", width, device)?,
            cross: DeformableAttention::load(
                &cross,
                [width, heads],
                &config.points(),
                false,
                device,
            )?,
            gate: linear(&gate, "gate", [2 * width; 2], Activation::Sigmoid, device)?,
            gate_norm: norm(&gate, "norm", width, device)?,
            mlp: NormedMlp::load(scope, [width, config.decoder_ffn_dim], activation, device)?,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        positions: &Tensor,
        tokens: &Tensor,
        levels: &[[usize; 2]],
        references: (&Tensor, References),
    ) -> Result<Tensor, Error> {
        let placed = (x + positions)?;
        let x = self.attention.forward([&placed, &placed, x], x)?;
        let x = self.norm.forward(&x)?;
        let placed = (&x + positions)?;
        let taken = self
            .cross
            .forward(&placed, tokens, levels, references, None)?;
        let both = Tensor::cat(&[&x, &taken], 2)?;
        // A share of each, feature by feature.
        let shared = (self.gate.forward(&both)? * both)?;
        let width = x.dim(2)?;
        let sum = (shared.narrow(2, 0, width)? + shared.narrow(2, width, width)?)?;
        self.mlp.forward(&self.gate_norm.forward(&sum)?)
    }
}
