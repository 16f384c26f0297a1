//! DINOv2 as `torch.hub.load("facebookresearch/dinov2", …)` builds it.

use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dinov2::{MAX_REGISTERS, gated_width};
use super::vit_tower::{
    ClassToken, NoAttentionPositions, PositionTable, PrefixTokens, TraceNames, ViTTower,
};
use crate::architectures::shared::block::{BlockLayout, MlpNames, Order, QkvNames};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::encoder::EncoderConfig;
use crate::architectures::shared::grid::Interpolation;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::architectures::shared::patches::{ImageSizes, Patches};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, LayerNorm};
use crate::weights::Scope;

/// The epsilon of the norms.
const EPS: f64 = 1e-6;

/// The kind of a DINOv2's MLPs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ffn {
    /// Two layers.
    Mlp,
    /// Gated, two thirds as wide; `"swiglu"` is the same.
    #[serde(alias = "swiglu")]
    Swiglufused,
}

/// The configuration of `dinov2_hub`: a `variant`, or the arguments of its `DinoVisionTransformer`.
///
/// | field | | default |
/// |---|---|---|
/// | `variant` | `"dinov2_vits14"`, `"dinov2_vitb14"`, `"dinov2_vitl14"`, `"dinov2_vitg14"`, each also with `_reg` behind it; instead of all other fields | |
/// | `img_size`, `patch_size` | the sides of the images that the position embeddings are for, and of a patch | 518, 14 |
/// | `in_chans` | channels of the input | 3 |
/// | `embed_dim`, `depth`, `num_heads` | | 768, 12, 12 |
/// | `mlp_ratio` | hidden features of the MLP, as a multiple of `embed_dim` | 4 |
/// | `ffn_layer` | `"mlp"` or `"swiglufused"` | `"mlp"` |
/// | `num_register_tokens` | | 0 |
/// | `interpolate_antialias` | whether position embeddings are interpolated with antialiasing | false |
/// | `interpolate_offset` | added to the size of the grid when they are interpolated | 0.1 |
///
/// The weights have the published names: `patch_embed.proj.weight`, `blocks.0.attn.qkv.weight`,
/// `blocks.0.ls1.gamma`, …, `norm.bias`. The output is the class token after the last norm.
/// Images of other sizes work, if their sides are multiples of the patch's: position embeddings are
/// interpolated.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dinov2HubConfig {
    /// A published variant, instead of the sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The side of the images that the position embeddings are for.
    pub img_size: usize,
    /// The side of a patch.
    pub patch_size: usize,
    /// Channels of the input.
    pub in_chans: usize,
    /// Features per token.
    pub embed_dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of the attention.
    pub num_heads: usize,
    /// The hidden features of the MLP, as a multiple of `embed_dim`.
    pub mlp_ratio: usize,
    /// The kind of the MLPs.
    pub ffn_layer: Ffn,
    /// Tokens between the class token and the patches.
    pub num_register_tokens: usize,
    /// Whether position embeddings are interpolated with antialiasing.
    pub interpolate_antialias: bool,
    /// Added to the size of the grid when they are interpolated.
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
pub(crate) struct Dinov2Hub {
    config: Dinov2HubConfig,
    patches: Patches,
    grid: [usize; 2],
    encoder: EncoderConfig,
    interpolation: Interpolation,
}

impl Dinov2Hub {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<ViTTower, Error> {
        let width = self.encoder.block.width;
        // It replaces masked patches in training.
        weights.ignore("mask_token");
        let mut tokens = vec![weights.get("cls_token", &[1, 1, width])?];
        let registers = self.config.num_register_tokens;
        if registers > 0 {
            tokens.push(weights.get("register_tokens", &[1, registers, width])?);
        }
        let [rows, columns] = self.grid;
        let table = PositionTable {
            values: weights.get("pos_embed", &[1, 1 + rows * columns, width])?,
            grid: self.grid,
            interpolation: self.interpolation,
        };
        let layout = BlockLayout {
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
        let blocks = self.encoder.load(&scope, &layout, device)?;
        let scope = weights.child("patch_embed.proj");
        let norm = LayerNorm::load(&weights.child("norm"), width, EPS, true, device)?;
        Ok(ViTTower {
            projection: self.patches.load(&scope, width, true, device)?,
            patches: self.patches,
            prefix: PrefixTokens::new(&tokens, 1, Some(table), device)?,
            attention: Box::new(NoAttentionPositions),
            blocks,
            norm: Some(norm),
            head: Box::new(ClassToken {
                pooled: Some("head"),
                name: "head",
                classifier: None,
            }),
            names: TraceNames {
                states: "blocks.",
                embedded: false,
                normed: "norm",
            },
            device: device.clone(),
        })
    }
}

impl ArchitectureConfig for Dinov2Hub {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let mut parsed: Dinov2HubConfig = checker.read(config)?;
        if let Some(variant) = &parsed.variant {
            if config.as_object().is_some_and(|fields| fields.len() > 1) {
                let reason = "determines all other fields: give one or the others";
                return Err(checker.error("variant", reason));
            }
            parsed = Dinov2HubConfig::published(variant).ok_or_else(|| {
                let reason = "must be `dinov2_vits14`, `dinov2_vitb14`, `dinov2_vitl14` or `dinov2_vitg14`, or one of them with `_reg`";
                checker.error("variant", reason)
            })?;
        }
        checker.check_sizes(&[
            ("in_chans", parsed.in_chans),
            ("mlp_ratio", parsed.mlp_ratio),
        ])?;
        let registers = parsed.num_register_tokens;
        checker.check_range("num_register_tokens", registers, 0..=MAX_REGISTERS)?;
        checker.check_range("interpolate_offset", parsed.interpolate_offset, 0.0..=0.5)?;
        let interpolation = parsed.interpolation().ok_or_else(|| {
            let reason = "must be 0 where `interpolate_antialias` is true";
            checker.error("interpolate_offset", reason)
        })?;
        let inner = parsed.embed_dim.saturating_mul(parsed.mlp_ratio);
        let (inner, activation) = match parsed.ffn_layer {
            Ffn::Mlp => (inner, Activation::Gelu),
            Ffn::Swiglufused => (gated_width(inner), Activation::Silu),
        };
        let sizes = [parsed.embed_dim, parsed.num_heads, inner, parsed.depth];
        let encoder = EncoderConfig::new(sizes, EPS, activation);
        encoder.check(checker, ["embed_dim", "num_heads", "mlp_ratio", "depth"])?;
        let patches = Patches {
            channels: parsed.in_chans,
            size: checker.check_sides("patch_size", [parsed.patch_size; 2])?,
            images: ImageSizes::Multiples,
        };
        let size = checker.check_sides("img_size", [parsed.img_size; 2])?;
        if !parsed.img_size.is_multiple_of(parsed.patch_size) {
            return Err(checker.error("img_size", "must be a multiple of `patch_size`"));
        }
        Ok(Self {
            grid: patches.configured_grid(checker, size)?,
            patches,
            encoder,
            interpolation,
            config: parsed,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.patches.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.patches.check_plan(size)?;
        Ok(None)
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let layers = network.layers(&["head"]);
        Ok(Network::of_images(network, layers, Some("head".to_owned())))
    }
}
