//! ViT, as torchvision builds it (`torchvision/models/vision_transformer.py`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::huggingface::{Config, Sides};
use super::positions::Interpolation;
use super::transformer::{Block, BlockSizes, Layout, MlpNames, Order, QkvNames};
use super::vision::{ClassToken, Cut, Names, Patches, Plainly, Tokens, VisionTransformer};
use super::{Blueprint, Network, read};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, LayerNorm, Linear};
use crate::plan::Size;
use crate::weights::Scope;

pub(super) const NAME: &str = "vision_transformer";

/// What the norms add to the variance.
const EPS: f64 = 1e-6;

/// The configuration of `vision_transformer`: the ViT of torchvision, by the arguments of its
/// `VisionTransformer`.
///
/// | field | | default |
/// |---|---|---|
/// | `image_size`, `patch_size` | sides | 224, 16 |
/// | `num_layers`, `num_heads`, `hidden_dim`, `mlp_dim` | | 12, 12, 768, 3072 |
/// | `num_classes` | outputs of `heads` | 1000 |
/// | `in_channels` | channels of the input | 3 |
///
/// The weights have torchvision's names: `class_token`, `conv_proj.weight`,
/// `encoder.layers.encoder_layer_0.self_attention.in_proj_weight`, …, `heads.head.bias`; the
/// networks on each token also have the names of the published files, `mlp.linear_1.weight`.
///
/// | torchvision | configuration |
/// |---|---|
/// | `vit_b_16` | `{}` |
/// | `vit_b_32` | `{"patch_size": 32}` |
/// | `vit_l_16` | `{"num_layers": 24, "num_heads": 16, "hidden_dim": 1024, "mlp_dim": 4096}` |
/// | `vit_h_14` | `{"image_size": 518, "patch_size": 14, "num_layers": 32, "num_heads": 16, "hidden_dim": 1280, "mlp_dim": 5120}` |
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VisionTransformerConfig {
    /// The side of the images.
    pub image_size: usize,
    /// The side of a patch.
    pub patch_size: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Heads of the attention.
    pub num_heads: usize,
    /// Channels of a token.
    pub hidden_dim: usize,
    /// Channels inside the network on each token.
    pub mlp_dim: usize,
    /// Outputs.
    pub num_classes: usize,
    /// Channels of the input.
    pub in_channels: usize,
}

impl Default for VisionTransformerConfig {
    fn default() -> Self {
        Self {
            image_size: 224,
            patch_size: 16,
            num_layers: 12,
            num_heads: 12,
            hidden_dim: 768,
            mlp_dim: 3072,
            num_classes: 1000,
            in_channels: 3,
        }
    }
}

/// A checked configuration.
pub(crate) struct Sizes {
    config: VisionTransformerConfig,
    patches: Patches,
    grid: [usize; 2],
    block: BlockSizes,
}

impl Sizes {
    pub(super) fn parse(value: &Value) -> Result<Self, Error> {
        let sizes: VisionTransformerConfig = read(NAME, String::new(), value)?;
        let config = Config {
            architecture: NAME,
            value,
        };
        config.check_sizes(&[
            ("num_classes", sizes.num_classes),
            ("in_channels", sizes.in_channels),
            ("hidden_dim", sizes.hidden_dim),
            ("num_heads", sizes.num_heads),
            ("mlp_dim", sizes.mlp_dim),
        ])?;
        config.check_blocks("num_layers", sizes.num_layers)?;
        if !sizes.hidden_dim.is_multiple_of(sizes.num_heads) {
            return Err(config.bad("num_heads", "must divide `hidden_dim`"));
        }
        let size = Sides::Both(sizes.image_size).check(&config, "image_size")?;
        let patch = Sides::Both(sizes.patch_size).check(&config, "patch_size")?;
        if !sizes.image_size.is_multiple_of(sizes.patch_size) {
            return Err(config.bad("image_size", "must be a multiple of `patch_size`"));
        }
        let patches = Patches {
            channels: sizes.in_channels,
            size: patch,
            cut: Cut::Fixed(size),
        };
        Ok(Self {
            grid: config.grid(&patches, size)?,
            patches,
            block: BlockSizes {
                width: sizes.hidden_dim,
                heads: sizes.num_heads,
                inner: sizes.mlp_dim,
                eps: EPS,
                activation: Activation::Gelu,
                qkv_bias: [true; 3],
                out_bias: true,
                mlp_bias: true,
            },
            config: sizes,
        })
    }

    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<VisionTransformer, Error> {
        let width = self.block.width;
        let encoder = weights.child("encoder");
        let class = weights.get("class_token", &[1, 1, width])?;
        let [down, across] = self.grid;
        let table = encoder.get("pos_embedding", &[1, 1 + down * across, width])?;
        // Of one size alone: nothing is interpolated.
        let table = Some((table, self.grid, Interpolation::Bicubic));
        let published = encoder.has("layers.encoder_layer_0.mlp.linear_1.weight");
        let layout = Layout {
            order: Order::NormFirst,
            norms: ["ln_1", "ln_2"],
            qkv: QkvNames::Tensors([
                "self_attention.in_proj_weight",
                "self_attention.in_proj_bias",
            ]),
            out: "self_attention.out_proj",
            mlp: MlpNames::Plain(if published {
                ["mlp.linear_1", "mlp.linear_2"]
            } else {
                ["mlp.0", "mlp.3"]
            }),
            scales: None,
        };
        let blocks = (0..self.config.num_layers)
            .map(|block| {
                let scope = encoder.child(&format!("layers.encoder_layer_{block}"));
                Block::load(&scope, &layout, &self.block, device)
            })
            .collect::<Result<_, _>>()?;
        let sizes = [width, self.config.num_classes];
        let head = ClassToken {
            pooled: None,
            name: "heads",
            classifier: Some(Linear::load(
                &weights.child("heads.head"),
                sizes,
                true,
                None,
                Activation::Identity,
                device,
            )?),
        };
        let norm = LayerNorm::load(&encoder.child("ln"), width, EPS, true, device)?;
        Ok(VisionTransformer {
            projection: self
                .patches
                .load(&weights.child("conv_proj"), width, device)?,
            patches: self.patches,
            tokens: Tokens::new(&[class], 1, table, device)?,
            attending: Box::new(Plainly),
            blocks,
            norm: Some(norm),
            head: Box::new(head),
            names: Names {
                states: "encoder.layers.encoder_layer_",
                embedded: false,
                normed: "encoder.ln",
            },
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
        Ok(Some(self.config.num_classes))
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        let network = self.network(weights, device)?;
        let layers = network.layers(&["heads"]);
        Ok(Network::of_images(
            network,
            layers,
            Some("<heads".to_owned()),
        ))
    }
}
