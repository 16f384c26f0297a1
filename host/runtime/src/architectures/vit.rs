//! ViT and DeiT, as transformers builds them (`models/vit`, `models/deit`; Dosovitskiy et al., "An
//! Image is Worth 16x16 Words", 2020; Touvron et al., "Training data-efficient image transformers
//! & distillation through attention", 2020).

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use super::huggingface::{self, Config, Labels, Sides};
use super::positions::Interpolation;
use super::transformer::{Block, BlockSizes, Layout, MlpNames, Order, QkvNames};
use super::vision::{
    ClassToken, Cut, Head, Names, Patches, Plainly, Tokens, VisionTransformer, token,
};
use super::{Blueprint, Network, read};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, LayerNorm, Linear};
use crate::plan::Size;
use crate::trace::Trace;
use crate::weights::Scope;

pub(super) const NAME: &str = "vit";
pub(super) const DEIT: &str = "deit";

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
/// | `id2label` or `num_labels` | how many classes there are | 2 |
///
/// The weights have the names of transformers' `ViTForImageClassification`, `ViTModel`,
/// `DeiTForImageClassification`, `DeiTForImageClassificationWithTeacher` or `DeiTModel`:
/// `vit.embeddings.cls_token`, `vit.encoder.layer.0.attention.attention.query.weight`, …,
/// `classifier.weight`; a base model's without `vit.`. The output is the classifier's (with two
/// of them their mean), else the pooler's, else the class token. Images have the size that the
/// configuration says.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ViTConfig {
    /// The size of the images.
    image_size: Sides,
    /// The size of a patch.
    patch_size: Sides,
    /// Channels of the input.
    pub num_channels: usize,
    /// Channels of a token.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads of the attention.
    pub num_attention_heads: usize,
    /// Channels inside the network on each token.
    pub intermediate_size: usize,
    /// The activation.
    pub hidden_act: String,
    /// What the norms add to the variance.
    pub layer_norm_eps: f64,
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
            image_size: Sides::Both(224),
            patch_size: Sides::Both(16),
            num_channels: 3,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-12,
            qkv_bias: true,
            pooler_output_size: None,
            pooler_act: "tanh".to_owned(),
        }
    }
}

/// The names of a block's tensors.
const LAYOUT: Layout = Layout {
    order: Order::NormFirst,
    norms: ["layernorm_before", "layernorm_after"],
    qkv: QkvNames::Apart([
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
    ]),
    out: "attention.output.dense",
    mlp: MlpNames::Plain(["intermediate.dense", "output.dense"]),
    scales: None,
};

/// A checked configuration.
pub(crate) struct Sizes {
    name: &'static str,
    patches: Patches,
    /// Patches along the sides.
    grid: [usize; 2],
    block: BlockSizes,
    blocks: usize,
    pooler: (usize, Activation),
    labels: Labels,
}

impl Sizes {
    /// Reads the configuration of `vit` or `deit`.
    pub(super) fn parse(name: &'static str, value: &Value) -> Result<Self, Error> {
        let sizes: ViTConfig = read(name, String::new(), value)?;
        let config = Config {
            architecture: name,
            value,
        };
        let pooler = sizes.pooler_output_size.unwrap_or(sizes.hidden_size);
        let block = BlockSizes {
            width: sizes.hidden_size,
            heads: sizes.num_attention_heads,
            inner: sizes.intermediate_size,
            eps: sizes.layer_norm_eps,
            activation: config.activation("hidden_act", &sizes.hidden_act)?,
            qkv_bias: [sizes.qkv_bias; 3],
            out_bias: true,
            mlp_bias: true,
        };
        config.check_block(&block, sizes.num_hidden_layers)?;
        config.check_sizes(&[
            ("num_channels", sizes.num_channels),
            ("pooler_output_size", pooler),
        ])?;
        let size = sizes.image_size.check(&config, "image_size")?;
        let patches = Patches {
            channels: sizes.num_channels,
            size: sizes.patch_size.check(&config, "patch_size")?,
            cut: Cut::Fixed(size),
        };
        let labels = config.labels()?;
        Ok(Self {
            name,
            grid: config.grid(&patches, size)?,
            patches,
            block,
            blocks: sizes.num_hidden_layers,
            pooler: (pooler, config.activation("pooler_act", &sizes.pooler_act)?),
            labels,
        })
    }

    fn network(
        &self,
        weights: &Scope<'_>,
        device: &Device,
    ) -> Result<(VisionTransformer, Vec<&'static str>, bool), Error> {
        let base = huggingface::base(weights, self.name, "embeddings.cls_token");
        let width = self.block.width;
        let embeddings = base.child("embeddings");
        // It stands for patches that are hidden while the model is trained.
        embeddings.ignore("mask_token");
        let mut tokens = vec![embeddings.get("cls_token", &[1, 1, width])?];
        if self.name == DEIT {
            tokens.push(embeddings.get("distillation_token", &[1, 1, width])?);
        }
        let [height, across] = self.grid;
        let placed = tokens.len();
        let table = [1, placed + height * across, width];
        let table = embeddings.get("position_embeddings", &table)?;
        // Of one size alone: nothing is interpolated.
        let table = Some((table, self.grid, Interpolation::Bicubic));
        let scope = base.child("encoder.layer");
        let blocks = Block::load_all(&scope, &LAYOUT, &self.block, self.blocks, device)?;
        let (head, head_layers, classifies) = self.head(weights, &base, device)?;
        let eps = self.block.eps;
        let network = VisionTransformer {
            projection: self.patches.load(
                &embeddings.child("patch_embeddings.projection"),
                width,
                device,
            )?,
            patches: self.patches,
            tokens: Tokens::new(&tokens, placed, table, device)?,
            attending: Box::new(Plainly),
            blocks,
            norm: Some(LayerNorm::load(
                &base.child("layernorm"),
                width,
                eps,
                true,
                device,
            )?),
            head,
            names: Names::HUGGING_FACE,
            device: device.clone(),
        };
        Ok((network, head_layers, classifies))
    }

    /// The head that the weights have, its layers, and whether it classifies.
    #[allow(clippy::type_complexity, reason = "three things that go together once")]
    fn head(
        &self,
        weights: &Scope<'_>,
        base: &Scope<'_>,
        device: &Device,
    ) -> Result<(Box<dyn Head>, Vec<&'static str>, bool), Error> {
        let classifier =
            |name, labels| huggingface::classifier(weights, name, self.block.width, labels, device);
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
            // Made by the training of the base model, and not what the classifier reads.
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
            let sizes = [self.block.width, outputs];
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

impl Blueprint for Sizes {
    fn in_channels(&self) -> Option<usize> {
        Some(self.patches.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.patches.check(size)?;
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

/// Two classifiers, one on the class token and one on the distillation token.
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

/// The class token through one more layer.
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
