//! RT-DETR, 1 and 2 (Lv et al., "RT-DETRv2", 2024), as transformers builds them.

mod config;

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde_json::Value;

pub(super) use config::check_fixed;
pub use config::{Places, RtDetrConfig};

use super::attention::{BoxHead, NormedMlp, ProjectedAttention, linear, norm};
use super::found::{self, Candidates, QueryTower, Scores};
use super::hybrid_encoder::{HybridConfig, HybridEncoder, Joining};
use super::proposals::{Proposals, flattened, inverse_sigmoid, project};
use super::resnet_vd::{ResNetVd, ResNetVdBackbone};
use crate::architectures::convnets::loader::LayerLoader;
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::hugging_face::Labels;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{
    Activation, Conv2d, ConvGeometry, DeformableAttention, FeatureMap, LayerNorm, Linear,
    References,
};
use crate::precision::full;
use crate::trace::Trace;
use crate::weights::Scope;

/// Checks that images of the size that a plan gives them have sides that are multiples of 32.
pub(super) fn check_multiple(size: Option<Size>) -> Result<(), Error> {
    match size {
        Some(Size { height, width }) if height % 32 != 0 || width % 32 != 0 => {
            let reason = format!(
                "gives images of {height}x{width}, but the network takes multiples of 32 pixels"
            );
            Err(Error::bad_plan("preprocessing.steps", reason))
        }
        _ => Ok(()),
    }
}

/// Blocks of each layer that joins feature maps.
const BLOCKS: usize = 3;

/// A checked configuration.
pub(crate) struct RtDetr {
    config: RtDetrConfig,
    backbone: ResNetVd,
    encoder: HybridConfig,
    activation: Activation,
    labels: Labels,
}

/// A width times a factor, rounded down.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both are far below the limits of the types"
)]
fn expanded(width: usize, factor: f64) -> usize {
    (width as f64 * factor) as usize
}

impl ArchitectureConfig for RtDetr {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: RtDetrConfig = checker.read(config)?;
        check_fixed(checker, config)?;
        let child = checker.child("backbone_config");
        let Some(backbone) = config.get("backbone_config").filter(|own| own.is_object()) else {
            let reason = "must be the configuration of a ResNet";
            return Err(checker.error("backbone_config", reason));
        };
        let kind = backbone.get("model_type").and_then(Value::as_str);
        if let Some(kind) = kind.filter(|kind| *kind != "rt_detr_resnet") {
            return Err(child.unsupported("model_type", kind));
        }
        let backbone = ResNetVd::parse(&child, backbone)?;
        let maps = backbone.channels().len();
        parsed.check(checker, maps)?;
        let hidden = expanded(parsed.encoder_hidden_dim, parsed.hidden_expansion);
        checker.check_size("hidden_expansion", hidden)?;
        let encoder = parsed.encoder(checker, maps, (Joining::Halves, hidden, BLOCKS))?;
        Ok(Self {
            activation: parsed.decoder_activation(checker)?,
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
            // It has several.
            hidden: vec!["<encoder".to_owned()],
            ..found::network(network, &layers)
        })
    }
}

impl RtDetr {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<RtDetrTower, Error> {
        let config = &self.config;
        let model = weights.child("model");
        ignore_unused(&model);
        let loader = LayerLoader::new(&model, device);
        let encoded = vec![self.encoder.width; self.encoder.maps];
        let heads = Heads::scope(weights);
        let decoder = (0..config.decoder_layers).map(|index| {
            let scope = model.child(&format!("decoder.layers.{index}"));
            DecoderLayer::load(&scope, config, self.activation, device)
        });
        let heads = (0..config.decoder_layers).map(|index| {
            // All layers refine the boxes; the last one alone tells the classes.
            let classes = (index + 1 == config.decoder_layers).then_some(self.labels.count);
            if classes.is_none() {
                heads.ignore_below(&format!("class_embed.{index}"));
            }
            Heads::load(&heads, index, config.d_model, classes, device)
        });
        let width = config.d_model;
        Ok(RtDetrTower {
            backbone: self.backbone.load(&loader.child("backbone.model"))?,
            into_encoder: projections(
                &loader.child("encoder_input_proj"),
                &self.backbone.channels(),
                self.encoder.width,
            )?,
            encoder: HybridEncoder::load(&loader.child("encoder"), &self.encoder)?,
            into_decoder: projections(&loader.child("decoder_input_proj"), &encoded, width)?,
            proposals: Proposals::load(
                &model,
                [width, self.labels.count, config.num_queries],
                device,
            )?,
            positions: BoxHead::load(
                &model.child("decoder.query_pos_head"),
                [4, 2 * width, width],
                2,
                device,
            )?,
            decoder: decoder.collect::<Result<_, _>>()?,
            heads: heads.collect::<Result<_, _>>()?,
            references: References::Boxes(config.decoder_offset_scale),
            device: device.clone(),
        })
    }
}

