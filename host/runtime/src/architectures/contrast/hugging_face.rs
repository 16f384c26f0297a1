//! What the towers of CLIP and of SigLIP have in common in Hugging Face's transformers: the fields
//! of their configurations, and the names of their tensors.

use serde::Deserialize;

use super::super::encoder::{self, Sizes};
use super::super::transformer::{Layout, MlpNames, Order, QkvNames};
use super::{Blocks, End, ImageSizes, Projection, Texts};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Embedding, LayerNorm};
use crate::weights::Scope;

/// The names of a block's tensors, of both towers.
pub(in super::super) const LAYOUT: Layout = Layout {
    order: Order::NormFirst,
    qkv: QkvNames::Apart(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    out: "self_attn.out_proj",
    norms: ["layer_norm1", "layer_norm2"],
    mlp: MlpNames::Plain(["mlp.fc1", "mlp.fc2"]),
    scales: None,
};

/// The fields of a tower's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in super::super) struct TowerFields {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    num_channels: Option<usize>,
    pub(in super::super) vocab_size: Option<usize>,
    pub(in super::super) max_position_embeddings: Option<usize>,
}

/// What fields are that are not given.
pub(in super::super) struct Defaults {
    pub(in super::super) width: usize,
    pub(in super::super) inner: usize,
    pub(in super::super) heads: usize,
    pub(in super::super) eps: f64,
    pub(in super::super) activation: &'static str,
}

impl TowerFields {
    /// The sizes of the encoder; `prefix` is where the fields are.
    pub(in super::super) fn sizes(
        &self,
        architecture: &'static str,
        prefix: &str,
        defaults: &Defaults,
    ) -> Result<Sizes, Error> {
        let bad = |field: &str, reason: String| Error::BadConfig {
            architecture,
            field: format!("{prefix}.{field}"),
            reason,
        };
        let name = self.hidden_act.as_deref().unwrap_or(defaults.activation);
        let activation = encoder::activation(name).ok_or_else(|| {
            let reason = format!("`{}` is not computed here", name.escape_debug());
            bad("hidden_act", reason)
        })?;
        let sizes = Sizes {
            width: self.hidden_size.unwrap_or(defaults.width),
            heads: self.num_attention_heads.unwrap_or(defaults.heads),
            inner: self.intermediate_size.unwrap_or(defaults.inner),
            blocks: self.num_hidden_layers.unwrap_or(12),
            eps: self.layer_norm_eps.unwrap_or(defaults.eps),
            activation,
        };
        sizes.check(Sizes::FIELDS, bad)?;
        Ok(sizes)
    }

    /// The sizes of images, with the default for the patches.
    pub(in super::super) fn image(&self, patch: usize) -> ImageSizes {
        ImageSizes {
            channels: self.num_channels.unwrap_or(3),
            image: self.image_size.unwrap_or(224),
            patch: self.patch_size.unwrap_or(patch),
        }
    }
}

/// What is to be known of a tower for texts besides its weights.
pub(in super::super) struct TextParts<'a> {
    pub(in super::super) sizes: &'a Sizes,
    pub(in super::super) vocabulary: usize,
    pub(in super::super) max_tokens: usize,
    /// Whether a token sees only those before it.
    pub(in super::super) causal: bool,
    pub(in super::super) end: End,
}

impl TextParts<'_> {
    /// The tower whose weights are in `text_model`; `projection` reads the last layer, given that
    /// scope.
    pub(in super::super) fn load(
        self,
        weights: &Scope<'_>,
        device: &Device,
        projection: impl FnOnce(&Scope<'_>) -> Result<Projection, Error>,
    ) -> Result<Texts, Error> {
        let model = weights.child("text_model");
        let embeddings = model.child("embeddings");
        embeddings.ignore("position_ids");
        let Sizes { width, eps, .. } = *self.sizes;
        let table =
            |name: &str, rows| Embedding::load(&embeddings.child(name), [rows, width], device);
        let norm = model.child("final_layer_norm");
        Ok(Texts {
            words: table("token_embedding", self.vocabulary)?,
            vocabulary: self.vocabulary,
            positions: table("position_embedding", self.max_tokens)?,
            max_tokens: self.max_tokens,
            causal: self.causal,
            blocks: Blocks::load(
                &model.child("encoder.layers"),
                "text_model.encoder.layers",
                &LAYOUT,
                self.sizes,
                device,
            )?,
            norm: (
                "text_model.final_layer_norm",
                LayerNorm::load(&norm, width, eps, true, device)?,
            ),
            end: self.end,
            projection: projection(&model)?,
            device: device.clone(),
        })
    }
}
