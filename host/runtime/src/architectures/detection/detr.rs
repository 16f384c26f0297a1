//! DETR (Carion et al., "End-to-End Object Detection with Transformers", 2020), as transformers
//! builds it over timm's ResNets.

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use super::attention::{
    BoxHead, EncoderLayer, NormedMlp, ProjectedAttention, SineOrder, SinePositions, linear, norm,
};
use super::found::{self, Candidates, QueryTower, Scores};
use crate::architectures::convnets::loader::LayerLoader;
use crate::architectures::convnets::{ResNetBackbone, ResNetLayers};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::hugging_face::Labels;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, ConvGeometry, FeatureMap, LayerNorm, Linear};
use crate::trace::Trace;
use crate::weights::Scope;

/// The configuration of `detr`: a repository's `config.json`, of a `DetrForObjectDetection` over a
/// ResNet of timm.
///
/// | field | | default |
/// |---|---|---|
/// | `backbone` | `"resnet18"`, `"resnet34"`, `"resnet50"` or `"resnet101"` | `"resnet50"` |
/// | `dilation` | whether the last stage has a dilation instead of a stride | false |
/// | `d_model` | features per token | 256 |
/// | `num_queries` | objects that are looked for | 100 |
/// | `encoder_layers`, `encoder_attention_heads`, `encoder_ffn_dim` | | 6, 8, 2048 |
/// | `decoder_layers`, `decoder_attention_heads`, `decoder_ffn_dim` | | 6, 8, 2048 |
/// | `activation_function` | | `"relu"` |
/// | `id2label` or `num_labels` | the number of classes, without that of no object | 2 |
///
/// The weights have the names of published checkpoints: `model.backbone.conv_encoder.model.conv1.weight`,
/// …, `model.encoder.layers.0.self_attn.q_proj.weight`, …, `bbox_predictor.layers.2.bias`. There is one
/// box per query; overlapping boxes need no suppression.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct DetrConfig {
    /// The ResNet.
    pub backbone: Option<String>,
    /// Whether the last stage has a dilation.
    pub dilation: bool,
    /// Features per token.
    pub d_model: usize,
    /// Objects that are looked for.
    pub num_queries: usize,
    /// Layers of the encoder.
    pub encoder_layers: usize,
    /// Its heads.
    pub encoder_attention_heads: usize,
    /// Hidden features of its MLPs.
    pub encoder_ffn_dim: usize,
    /// Layers of the decoder.
    pub decoder_layers: usize,
    /// Its heads.
    pub decoder_attention_heads: usize,
    /// Hidden features of its MLPs.
    pub decoder_ffn_dim: usize,
    /// The activation of the MLPs.
    pub activation_function: String,
}

impl Default for DetrConfig {
    fn default() -> Self {
        Self {
            backbone: None,
            dilation: false,
            d_model: 256,
            num_queries: 100,
            encoder_layers: 6,
            encoder_attention_heads: 8,
            encoder_ffn_dim: 2048,
            decoder_layers: 6,
            decoder_attention_heads: 8,
            decoder_ffn_dim: 2048,
            activation_function: "relu".to_owned(),
        }
    }
}

/// A checked configuration.
pub(crate) struct Detr {
    config: DetrConfig,
    backbone: ResNetLayers,
    activation: Activation,
    labels: Labels,
}

/// The ResNet that a configuration names: `backbone`, or timm's name in `backbone_config`.
fn backbone(
    checker: &ConfigChecker,
    config: &DetrConfig,
    value: &Value,
) -> Result<ResNetLayers, Error> {
    let inner = value.get("backbone_config").filter(|own| own.is_object());
    let kind = inner.and_then(|own| own.get("model_type")?.as_str());
    if let Some(kind) = kind.filter(|kind| *kind != "timm_backbone") {
        let checker = checker.child("backbone_config");
        return Err(checker.unsupported("model_type", kind));
    }
    let named = inner.and_then(|own| own.get("backbone")?.as_str());
    let name = config.backbone.as_deref().or(named).unwrap_or("resnet50");
    let depth = name.strip_prefix("resnet").and_then(|rest| {
        let depth = rest.split('.').next().unwrap_or(rest);
        depth.parse().ok()
    });
    let layers = depth.and_then(ResNetLayers::of_depth);
    let layers = layers.ok_or_else(|| checker.unsupported("backbone", name))?;
    Ok(layers.dilated([false, false, false, config.dilation]))
}

