//! The names of the tensors that CLIP and SigLIP share in transformers.

use super::blocks::{Blocks, Projection};
use super::text::{ClipTextTower, TextPool};
use crate::architectures::shared::block::{BlockLayout, MlpNames, Order, QkvNames};
use crate::architectures::shared::encoder::EncoderConfig;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Embedding, LayerNorm};
use crate::weights::Scope;

/// The names of a block's tensors, of both towers.
pub(crate) const LAYOUT: BlockLayout = BlockLayout {
    order: Order::NormFirst,
    qkv: QkvNames::Separate(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    out: "self_attn.out_proj",
    norms: ["layer_norm1", "layer_norm2"],
    mlp: MlpNames::Plain(["mlp.fc1", "mlp.fc2"]),
    scales: None,
};

/// The configuration of a text tower.
pub(crate) struct TextTowerConfig<'a> {
    pub(crate) encoder: &'a EncoderConfig,
    pub(crate) vocabulary: usize,
    pub(crate) max_tokens: usize,
    /// Whether a token attends only to those before it.
    pub(crate) causal: bool,
    pub(crate) pool: TextPool,
}

impl TextTowerConfig<'_> {
    /// Loads the tower from `text_model`; `projection` loads the last layer, given that scope.
    pub(crate) fn load(
        self,
        weights: &Scope<'_>,
        device: &Device,
        projection: impl FnOnce(&Scope<'_>) -> Result<Projection, Error>,
    ) -> Result<ClipTextTower, Error> {
        let model = weights.child("text_model");
        let embeddings = model.child("embeddings");
        embeddings.ignore("position_ids");
        let (width, eps) = (self.encoder.block.width, self.encoder.block.eps);
        let table =
            |name: &str, rows| Embedding::load(&embeddings.child(name), [rows, width], device);
        let norm = model.child("final_layer_norm");
        Ok(ClipTextTower {
            words: table("token_embedding", self.vocabulary)?,
            vocabulary: self.vocabulary,
            positions: table("position_embedding", self.max_tokens)?,
            max_tokens: self.max_tokens,
            causal: self.causal,
            blocks: Blocks::load(
                &model.child("encoder.layers"),
                "text_model.encoder.layers",
                &LAYOUT,
                self.encoder,
                device,
            )?,
            norm: (
                "text_model.final_layer_norm",
                LayerNorm::load(&norm, width, eps, true, device)?,
            ),
            pool: self.pool,
            projection: projection(&model)?,
            device: device.clone(),
        })
    }
}
