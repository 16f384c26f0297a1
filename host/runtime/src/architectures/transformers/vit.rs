//! ViT and DeiT, as transformers builds them (`models/vit`, `models/deit`; Dosovitskiy et al., "An
//! Image is Worth 16x16 Words", 2020; Touvron et al., "Training data-efficient image transformers
//! & distillation through attention", 2020).

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use super::vit_tower::{
    ClassToken, Head, NoAttentionPositions, PositionTable, PrefixTokens, TraceNames, ViTTower,
    token,
};
use crate::architectures::shared::block::{BlockLayout, MlpNames, Order, QkvNames};
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

/// The configuration of `vit` and `deit`: a repository's `config.json`, `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `image_size`, `patch_size` | a side, or height and width | 224, 16 |
/// | `num_channels` | channels of the input | 3 |
/// | `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `intermediate_size` | | 768, 12, 12, 3072 |
/// | `hidden_act` | | `"gelu"` |
/// | `layer_norm_eps` | | 1e-12 |
/// | `qkv_bias` | whether queries, keys and values have a bias | true |
/// | `pooler_output_size`, `pooler_act` | of a model without classifier | `hidden_size`, `"tanh"` |
/// | `id2label` or `num_labels` | the number of classes | 2 |
///
/// The weights have the names of transformers' `ViTForImageClassification`, `ViTModel`,
/// `DeiTForImageClassification`, `DeiTForImageClassificationWithTeacher` or `DeiTModel`:
/// `vit.embeddings.cls_token`, `vit.encoder.layer.0.attention.attention.query.weight`, …,
/// `classifier.weight`; those of a base model lack `vit.`. The output is that of the classifier
/// (the mean of both, where there are two), or else of the pooler, or else the class token. Images
/// have the configured size.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ViTConfig {
    #[serde(flatten)]
    fields: EncoderFields,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Outputs of the pooler.
    pub pooler_output_size: Option<usize>,
    /// The pooler's activation.
    pub pooler_act: String,
}

impl Default for ViTConfig {
    fn default() -> Self {
        Self {
            fields: EncoderFields::default(),
            qkv_bias: true,
            pooler_output_size: None,
            pooler_act: "tanh".to_owned(),
        }
    }
}

/// The names of a block's tensors.
pub(in crate::architectures) const LAYOUT: BlockLayout = BlockLayout {
    order: Order::NormFirst,
    norms: ["layernorm_before", "layernorm_after"],
    qkv: QkvNames::Separate([
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
    ]),
    out: "attention.output.dense",
    mlp: MlpNames::Plain(["intermediate.dense", "output.dense"]),
    scales: None,
};

/// A checked configuration.
pub(crate) struct ViT {
    distilled: bool,
    patches: Patches,
    /// `[rows, columns]` of patches.
    grid: [usize; 2],
    encoder: EncoderConfig,
    pooler: (usize, Activation),
    labels: Labels,
}

