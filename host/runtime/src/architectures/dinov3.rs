//! The vision transformers of DINOv3, as transformers builds them (`models/dinov3_vit`; Siméoni et
//! al., "DINOv3", 2025): positions turn the queries and keys of the patches.

use std::sync::Arc;

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use super::huggingface::{Config, Sides};
use super::transformer::{Block, BlockSizes, Layout, MlpNames, Order, QkvNames};
use super::vision::{
    Attending, BySize, ClassToken, Cut, Names, Patches, Tokens, VisionTransformer,
};
use super::{Blueprint, Network, read};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{LayerNorm, Rotary};
use crate::plan::Size;
use crate::weights::Scope;

pub(super) const NAME: &str = "dinov3_vit";

/// The configuration of `dinov3_vit`: a repository's `config.json`, `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `patch_size` | a side, or height and width | 16 |
/// | `num_channels` | channels of the input | 3 |
/// | `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `intermediate_size` | | 384, 12, 6, 1536 |
/// | `hidden_act` | | `"gelu"` |
/// | `layer_norm_eps` | | 1e-5 |
/// | `rope_theta` | the base of the positions' periods | 100 |
/// | `query_bias`, `key_bias`, `value_bias`, `proj_bias`, `mlp_bias` | which layers have a bias | all but the keys |
/// | `use_gated_mlp` | whether the network on each token is a gated one | false |
/// | `num_register_tokens` | | 0 |
///
/// The weights have the names of transformers' `DINOv3ViTModel`: `embeddings.cls_token`,
/// `layer.0.attention.q_proj.weight`, …, `norm.bias`. The output is the class token after the
/// last norm. Images of any size are taken. Published: `facebook/dinov3-vits16-pretrain-lvd1689m`
/// to `-vith16plus-`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "as in the repository's file")]
pub struct Dinov3Config {
    /// The size of a patch.
    patch_size: Sides,
    /// Channels of the input.
    pub num_channels: usize,
    /// Channels of a token.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads of the attention.
    pub num_attention_heads: usize,
    /// Channels inside the network on each token.
    pub intermediate_size: usize,
    /// The activation.
    pub hidden_act: String,
    /// What the norms add to the variance.
    pub layer_norm_eps: f64,
    /// The base of the positions' periods.
    pub rope_theta: f64,
    /// Whether queries have a bias.
    pub query_bias: bool,
    /// Whether keys have one.
    pub key_bias: bool,
    /// Whether values have one.
    pub value_bias: bool,
    /// Whether the result of the attention has one.
    pub proj_bias: bool,
    /// Whether the network on each token has them.
    pub mlp_bias: bool,
    /// Whether that is a gated one.
    pub use_gated_mlp: bool,
    /// Tokens between the class token and the patches.
    pub num_register_tokens: usize,
}

impl Default for Dinov3Config {
    fn default() -> Self {
        Self {
            patch_size: Sides::Both(16),
            num_channels: 3,
            hidden_size: 384,
            num_hidden_layers: 12,
            num_attention_heads: 6,
            intermediate_size: 1536,
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-5,
            rope_theta: 100.0,
            query_bias: true,
            key_bias: false,
            value_bias: true,
            proj_bias: true,
            mlp_bias: true,
            use_gated_mlp: false,
            num_register_tokens: 0,
        }
    }
}

/// A checked configuration.
pub(crate) struct Sizes {
    config: Dinov3Config,
    patches: Patches,
    block: BlockSizes,
}

