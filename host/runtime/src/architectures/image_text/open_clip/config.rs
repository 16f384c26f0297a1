//! The sizes of OpenCLIP's models: as configured, or as the weights show them.

use modelzoo_base::text::escape;
use serde::Deserialize;
use serde_json::Value;

use crate::architectures::image_text::towers::check_patches;
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::encoder::EncoderConfig;
use crate::architectures::shared::patches::{ImageSizes, Patches};
use crate::error::Error;
use crate::layers::Activation;
use crate::weights::Scope;

/// The configuration of `open_clip`: a repository's `open_clip_config.json`, one of OpenCLIP's own
/// files (`ViT-B-32.json`), or an empty object.
///
/// | field | | default |
/// |---|---|---|
/// | `model_cfg` | an object with the fields below, as in repositories | |
/// | `embed_dim` | features of images and texts | as the weights show |
/// | `quick_gelu` | whether the activation is CLIP's approximation of GELU | `true` without `vision_cfg` and `text_cfg`, or else `false` |
/// | `vision_cfg` | `image_size` (224), `layers` (12), `width` (768), `head_width` (64), `mlp_ratio` (4), `patch_size` (16) | as the weights show |
/// | `text_cfg` | `context_length` (77), `vocab_size` (49408), `width` (512), `heads` (8), `layers` (12), `mlp_ratio` (4) | as the weights show |
///
/// Without `vision_cfg` and `text_cfg`, the sizes are read from the weights as in OpenAI's code, with
/// heads of 64 features: `{}` fits OpenAI's own weights, `{"quick_gelu": false}` others of these
/// sizes. OpenCLIP's ViT-H, ViT-g and ViT-bigG have larger heads, which weights do not show: image
/// towers of their widths (1280, 1408, 1664) are refused without `vision_cfg`. Only vision
/// transformers are supported: a ResNet, a tower of timm and a text tower of transformers are
/// refused by name.
///
/// The weights have OpenAI's names (`visual.conv1.weight`,
/// `visual.transformer.resblocks.0.attn.in_proj_weight`, `token_embedding.weight`,
/// `transformer.resblocks.0.…`, `text_projection`, `logit_scale`); those of the text tower may
/// have `text.` before them. Layers are `visual.ln_pre`, `visual.transformer.resblocks.N`,
/// `visual.ln_post` (of the class token), `visual.proj`; `transformer.resblocks.N`, `ln_final`,
/// `text_projection`.
#[derive(Clone, Debug, Deserialize)]
pub struct OpenClipConfig {
    #[serde(default)]
    model_cfg: Option<Box<OpenClipConfig>>,
    #[serde(default)]
    embed_dim: Option<usize>,
    #[serde(default)]
    quick_gelu: Option<bool>,
    #[serde(default)]
    vision_cfg: Option<Vision>,
    #[serde(default)]
    text_cfg: Option<Text>,
}

/// The fields of the image tower. Any other field asks for something that is not supported.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vision {
    #[serde(default = "default::image_size")]
    image_size: usize,
    #[serde(default = "default::layers")]
    layers: Layers,
    #[serde(default = "default::vision_width")]
    width: usize,
    #[serde(default = "default::head_width")]
    head_width: usize,
    #[serde(default = "default::mlp_ratio")]
    mlp_ratio: f64,
    #[serde(default = "default::patch_size")]
    patch_size: usize,
    /// Only used in training.
    #[serde(default, rename = "patch_dropout")]
    _patch_dropout: f64,
}

/// A number of blocks; four numbers are those of a ResNet.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Layers {
    Blocks(usize),
    Stages(Vec<usize>),
}

/// The fields of the text tower.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default = "default::context_length")]
    context_length: usize,
    #[serde(default = "default::vocab_size")]
    vocab_size: usize,
    #[serde(default = "default::text_width")]
    width: usize,
    #[serde(default = "default::heads")]
    heads: usize,
    #[serde(default = "default::text_layers")]
    layers: usize,
    #[serde(default = "default::mlp_ratio")]
    mlp_ratio: f64,
}

/// The defaults of OpenCLIP.
mod default {
    use super::Layers;

    pub(super) const fn image_size() -> usize {
        224
    }
    pub(super) const fn layers() -> Layers {
        Layers::Blocks(12)
    }
    pub(super) const fn text_layers() -> usize {
        12
    }
    pub(super) const fn vision_width() -> usize {
        768
    }
    pub(super) const fn head_width() -> usize {
        64
    }
    pub(super) const fn mlp_ratio() -> f64 {
        4.0
    }
    pub(super) const fn patch_size() -> usize {
        16
    }
    pub(super) const fn context_length() -> usize {
        77
    }
    pub(super) const fn vocab_size() -> usize {
        49_408
    }
    pub(super) const fn text_width() -> usize {
        512
    }
    pub(super) const fn heads() -> usize {
        8
    }
}