impl ViT {
    /// The name of the base model in a classifier's weights.
    fn prefix(&self) -> &'static str {
        if self.distilled { "deit" } else { "vit" }
    }

    fn network(
        &self,
        weights: &Scope<'_>,
        device: &Device,
    ) -> Result<(ViTTower, Vec<&'static str>, bool), Error> {
        let base = hugging_face::base(weights, self.prefix(), "embeddings.cls_token");
        let width = self.encoder.block.width;
        let embeddings = base.child("embeddings");
        // It replaces masked patches in training.
        embeddings.ignore("mask_token");
        let mut tokens = vec![embeddings.get("cls_token", &[1, 1, width])?];
        if self.distilled {
            tokens.push(embeddings.get("distillation_token", &[1, 1, width])?);
        }
        let [rows, columns] = self.grid;
        let count = tokens.len();
        let dims = [1, count + rows * columns, width];
        let table = PositionTable {
            values: embeddings.get("position_embeddings", &dims)?,
            grid: self.grid,
            // Unused: images have one size.
            interpolation: Interpolation::Bicubic,
        };
        let scope = base.child("encoder.layer");
        let blocks = self.encoder.load(&scope, &LAYOUT, device)?;
        let (head, head_layers, classifies) = self.head(weights, &base, device)?;
        let eps = self.encoder.block.eps;
        let network = ViTTower {
            projection: self.patches.load(
                &embeddings.child("patch_embeddings.projection"),
                width,
                true,
                device,
            )?,
            patches: self.patches,
            prefix: PrefixTokens::new(&tokens, count, Some(table), device)?,
            attention: Box::new(NoAttentionPositions),
            blocks,
            norm: Some(LayerNorm::load(
                &base.child("layernorm"),
                width,
                eps,
                true,
                device,
            )?),
            head,
            names: TraceNames::HUGGING_FACE,
            device: device.clone(),
        };
        Ok((network, head_layers, classifies))
    }

    /// The head that the weights have, its layers, and whether it classifies.
    #[allow(clippy::type_complexity, reason = "used in one place")]
    fn head(
        &self,
        weights: &Scope<'_>,
        base: &Scope<'_>,
        device: &Device,
    ) -> Result<(Box<dyn Head>, Vec<&'static str>, bool), Error> {
        let width = self.encoder.block.width;
        let classifier =
            |name, labels| hugging_face::classifier(weights, name, width, labels, device);
        let optional = Labels {
            expected: false,
            ..self.labels
        };
        if let (Some(class), Some(distillation)) = (
            classifier("cls_classifier", optional)?,
            classifier("distillation_classifier", optional)?,
        ) {
            let head = Distilled {
                class,
                distillation,
            };
            let layers = vec!["cls_classifier", "distillation_classifier", "classifier"];
            return Ok((Box::new(head), layers, true));
        }
        let pooler = base.child("pooler.dense");
        if let Some(classifier) = classifier("classifier", self.labels)? {
            // A leftover of the base model's training that the classifier does not read.
            pooler.ignore("weight");
            pooler.ignore("bias");
            let head = ClassToken {
                pooled: None,
                name: "classifier",
                classifier: Some(classifier),
            };
            return Ok((Box::new(head), vec!["classifier"], true));
        }
        if pooler.has("weight") {
            let (outputs, activation) = self.pooler;
            let sizes = [width, outputs];
            let dense = Linear::load(&pooler, sizes, true, None, activation, device)?;
            return Ok((Box::new(Pooler { dense }), vec!["pooler_output"], false));
        }
        let head = ClassToken {
            pooled: None,
            name: "classifier",
            classifier: None,
        };
        Ok((Box::new(head), Vec::new(), false))
    }
}

impl ArchitectureConfig for ViT {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let parsed: ViTConfig = checker.read(config)?;
        let defaults = EncoderDefaults::VIT;
        let mut encoder = parsed.fields.encoder(checker, &defaults)?;
        encoder.block.qkv_bias = [parsed.qkv_bias; 3];
        let pooler = parsed.pooler_output_size.unwrap_or(encoder.block.width);
        checker.check_size("pooler_output_size", pooler)?;
        let (patches, grid) = parsed.fields.fixed_patches(checker, &defaults)?;
        Ok(Self {
            distilled: checker.architecture() == "deit",
            patches,
            grid,
            encoder,
            pooler: (
                pooler,
                checker.activation("pooler_act", &parsed.pooler_act)?,
            ),
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
        let (network, head, classifies) = self.network(weights, device)?;
        let layers = network.layers(&head);
        let embedding = match head.first() {
            Some(first) if classifies => Some(format!("<{first}")),
            _ => None,
        };
        Ok(Network::of_images(network, layers, embedding))
    }
}

/// Two classifiers, one of the class token and one of the distillation token.
struct Distilled {
    class: Linear,
    distillation: Linear,
}

impl Head for Distilled {
    fn reads(&self) -> Option<usize> {
        Some(2)
    }

    fn forward(&self, tokens: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        trace.input("classifier", &tokens.narrow(1, 0, 2)?)?;
        let mut sum = None;
        let parts = [
            ("cls_classifier", &self.class),
            ("distillation_classifier", &self.distillation),
        ];
        for (index, (name, classifier)) in parts.into_iter().enumerate() {
            let pooled = token(tokens, index)?;
            trace.input(name, &pooled)?;
            let scores = classifier.forward(&pooled)?;
            trace.output(name, &scores)?;
            sum = Some(match sum {
                None => scores,
                Some(sum) => ((sum + scores)? / 2.0)?,
            });
        }
        let scores = sum.ok_or_else(|| Error::bad_input("classifier", "has no part"))?;
        trace.output("classifier", &scores)?;
        Ok(scores)
    }
}

/// A linear layer on the class token.
struct Pooler {
    dense: Linear,
}

impl Head for Pooler {
    fn reads(&self) -> Option<usize> {
        Some(1)
    }

    fn forward(&self, tokens: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let first = token(tokens, 0)?;
        trace.input("pooler_output", &first)?;
        let pooled = self.dense.forward(&first)?;
        trace.output("pooler_output", &pooled)?;
        Ok(pooled)
    }
}
