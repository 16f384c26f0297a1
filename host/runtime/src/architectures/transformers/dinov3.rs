//! The vision transformers of DINOv3, as transformers builds them (`models/dinov3_vit`; Siméoni et
//! al., "DINOv3", 2025), with a rotary position embedding.

use std::sync::Arc;

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde::Deserialize;
use serde_json::Value;

use super::dinov2::MAX_REGISTERS;
use super::vit_tower::{AttentionPositions, ClassToken, PrefixTokens, TraceNames, ViTTower};
use crate::architectures::shared::block::{BlockLayout, MlpNames, Order, QkvNames};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::encoder::{EncoderConfig, EncoderDefaults, EncoderFields};
use crate::architectures::shared::grid::GridCache;
use crate::architectures::shared::network::{ArchitectureConfig, Network};
use crate::architectures::shared::patches::Patches;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{LayerNorm, Rotary};
use crate::weights::Scope;

/// The configuration of `dinov3_vit`: a repository's `config.json`, `model_type` and all.
///
/// | field | | default |
/// |---|---|---|
/// | `patch_size` | a side, or height and width | 16 |
/// | `num_channels` | channels of the input | 3 |
/// | `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `intermediate_size` | | 384, 12, 6, 1536 |
/// | `hidden_act` | | `"gelu"` |
/// | `layer_norm_eps` | | 1e-5 |
/// | `rope_theta` | the base of the rotary embedding's periods | 100 |
/// | `query_bias`, `key_bias`, `value_bias`, `proj_bias`, `mlp_bias` | which layers have a bias | all but the keys |
/// | `use_gated_mlp` | whether the MLP is gated | false |
/// | `num_register_tokens` | | 0 |
///
/// The weights have the names of transformers' `DINOv3ViTModel`: `embeddings.cls_token`,
/// `layer.0.attention.q_proj.weight`, …, `norm.bias`. The output is the class token after the
/// last norm. Images of any size work. Published: `facebook/dinov3-vits16-pretrain-lvd1689m`
/// to `-vith16plus-`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "as in the repository's file")]
pub struct Dinov3Config {
    #[serde(flatten)]
    fields: EncoderFields,
    /// The base of the rotary embedding's periods.
    pub rope_theta: f64,
    /// Whether queries have a bias.
    pub query_bias: bool,
    /// Whether keys have one.
    pub key_bias: bool,
    /// Whether values have one.
    pub value_bias: bool,
    /// Whether the projection after the attention has one.
    pub proj_bias: bool,
    /// Whether the MLP has biases.
    pub mlp_bias: bool,
    /// Whether the MLP is gated.
    pub use_gated_mlp: bool,
    /// Tokens between the class token and the patches.
    pub num_register_tokens: usize,
}