/// The image tower.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageConfig {
    pub(super) encoder: EncoderConfig,
    pub(super) patches: Patches,
    pub(super) grid: [usize; 2],
}

/// The text tower.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextConfig {
    pub(super) encoder: EncoderConfig,
    pub(super) vocabulary: usize,
    pub(super) max_tokens: usize,
}

/// Both towers: as configured, or as the weights show them.
#[derive(Clone, Copy, Debug)]
pub(super) struct TowerConfigs {
    pub(super) projection: usize,
    pub(super) images: ImageConfig,
    pub(super) texts: TextConfig,
}

/// A checked configuration.
pub(crate) struct OpenClip {
    checker: ConfigChecker,
    activation: Activation,
    projection: Option<usize>,
    images: Option<ImageConfig>,
    texts: Option<TextConfig>,
}

/// The widths of OpenCLIP's ViT-H, ViT-g and ViT-bigG, whose heads have 80, 88 and 104 features.
const OTHER_HEADS: [usize; 3] = [1280, 1408, 1664];

/// The epsilon of the norms: PyTorch's default.
const EPS: f64 = 1e-5;

impl OpenClip {
    pub(super) fn read(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let mut config: OpenClipConfig = checker.read(config)?;
        if let Some(inner) = config.model_cfg.take() {
            config = *inner;
        }
        let unknown = config.vision_cfg.is_none() && config.text_cfg.is_none();
        let activation = if config.quick_gelu.unwrap_or(unknown) {
            Activation::QuickGelu
        } else {
            Activation::Gelu
        };
        if let Some(size) = config.embed_dim {
            checker.check_size("embed_dim", size)?;
        }
        let images = config.vision_cfg.map(|vision| {
            let checker = checker.child("vision_cfg");
            vision.configured(&checker, activation)
        });
        let texts = config.text_cfg.map(|text| {
            let checker = checker.child("text_cfg");
            text.configured(&checker, activation)
        });
        Ok(Self {
            checker: checker.clone(),
            activation,
            projection: config.embed_dim,
            images: images.transpose()?,
            texts: texts.transpose()?,
        })
    }

    /// The patches, where the configuration has them.
    pub(super) fn patches(&self) -> Option<Patches> {
        self.images.map(|images| images.patches)
    }

    pub(super) fn projection(&self) -> Option<usize> {
        self.projection
    }

    /// Both towers; sizes that the configuration lacks are read from the weights.
    pub(super) fn towers(
        &self,
        weights: &Scope<'_>,
        texts: &Scope<'_>,
    ) -> Result<TowerConfigs, Error> {
        let visual = weights.child("visual");
        if visual.has("layer1.0.conv1.weight") {
            let reason = "the weights have a ResNet for images (`visual.layer1`), and only vision transformers are supported";
            return Err(self.checker.error("vision_cfg", reason));
        }
        if visual.has("trunk.patch_embed.proj.weight") {
            let reason = "the weights have a tower of timm for images (`visual.trunk`), and only OpenCLIP's own vision transformers are supported";
            return Err(self.checker.error("vision_cfg", reason));
        }
        let images = match self.images {
            Some(configured) => configured,
            None => self.images_of_weights(&visual)?,
        };
        let texts_config = match self.texts {
            Some(configured) => configured,
            None => self.texts_of_weights(texts)?,
        };
        let projection = match self.projection {
            Some(size) => size,
            None => {
                let [_, size] = self.shape(texts, "text_projection")?;
                size
            }
        };
        Ok(TowerConfigs {
            projection,
            images,
            texts: texts_config,
        })
    }

    fn images_of_weights(&self, visual: &Scope<'_>) -> Result<ImageConfig, Error> {
        let [width, channels, patch, _] = self.shape(visual, "conv1.weight")?;
        let [places, _] = self.shape(visual, "positional_embedding")?;
        let side = patch.saturating_mul(places.saturating_sub(1).isqrt());
        let found = image_patches(&self.checker, channels, [side, patch]);
        let (patches, grid) =
            found.map_err(|error| self.of_weights("visual.positional_embedding", error))?;
        if OTHER_HEADS.contains(&width) {
            let reason = format!(
                "the weights are {width} features wide, and networks of that width have heads of different sizes: set `vision_cfg.head_width`, with the other fields of the model's configuration"
            );
            return Err(self.checker.error("vision_cfg", reason));
        }
        Ok(ImageConfig {
            encoder: self.encoder_of_weights(visual, width)?,
            patches,
            grid,
        })
    }