impl Sizes {
    pub(super) fn parse(value: &Value) -> Result<Self, Error> {
        let sizes: Dinov3Config = read(NAME, String::new(), value)?;
        let config = Config {
            architecture: NAME,
            value,
        };
        config.check_sizes(&[("num_channels", sizes.num_channels)])?;
        if sizes.num_register_tokens > 1024 {
            return Err(config.bad("num_register_tokens", "must be 0 to 1024"));
        }
        if !(1.0..=1e9).contains(&sizes.rope_theta) {
            return Err(config.bad("rope_theta", "must be 1 to 1e9"));
        }
        let block = BlockSizes {
            width: sizes.hidden_size,
            heads: sizes.num_attention_heads,
            inner: sizes.intermediate_size,
            eps: sizes.layer_norm_eps,
            activation: config.activation("hidden_act", &sizes.hidden_act)?,
            qkv_bias: [sizes.query_bias, sizes.key_bias, sizes.value_bias],
            out_bias: sizes.proj_bias,
            mlp_bias: sizes.mlp_bias,
        };
        config.check_block(&block, sizes.num_hidden_layers)?;
        if !(block.width / block.heads).is_multiple_of(4) {
            let reason = "must divide `hidden_size` into multiples of 4";
            return Err(config.bad("num_attention_heads", reason));
        }
        let patches = Patches {
            channels: sizes.num_channels,
            size: sizes.patch_size.check(&config, "patch_size")?,
            cut: Cut::Floor,
        };
        Ok(Self {
            config: sizes,
            patches,
            block,
        })
    }

    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<VisionTransformer, Error> {
        let width = self.block.width;
        let embeddings = weights.child("embeddings");
        // It stands for patches that are hidden while the model is trained.
        embeddings.ignore("mask_token");
        let mut tokens = vec![embeddings.get("cls_token", &[1, 1, width])?];
        let registers = self.config.num_register_tokens;
        if registers > 0 {
            tokens.push(embeddings.get("register_tokens", &[1, registers, width])?);
        } else {
            embeddings.ignore("register_tokens");
        }
        let layout = Layout {
            order: Order::NormFirst,
            norms: ["norm1", "norm2"],
            qkv: QkvNames::Apart(["attention.q_proj", "attention.k_proj", "attention.v_proj"]),
            out: "attention.o_proj",
            mlp: if self.config.use_gated_mlp {
                MlpNames::Gated(["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"])
            } else {
                MlpNames::Plain(["mlp.up_proj", "mlp.down_proj"])
            },
            scales: Some(["layer_scale1.lambda1", "layer_scale2.lambda1"]),
        };
        // Where transformers has the blocks since its version 5; checkpoints have no `model.`.
        let nested = weights.has("model.layer.0.norm1.weight");
        let prefix = if nested { "model.layer" } else { "layer" };
        let scope = weights.child(prefix);
        let blocks = Block::load_all(
            &scope,
            &layout,
            &self.block,
            self.config.num_hidden_layers,
            device,
        )?;
        let scope = embeddings.child("patch_embeddings");
        let norm = weights.child("norm");
        Ok(VisionTransformer {
            projection: self.patches.load(&scope, width, device)?,
            patches: self.patches,
            tokens: Tokens::new(&tokens, 0, None, device)?,
            attending: Box::new(Turns {
                base: self.config.rope_theta,
                head: width / self.block.heads,
                device: device.clone(),
                rotaries: BySize::new(),
            }),
            blocks,
            norm: Some(LayerNorm::load(&norm, width, self.block.eps, true, device)?),
            head: Box::new(ClassToken {
                pooled: Some("pooler_output"),
                name: "classifier",
                classifier: None,
            }),
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
        Ok(None)
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let layers = network.layers(&["pooler_output"]);
        let embedding = Some("pooler_output".to_owned());
        Ok(Network::of_images(network, layers, embedding))
    }
}

/// Turns queries and keys by the places of their patches' centres, from -1 to 1 both ways.
struct Turns {
    base: f64,
    /// Values of a head.
    head: usize,
    device: Device,
    rotaries: BySize<Arc<Rotary>>,
}

impl Attending for Turns {
    fn rotary(&self, grid: [usize; 2]) -> Result<Option<Arc<Rotary>>, Error> {
        let rotary = self.rotaries.get(grid, || {
            let angles = self.angles(grid);
            let [cosines, sines] = [f64::cos, f64::sin].map(|function| {
                let values = angles.iter().map(|&angle| rounded(function(angle)));
                let dims = (angles.len() / self.head.max(1), self.head);
                Tensor::from_iter(values, &candle_core::Device::Cpu)?.reshape(dims)
            });
            Ok(Arc::new(Rotary::new(&cosines?, &sines?, &self.device)?))
        })?;
        Ok(Some(rotary))
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding is what it is for"
)]
fn rounded(value: f64) -> f32 {
    value as f32
}

impl Turns {
    /// `[patches, head]`: a quarter of a head by the row, a quarter by the column, and both again.
    #[allow(clippy::cast_precision_loss, reason = "small whole numbers")]
    fn angles(&self, [height, width]: [usize; 2]) -> Vec<f64> {
        let quarter = self.head / 4;
        let place = |at: usize, of: usize| 2.0 * ((at as f64 + 0.5) / of as f64) - 1.0;
        let mut angles = Vec::with_capacity(height * width * self.head);
        for y in 0..height {
            for x in 0..width {
                let places = [place(y, height), place(x, width)];
                for place in places.iter().chain(&places) {
                    angles.extend((0..quarter).map(|at| {
                        let period = self.base.powf(at as f64 / quarter as f64);
                        std::f64::consts::TAU * place / period
                    }));
                }
            }
        }
        angles
    }
}
