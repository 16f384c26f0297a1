//! The configuration of RT-DETR.

use serde::Deserialize;
use serde_json::Value;

use super::super::hybrid_encoder::{HybridConfig, Joining};
use crate::architectures::shared::config::ConfigChecker;
use crate::error::Error;
use crate::layers::Activation;

/// The configuration of `rt_detr` and `rt_detr_v2`: a repository's `config.json`, of an
/// `RTDetrForObjectDetection` or `RTDetrV2ForObjectDetection`.
///
/// | field | | default |
/// |---|---|---|
/// | `backbone_config` | of `rt_detr_resnet`: `embedding_size`, `hidden_sizes`, `depths`, `layer_type`, `out_indices` | ResNet-50's |
/// | `encoder_hidden_dim`, `encoder_attention_heads`, `encoder_ffn_dim`, `encoder_layers` | the attention of the encoder | 256, 8, 1024, 1 |
/// | `encode_proj_layers` | the feature maps that have attention | `[2]` |
/// | `hidden_expansion` | channels inside of the encoder's joining layers, as a multiple | 1 |
/// | `encoder_activation_function`, `activation_function` | of the encoder's MLPs and convolutions | `"gelu"`, `"silu"` |
/// | `d_model`, `num_queries` | features and number of the queries | 256, 300 |
/// | `decoder_layers`, `decoder_attention_heads`, `decoder_ffn_dim` | | 6, 8, 1024 |
/// | `decoder_n_points` | places per head, for all feature maps or a list | 4 |
/// | `decoder_offset_scale` | of `rt_detr_v2` | 0.5 |
/// | `decoder_activation_function` | of the decoder's MLPs | `"relu"` |
/// | `id2label` or `num_labels` | the number of classes | 2 |
///
/// The weights have the names of published checkpoints: `model.backbone.model.embedder.embedder.0.convolution.weight`,
/// …, `model.decoder.bbox_embed.0.layers.0.weight`, …. Images have sides that are multiples of 32. The
/// candidates are the pairs of query and class with the largest scores, as many as there are queries;
/// overlapping boxes need no suppression.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct RtDetrConfig {
    /// Channels of the encoder.
    pub encoder_hidden_dim: usize,
    /// Heads of the encoder.
    pub encoder_attention_heads: usize,
    /// Hidden features of the encoder's MLPs.
    pub encoder_ffn_dim: usize,
    /// Attention layers of the encoder.
    pub encoder_layers: usize,
    /// The feature maps that have attention.
    pub encode_proj_layers: Vec<usize>,
    /// Channels inside of the encoder's joining layers, as a multiple.
    pub hidden_expansion: f64,
    /// The activation of the encoder's MLPs.
    pub encoder_activation_function: String,
    /// The activation of the encoder's convolutions.
    pub activation_function: String,
    /// The base of the sines of positions.
    pub positional_encoding_temperature: f64,
    /// Features of the queries.
    pub d_model: usize,
    /// Objects that are looked for.
    pub num_queries: usize,
    /// Feature maps that the decoder looks at.
    pub num_feature_levels: usize,
    /// Layers of the decoder.
    pub decoder_layers: usize,
    /// Heads of the decoder.
    pub decoder_attention_heads: usize,
    /// Hidden features of the decoder's MLPs.
    pub decoder_ffn_dim: usize,
    /// Places per head, of each feature map or of all.
    pub decoder_n_points: Places,
    /// What offsets are multiplied by.
    pub decoder_offset_scale: f32,
    /// The activation of the decoder's MLPs.
    pub decoder_activation_function: String,
}

impl Default for RtDetrConfig {
    fn default() -> Self {
        Self {
            encoder_hidden_dim: 256,
            encoder_attention_heads: 8,
            encoder_ffn_dim: 1024,
            encoder_layers: 1,
            encode_proj_layers: vec![2],
            hidden_expansion: 1.0,
            encoder_activation_function: "gelu".to_owned(),
            activation_function: "silu".to_owned(),
            positional_encoding_temperature: 10_000.0,
            d_model: 256,
            num_queries: 300,
            num_feature_levels: 3,
            decoder_layers: 6,
            decoder_attention_heads: 8,
            decoder_ffn_dim: 1024,
            decoder_n_points: Places::Each(4),
            decoder_offset_scale: 0.5,
            decoder_activation_function: "relu".to_owned(),
        }
    }
}

