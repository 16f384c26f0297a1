//! The sizes of OpenCLIP's models: as its configurations have them, or as the weights show them.

use serde::Deserialize;
use serde_json::Value;

use super::super::contrast::ImageSizes;
use super::super::encoder::{MAX_SIZE, Sizes};
use super::super::read;
use super::{Model, NAME};
use crate::error::Error;
use crate::layers::Activation;
use crate::weights::Scope;

/// The configuration of `open_clip`: `open_clip_config.json` of a repository as it is, or one of
/// OpenCLIP's own (`ViT-B-32.json`), or nothing.
///
/// | field | | default |
/// |---|---|---|
/// | `model_cfg` | an object with the fields below, as repositories have it | |
/// | `embed_dim` | features that images and texts have in common | as the weights show |
/// | `quick_gelu` | whether the activation is CLIP's own approximation | `true` without `vision_cfg` and `text_cfg`, or else `false` |
/// | `vision_cfg` | `image_size` (224), `layers` (12), `width` (768), `head_width` (64), `mlp_ratio` (4), `patch_size` (16) | as the weights show |
/// | `text_cfg` | `context_length` (77), `vocab_size` (49408), `width` (512), `heads` (8), `layers` (12), `mlp_ratio` (4) | as the weights show |
///
/// Without `vision_cfg` and `text_cfg` the sizes are those of the weights, as OpenAI's code reads
/// them, with heads of 64 features: `{}` fits OpenAI's own weights, `{"quick_gelu": false}` others
/// of their sizes. OpenCLIP's ViT-H, ViT-g and ViT-bigG have larger heads, which weights do not
/// show: images of their widths (1280, 1408, 1664) are refused without `vision_cfg`. Vision transformers are built; a ResNet, a tower of timm and a text tower of
/// transformers are refused by their names.
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

/// The tower for images. A field that is not here asks for something else than is computed.
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
    /// Of training alone.
    #[serde(default, rename = "patch_dropout")]
    _patch_dropout: f64,
}

/// A number of blocks; four numbers are a ResNet's.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Layers {
    Blocks(usize),
    Stages(Vec<usize>),
}

/// The tower for texts.
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

/// As OpenCLIP has them.
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

/// A checked configuration.
pub(crate) struct Config {
    activation: Activation,
    projection: Option<usize>,
    vision: Option<(Sizes, ImageSizes)>,
    text: Option<(Sizes, [usize; 2])>,
}

/// The widths of OpenCLIP's ViT-H, ViT-g and ViT-bigG, whose heads have 80, 88 and 104 features.
const OTHER_HEADS: [usize; 3] = [1280, 1408, 1664];

/// What PyTorch's norm adds to the variance.
const EPS: f64 = 1e-5;

impl Config {
    pub(in super::super) fn parse(config: &Value) -> Result<Self, Error> {
        let mut config: OpenClipConfig = read(NAME, String::new(), config)?;
        if let Some(inner) = config.model_cfg.take() {
            config = *inner;
        }
        let apart = config.vision_cfg.is_none() && config.text_cfg.is_none();
        let activation = if config.quick_gelu.unwrap_or(apart) {
            Activation::QuickGelu
        } else {
            Activation::Gelu
        };
        if let Some(size) = config
            .embed_dim
            .filter(|size| !(1..=MAX_SIZE).contains(size))
        {
            return Err(bad("embed_dim", format!("is {size}, not 1 to {MAX_SIZE}")));
        }
        let vision = config.vision_cfg.map(|vision| vision.sizes(activation));
        let text = config.text_cfg.map(|text| text.sizes(activation));
        Ok(Self {
            activation,
            projection: config.embed_dim,
            vision: vision.transpose()?,
            text: text.transpose()?,
        })
    }

    pub(super) fn image(&self) -> Option<ImageSizes> {
        self.vision.map(|(_, image)| image)
    }

    pub(super) fn projection(&self) -> Option<usize> {
        self.projection
    }

    /// The sizes, those that the configuration does not say from the weights.
    pub(super) fn model(&self, weights: &Scope<'_>, texts: &Scope<'_>) -> Result<Model, Error> {
        let visual = weights.child("visual");
        if visual.has("layer1.0.conv1.weight") {
            let reason = "the weights have a ResNet for images (`visual.layer1`), and vision transformers are built alone";
            return Err(bad("vision_cfg", reason.to_owned()));
        }
        if visual.has("trunk.patch_embed.proj.weight") {
            let reason = "the weights have a tower of timm for images (`visual.trunk`), and OpenCLIP's own vision transformers are built alone";
            return Err(bad("vision_cfg", reason.to_owned()));
        }
        let (vision, image) = match self.vision {
            Some(known) => known,
            None => self.seen_vision(&visual)?,
        };
        let (text, [vocabulary, max_tokens]) = match self.text {
            Some(known) => known,
            None => self.seen_text(texts)?,
        };
        let projection = match self.projection {
            Some(size) => size,
            None => {
                let [_, size] = shape(texts, "text_projection")?;
                size
            }
        };
        Ok(Model {
            projection,
            vision,
            image,
            text,
            vocabulary,
            max_tokens,
        })
    }

