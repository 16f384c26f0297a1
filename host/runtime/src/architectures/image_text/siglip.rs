//! SigLIP, and SigLIP 2 of fixed resolution, as transformers builds them (`models/siglip`).

use modelzoo_base::text::escape;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use super::towers::{
    AttentionPool, Blocks, ClipImageTower, ClipTextTower, ImagePool, LAYOUT, Projection, TextPool,
    TextTowerConfig, check_patches, network, number,
};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::encoder::{EncoderConfig, EncoderDefaults, EncoderFields};
use crate::architectures::shared::network::{ArchitectureConfig, Network, Similarity};
use crate::architectures::shared::patches::Patches;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, LayerNorm, Linear};
use crate::weights::Scope;

/// The configuration of `siglip`: a repository's `config.json`. These fields are used:
///
/// | field | | default |
/// |---|---|---|
/// | `model_type` | `siglip`; SigLIP 2 of fixed resolution says so too | `siglip` |
/// | `vision_config`, `text_config` | the towers, as below | all defaults |
///
/// | field of a tower | | default |
/// |---|---|---|
/// | `hidden_size` | features per token, and of images and texts | 768 |
/// | `intermediate_size` | | 3072 |
/// | `num_hidden_layers`, `num_attention_heads` | | 12, 12 |
/// | `hidden_act` | `gelu_pytorch_tanh`, `gelu`, … | `gelu_pytorch_tanh` |
/// | `layer_norm_eps` | | 1e-6 |
/// | `image_size`, `patch_size`, `num_channels` | of images | 224, 16, 3 |
/// | `vocab_size`, `max_position_embeddings` | of texts | 32000, 64 |
/// | `pad_token_id` | of texts | 1, or 0 with SigLIP 2's 256000 tokens |
/// | `projection_size` | features of a text | `hidden_size` |
///
/// The weights have transformers' names (`vision_model.…`, `text_model.…`, `logit_scale`,
/// `logit_bias`). Texts are padded to `max_position_embeddings` tokens, or to the plan's
/// `max_tokens` where these are fewer, because the network attends to the padding: with the token
/// of `tokenizer.json`, or else of the configuration. Layers are `vision_model.encoder.layers.N`, `vision_model.post_layernorm`,
/// `vision_model.head`; `text_model.encoder.layers.N`, `text_model.final_layer_norm`,
/// `text_model.head`.
#[derive(Clone, Debug, Deserialize)]
pub struct SiglipConfig {
    #[serde(default)]
    model_type: Option<String>,
    #[serde(default)]
    vision_config: VisionConfig,
    #[serde(default)]
    text_config: TextConfig,
}

/// The fields of the image tower.
#[derive(Clone, Debug, Default, Deserialize)]
struct VisionConfig {
    #[serde(flatten)]
    fields: EncoderFields,
    vision_use_head: Option<bool>,
}

/// The fields of the text tower.
#[derive(Clone, Debug, Default, Deserialize)]
struct TextConfig {
    #[serde(flatten)]
    fields: EncoderFields,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    pad_token_id: Option<u32>,
    projection_size: Option<usize>,
}

const DEFAULTS: EncoderDefaults = EncoderDefaults {
    activation: "gelu_pytorch_tanh",
    eps: 1e-6,
    ..EncoderDefaults::VIT
};

/// A checked configuration.
pub(crate) struct Siglip {
    vision: EncoderConfig,
    patches: Patches,
    grid: [usize; 2],
    text: EncoderConfig,
    vocabulary: usize,
    max_tokens: usize,
    padding: u32,
    projection: usize,
}

/// The vocabulary of Gemma's tokenizer, which SigLIP 2 uses.
const GEMMA: usize = 256_000;

