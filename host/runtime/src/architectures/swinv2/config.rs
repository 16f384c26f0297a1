//! The configuration of Swin Transformer V2.

use serde::Deserialize;
use serde_json::Value;

use super::super::huggingface::{Config, Labels, Sides};
use super::super::read;
use super::NAME;
use crate::error::Error;
use crate::layers::Activation;

/// The configuration of `swinv2`: a repository's `config.json`, `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `image_size`, `patch_size` | a side, or height and width | 224, 4 |
/// | `num_channels` | channels of the input | 3 |
/// | `embed_dim` | channels of the first stage; each has twice those of the one before | 96 |
/// | `depths`, `num_heads` | one value a stage | 2, 2, 6, 2; 3, 6, 12, 24 |
/// | `window_size` | the side of a window | 7 |
/// | `pretrained_window_sizes` | those that the positions were learned with; 0 for the same | 0, 0, 0, 0 |
/// | `mlp_ratio` | how many times wider the network on each token is | 4 |
/// | `qkv_bias` | whether queries and values have a bias | true |
/// | `hidden_act` | | `"gelu"` |
/// | `layer_norm_eps` | | 1e-5 |
/// | `use_absolute_embeddings` | must be false | false |
/// | `id2label` or `num_labels` | how many classes there are | 2 |
///
/// The weights have the names of transformers' `Swinv2ForImageClassification` or `Swinv2Model`:
/// `swinv2.embeddings.patch_embeddings.projection.weight`,
/// `swinv2.encoder.layers.0.blocks.0.attention.self.logit_scale`, …, `classifier.weight`. Images
/// of any size are taken: they are padded. Published: `microsoft/swinv2-tiny-patch4-window8-256`
/// to `-large-`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct SwinV2Config {
    /// The size of the images that the network was made for.
    pub(super) image_size: Sides,
    /// The size of a patch.
    pub(super) patch_size: Sides,
    /// Channels of the input.
    pub num_channels: usize,
    /// Channels of the first stage.
    pub embed_dim: usize,
    /// Blocks of the stages.
    pub depths: Vec<usize>,
    /// Heads of the stages' attention.
    pub num_heads: Vec<usize>,
    /// The side of a window, in tokens.
    pub window_size: usize,
    /// The windows that the positions were learned with, one a stage.
    pub pretrained_window_sizes: Option<Vec<usize>>,
    /// How many times wider the network on each token is.
    pub mlp_ratio: f64,
    /// Whether queries and values have a bias.
    pub qkv_bias: bool,
    /// The activation.
    pub hidden_act: String,
    /// What the norms add to the variance.
    pub layer_norm_eps: f64,
    /// Whether tokens have learned positions; that is not computed.
    pub use_absolute_embeddings: bool,
}

impl Default for SwinV2Config {
    fn default() -> Self {
        Self {
            image_size: Sides::Both(224),
            patch_size: Sides::Both(4),
            num_channels: 3,
            embed_dim: 96,
            depths: vec![2, 2, 6, 2],
            num_heads: vec![3, 6, 12, 24],
            window_size: 7,
            pretrained_window_sizes: None,
            mlp_ratio: 4.0,
            qkv_bias: true,
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-5,
            use_absolute_embeddings: false,
        }
    }
}

/// The sizes of a stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct StageSizes {
    pub(super) width: usize,
    pub(super) depth: usize,
    /// Divides the width.
    pub(super) heads: usize,
    /// Channels inside the network on each token.
    pub(super) inner: usize,
    /// The side of a window.
    pub(super) window: usize,
    /// By how much every second block's windows are shifted.
    pub(super) shift: usize,
    /// The side of the windows that positions were learned with; 0 for the same.
    pub(super) learned: usize,
}

/// A checked configuration.
pub(crate) struct Sizes {
    pub(super) config: SwinV2Config,
    pub(super) patch: [usize; 2],
    pub(super) stages: Vec<StageSizes>,
    pub(super) activation: Activation,
    pub(super) labels: Labels,
}

