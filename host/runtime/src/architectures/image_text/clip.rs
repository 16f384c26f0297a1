//! CLIP, as transformers builds it (`models/clip`).

use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use super::towers::{
    Blocks, ClipImageTower, ClipTextTower, ImagePool, LAYOUT, Projection, TextPool,
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

/// The configuration of `clip`: a repository's `config.json`. These fields are used:
///
/// | field | | default |
/// |---|---|---|
/// | `projection_dim` | features of images and texts | 512 |
/// | `vision_config`, `text_config` | the towers, as below | all defaults |
///
/// | field of a tower | | default for images | for texts |
/// |---|---|---|---|
/// | `hidden_size` | features per token | 768 | 512 |
/// | `intermediate_size` | | 3072 | 2048 |
/// | `num_hidden_layers` | | 12 | 12 |
/// | `num_attention_heads` | | 12 | 8 |
/// | `hidden_act` | `quick_gelu`, `gelu`, … | `quick_gelu` | `quick_gelu` |
/// | `layer_norm_eps` | | 1e-5 | 1e-5 |
/// | `image_size`, `patch_size`, `num_channels` | | 224, 32, 3 | |
/// | `vocab_size`, `max_position_embeddings` | | | 49408, 77 |
/// | `eos_token_id` | the token whose features are those of the text; 2 for the one with the largest id | | 49407 |
///
/// The weights have transformers' names (`vision_model.…`, `text_model.…`,
/// `visual_projection.weight`, `text_projection.weight`, `logit_scale`). The outputs are the
/// projected features of images and texts, which are not normalised. Layers are
/// `vision_model.pre_layrnorm`, `vision_model.encoder.layers.N`, `vision_model.post_layernorm`
/// (of the class token), `visual_projection`; `text_model.encoder.layers.N`,
/// `text_model.final_layer_norm`, `text_projection`.
#[derive(Clone, Debug, Deserialize)]
pub struct ClipConfig {
    #[serde(default = "projection_dim")]
    projection_dim: usize,
    #[serde(default)]
    vision_config: EncoderFields,
    #[serde(default)]
    text_config: TextConfig,
}

const fn projection_dim() -> usize {
    512
}

/// The fields of the text tower.
#[derive(Clone, Debug, Default, Deserialize)]
struct TextConfig {
    #[serde(flatten)]
    fields: EncoderFields,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    eos_token_id: Option<u32>,
}

const IMAGE_DEFAULTS: EncoderDefaults = EncoderDefaults {
    activation: "quick_gelu",
    eps: 1e-5,
    patch: 32,
    ..EncoderDefaults::VIT
};

const TEXT_DEFAULTS: EncoderDefaults = EncoderDefaults {
    width: 512,
    heads: 8,
    inner: 2048,
    ..IMAGE_DEFAULTS
};

/// A checked configuration.
pub(crate) struct Clip {
    projection: usize,
    vision: EncoderConfig,
    patches: Patches,
    grid: [usize; 2],
    text: EncoderConfig,
    vocabulary: usize,
    max_tokens: usize,
    pool: TextPool,
}

impl Clip {
    fn images(&self, weights: &Scope<'_>, device: &Device) -> Result<ClipImageTower, Error> {
        let model = weights.child("vision_model");
        let embeddings = model.child("embeddings");
        embeddings.ignore("position_ids");
        let (width, eps) = (self.vision.block.width, self.vision.block.eps);
        let norm = |name: &str| LayerNorm::load(&model.child(name), width, eps, true, device);
        let class = embeddings.get("class_embedding", &[width])?;
        let [rows, columns] = self.grid;
        let positions = embeddings.child("position_embedding");
        let positions = positions.get("weight", &[rows * columns + 1, width])?;
        let patches = embeddings.child("patch_embedding");
        Ok(ClipImageTower {
            projection: self.patches.load(&patches, width, false, device)?,
            patches: self.patches,
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
            pool: ImagePool::ClassToken,
            last: Some(self.projection(weights, "visual_projection", width, device)?),
            device: device.clone(),
        })
    }

    fn texts(&self, weights: &Scope<'_>, device: &Device) -> Result<ClipTextTower, Error> {
        let tower = TextTowerConfig {
            encoder: &self.text,
            vocabulary: self.vocabulary,
            max_tokens: self.max_tokens,
            causal: true,
            pool: self.pool,
        };
        tower.load(weights, device, |_| {
            self.projection(weights, "text_projection", self.text.block.width, device)
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

impl ArchitectureConfig for Clip {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let ClipConfig {
            projection_dim,
            vision_config: images,
            text_config: texts,
        } = checker.read(config)?;
        checker.check_size("projection_dim", projection_dim)?;
        let vision = checker.child("vision_config");
        let (patches, grid) = images.fixed_patches(&vision, &IMAGE_DEFAULTS)?;
        check_patches(&vision, &patches)?;
        let text = checker.child("text_config");
        let vocabulary = texts.vocab_size.unwrap_or(49_408);
        let max_tokens = texts.max_position_embeddings.unwrap_or(77);
        text.check_sizes(&[
            ("vocab_size", vocabulary),
            ("max_position_embeddings", max_tokens),
        ])?;
        Ok(Self {
            projection: projection_dim,
            vision: images.encoder(&vision, &IMAGE_DEFAULTS)?,
            patches,
            grid,
            text: texts.fields.encoder(&text, &TEXT_DEFAULTS)?,
            vocabulary,
            max_tokens,
            // The configurations of OpenAI's weights say 2, which is not the id of that token.
            pool: match texts.eos_token_id.unwrap_or(49_407) {
                2 => TextPool::LargestId,
                token => TextPool::Token(token),
            },
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
            scale: number(weights, "logit_scale", &[])?.exp(),
            bias: 0.0,
        };
        let images = self.images(weights, device)?;
        Ok(network(images, self.texts(weights, device)?, similarity))
    }
}
