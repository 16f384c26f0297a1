//! CLIP, as Hugging Face's transformers build it (`models/clip/modeling_clip.py`).

use serde::Deserialize;
use serde_json::Value;

use super::contrast::{
    Blocks, Defaults, End, ImageSizes, Images, LAYOUT, Pool, Projection, TextParts, Texts,
    TowerFields, network, number,
};
use super::encoder::{MAX_SIZE, Sizes};
use super::{Blueprint, Network, Similarity, read};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, LayerNorm, Linear};
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
    #[serde(flatten)]
    common: TowerFields,
    eos_token_id: Option<u32>,
}

impl Tower {
    /// The sizes, with the defaults for the width, the inner features and the heads.
    fn sizes(&self, prefix: &str, defaults: [usize; 3]) -> Result<Sizes, Error> {
        let [width, inner, heads] = defaults;
        let defaults = Defaults {
            width,
            inner,
            heads,
            eps: 1e-5,
            activation: "quick_gelu",
        };
        self.common.sizes(NAME, prefix, &defaults)
    }
}

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
            image: vision_config.common.image(32),
            text: text_config.sizes("text_config", [512, 2048, 8])?,
            vocabulary: text_config.common.vocab_size.unwrap_or(49_408),
            max_tokens: text_config.common.max_position_embeddings.unwrap_or(77),
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
            class: Some(device.place_weights(embeddings.name(), &class.reshape((1, width))?)?),
            positions: device.place_weights(embeddings.name(), &positions)?,
            before: Some(("vision_model.pre_layrnorm", norm("pre_layrnorm")?)),
            blocks: Blocks::load(
                &model.child("encoder.layers"),
                "vision_model.encoder.layers",
                &LAYOUT,
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
        let parts = TextParts {
            sizes: &self.text,
            vocabulary: self.vocabulary,
            max_tokens: self.max_tokens,
            causal: true,
            end: self.end,
        };
        parts.load(weights, device, |_| {
            self.projection(weights, "text_projection", self.text.width, device)
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
