//! CLIP, as Hugging Face's transformers build it (`models/clip/modeling_clip.py`).

use serde::Deserialize;
use serde_json::Value;

use super::contrast::{Blocks, End, ImageSizes, Images, Pool, Projection, Texts, network, number};
use super::encoder::{self, MAX_SIZE, Names, Order, Projections, Sizes};
use super::{Blueprint, Network, Similarity, read};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Embedding, LayerNorm, Linear};
use crate::plan::Size;
use crate::weights::Scope;

pub(super) const NAME: &str = "clip";

/// The configuration of `clip`: a repository's `config.json` as it is. Of it count:
///
/// | field | | default |
/// |---|---|---|
/// | `projection_dim` | features that images and texts have in common | 512 |
/// | `vision_config`, `text_config` | the towers, as below | all defaults |
///
/// | field of a tower | | default for images | for texts |
/// |---|---|---|---|
/// | `hidden_size` | features of a token | 768 | 512 |
/// | `intermediate_size` | | 3072 | 2048 |
/// | `num_hidden_layers` | | 12 | 12 |
/// | `num_attention_heads` | | 12 | 8 |
/// | `hidden_act` | `quick_gelu`, `gelu`, … | `quick_gelu` | `quick_gelu` |
/// | `layer_norm_eps` | | 1e-5 | 1e-5 |
/// | `image_size`, `patch_size`, `num_channels` | | 224, 32, 3 | |
/// | `vocab_size`, `max_position_embeddings` | | | 49408, 77 |
/// | `eos_token_id` | the token that stands for a text; 2 for the one with the largest number | | 49407 |
///
/// The weights have transformers' names (`vision_model.…`, `text_model.…`,
/// `visual_projection.weight`, `text_projection.weight`, `logit_scale`). Images and texts have
/// their projected features, which are not normalised. Layers are
/// `vision_model.pre_layrnorm`, `vision_model.encoder.layers.N`, `vision_model.post_layernorm`
/// (of the class token), `visual_projection`; `text_model.encoder.layers.N`,
/// `text_model.final_layer_norm`, `text_projection`.
#[derive(Clone, Debug, Deserialize)]
pub struct ClipConfig {
    #[serde(default = "projection_dim")]
    projection_dim: usize,
    #[serde(default)]
    vision_config: Tower,
    #[serde(default)]
    text_config: Tower,
}

const fn projection_dim() -> usize {
    512
}

/// The fields of either tower.
#[derive(Clone, Debug, Default, Deserialize)]
struct Tower {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    num_channels: Option<usize>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    eos_token_id: Option<u32>,
}

impl Tower {
    /// The sizes, with the defaults for the width, the inner features and the heads.
    fn sizes(&self, prefix: &str, defaults: [usize; 3]) -> Result<Sizes, Error> {
        let [width, inner, heads] = defaults;
        let name = self.hidden_act.as_deref().unwrap_or("quick_gelu");
        let activation = encoder::activation(name).ok_or_else(|| {
            let reason = format!("`{}` is not computed here", name.escape_debug());
            bad(&format!("{prefix}.hidden_act"), reason)
        })?;
        let sizes = Sizes {
            width: self.hidden_size.unwrap_or(width),
            heads: self.num_attention_heads.unwrap_or(heads),
            inner: self.intermediate_size.unwrap_or(inner),
            blocks: self.num_hidden_layers.unwrap_or(12),
            eps: self.layer_norm_eps.unwrap_or(1e-5),
            activation,
        };
        sizes.check(Sizes::FIELDS, |field: &str, reason: String| {
            bad(&format!("{prefix}.{field}"), reason)
        })?;
        Ok(sizes)
    }
}