impl Sizes {
    pub(super) fn parse(value: &Value) -> Result<Self, Error> {
        let sizes: SwinV2Config = read(NAME, String::new(), value)?;
        let config = Config {
            architecture: NAME,
            value,
        };
        config.check_sizes(&[
            ("num_channels", sizes.num_channels),
            ("embed_dim", sizes.embed_dim),
        ])?;
        if sizes.use_absolute_embeddings {
            return Err(config.bad("use_absolute_embeddings", "must be false"));
        }
        if !(1..=64).contains(&sizes.window_size) {
            return Err(config.bad("window_size", "must be 1 to 64"));
        }
        if !(0.001..=1000.0).contains(&sizes.mlp_ratio) {
            return Err(config.bad("mlp_ratio", "must be 0.001 to 1000"));
        }
        config.check_eps("layer_norm_eps", sizes.layer_norm_eps)?;
        let labels = config.labels()?;
        let patch = sizes.patch_size.check(&config, "patch_size")?;
        let image = sizes.image_size.check(&config, "image_size")?;
        Ok(Self {
            stages: stages(&sizes, &config, image, patch)?,
            activation: config.activation("hidden_act", &sizes.hidden_act)?,
            config: sizes,
            patch,
            labels,
        })
    }
}

fn stages(
    sizes: &SwinV2Config,
    config: &Config<'_>,
    [height, width]: [usize; 2],
    [down, across]: [usize; 2],
) -> Result<Vec<StageSizes>, Error> {
    let count = sizes.depths.len();
    if !(1..=16).contains(&count) {
        return Err(config.bad("depths", "must have 1 to 16 values"));
    }
    if sizes.num_heads.len() != count {
        return Err(config.bad("num_heads", "must have as many values as `depths`"));
    }
    let learned = sizes.pretrained_window_sizes.as_deref();
    if learned.is_some_and(|learned| learned.len() < count) {
        let reason = "must have as many values as `depths`";
        return Err(config.bad("pretrained_window_sizes", reason));
    }
    let depth = sizes.depths.iter().copied().fold(0, usize::saturating_add);
    config.check_blocks("depths", depth)?;
    let mut stages = Vec::new();
    let per_stage = sizes.depths.iter().zip(&sizes.num_heads).enumerate();
    for (index, (&depth, &heads)) in per_stage {
        let channels = sizes.embed_dim << index;
        config.check_sizes(&[("embed_dim", channels), ("num_heads", heads)])?;
        if !channels.is_multiple_of(heads) {
            return Err(config.bad("num_heads", format!("{heads} do not divide {channels}")));
        }
        let inner = times(channels, sizes.mlp_ratio);
        config.check_sizes(&[("mlp_ratio", inner)])?;
        // The tokens of an image of the size that the network was made for. Where they are no
        // more than a window along the height, as many as they are go into one.
        let grid = [(height / down) >> index, (width / across) >> index];
        let window = grid.map(|side| side.min(sizes.window_size));
        let [window, other] = window;
        if window == 0 || other == 0 {
            return Err(config.bad("image_size", "has no tokens left in the last stage"));
        }
        let learned = learned.and_then(|learned| learned.get(index).copied());
        let learned = learned.unwrap_or(0);
        if learned == 1 || learned > 1 << 10 {
            return Err(config.bad("pretrained_window_sizes", "must be 0 or 2 to 1024"));
        }
        let [tokens, _] = grid;
        stages.push(StageSizes {
            width: channels,
            depth,
            heads,
            inner,
            window,
            shift: if tokens <= window {
                0
            } else {
                sizes.window_size / 2
            },
            learned,
        });
    }
    Ok(stages)
}

/// A number of channels times a factor, cut off.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the factor is checked, and the result is"
)]
fn times(channels: usize, factor: f64) -> usize {
    (factor * channels as f64) as usize
}
