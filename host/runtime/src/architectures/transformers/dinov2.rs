//! DINOv2 (Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023),
//! with and without registers (Darcet et al., "Vision Transformers Need Registers", 2023), as
//! transformers builds it.

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use super::vit;
use super::vit_tower::{
    ClassToken, Head, NoAttentionPositions, PositionTable, PrefixTokens, TraceNames, ViTTower,
    mean, token,
};
use crate::architectures::shared::block::{BlockLayout, MlpNames};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::encoder::{EncoderConfig, EncoderDefaults, EncoderFields};
use crate::architectures::shared::grid::Interpolation;
use crate::architectures::shared::hugging_face::{self, Labels};
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::architectures::shared::patches::Patches;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, LayerNorm, Linear};
use crate::trace::Trace;
use crate::weights::Scope;

/// The configuration of `dinov2` and `dinov2_with_registers`: a repository's `config.json`,
/// `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `image_size`, `patch_size` | a side, or height and width; as many patches each way | 224, and 14 or 16 |
/// | `num_channels` | channels of the input | 3 |
/// | `hidden_size`, `num_hidden_layers`, `num_attention_heads` | | 768, 12, 12 |
/// | `mlp_ratio` | hidden features of the MLP, as a multiple of `hidden_size` | 4 |
/// | `use_swiglu_ffn` | a gated MLP, two thirds as wide | false |
/// | `hidden_act` | | `"gelu"` |
/// | `layer_norm_eps` | | 1e-6 |
/// | `qkv_bias` | whether queries, keys and values have a bias | true |
/// | `num_register_tokens` | of `dinov2_with_registers` | 4 |
/// | `id2label` or `num_labels` | the number of classes | 2 |
///
/// The weights have the names of transformers' `Dinov2Model`, `Dinov2WithRegistersModel` or their
/// `ForImageClassification`: `embeddings.cls_token`,
/// `encoder.layer.0.attention.attention.query.weight`, …; those of a classifier begin with
/// `dinov2.`. The output is that of the classifier, or else the class token after the
/// last norm. Images of other sizes work: position embeddings are interpolated.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Dinov2Config {
    #[serde(flatten)]
    fields: EncoderFields,
    /// The hidden features of the MLP, as a multiple of `hidden_size`.
    pub mlp_ratio: usize,
    /// Whether the MLP is gated.
    pub use_swiglu_ffn: bool,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Tokens between the class token and the patches.
    pub num_register_tokens: usize,
}

impl Default for Dinov2Config {
    fn default() -> Self {
        Self {
            fields: EncoderFields::default(),
            mlp_ratio: 4,
            use_swiglu_ffn: false,
            qkv_bias: true,
            num_register_tokens: 4,
        }
    }
}

/// Two thirds of a width, rounded up to a multiple of eight: the hidden features of a gated MLP
/// that costs as much as an MLP of that width.
pub(super) fn gated_width(width: usize) -> usize {
    (width.saturating_mul(2) / 3).div_ceil(8) * 8
}

/// The most register tokens.
pub(super) const MAX_REGISTERS: usize = 1024;

/// A checked configuration.
pub(crate) struct Dinov2 {
    config: Dinov2Config,
    /// Of `dinov2_with_registers`.
    with_registers: bool,
    patches: Patches,
    grid: [usize; 2],
    encoder: EncoderConfig,
    labels: Labels,
}