impl ArchitectureConfig for Detr {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: DetrConfig = checker.read(config)?;
        checker.check_sizes(&[
            ("d_model", parsed.d_model),
            ("num_queries", parsed.num_queries),
            ("encoder_ffn_dim", parsed.encoder_ffn_dim),
            ("decoder_ffn_dim", parsed.decoder_ffn_dim),
            ("encoder_attention_heads", parsed.encoder_attention_heads),
            ("decoder_attention_heads", parsed.decoder_attention_heads),
        ])?;
        checker.check_count("encoder_layers", parsed.encoder_layers)?;
        checker.check_count("decoder_layers", parsed.decoder_layers)?;
        for (field, heads) in [
            ("encoder_attention_heads", parsed.encoder_attention_heads),
            ("decoder_attention_heads", parsed.decoder_attention_heads),
        ] {
            if !parsed.d_model.is_multiple_of(heads) {
                return Err(checker.error(field, "must divide `d_model`"));
            }
        }
        if !parsed.d_model.is_multiple_of(4) {
            return Err(checker.error("d_model", "must be a multiple of 4"));
        }
        let kind = config
            .get("position_embedding_type")
            .and_then(Value::as_str);
        if let Some(kind) = kind.filter(|kind| *kind != "sine") {
            return Err(checker.unsupported("position_embedding_type", kind));
        }
        Ok(Self {
            backbone: backbone(checker, &parsed, config)?,
            activation: checker.activation("activation_function", &parsed.activation_function)?,
            labels: Labels::read(checker, config)?,
            config: parsed,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, _: Option<Size>) -> Result<Option<usize>, Error> {
        Ok(Some(self.labels.count))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let layers = ["encoder", "decoder", "logits", "pred_boxes"];
        Ok(found::network(network, &layers))
    }
}

impl Detr {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<DetrTower, Error> {
        let config = &self.config;
        let model = weights.child("model");
        let body = LayerLoader::new(&model.child("backbone.conv_encoder.model"), device);
        let [.., channels] = self.backbone.channels();
        let width = config.d_model;
        let layers = model.child("encoder.layers");
        let sizes = [
            width,
            config.encoder_attention_heads,
            config.encoder_ffn_dim,
        ];
        let encoder = (0..config.encoder_layers).map(|index| {
            let scope = layers.child(&index.to_string());
            EncoderLayer::load(&scope, sizes, self.activation, device)
        });
        let layers = model.child("decoder.layers");
        let decoder = (0..config.decoder_layers).map(|index| {
            let scope = layers.child(&index.to_string());
            DecoderLayer::load(&scope, config, self.activation, device)
        });
        let queries = model.child("query_position_embeddings");
        let queries = queries.get("weight", &[config.num_queries, width])?;
        Ok(DetrTower {
            backbone: self.backbone.load(&body)?,
            projection: Conv2d::load(
                &model.child("input_projection"),
                ConvGeometry::square(channels, width, 1, 1, 0),
                true,
                None,
                Activation::Identity,
                device,
            )?,
            positions: SinePositions::new(SineOrder::Alternating, width, 10_000.0, device),
            encoder: encoder.collect::<Result<_, _>>()?,
            decoder: decoder.collect::<Result<_, _>>()?,
            norm: norm(&model, "decoder.layernorm", width, device)?,
            queries: device.place_weights("queries", &queries)?,
            classifier: linear(
                weights,
                "class_labels_classifier",
                [width, self.labels.count + 1],
                Activation::Identity,
                device,
            )?,
            boxes: BoxHead::load(
                &weights.child("bbox_predictor"),
                [width, width, 4],
                3,
                device,
            )?,
        })
    }
}

/// A built DETR.
struct DetrTower {
    backbone: ResNetBackbone,
    projection: Conv2d,
    positions: SinePositions,
    encoder: Vec<EncoderLayer>,
    decoder: Vec<DecoderLayer>,
    norm: LayerNorm,
    /// `[queries, width]`
    queries: Tensor,
    classifier: Linear,
    boxes: BoxHead,
}

impl QueryTower for DetrTower {
    fn candidates(&self, x: &FeatureMap, trace: &mut Trace<'_>) -> Result<Candidates, Error> {
        let Some(features) = self.backbone.forward(x)?.pop() else {
            return Err(Error::bad_input("backbone", "gives nothing"));
        };
        let shape = features.shape()?;
        let positions = self.positions.of([shape.height, shape.width])?;
        let mut tokens = self.projection.forward(&features, None)?.to_tokens()?;
        trace.input("encoder", &tokens)?;
        for layer in &self.encoder {
            tokens = layer.forward(&tokens, &positions)?;
        }
        trace.output("encoder", &tokens)?;
        trace.input("decoder", &tokens)?;
        let keys = tokens.broadcast_add(&positions)?;
        let (count, width) = self.queries.dims2()?;
        let queries = self.queries.unsqueeze(0)?;
        let queries = queries.expand((shape.batch, count, width))?.contiguous()?;
        let mut x = queries.zeros_like()?;
        for layer in &self.decoder {
            x = layer.forward(&x, &queries, [&keys, &tokens])?;
        }
        let x = self.norm.forward(&x)?;
        trace.output("decoder", &x)?;
        trace.input("logits", &x)?;
        let logits = self.classifier.forward(&x)?;
        trace.output("logits", &logits)?;
        trace.input("pred_boxes", &x)?;
        let boxes = candle_nn::ops::sigmoid(&self.boxes.forward(&x)?)?;
        trace.output("pred_boxes", &boxes)?;
        Ok(Candidates {
            logits,
            boxes,
            scores: Scores::SoftmaxWithNone,
        })
    }
}

/// Self-attention of the queries, attention to the image, and an MLP, each with a residual and a
/// norm after it.
struct DecoderLayer {
    attention: ProjectedAttention,
    norm: LayerNorm,
    cross: ProjectedAttention,
    cross_norm: LayerNorm,
    mlp: NormedMlp,
}

impl DecoderLayer {
    fn load(
        scope: &Scope<'_>,
        config: &DetrConfig,
        activation: Activation,
        device: &Device,
    ) -> Result<Self, Error> {
        let width = config.d_model;
        let sizes = [width, config.decoder_attention_heads];
        let attention = |name: &str| ProjectedAttention::load(&scope.child(name), sizes, device);
        Ok(Self {
            attention: attention("self_attn")?,
            norm: norm(scope, "self_attn_layer_norm", width, device)?,
            cross: attention("encoder_attn")?,
            cross_norm: norm(scope, "encoder_attn_layer_norm", width, device)?,
            mlp: NormedMlp::load(scope, [width, config.decoder_ffn_dim], activation, device)?,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        positions: &Tensor,
        [keys, values]: [&Tensor; 2],
    ) -> Result<Tensor, Error> {
        let placed = (x + positions)?;
        let x = self.attention.forward([&placed, &placed, x], x)?;
        let x = self.norm.forward(&x)?;
        let placed = (&x + positions)?;
        let x = self.cross.forward([&placed, keys, values], &x)?;
        self.mlp.forward(&self.cross_norm.forward(&x)?)
    }
}
