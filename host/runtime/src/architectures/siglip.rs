//! SigLIP, and SigLIP 2 of fixed resolution, as Hugging Face's transformers build them
//! (`models/siglip/modeling_siglip.py`).

use serde::Deserialize;
use serde_json::Value;

use super::contrast::{
    Attended, Blocks, Defaults, End, ImageSizes, Images, LAYOUT, Pool, Projection, TextParts,
    Texts, TowerFields, network, number,
};
use super::encoder::{MAX_SIZE, Sizes};
use super::{Blueprint, Network, Similarity, read};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, LayerNorm, Linear};
use crate::plan::Size;
use crate::weights::Scope;

pub(super) const NAME: &str = "siglip";

/// The configuration of `siglip`: a repository's `config.json` as it is. Of it count:
///
/// | field | | default |
/// |---|---|---|
/// | `model_type` | `siglip`; SigLIP 2 of fixed resolution says so too | `siglip` |
/// | `vision_config`, `text_config` | the towers, as below | all defaults |
///
/// | field of a tower | | default |
/// |---|---|---|
/// | `hidden_size` | features of a token, and of images and texts | 768 |
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
/// `logit_bias`). A text is padded to `max_position_embeddings` tokens, or to the plan's
/// `max_tokens` where these are fewer, because the network takes the padding for a part of it: with the token that `tokenizer.json` says, or else the
/// configuration. Layers are `vision_model.encoder.layers.N`, `vision_model.post_layernorm`,
/// `vision_model.head`; `text_model.encoder.layers.N`, `text_model.final_layer_norm`,
/// `text_model.head`.
#[derive(Clone, Debug, Deserialize)]
pub struct SiglipConfig {
    #[serde(default)]
    model_type: Option<String>,
    #[serde(default)]
    vision_config: Tower,
    #[serde(default)]
    text_config: Tower,
}

/// The fields of either tower.
#[derive(Clone, Debug, Default, Deserialize)]
struct Tower {
    #[serde(flatten)]
    common: TowerFields,
    vision_use_head: Option<bool>,
    pad_token_id: Option<u32>,
    projection_size: Option<usize>,
}

const DEFAULTS: Defaults = Defaults {
    width: 768,
    inner: 3072,
    heads: 12,
    eps: 1e-6,
    activation: "gelu_pytorch_tanh",
};

/// A checked configuration.
pub(crate) struct Siglip {
    vision: Sizes,
    image: ImageSizes,
    text: Sizes,
    vocabulary: usize,
    max_tokens: usize,
    padding: u32,
    projection: usize,
}

/// The tokens of Gemma's tokenizer, which SigLIP 2 has.
const GEMMA: usize = 256_000;

impl Siglip {
    pub(super) fn parse(config: &Value) -> Result<Self, Error> {
        let SiglipConfig {
            model_type,
            vision_config,
            text_config,
        } = read(NAME, String::new(), config)?;
        match model_type.as_deref() {
            None | Some("siglip") => {}
            Some("siglip2") => {
                let reason = "`siglip2` is SigLIP 2 of variable resolution (NaFlex), which is not computed here: take a repository of fixed resolution, such as siglip2-base-patch16-224";
                return Err(bad("model_type", reason.to_owned()));
            }
            Some(other) => {
                let reason = format!("`{}` is not `siglip`", other.escape_debug());
                return Err(bad("model_type", reason));
            }
        }
        if vision_config.vision_use_head == Some(false) {
            let reason = "without a head images have no vector".to_owned();
            return Err(bad("vision_config.vision_use_head", reason));
        }
        let text = text_config.common.sizes(NAME, "text_config", &DEFAULTS)?;
        let vocabulary = text_config.common.vocab_size.unwrap_or(32_000);
        let siglip = Self {
            vision: vision_config
                .common
                .sizes(NAME, "vision_config", &DEFAULTS)?,
            image: vision_config.common.image(16),
            text,
            vocabulary,
            max_tokens: text_config.common.max_position_embeddings.unwrap_or(64),
            padding: match text_config.pad_token_id {
                Some(padding) => padding,
                None if vocabulary == GEMMA => 0,
                None => 1,
            },
            projection: text_config.projection_size.unwrap_or(text.width),
        };
        let vision = |field: &str, reason: String| bad(&format!("vision_config.{field}"), reason);
        siglip.image.check(vision)?;
        let sizes = [
            ("vocab_size", siglip.vocabulary),
            ("max_position_embeddings", siglip.max_tokens),
        ];
        for (field, size) in sizes {
            if !(1..=MAX_SIZE).contains(&size) {
                let field = format!("text_config.{field}");
                return Err(bad(&field, format!("must be 1 to {MAX_SIZE}")));
            }
        }
        if siglip.padding as usize >= siglip.vocabulary {
            let reason = "must be less than `vocab_size`".to_owned();
            return Err(bad("text_config.pad_token_id", reason));
        }
        if siglip.projection != siglip.vision.width {
            let reason = format!(
                "is {}, and images have {} features",
                siglip.projection, siglip.vision.width
            );
            return Err(bad("text_config.projection_size", reason));
        }
        Ok(siglip)
    }

    fn images(&self, weights: &Scope<'_>, device: &Device) -> Result<Images, Error> {
        let model = weights.child("vision_model");
        let embeddings = model.child("embeddings");
        embeddings.ignore("position_ids");
        let Sizes { width, eps, .. } = self.vision;
        let positions = embeddings.child("position_embedding");
        let positions = positions.get("weight", &[self.image.patches(), width])?;
        let patches = embeddings.child("patch_embedding");
        let norm = model.child("post_layernorm");
        let head = Attended::load(&model.child("head"), &self.vision, device)?;
        Ok(Images {
            sizes: self.image,
            patches: self.image.load(&patches, width, true, device)?,
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
            pool: Pool::Attended(Box::new(head)),
            projection: None,
            device: device.clone(),
        })
    }

    fn texts(&self, weights: &Scope<'_>, device: &Device) -> Result<Texts, Error> {
        let parts = TextParts {
            sizes: &self.text,
            vocabulary: self.vocabulary,
            max_tokens: self.max_tokens,
            causal: false,
            end: End::Last {
                length: self.max_tokens,
                padding: self.padding,
            },
        };
        parts.load(weights, device, |model| {
            let (head, sizes) = (model.child("head"), [self.text.width, self.projection]);
            Ok(Projection {
                name: "text_model.head",
                linear: Linear::load(&head, sizes, true, None, Activation::Identity, device)?,
            })
        })
    }
}

impl Blueprint for Siglip {
    fn in_channels(&self) -> Option<usize> {
        Some(self.image.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.image.check_plan(size)?;
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

fn bad(field: &str, reason: String) -> Error {
    Error::BadConfig {
        architecture: NAME,
        field: field.to_owned(),
        reason,
    }
}
