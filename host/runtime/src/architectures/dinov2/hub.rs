//! DINOv2 as `torch.hub.load("facebookresearch/dinov2", …)` builds it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::huggingface::{Config, Sides};
use super::super::positions::Interpolation;
use super::super::transformer::{Block, BlockSizes, Layout, MlpNames, Order, QkvNames};
use super::super::vision::{ClassToken, Cut, Names, Patches, Plainly, Tokens, VisionTransformer};
use super::super::{Blueprint, Network, read};
use super::gated_width;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, LayerNorm};
use crate::plan::Size;
use crate::weights::Scope;

pub(in super::super) const NAME: &str = "dinov2_hub";

/// What the norms add to the variance.
const EPS: f64 = 1e-6;

/// The kind of the network on each token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ffn {
    /// Two layers.
    Mlp,
    /// A gated one, two thirds as wide; `"swiglu"` is the same.
    #[serde(alias = "swiglu")]
    Swiglufused,
}

/// The configuration of `dinov2_hub`: a `variant`, or the arguments of its `DinoVisionTransformer`.
///
/// | field | | default |
/// |---|---|---|
/// | `variant` | `"dinov2_vits14"`, `"dinov2_vitb14"`, `"dinov2_vitl14"`, `"dinov2_vitg14"`, each also with `_reg` behind it; instead of all that follows | |
/// | `img_size`, `patch_size` | sides of the images that the positions are for, and of a patch | 518, 14 |
/// | `in_chans` | channels of the input | 3 |
/// | `embed_dim`, `depth`, `num_heads` | | 768, 12, 12 |
/// | `mlp_ratio` | how many times wider the network on each token is | 4 |
/// | `ffn_layer` | `"mlp"` or `"swiglufused"` | `"mlp"` |
/// | `num_register_tokens` | | 0 |
/// | `interpolate_antialias` | whether positions are interpolated with a filter that widens | false |
/// | `interpolate_offset` | how much larger a grid is taken to be when they are | 0.1 |
///
/// The weights have the published names: `patch_embed.proj.weight`, `blocks.0.attn.qkv.weight`,
/// `blocks.0.ls1.gamma`, …, `norm.bias`. The output is the class token after the last norm.
/// Images of any size are taken whose sides are multiples of the patch's: positions are
/// interpolated.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dinov2HubConfig {
    /// One of the published ones, instead of the sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The side of the images that the positions are for.
    pub img_size: usize,
    /// The side of a patch.
    pub patch_size: usize,
    /// Channels of the input.
    pub in_chans: usize,
    /// Channels of a token.
    pub embed_dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of the attention.
    pub num_heads: usize,
    /// How many times wider the network on each token is.
    pub mlp_ratio: usize,
    /// The kind of the network on each token.
    pub ffn_layer: Ffn,
    /// Tokens between the class token and the patches.
    pub num_register_tokens: usize,
    /// Whether positions are interpolated with a filter that widens.
    pub interpolate_antialias: bool,
    /// How much larger a grid is taken to be when they are.
    pub interpolate_offset: f64,
}

impl Default for Dinov2HubConfig {
    fn default() -> Self {
        Self {
            variant: None,
            img_size: 518,
            patch_size: 14,
            in_chans: 3,
            embed_dim: 768,
            depth: 12,
            num_heads: 12,
            mlp_ratio: 4,
            ffn_layer: Ffn::Mlp,
            num_register_tokens: 0,
            interpolate_antialias: false,
            interpolate_offset: 0.1,
        }
    }
}

impl Dinov2HubConfig {
    /// The sizes of a published variant.
    fn published(name: &str) -> Option<Self> {
        let (size, registers) = match name.strip_suffix("_reg") {
            Some(size) => (size, true),
            None => (name, false),
        };
        let (embed_dim, depth, num_heads) = match size {
            "dinov2_vits14" => (384, 12, 6),
            "dinov2_vitb14" => (768, 12, 12),
            "dinov2_vitl14" => (1024, 24, 16),
            "dinov2_vitg14" => (1536, 40, 24),
            _ => return None,
        };
        let sizes = Self {
            embed_dim,
            depth,
            num_heads,
            ffn_layer: if embed_dim == 1536 {
                Ffn::Swiglufused
            } else {
                Ffn::Mlp
            },
            ..Self::default()
        };
        Some(if registers {
            Self {
                num_register_tokens: 4,
                interpolate_antialias: true,
                interpolate_offset: 0.0,
                ..sizes
            }
        } else {
            sizes
        })
    }

    fn interpolation(&self) -> Option<Interpolation> {
        match (self.interpolate_antialias, self.interpolate_offset) {
            (true, 0.0) => Some(Interpolation::BicubicAntialias),
            (false, 0.0) => Some(Interpolation::Bicubic),
            (false, offset) => Some(Interpolation::BicubicOffset(offset)),
            (true, _) => None,
        }
    }
}

/// A checked configuration.
pub(crate) struct HubSizes {
    config: Dinov2HubConfig,
    patches: Patches,
    grid: [usize; 2],
    block: BlockSizes,
    interpolation: Interpolation,
}