    fn seen_vision(&self, visual: &Scope<'_>) -> Result<(Sizes, ImageSizes), Error> {
        let [width, channels, patch, _] = shape(visual, "conv1.weight")?;
        let [places, _] = shape(visual, "positional_embedding")?;
        let image = ImageSizes {
            channels,
            image: patch.saturating_mul(places.saturating_sub(1).isqrt()),
            patch,
        };
        image.check(|field: &str, reason: String| {
            seen("visual.positional_embedding", field, &reason)
        })?;
        if OTHER_HEADS.contains(&width) {
            let reason = format!(
                "the weights are {width} features wide, and networks of that width have heads of different sizes: say `vision_cfg.head_width`, with the other fields of the model's configuration"
            );
            return Err(bad("vision_cfg", reason));
        }
        let sizes = self.seen(visual, "transformer.resblocks", width)?;
        Ok((sizes, image))
    }

    fn seen_text(&self, texts: &Scope<'_>) -> Result<(Sizes, [usize; 2]), Error> {
        let [vocabulary, width] = shape(texts, "token_embedding.weight")?;
        let [max_tokens, _] = shape(texts, "positional_embedding")?;
        let sizes = self.seen(texts, "transformer.resblocks", width)?;
        Ok((sizes, [vocabulary, max_tokens]))
    }

    /// The sizes of blocks.
    fn seen(&self, scope: &Scope<'_>, name: &str, width: usize) -> Result<Sizes, Error> {
        let blocks = scope.child(name);
        let [inner, _] = shape(&blocks, "0.mlp.c_fc.weight")?;
        let count = (0..).take_while(|block| blocks.has(&format!("{block}.ln_1.weight")));
        let sizes = Sizes {
            width,
            heads: (width / default::head_width()).max(1),
            inner,
            blocks: count.count(),
            eps: EPS,
            activation: self.activation,
        };
        let fields = ["width", "heads", "mlp_ratio", "layers"];
        sizes.check(fields, |field: &str, reason: String| {
            seen(blocks.name(), field, &reason)
        })?;
        Ok(sizes)
    }
}

impl Vision {
    fn sizes(self, activation: Activation) -> Result<(Sizes, ImageSizes), Error> {
        let bad = |field: &str, reason: String| bad(&format!("vision_cfg.{field}"), reason);
        let blocks = match self.layers {
            Layers::Blocks(blocks) => blocks,
            Layers::Stages(stages) => {
                let reason = format!(
                    "{} stages are a ResNet's, and vision transformers are built alone",
                    stages.len()
                );
                return Err(bad("layers", reason));
            }
        };
        let heads = self.width.checked_div(self.head_width).unwrap_or(0);
        let sizes = Sizes {
            width: self.width,
            heads,
            inner: inner(self.width, self.mlp_ratio),
            blocks,
            eps: EPS,
            activation,
        };
        sizes.check(["width", "head_width", "mlp_ratio", "layers"], bad)?;
        let image = ImageSizes {
            channels: 3,
            image: self.image_size,
            patch: self.patch_size,
        };
        image.check(bad)?;
        Ok((sizes, image))
    }
}

impl Text {
    fn sizes(self, activation: Activation) -> Result<(Sizes, [usize; 2]), Error> {
        let bad = |field: &str, reason: String| bad(&format!("text_cfg.{field}"), reason);
        let sizes = Sizes {
            width: self.width,
            heads: self.heads,
            inner: inner(self.width, self.mlp_ratio),
            blocks: self.layers,
            eps: EPS,
            activation,
        };
        sizes.check(["width", "heads", "mlp_ratio", "layers"], bad)?;
        let counts = [
            ("vocab_size", self.vocab_size),
            ("context_length", self.context_length),
        ];
        for (field, count) in counts {
            if !(1..=MAX_SIZE).contains(&count) {
                return Err(bad(field, format!("must be 1 to {MAX_SIZE}")));
            }
        }
        Ok((sizes, [self.vocab_size, self.context_length]))
    }
}

/// As Python's `int(width * mlp_ratio)`; what is out of range is refused by its caller.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is checked"
)]
fn inner(width: usize, ratio: f64) -> usize {
    (width as f64 * ratio) as usize
}

/// The shape of a tensor that the sizes are read from.
fn shape<const RANK: usize>(scope: &Scope<'_>, name: &str) -> Result<[usize; RANK], Error> {
    let dims = scope.shape(name)?;
    <[usize; RANK]>::try_from(dims).map_err(|_| {
        let reason = format!("has {} dimensions, not {RANK}", dims.len());
        seen(&format!("{}.{name}", scope.name()), "sizes", &reason)
    })
}

/// What the weights show is not possible.
fn seen(tensor: &str, what: &str, reason: &str) -> Error {
    let tensor = tensor.escape_debug();
    bad(
        "",
        format!("the weights' `{tensor}` shows sizes that are not possible: `{what}` {reason}"),
    )
}

fn bad(field: &str, reason: String) -> Error {
    Error::BadConfig {
        architecture: NAME,
        field: field.to_owned(),
        reason,
    }
}