/// The names of a block's tensors, of both towers; SigLIP has the same.
pub(super) const NAMES: Names = Names {
    order: Order::NormFirst,
    qkv: Projections::Apart(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    out: "self_attn.out_proj",
    norms: ["layer_norm1", "layer_norm2"],
    mlp: ["mlp.fc1", "mlp.fc2"],
};

/// A checked configuration.
pub(crate) struct Clip {
    projection: usize,
    vision: Sizes,
    image: ImageSizes,
    text: Sizes,
    vocabulary: usize,
    max_tokens: usize,
    end: End,
}

impl Clip {
    pub(super) fn parse(config: &Value) -> Result<Self, Error> {
        let ClipConfig {
            projection_dim,
            vision_config,
            text_config,
        } = read(NAME, String::new(), config)?;
        let clip = Self {
            projection: projection_dim,
            vision: vision_config.sizes("vision_config", [768, 3072, 12])?,
            image: ImageSizes {
                channels: vision_config.num_channels.unwrap_or(3),
                image: vision_config.image_size.unwrap_or(224),
                patch: vision_config.patch_size.unwrap_or(32),
            },
            text: text_config.sizes("text_config", [512, 2048, 8])?,
            vocabulary: text_config.vocab_size.unwrap_or(49_408),
            max_tokens: text_config.max_position_embeddings.unwrap_or(77),
            // Configurations of OpenAI's weights say 2, which is not what it is.
            end: match text_config.eos_token_id.unwrap_or(49_407) {
                2 => End::Largest,
                token => End::Token(token),
            },
        };
        let vision = |field: &str, reason: String| bad(&format!("vision_config.{field}"), reason);
        clip.image.check(vision)?;
        let sizes = [
            ("projection_dim", clip.projection),
            ("text_config.vocab_size", clip.vocabulary),
            ("text_config.max_position_embeddings", clip.max_tokens),
        ];
        for (field, size) in sizes {
            if !(1..=MAX_SIZE).contains(&size) {
                return Err(bad(field, format!("must be 1 to {MAX_SIZE}")));
            }
        }
        Ok(clip)
    }

    fn images(&self, weights: &Scope<'_>, device: &Device) -> Result<Images, Error> {
        let model = weights.child("vision_model");
        let embeddings = model.child("embeddings");
        embeddings.ignore("position_ids");
        let Sizes { width, eps, .. } = self.vision;
        let norm = |name: &str| LayerNorm::load(&model.child(name), width, eps, true, device);
        let class = embeddings.get("class_embedding", &[width])?;
        let positions = embeddings.child("position_embedding");
        let positions = positions.get("weight", &[self.image.patches() + 1, width])?;
        let patches = embeddings.child("patch_embedding");
        Ok(Images {
            sizes: self.image,
            patches: self.image.load(&patches, width, false, device)?,
            class: Some(class.reshape((1, width))?.to_device(device.candle())?),
            positions: positions.to_device(device.candle())?,
            before: Some(("vision_model.pre_layrnorm", norm("pre_layrnorm")?)),
            blocks: Blocks::load(
                &model.child("encoder.layers"),
                "vision_model.encoder.layers",
                &NAMES,
                &self.vision,
                device,
            )?,
            after: ("vision_model.post_layernorm", norm("post_layernorm")?),
            pool: Pool::First,
            projection: Some(self.projection(weights, "visual_projection", width, device)?),
            device: device.clone(),
        })
    }

    fn texts(&self, weights: &Scope<'_>, device: &Device) -> Result<Texts, Error> {
        let model = weights.child("text_model");
        let embeddings = model.child("embeddings");
        embeddings.ignore("position_ids");
        let Sizes { width, eps, .. } = self.text;
        let table =
            |name: &str, rows| Embedding::load(&embeddings.child(name), [rows, width], device);
        let norm = model.child("final_layer_norm");
        Ok(Texts {
            words: table("token_embedding", self.vocabulary)?,
            vocabulary: self.vocabulary,
            positions: table("position_embedding", self.max_tokens)?,
            max_tokens: self.max_tokens,
            causal: true,
            blocks: Blocks::load(
                &model.child("encoder.layers"),
                "text_model.encoder.layers",
                &NAMES,
                &self.text,
                device,
            )?,
            norm: (
                "text_model.final_layer_norm",
                LayerNorm::load(&norm, width, eps, true, device)?,
            ),
            end: self.end,
            projection: self.projection(weights, "text_projection", width, device)?,
            device: device.clone(),
        })
    }

    fn projection(
        &self,
        weights: &Scope<'_>,
        name: &'static str,
        width: usize,
        device: &Device,
    ) -> Result<Projection, Error> {
        let (scope, sizes) = (weights.child(name), [width, self.projection]);
        let linear = Linear::load(&scope, sizes, false, None, Activation::Identity, device)?;
        Ok(Projection { name, linear })
    }
}

impl Blueprint for Clip {
    fn in_channels(&self) -> Option<usize> {
        Some(self.image.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.image.check_plan(size)?;
        Ok(Some(self.projection))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let similarity = Similarity {
            scale: number(weights, "logit_scale", &[])?.exp(),
            bias: 0.0,
        };
        let images = self.images(weights, device)?;
        Ok(network(images, self.texts(weights, device)?, similarity))
    }
}

fn bad(field: &str, reason: String) -> Error {
    Error::BadConfig {
        architecture: NAME,
        field: field.to_owned(),
        reason,
    }
}