impl HubSizes {
    pub(in super::super) fn parse(value: &Value) -> Result<Self, Error> {
        let mut sizes: Dinov2HubConfig = read(NAME, String::new(), value)?;
        let config = Config {
            architecture: NAME,
            value,
        };
        if let Some(variant) = &sizes.variant {
            if value.as_object().is_some_and(|fields| fields.len() > 1) {
                let reason = "says all that other fields say: give one or the others";
                return Err(config.bad("variant", reason));
            }
            sizes = Dinov2HubConfig::published(variant).ok_or_else(|| {
                let reason = "must be `dinov2_vits14`, `dinov2_vitb14`, `dinov2_vitl14` or `dinov2_vitg14`, or one of them with `_reg`";
                config.bad("variant", reason)
            })?;
        }
        config.check_sizes(&[
            ("in_chans", sizes.in_chans),
            ("embed_dim", sizes.embed_dim),
            ("num_heads", sizes.num_heads),
            ("mlp_ratio", sizes.mlp_ratio),
        ])?;
        config.check_blocks("depth", sizes.depth)?;
        if !sizes.embed_dim.is_multiple_of(sizes.num_heads) {
            return Err(config.bad("num_heads", "must divide `embed_dim`"));
        }
        if sizes.num_register_tokens > 1024 {
            return Err(config.bad("num_register_tokens", "must be 0 to 1024"));
        }
        if !(0.0..=0.5).contains(&sizes.interpolate_offset) {
            return Err(config.bad("interpolate_offset", "must be 0 to 0.5"));
        }
        let interpolation = sizes.interpolation().ok_or_else(|| {
            let reason = "must be 0 where `interpolate_antialias` is true";
            config.bad("interpolate_offset", reason)
        })?;
        let inner = sizes.embed_dim.saturating_mul(sizes.mlp_ratio);
        let (inner, activation) = match sizes.ffn_layer {
            Ffn::Mlp => (inner, Activation::Gelu),
            Ffn::Swiglufused => (gated_width(inner), Activation::Silu),
        };
        config.check_sizes(&[("mlp_ratio", inner)])?;
        let patches = Patches {
            channels: sizes.in_chans,
            size: Sides::Both(sizes.patch_size).check(&config, "patch_size")?,
            cut: Cut::Exact,
        };
        let size = Sides::Both(sizes.img_size).check(&config, "img_size")?;
        if !sizes.img_size.is_multiple_of(sizes.patch_size) {
            return Err(config.bad("img_size", "must be a multiple of `patch_size`"));
        }
        Ok(Self {
            grid: config.grid(&patches, size)?,
            patches,
            block: BlockSizes {
                width: sizes.embed_dim,
                heads: sizes.num_heads,
                inner,
                eps: EPS,
                activation,
                qkv_bias: [true; 3],
                out_bias: true,
                mlp_bias: true,
            },
            interpolation,
            config: sizes,
        })
    }

    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<VisionTransformer, Error> {
        let width = self.block.width;
        // It stands for patches that are hidden while the model is trained.
        weights.ignore("mask_token");
        let mut tokens = vec![weights.get("cls_token", &[1, 1, width])?];
        let registers = self.config.num_register_tokens;
        if registers > 0 {
            tokens.push(weights.get("register_tokens", &[1, registers, width])?);
        }
        let [down, across] = self.grid;
        let table = weights.get("pos_embed", &[1, 1 + down * across, width])?;
        let table = Some((table, self.grid, self.interpolation));
        let layout = Layout {
            order: Order::NormFirst,
            norms: ["norm1", "norm2"],
            qkv: QkvNames::Joined("attn.qkv"),
            out: "attn.proj",
            mlp: match self.config.ffn_layer {
                Ffn::Mlp => MlpNames::Plain(["mlp.fc1", "mlp.fc2"]),
                Ffn::Swiglufused => MlpNames::GatedJoined(["mlp.w12", "mlp.w3"]),
            },
            scales: Some(["ls1.gamma", "ls2.gamma"]),
        };
        let scope = weights.child("blocks");
        let blocks = Block::load_all(&scope, &layout, &self.block, self.config.depth, device)?;
        let scope = weights.child("patch_embed.proj");
        let norm = LayerNorm::load(&weights.child("norm"), width, EPS, true, device)?;
        Ok(VisionTransformer {
            projection: self.patches.load(&scope, width, device)?,
            patches: self.patches,
            tokens: Tokens::new(&tokens, 1, table, device)?,
            attending: Box::new(Plainly),
            blocks,
            norm: Some(norm),
            head: Box::new(ClassToken {
                pooled: Some("head"),
                name: "head",
                classifier: None,
            }),
            names: Names {
                states: "blocks.",
                embedded: false,
                normed: "norm",
            },
            device: device.clone(),
        })
    }
}

impl Blueprint for HubSizes {
    fn in_channels(&self) -> Option<usize> {
        Some(self.patches.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.patches.check(size)?;
        Ok(None)
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let layers = network.layers(&["head"]);
        Ok(Network::of_images(network, layers, Some("head".to_owned())))
    }
}
