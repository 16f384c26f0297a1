//! The configuration of Swin Transformer V2.

use serde::Deserialize;
use serde_json::Value;

use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::hugging_face::{Labels, Sides};
use crate::error::Error;
use crate::layers::Activation;

/// The configuration of `swinv2`: a repository's `config.json`, `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `image_size`, `patch_size` | a side, or height and width | 224, 4 |
/// | `num_channels` | channels of the input | 3 |
/// | `embed_dim` | channels of the first stage; each has twice those of the one before | 96 |
/// | `depths`, `num_heads` | one value per stage | 2, 2, 6, 2; 3, 6, 12, 24 |
/// | `window_size` | the side of a window | 7 |
/// | `pretrained_window_sizes` | those that the position biases were trained with; 0 for `window_size` | 0, 0, 0, 0 |
/// | `mlp_ratio` | hidden features of the MLP, as a multiple of the width | 4 |
/// | `qkv_bias` | whether queries and values have a bias | true |
/// | `hidden_act` | | `"gelu"` |
/// | `layer_norm_eps` | | 1e-5 |
/// | `use_absolute_embeddings` | must be false | false |
/// | `id2label` or `num_labels` | the number of classes | 2 |
///
/// The weights have the names of transformers' `Swinv2ForImageClassification` or `Swinv2Model`:
/// `swinv2.embeddings.patch_embeddings.projection.weight`,
/// `swinv2.encoder.layers.0.blocks.0.attention.self.logit_scale`, …, `classifier.weight`. Images
/// of any size work: they are padded. Published: `microsoft/swinv2-tiny-patch4-window8-256`
/// to `-large-`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct SwinV2Config {
    /// The size of the images that the network was trained on.
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
    /// The window sizes that the position biases were trained with, one per stage.
    pub pretrained_window_sizes: Option<Vec<usize>>,
    /// The hidden features of the MLP, as a multiple of the width.
    pub mlp_ratio: f64,
    /// Whether queries and values have a bias.
    pub qkv_bias: bool,
    /// The activation.
    pub hidden_act: String,
    /// The epsilon of the norms.
    pub layer_norm_eps: f64,
    /// Whether tokens have absolute position embeddings; not supported.
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

/// The configuration of a stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct StageConfig {
    pub(super) width: usize,
    pub(super) depth: usize,
    /// Divides the width.
    pub(super) heads: usize,
    /// Hidden features of the MLP.
    pub(super) inner: usize,
    /// The side of a window.
    pub(super) window: usize,
    /// The shift of every second block's windows.
    pub(super) shift: usize,
    /// The side of the windows that the position biases were trained with; 0 for the same.
    pub(super) learned: usize,
}

/// A checked configuration.
pub(crate) struct SwinV2 {
    pub(super) config: SwinV2Config,
    pub(super) patch: [usize; 2],
    pub(super) stages: Vec<StageConfig>,
    pub(super) activation: Activation,
    pub(super) labels: Labels,
}

impl SwinV2 {
    pub(super) fn read(checker: &ConfigChecker, value: &Value) -> Result<Self, Error> {
        let config: SwinV2Config = checker.read(value)?;
        checker.check_sizes(&[
            ("num_channels", config.num_channels),
            ("embed_dim", config.embed_dim),
        ])?;
        if config.use_absolute_embeddings {
            return Err(checker.error("use_absolute_embeddings", "must be false"));
        }
        checker.check_range("window_size", config.window_size, 1..=64)?;
        checker.check_factor("mlp_ratio", config.mlp_ratio)?;
        checker.check_eps("layer_norm_eps", config.layer_norm_eps)?;
        let patch = checker.check_sides("patch_size", config.patch_size.pair())?;
        let image = checker.check_sides("image_size", config.image_size.pair())?;
        Ok(Self {
            stages: stages(&config, checker, image, patch)?,
            activation: checker.activation("hidden_act", &config.hidden_act)?,
            patch,
            labels: Labels::read(checker, value)?,
            config,
        })
    }
}

fn stages(
    config: &SwinV2Config,
    checker: &ConfigChecker,
    [height, width]: [usize; 2],
    [down, across]: [usize; 2],
) -> Result<Vec<StageConfig>, Error> {
    let count = config.depths.len();
    if !(1..=16).contains(&count) {
        return Err(checker.error("depths", "must have 1 to 16 values"));
    }
    if config.num_heads.len() != count {
        return Err(checker.error("num_heads", "must have as many values as `depths`"));
    }
    let learned = config.pretrained_window_sizes.as_deref();
    if learned.is_some_and(|learned| learned.len() < count) {
        let reason = "must have as many values as `depths`";
        return Err(checker.error("pretrained_window_sizes", reason));
    }
    let depth = config.depths.iter().copied().fold(0, usize::saturating_add);
    checker.check_count("depths", depth)?;
    let mut stages = Vec::new();
    let per_stage = config.depths.iter().zip(&config.num_heads).enumerate();
    for (index, (&depth, &heads)) in per_stage {
        let channels = config.embed_dim << index;
        checker.check_sizes(&[("embed_dim", channels), ("num_heads", heads)])?;
        if !channels.is_multiple_of(heads) {
            return Err(checker.error("num_heads", format!("{heads} do not divide {channels}")));
        }
        let inner = times(channels, config.mlp_ratio);
        checker.check_sizes(&[("mlp_ratio", inner)])?;
        // The tokens of an image of the size that the network was made for. Where they are no
        // more than a window along the height, as many as they are go into one.
        let grid = [(height / down) >> index, (width / across) >> index];
        let window = grid.map(|side| side.min(config.window_size));
        let [window, other] = window;
        if window == 0 || other == 0 {
            return Err(checker.error("image_size", "has no tokens left in the last stage"));
        }
        let learned = learned.and_then(|learned| learned.get(index).copied());
        let learned = learned.unwrap_or(0);
        if learned == 1 || learned > 1 << 10 {
            return Err(checker.error("pretrained_window_sizes", "must be 0 or 2 to 1024"));
        }
        let [tokens, _] = grid;
        stages.push(StageConfig {
            width: channels,
            depth,
            heads,
            inner,
            window,
            shift: if tokens <= window {
                0
            } else {
                config.window_size / 2
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