/// Ignores tensors for training, or for one size of images.
pub(super) fn ignore_unused(model: &Scope<'_>) {
    for unused in ["denoising_class_embed.weight", "anchors", "valid_mask"] {
        model.ignore(unused);
    }
}

/// Convolutions that give each of several feature maps `width` channels.
pub(super) fn projections(
    loader: &LayerLoader<'_>,
    inputs: &[usize],
    width: usize,
) -> Result<Vec<Conv2d>, Error> {
    let layers = inputs.iter().enumerate().map(|(index, &channels)| {
        let geometry = ConvGeometry::square(channels, width, 1, 1, 0);
        let layer = loader.child(&index.to_string());
        layer.normed(["0", "1"], geometry, Activation::Identity)
    });
    layers.collect()
}

/// A built RT-DETR.
struct RtDetrTower {
    backbone: ResNetVdBackbone,
    into_encoder: Vec<Conv2d>,
    encoder: HybridEncoder,
    into_decoder: Vec<Conv2d>,
    proposals: Proposals,
    /// From a box to a position embedding.
    positions: BoxHead,
    decoder: Vec<DecoderLayer>,
    heads: Vec<Heads>,
    references: References,
    device: Device,
}

impl QueryTower for RtDetrTower {
    fn candidates(&self, x: &FeatureMap, trace: &mut Trace<'_>) -> Result<Candidates, Error> {
        let maps = project(&self.into_encoder, &self.backbone.forward(x)?)?;
        let maps = project(&self.into_decoder, &self.encoder.forward(maps)?)?;
        let (tokens, levels) = flattened(&maps)?;
        trace.output("encoder", &tokens)?;
        let (mut x, mut boxes) = self.proposals.choose(&tokens, &levels)?;
        let mut logits = None;
        for (layer, heads) in self.decoder.iter().zip(&self.heads) {
            let positions = self.positions.forward(&self.device.place(&boxes)?)?;
            let references = (&boxes, self.references);
            x = layer.forward(&x, &positions, &tokens, &levels, references)?;
            if let Some(classes) = &heads.classes {
                trace.input("logits", &x)?;
                let scores = classes.forward(&x)?;
                trace.output("logits", &scores)?;
                trace.input("pred_boxes", &x)?;
                logits = Some(scores);
            }
            let moved = (full(&heads.boxes.forward(&x)?)? + inverse_sigmoid(&boxes)?)?;
            boxes = candle_nn::ops::sigmoid(&moved)?;
        }
        trace.output("pred_boxes", &boxes)?;
        let logits = logits.ok_or_else(|| Error::bad_input("decoder", "has no layers"))?;
        Ok(Candidates {
            logits,
            boxes,
            scores: Scores::SigmoidOfPairs,
        })
    }
}

/// What a layer of the decoder says of its queries.
pub(super) struct Heads {
    /// Of the last layer.
    classes: Option<Linear>,
    boxes: BoxHead,
}

impl Heads {
    /// Checkpoints have the heads in the decoder, at the top, or the same ones twice.
    pub(super) fn scope<'a>(weights: &Scope<'a>) -> Scope<'a> {
        let decoder = weights.child("model.decoder");
        if !decoder.has("bbox_embed.0.layers.0.weight") {
            return weights.clone();
        }
        weights.ignore_below("class_embed");
        weights.ignore_below("bbox_embed");
        decoder
    }

    fn load(
        scope: &Scope<'_>,
        index: usize,
        width: usize,
        classes: Option<usize>,
        device: &Device,
    ) -> Result<Self, Error> {
        let name = format!("class_embed.{index}");
        let plain = Activation::Identity;
        Ok(Self {
            classes: classes
                .map(|classes| linear(scope, &name, [width, classes], plain, device))
                .transpose()?,
            boxes: BoxHead::load(
                &scope.child(&format!("bbox_embed.{index}")),
                [width, width, 4],
                3,
                device,
            )?,
        })
    }
}

/// Self-attention of the queries, deformable attention to the feature maps, and an MLP, each with a
/// residual and a norm after it.
struct DecoderLayer {
    attention: ProjectedAttention,
    norm: LayerNorm,
    cross: DeformableAttention,
    cross_norm: LayerNorm,
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
        // One divided by the number of places, as a tensor.
        cross.ignore("n_points_scale");
        let points = config.points();
        Ok(Self {
            attention: ProjectedAttention::load(&scope.child("self_attn"), [width, heads], device)?,
            norm: norm(scope, "self_attn_layer_norm", width, device)?,
            cross: DeformableAttention::load(&cross, [width, heads], &points, true, device)?,
            cross_norm: norm(scope, "encoder_attn_layer_norm", width, device)?,
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
        let x = self
            .cross
            .forward(&placed, tokens, levels, references, Some(&x))?;
        self.mlp.forward(&self.cross_norm.forward(&x)?)
    }
}