impl Dinov2 {
    /// The name of the base model in a classifier's weights.
    fn prefix(&self) -> &'static str {
        if self.with_registers {
            "dinov2_with_registers"
        } else {
            "dinov2"
        }
    }

    /// The number of registers, and the interpolation of the position embeddings.
    fn registers(&self) -> (usize, Interpolation) {
        if self.with_registers {
            let count = self.config.num_register_tokens;
            (count, Interpolation::BicubicAntialias)
        } else {
            (0, Interpolation::Bicubic)
        }
    }

    /// Features per token.
    pub(in crate::architectures) fn width(&self) -> usize {
        self.encoder.block.width
    }

    /// The number of blocks.
    pub(in crate::architectures) fn blocks(&self) -> usize {
        self.encoder.blocks
    }

    /// `[height, width]` of a patch, in pixels.
    pub(in crate::architectures) fn patch(&self) -> [usize; 2] {
        self.patches.size
    }

    /// Builds the tower alone.
    pub(in crate::architectures) fn tower(
        &self,
        weights: &Scope<'_>,
        device: &Device,
    ) -> Result<ViTTower, Error> {
        let base = hugging_face::base(weights, self.prefix(), "embeddings.cls_token");
        let width = self.encoder.block.width;
        let embeddings = base.child("embeddings");
        // It replaces masked patches in training.
        embeddings.ignore("mask_token");
        let (registers, interpolation) = self.registers();
        let mut tokens = vec![embeddings.get("cls_token", &[1, 1, width])?];
        if registers > 0 {
            tokens.push(embeddings.get("register_tokens", &[1, registers, width])?);
        }
        let [rows, columns] = self.grid;
        let table = PositionTable {
            values: embeddings.get("position_embeddings", &[1, 1 + rows * columns, width])?,
            grid: self.grid,
            interpolation,
        };
        let layout = BlockLayout {
            norms: ["norm1", "norm2"],
            mlp: if self.config.use_swiglu_ffn {
                MlpNames::GatedJoined(["mlp.weights_in", "mlp.weights_out"])
            } else {
                MlpNames::Plain(["mlp.fc1", "mlp.fc2"])
            },
            scales: Some(["layer_scale1.lambda1", "layer_scale2.lambda1"]),
            ..vit::LAYOUT
        };
        let scope = base.child("encoder.layer");
        let blocks = self.encoder.load(&scope, &layout, device)?;
        let scope = embeddings.child("patch_embeddings.projection");
        let norm = base.child("layernorm");
        let (name, eps) = ("classifier", self.encoder.block.eps);
        let classifier = hugging_face::classifier(weights, name, 2 * width, self.labels, device)?;
        let head: Box<dyn Head> = match classifier {
            Some(classifier) => Box::new(ClassAndMean {
                classifier,
                prefix: 1 + registers,
            }),
            None => Box::new(ClassToken {
                pooled: Some("pooler_output"),
                name,
                classifier: None,
            }),
        };
        Ok(ViTTower {
            projection: self.patches.load(&scope, width, true, device)?,
            patches: self.patches,
            prefix: PrefixTokens::new(&tokens, 1, Some(table), device)?,
            attention: Box::new(NoAttentionPositions),
            blocks,
            norm: Some(LayerNorm::load(&norm, width, eps, true, device)?),
            head,
            names: TraceNames::HUGGING_FACE,
            device: device.clone(),
        })
    }
}

impl ArchitectureConfig for Dinov2 {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: Dinov2Config = checker.read(config)?;
        let with_registers = checker.architecture() == "dinov2_with_registers";
        let defaults = EncoderDefaults {
            eps: 1e-6,
            patch: if with_registers { 16 } else { 14 },
            ..EncoderDefaults::VIT
        };
        checker.check_size("mlp_ratio", parsed.mlp_ratio)?;
        let registers = parsed.num_register_tokens;
        checker.check_range("num_register_tokens", registers, 0..=MAX_REGISTERS)?;
        let mut encoder = parsed.fields.unchecked_encoder(checker, &defaults)?;
        let block = &mut encoder.block;
        block.qkv_bias = [parsed.qkv_bias; 3];
        block.inner = block.width.saturating_mul(parsed.mlp_ratio);
        if parsed.use_swiglu_ffn {
            block.inner = gated_width(block.inner);
            block.activation = Activation::Silu;
        }
        let [width, heads, _, blocks] = EncoderConfig::FIELDS;
        encoder.check(checker, [width, heads, "mlp_ratio", blocks])?;
        let (patches, grid) = parsed.fields.square_patches(checker, &defaults)?;
        Ok(Self {
            config: parsed,
            with_registers,
            patches,
            grid,
            encoder,
            labels: Labels::read(checker, config)?,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.patches.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.patches.check_plan(size)?;
        Ok(self.labels.known())
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.tower(weights, device)?;
        Ok(network.into_pooled(weights.has("classifier.weight")))
    }
}

/// A classifier of the class token and the mean of the patches.
struct ClassAndMean {
    classifier: Linear,
    /// Tokens before the patches.
    prefix: usize,
}

impl Head for ClassAndMean {
    fn forward(&self, tokens: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let pooled = token(tokens, 0)?;
        trace.input("pooler_output", &pooled)?;
        trace.output("pooler_output", &pooled)?;
        let both = Tensor::cat(&[pooled, mean(tokens, self.prefix)?], 1)?;
        hugging_face::classify("classifier", Some(&self.classifier), both, trace)
    }
}