    fn texts_of_weights(&self, texts: &Scope<'_>) -> Result<TextConfig, Error> {
        let [vocabulary, width] = self.shape(texts, "token_embedding.weight")?;
        let [max_tokens, _] = self.shape(texts, "positional_embedding")?;
        Ok(TextConfig {
            encoder: self.encoder_of_weights(texts, width)?,
            vocabulary,
            max_tokens,
        })
    }

    /// The encoder that the weights of a tower show.
    fn encoder_of_weights(&self, tower: &Scope<'_>, width: usize) -> Result<EncoderConfig, Error> {
        let blocks = tower.child("transformer.resblocks");
        let [inner, _] = self.shape(&blocks, "0.mlp.c_fc.weight")?;
        let count = (0..).take_while(|block| blocks.has(&format!("{block}.ln_1.weight")));
        let heads = (width / default::head_width()).max(1);
        let encoder =
            EncoderConfig::new([width, heads, inner, count.count()], EPS, self.activation);
        encoder
            .check(&self.checker, ["width", "heads", "mlp_ratio", "layers"])
            .map_err(|error| self.of_weights(blocks.name(), error))?;
        Ok(encoder)
    }

    /// The shape of a tensor that sizes are read from.
    fn shape<const RANK: usize>(
        &self,
        scope: &Scope<'_>,
        name: &str,
    ) -> Result<[usize; RANK], Error> {
        let dims = scope.shape(name)?;
        <[usize; RANK]>::try_from(dims).map_err(|_| {
            let reason = format!("must have {RANK} values, not {}", dims.len());
            let error = self.checker.error("dimensions", reason);
            self.of_weights(&format!("{}.{name}", scope.name()), error)
        })
    }

    /// The error of a size that the weights show.
    fn of_weights(&self, tensor: &str, error: Error) -> Error {
        let Error::BadConfig { field, reason, .. } = error else {
            return error;
        };
        let tensor = escape(tensor);
        let reason = format!("the weights' `{tensor}` shows an impossible `{field}`: it {reason}");
        self.checker.error("", reason)
    }
}

impl Vision {
    fn configured(
        self,
        checker: &ConfigChecker,
        activation: Activation,
    ) -> Result<ImageConfig, Error> {
        let blocks = match self.layers {
            Layers::Blocks(blocks) => blocks,
            Layers::Stages(stages) => {
                let reason = format!(
                    "{} stages are those of a ResNet, and only vision transformers are supported",
                    stages.len()
                );
                return Err(checker.error("layers", reason));
            }
        };
        let heads = self.width.checked_div(self.head_width).unwrap_or(0);
        let inner = inner(self.width, self.mlp_ratio);
        let encoder = EncoderConfig::new([self.width, heads, inner, blocks], EPS, activation);
        encoder.check(checker, ["width", "head_width", "mlp_ratio", "layers"])?;
        let (patches, grid) = image_patches(checker, 3, [self.image_size, self.patch_size])?;
        Ok(ImageConfig {
            encoder,
            patches,
            grid,
        })
    }
}

impl Text {
    fn configured(
        self,
        checker: &ConfigChecker,
        activation: Activation,
    ) -> Result<TextConfig, Error> {
        let inner = inner(self.width, self.mlp_ratio);
        let sizes = [self.width, self.heads, inner, self.layers];
        let encoder = EncoderConfig::new(sizes, EPS, activation);
        encoder.check(checker, ["width", "heads", "mlp_ratio", "layers"])?;
        checker.check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("context_length", self.context_length),
        ])?;
        Ok(TextConfig {
            encoder,
            vocabulary: self.vocab_size,
            max_tokens: self.context_length,
        })
    }
}

/// The patches of square images, and their grid.
fn image_patches(
    checker: &ConfigChecker,
    channels: usize,
    [image, patch]: [usize; 2],
) -> Result<(Patches, [usize; 2]), Error> {
    let image = checker.check_sides("image_size", [image; 2])?;
    let patches = Patches {
        channels,
        size: checker.check_sides("patch_size", [patch; 2])?,
        images: ImageSizes::Fixed(image),
    };
    check_patches(checker, &patches)?;
    Ok((patches, patches.configured_grid(checker, image)?))
}

/// Python's `int(width * mlp_ratio)`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is checked"
)]
fn inner(width: usize, ratio: f64) -> usize {
    (width as f64 * ratio) as usize
}