/// Fields for which one value alone is implemented.
pub(in super::super) fn check_fixed(checker: &ConfigChecker, config: &Value) -> Result<(), Error> {
    let fixed = [
        ("normalize_before", Value::Bool(false)),
        ("learn_initial_query", Value::Bool(false)),
        ("with_box_refine", Value::Bool(true)),
        ("decoder_method", Value::from("default")),
        ("eval_size", Value::Null),
        ("anchor_image_size", Value::Null),
        ("batch_norm_eps", Value::from(1e-5)),
        ("layer_norm_eps", Value::from(1e-5)),
    ];
    for (field, wanted) in fixed {
        let found = config.get(field).unwrap_or(&wanted);
        if *found != wanted && !(found.is_null() && field != "decoder_method") {
            return Err(checker.unsupported(field, &found.to_string()));
        }
    }
    Ok(())
}

/// A number for all feature maps, or one for each.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Places {
    /// For all.
    Each(usize),
    /// For each.
    List(Vec<usize>),
}

impl RtDetrConfig {
    /// Places per head of each feature map.
    pub(in super::super) fn points(&self) -> Vec<usize> {
        match &self.decoder_n_points {
            Places::Each(points) => vec![*points; self.num_feature_levels.min(16)],
            Places::List(points) => points.clone(),
        }
    }

    /// The encoder, for a backbone of `maps` feature maps: how these are joined, with how many hidden
    /// channels and blocks.
    pub(in super::super) fn encoder(
        &self,
        checker: &ConfigChecker,
        maps: usize,
        (joining, hidden, blocks): (Joining, usize, usize),
    ) -> Result<HybridConfig, Error> {
        let activation = |field, name: &str| checker.activation(field, name);
        Ok(HybridConfig {
            width: self.encoder_hidden_dim,
            maps,
            attended: self.encode_proj_layers.clone(),
            layers: self.encoder_layers,
            heads: self.encoder_attention_heads,
            inner: self.encoder_ffn_dim,
            mlp_activation: activation(
                "encoder_activation_function",
                &self.encoder_activation_function,
            )?,
            activation: activation("activation_function", &self.activation_function)?,
            joining,
            hidden,
            blocks,
            temperature: self.positional_encoding_temperature,
        })
    }

    /// The activation of the decoder's MLPs.
    pub(in super::super) fn decoder_activation(
        &self,
        checker: &ConfigChecker,
    ) -> Result<Activation, Error> {
        checker.activation(
            "decoder_activation_function",
            &self.decoder_activation_function,
        )
    }

    /// Checks the fields that are numbers, for a backbone of `maps` feature maps.
    pub(in super::super) fn check(
        &self,
        checker: &ConfigChecker,
        maps: usize,
    ) -> Result<(), Error> {
        checker.check_sizes(&[
            ("encoder_hidden_dim", self.encoder_hidden_dim),
            ("encoder_attention_heads", self.encoder_attention_heads),
            ("encoder_ffn_dim", self.encoder_ffn_dim),
            ("d_model", self.d_model),
            ("num_queries", self.num_queries),
            ("decoder_attention_heads", self.decoder_attention_heads),
            ("decoder_ffn_dim", self.decoder_ffn_dim),
        ])?;
        checker.check_range("encoder_layers", self.encoder_layers, 0..=1000)?;
        checker.check_count("decoder_layers", self.decoder_layers)?;
        checker.check_range("decoder_offset_scale", self.decoder_offset_scale, 0.0..=1e3)?;
        checker.check_factor("hidden_expansion", self.hidden_expansion)?;
        let temperature = self.positional_encoding_temperature;
        checker.check_range("positional_encoding_temperature", temperature, 1.0..=1e9)?;
        for (field, heads, of, width) in [
            (
                "encoder_attention_heads",
                self.encoder_attention_heads,
                "encoder_hidden_dim",
                self.encoder_hidden_dim,
            ),
            (
                "decoder_attention_heads",
                self.decoder_attention_heads,
                "d_model",
                self.d_model,
            ),
        ] {
            if !width.is_multiple_of(heads) {
                return Err(checker.error(field, format!("must divide `{of}`")));
            }
        }
        if !self.encoder_hidden_dim.is_multiple_of(4) {
            return Err(checker.error("encoder_hidden_dim", "must be a multiple of 4"));
        }
        if self.num_feature_levels != maps {
            let reason = format!("is not {maps}, the number of the backbone's feature maps");
            return Err(checker.error("num_feature_levels", reason));
        }
        for points in self.points() {
            checker.check_range("decoder_n_points", points, 1..=64)?;
        }
        let listed = self.points().len();
        if listed != self.num_feature_levels {
            let reason = format!("has {listed} numbers for as many feature maps as {maps}");
            return Err(checker.error("decoder_n_points", reason));
        }
        if self.encode_proj_layers.iter().any(|&at| at >= maps) {
            let reason = format!("names feature maps beyond the {maps} of the backbone");
            return Err(checker.error("encode_proj_layers", reason));
        }
        Ok(())
    }
}