impl Default for Dinov3Config {
    fn default() -> Self {
        Self {
            fields: EncoderFields::default(),
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

const DEFAULTS: EncoderDefaults = EncoderDefaults {
    width: 384,
    heads: 6,
    inner: 1536,
    eps: 1e-5,
    ..EncoderDefaults::VIT
};

/// A checked configuration.
pub(crate) struct Dinov3 {
    config: Dinov3Config,
    patches: Patches,
    encoder: EncoderConfig,
}

impl Dinov3 {
    fn network(&self, weights: &Scope<'_>, device: &Device) -> Result<ViTTower, Error> {
        let width = self.encoder.block.width;
        let embeddings = weights.child("embeddings");
        // It replaces masked patches in training.
        embeddings.ignore("mask_token");
        let mut tokens = vec![embeddings.get("cls_token", &[1, 1, width])?];
        let registers = self.config.num_register_tokens;
        if registers > 0 {
            tokens.push(embeddings.get("register_tokens", &[1, registers, width])?);
        } else {
            embeddings.ignore("register_tokens");
        }
        let layout = BlockLayout {
            order: Order::NormFirst,
            norms: ["norm1", "norm2"],
            qkv: QkvNames::Separate(["attention.q_proj", "attention.k_proj", "attention.v_proj"]),
            out: "attention.o_proj",
            mlp: if self.config.use_gated_mlp {
                MlpNames::Gated(["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"])
            } else {
                MlpNames::Plain(["mlp.up_proj", "mlp.down_proj"])
            },
            scales: Some(["layer_scale1.lambda1", "layer_scale2.lambda1"]),
        };
        // Since its version 5, transformers writes `model.` before the names of the blocks.
        let nested = weights.has("model.layer.0.norm1.weight");
        let prefix = if nested { "model.layer" } else { "layer" };
        let scope = weights.child(prefix);
        let blocks = self.encoder.load(&scope, &layout, device)?;
        let scope = embeddings.child("patch_embeddings");
        let norm = weights.child("norm");
        let eps = self.encoder.block.eps;
        Ok(ViTTower {
            projection: self.patches.load(&scope, width, true, device)?,
            patches: self.patches,
            prefix: PrefixTokens::new(&tokens, 0, None, device)?,
            attention: Box::new(PatchRotary {
                base: self.config.rope_theta,
                head: width / self.encoder.block.heads,
                device: device.clone(),
                rotaries: GridCache::new(),
            }),
            blocks,
            norm: Some(LayerNorm::load(&norm, width, eps, true, device)?),
            head: Box::new(ClassToken {
                pooled: Some("pooler_output"),
                name: "classifier",
                classifier: None,
            }),
            names: TraceNames::HUGGING_FACE,
            device: device.clone(),
        })
    }
}

impl ArchitectureConfig for Dinov3 {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        let config: Dinov3Config = checker.read(config)?;
        let registers = config.num_register_tokens;
        checker.check_range("num_register_tokens", registers, 0..=MAX_REGISTERS)?;
        checker.check_range("rope_theta", config.rope_theta, 1.0..=1e9)?;
        let mut encoder = config.fields.encoder(checker, &DEFAULTS)?;
        let block = &mut encoder.block;
        block.qkv_bias = [config.query_bias, config.key_bias, config.value_bias];
        block.out_bias = config.proj_bias;
        block.mlp_bias = config.mlp_bias;
        if !(block.width / block.heads).is_multiple_of(4) {
            let reason = "must divide `hidden_size` into multiples of 4";
            return Err(checker.error("num_attention_heads", reason));
        }
        Ok(Self {
            patches: config.fields.patches(checker, &DEFAULTS)?,
            encoder,
            config,
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
        let layers = network.layers(&["pooler_output"]);
        let embedding = Some("pooler_output".to_owned());
        Ok(Network::of_images(network, layers, embedding))
    }
}

/// A rotary embedding by the centre of each patch, with coordinates from -1 to 1 both ways.
struct PatchRotary {
    base: f64,
    /// Features per head.
    head: usize,
    device: Device,
    rotaries: GridCache<Arc<Rotary>>,
}

impl AttentionPositions for PatchRotary {
    fn rotary(&self, grid: [usize; 2]) -> Result<Option<Arc<Rotary>>, Error> {
        let rotary = self.rotaries.get(grid, || {
            let angles = self.angles(grid);
            let [cosines, sines] = [f64::cos, f64::sin].map(|function| {
                let values = angles.iter().map(|&angle| rounded(function(angle)));
                let half = self.head / 2;
                let dims = (angles.len() / half.max(1), half);
                Tensor::from_iter(values, &candle_core::Device::Cpu)?.reshape(dims)
            });
            Ok(Arc::new(Rotary::new(&cosines?, &sines?, &self.device)?))
        })?;
        Ok(Some(rotary))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "rounded on purpose")]
fn rounded(value: f64) -> f32 {
    value as f32
}

impl PatchRotary {
    /// `[patches, head / 2]`: a quarter of a head by the row, and a quarter by the column.
    #[allow(clippy::cast_precision_loss, reason = "small whole numbers")]
    fn angles(&self, [height, width]: [usize; 2]) -> Vec<f64> {
        let quarter = self.head / 4;
        let place = |at: usize, of: usize| 2.0 * ((at as f64 + 0.5) / of as f64) - 1.0;
        let mut angles = Vec::with_capacity(height * width * self.head / 2);
        for y in 0..height {
            for x in 0..width {
                let places = [place(y, height), place(x, width)];
                for place in places {
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