impl Siglip {
    fn images(&self, weights: &Scope<'_>, device: &Device) -> Result<ClipImageTower, Error> {
        let model = weights.child("vision_model");
        let embeddings = model.child("embeddings");
        embeddings.ignore("position_ids");
        let (width, eps) = (self.vision.block.width, self.vision.block.eps);
        let [rows, columns] = self.grid;
        let positions = embeddings.child("position_embedding");
        let positions = positions.get("weight", &[rows * columns, width])?;
        let patches = embeddings.child("patch_embedding");
        let norm = model.child("post_layernorm");
        let head = AttentionPool::load(&model.child("head"), &self.vision.block, device)?;
        Ok(ClipImageTower {
            projection: self.patches.load(&patches, width, true, device)?,
            patches: self.patches,
            class: None,
            positions: device.place_weights(embeddings.name(), &positions)?,
            before: None,
            blocks: Blocks::load(
                &model.child("encoder.layers"),
                "vision_model.encoder.layers",
                &LAYOUT,
                &self.vision,
                device,
            )?,
            after: (
                "vision_model.post_layernorm",
                LayerNorm::load(&norm, width, eps, true, device)?,
            ),
            pool: ImagePool::Attention(Box::new(head)),
            last: None,
            device: device.clone(),
        })
    }

    fn texts(&self, weights: &Scope<'_>, device: &Device) -> Result<ClipTextTower, Error> {
        let tower = TextTowerConfig {
            encoder: &self.text,
            vocabulary: self.vocabulary,
            max_tokens: self.max_tokens,
            causal: false,
            pool: TextPool::Last {
                length: self.max_tokens,
                padding: self.padding,
            },
        };
        tower.load(weights, device, |model| {
            let (head, sizes) = (
                model.child("head"),
                [self.text.block.width, self.projection],
            );
            Ok(Projection {
                name: "text_model.head",
                linear: Linear::load(&head, sizes, true, None, Activation::Identity, device)?,
            })
        })
    }
}

/// Checks that this is SigLIP, or SigLIP 2 of fixed resolution.
fn check_model_type(checker: &ConfigChecker, model_type: Option<&str>) -> Result<(), Error> {
    let reason = match model_type {
        None | Some("siglip") => return Ok(()),
        Some("siglip2") => {
            "`siglip2` is SigLIP 2 of variable resolution (NaFlex), which is not supported: use a repository of fixed resolution, such as siglip2-base-patch16-224".to_owned()
        }
        Some(other) => format!("`{}` is not `siglip`", escape(other)),
    };
    Err(checker.error("model_type", reason))
}

impl ArchitectureConfig for Siglip {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let SiglipConfig {
            model_type,
            vision_config: images,
            text_config: texts,
        } = checker.read(config)?;
        check_model_type(checker, model_type.as_deref())?;
        let vision = checker.child("vision_config");
        if images.vision_use_head == Some(false) {
            let reason = "must be true: without a head, images have no features";
            return Err(vision.error("vision_use_head", reason));
        }
        let (patches, grid) = images.fields.fixed_patches(&vision, &DEFAULTS)?;
        check_patches(&vision, &patches)?;
        let images = images.fields.encoder(&vision, &DEFAULTS)?;
        let text = checker.child("text_config");
        let encoder = texts.fields.encoder(&text, &DEFAULTS)?;
        let vocabulary = texts.vocab_size.unwrap_or(32_000);
        let max_tokens = texts.max_position_embeddings.unwrap_or(64);
        text.check_sizes(&[
            ("vocab_size", vocabulary),
            ("max_position_embeddings", max_tokens),
        ])?;
        let padding = match texts.pad_token_id {
            Some(padding) => padding,
            None if vocabulary == GEMMA => 0,
            None => 1,
        };
        if padding as usize >= vocabulary {
            return Err(text.error("pad_token_id", "must be less than `vocab_size`"));
        }
        let (projection, width) = (texts.projection_size, images.block.width);
        let projection = projection.unwrap_or(encoder.block.width);
        if projection != width {
            let reason = format!("is {projection}, and images have {width} features");
            return Err(text.error("projection_size", reason));
        }
        Ok(Self {
            vision: images,
            patches,
            grid,
            text: encoder,
            vocabulary,
            max_tokens,
            padding,
            projection,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.patches.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.patches.check_plan(size)?;
        Ok(Some(self.projection))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let similarity = Similarity {
            scale: number(weights, "logit_scale", &[1])?.exp(),
            bias: number(weights, "logit_bias", &[1])?,
        };
        let images = self.images(weights, device)?;
        Ok(network(images, self.texts(weights, device)?, similarity))
    }
}
