//! DINOv2 (Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023),
//! with and without registers (Darcet et al., "Vision Transformers Need Registers", 2023): as
//! transformers builds it, and as `torch.hub` loads it from facebookresearch/dinov2.

mod hub;

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

pub use hub::{Dinov2HubConfig, Ffn};
pub(super) use hub::{HubSizes, NAME as HUB};

use super::huggingface::{self, Config, Labels, Sides};
use super::positions::Interpolation;
use super::transformer::{Block, BlockSizes, Layout, MlpNames, Order, QkvNames};
use super::vision::{
    ClassToken, Cut, Head, Names, Patches, Plainly, Tokens, VisionTransformer, mean, token,
};
use super::{Blueprint, Network, read};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{LayerNorm, Linear};
use crate::plan::Size;
use crate::trace::Trace;
use crate::weights::Scope;

pub(super) const NAME: &str = "dinov2";
pub(super) const REGISTERS: &str = "dinov2_with_registers";

/// The configuration of `dinov2` and `dinov2_with_registers`: a repository's `config.json`,
/// `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `image_size`, `patch_size` | a side, or height and width; both sides alike | 224, and 14 or 16 |
/// | `num_channels` | channels of the input | 3 |
/// | `hidden_size`, `num_hidden_layers`, `num_attention_heads` | | 768, 12, 12 |
/// | `mlp_ratio` | how many times wider the network on each token is | 4 |
/// | `use_swiglu_ffn` | a gated network, two thirds as wide | false |
/// | `hidden_act` | | `"gelu"` |
/// | `layer_norm_eps` | | 1e-6 |
/// | `qkv_bias` | whether queries, keys and values have a bias | true |
/// | `num_register_tokens` | of `dinov2_with_registers` | 4 |
/// | `id2label` or `num_labels` | how many classes there are | 2 |
///
/// The weights have the names of transformers' `Dinov2Model`, `Dinov2WithRegistersModel` or their
/// `ForImageClassification`: `embeddings.cls_token`,
/// `encoder.layer.0.attention.attention.query.weight`, …; those of a classifier begin with
/// `dinov2.`. The output is the class token after the last norm, or the classifier's. Images of
/// other sizes are taken: positions are interpolated.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Dinov2Config {
    /// The size of the images that the positions are for.
    image_size: Sides,
    /// The size of a patch.
    patch_size: Option<Sides>,
    /// Channels of the input.
    pub num_channels: usize,
    /// Channels of a token.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads of the attention.
    pub num_attention_heads: usize,
    /// How many times wider the network on each token is.
    pub mlp_ratio: usize,
    /// Whether that is a gated one.
    pub use_swiglu_ffn: bool,
    /// The activation.
    pub hidden_act: String,
    /// What the norms add to the variance.
    pub layer_norm_eps: f64,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Tokens between the class token and the patches.
    pub num_register_tokens: usize,
}

impl Default for Dinov2Config {
    fn default() -> Self {
        Self {
            image_size: Sides::Both(224),
            patch_size: None,
            num_channels: 3,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            mlp_ratio: 4,
            use_swiglu_ffn: false,
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-6,
            qkv_bias: true,
            num_register_tokens: 4,
        }
    }
}

/// Two thirds of a width, up to a multiple of eight: as wide as a gated network is for as much
/// work as one that is not.
fn gated_width(width: usize) -> usize {
    (width.saturating_mul(2) / 3).div_ceil(8) * 8
}

const QKV: QkvNames = QkvNames::Apart([
    "attention.attention.query",
    "attention.attention.key",
    "attention.attention.value",
]);

/// A checked configuration.
pub(crate) struct Sizes {
    name: &'static str,
    config: Dinov2Config,
    patches: Patches,
    grid: [usize; 2],
    block: BlockSizes,
    labels: Labels,
}

