//! ViT, as torchvision builds it (`torchvision/models/vision_transformer.py`).

use modelzoo_model::plan::Size;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::vit_tower::{
    ClassToken, NoAttentionPositions, PositionTable, PrefixTokens, TraceNames, ViTTower,
};
use crate::architectures::shared::block::{Block, BlockLayout, MlpNames, Order, QkvNames};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::encoder::EncoderConfig;
use crate::architectures::shared::grid::Interpolation;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::architectures::shared::patches::{ImageSizes, Patches};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, LayerNorm, Linear};
use crate::weights::Scope;

/// The epsilon of the norms.
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
/// `encoder.layers.encoder_layer_0.self_attention.in_proj_weight`, …, `heads.head.bias`; MLPs also
/// have the names of the published files, `mlp.linear_1.weight`.
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
    /// Features per token.
    pub hidden_dim: usize,
    /// Hidden features of the MLP.
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
pub(crate) struct VisionTransformer {
    config: VisionTransformerConfig,
    patches: Patches,
    grid: [usize; 2],
    encoder: EncoderConfig,
}

impl VisionTransformer {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<ViTTower, Error> {
        let width = self.encoder.block.width;
        let encoder = weights.child("encoder");
        let class = weights.get("class_token", &[1, 1, width])?;
        let [rows, columns] = self.grid;
        let table = PositionTable {
            values: encoder.get("pos_embedding", &[1, 1 + rows * columns, width])?,
            grid: self.grid,
            // Unused: images have one size.
            interpolation: Interpolation::Bicubic,
        };
        let published = encoder.has("layers.encoder_layer_0.mlp.linear_1.weight");
        let layout = BlockLayout {
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
        let blocks = (0..self.encoder.blocks)
            .map(|block| {
                let scope = encoder.child(&format!("layers.encoder_layer_{block}"));
                Block::load(&scope, &layout, &self.encoder.block, device)
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
        Ok(ViTTower {
            projection: self
                .patches
                .load(&weights.child("conv_proj"), width, true, device)?,
            patches: self.patches,
            prefix: PrefixTokens::new(&[class], 1, Some(table), device)?,
            attention: Box::new(NoAttentionPositions),
            blocks,
            norm: Some(norm),
            head: Box::new(head),
            names: TraceNames {
                states: "encoder.layers.encoder_layer_",
                embedded: false,
                normed: "encoder.ln",
            },
            device: device.clone(),
        })
    }
}

impl ArchitectureConfig for VisionTransformer {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: VisionTransformerConfig = checker.read(config)?;
        checker.check_sizes(&[
            ("num_classes", config.num_classes),
            ("in_channels", config.in_channels),
        ])?;
        let sizes = [
            config.hidden_dim,
            config.num_heads,
            config.mlp_dim,
            config.num_layers,
        ];
        let encoder = EncoderConfig::new(sizes, EPS, Activation::Gelu);
        encoder.check(
            checker,
            ["hidden_dim", "num_heads", "mlp_dim", "num_layers"],
        )?;
        let size = checker.check_sides("image_size", [config.image_size; 2])?;
        let patch = checker.check_sides("patch_size", [config.patch_size; 2])?;
        if !config.image_size.is_multiple_of(config.patch_size) {
            return Err(checker.error("image_size", "must be a multiple of `patch_size`"));
        }
        let patches = Patches {
            channels: config.in_channels,
            size: patch,
            images: ImageSizes::Fixed(size),
        };
        Ok(Self {
            grid: patches.configured_grid(checker, size)?,
            patches,
            encoder,
            config,
        })
    }

    fn in_channels(&self) -> Option<usize> {
        Some(self.patches.channels)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        self.patches.check_plan(size)?;
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