impl Sizes {
    /// Reads the configuration of `dinov2` or `dinov2_with_registers`.
    pub(super) fn parse(name: &'static str, value: &Value) -> Result<Self, Error> {
        let sizes: Dinov2Config = read(name, String::new(), value)?;
        let config = Config {
            architecture: name,
            value,
        };
        config.check_sizes(&[
            ("num_channels", sizes.num_channels),
            ("mlp_ratio", sizes.mlp_ratio),
        ])?;
        if sizes.num_register_tokens > 1024 {
            return Err(config.bad("num_register_tokens", "must be 0 to 1024"));
        }
        let inner = sizes.hidden_size.saturating_mul(sizes.mlp_ratio);
        let block = BlockSizes {
            width: sizes.hidden_size,
            heads: sizes.num_attention_heads,
            inner: if sizes.use_swiglu_ffn {
                gated_width(inner)
            } else {
                inner
            },
            eps: sizes.layer_norm_eps,
            activation: if sizes.use_swiglu_ffn {
                crate::layers::Activation::Silu
            } else {
                config.activation("hidden_act", &sizes.hidden_act)?
            },
            qkv_bias: [sizes.qkv_bias; 3],
            out_bias: true,
            mlp_bias: true,
        };
        config.check_block(&block, sizes.num_hidden_layers)?;
        let patch = sizes
            .patch_size
            .unwrap_or(Sides::Both(if name == REGISTERS { 16 } else { 14 }));
        let patches = Patches {
            channels: sizes.num_channels,
            size: patch.check(&config, "patch_size")?,
            cut: Cut::Floor,
        };
        let grid = config.grid(&patches, sizes.image_size.check(&config, "image_size")?)?;
        config.check_square(grid)?;
        let labels = config.labels()?;
        Ok(Self {
            name,
            config: sizes,
            patches,
            grid,
            block,
            labels,
        })
    }

    /// Registers, and how positions are interpolated.
    fn registers(&self) -> (usize, Interpolation) {
        if self.name == REGISTERS {
            let count = self.config.num_register_tokens;
            (count, Interpolation::BicubicAntialias)
        } else {
            (0, Interpolation::Bicubic)
        }
    }

    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<VisionTransformer, Error> {
        let base = huggingface::base(weights, self.name, "embeddings.cls_token");
        let width = self.block.width;
        let embeddings = base.child("embeddings");
        // It stands for patches that are hidden while the model is trained.
        embeddings.ignore("mask_token");
        let (registers, how) = self.registers();
        let mut tokens = vec![embeddings.get("cls_token", &[1, 1, width])?];
        if registers > 0 {
            tokens.push(embeddings.get("register_tokens", &[1, registers, width])?);
        }
        let [down, across] = self.grid;
        let table = embeddings.get("position_embeddings", &[1, 1 + down * across, width])?;
        let layout = Layout {
            order: Order::NormFirst,
            norms: ["norm1", "norm2"],
            qkv: QKV,
            out: "attention.output.dense",
            mlp: if self.config.use_swiglu_ffn {
                MlpNames::GatedJoined(["mlp.weights_in", "mlp.weights_out"])
            } else {
                MlpNames::Plain(["mlp.fc1", "mlp.fc2"])
            },
            scales: Some(["layer_scale1.lambda1", "layer_scale2.lambda1"]),
        };
        let scope = base.child("encoder.layer");
        let blocks = Block::load_all(
            &scope,
            &layout,
            &self.block,
            self.config.num_hidden_layers,
            device,
        )?;
        let scope = embeddings.child("patch_embeddings.projection");
        let norm = base.child("layernorm");
        let head: Box<dyn Head> =
            match huggingface::classifier(weights, "classifier", 2 * width, self.labels, device)? {
                Some(classifier) => Box::new(ClassAndMean {
                    classifier,
                    before: 1 + registers,
                }),
                None => Box::new(ClassToken {
                    pooled: Some("pooler_output"),
                    name: "classifier",
                    classifier: None,
                }),
            };
        Ok(VisionTransformer {
            projection: self.patches.load(&scope, width, device)?,
            patches: self.patches,
            tokens: Tokens::new(&tokens, 1, Some((table, self.grid, how)), device)?,
            attending: Box::new(Plainly),
            blocks,
            norm: Some(LayerNorm::load(&norm, width, self.block.eps, true, device)?),
            head,
            names: Names::HUGGING_FACE,
            device: device.clone(),
        })
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
        let network = self.network(weights, device)?;
        let head: &[&str] = if weights.has("classifier.weight") {
            &["pooler_output", "classifier"]
        } else {
            &["pooler_output"]
        };
        let layers = network.layers(head);
        let embedding = Some("pooler_output".to_owned());
        Ok(Network::of_images(network, layers, embedding))
    }
}

/// A classifier of the class token and the patches' mean together.
struct ClassAndMean {
    classifier: Linear,
    /// Tokens before the patches.
    before: usize,
}

impl Head for ClassAndMean {
    fn forward(&self, tokens: &Tensor, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let pooled = token(tokens, 0)?;
        trace.input("pooler_output", &pooled)?;
        trace.output("pooler_output", &pooled)?;
        let both = Tensor::cat(&[pooled, mean(tokens, self.before)?], 1)?;
        huggingface::classify(Some(&self.classifier), both, trace)
    }
}
