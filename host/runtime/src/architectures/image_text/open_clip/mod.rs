//! CLIP as its authors and OpenCLIP name it (`clip/model.py` of openai/CLIP, `open_clip/model.py` of
//! mlfoundations/open_clip), with vision transformers.

mod config;

use candle_core::Tensor;
use modelzoo_model::plan::Size;
use serde_json::Value;

pub(crate) use config::OpenClip;
pub use config::OpenClipConfig;
use config::{ImageConfig, TextConfig, TowerConfigs};

use super::towers::{
    Blocks, ClipImageTower, ClipTextTower, ImagePool, Projection, TextPool, network, number,
};
use crate::architectures::shared::block::{BlockLayout, MlpNames, Order, QkvNames};
use crate::architectures::shared::config::ConfigChecker;
use crate::architectures::shared::hugging_face;
use crate::architectures::shared::network::{ArchitectureConfig, Network, Similarity};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Embedding, LayerNorm};
use crate::weights::Scope;

/// The names of a block's tensors, of both towers.
const LAYOUT: BlockLayout = BlockLayout {
    order: Order::NormFirst,
    qkv: QkvNames::Tensors(["attn.in_proj_weight", "attn.in_proj_bias"]),
    out: "attn.out_proj",
    norms: ["ln_1", "ln_2"],
    mlp: MlpNames::Plain(["mlp.c_fc", "mlp.c_proj"]),
    scales: None,
};

impl TowerConfigs {
    fn images(&self, weights: &Scope<'_>, device: &Device) -> Result<ClipImageTower, Error> {
        let visual = weights.child("visual");
        let ImageConfig {
            encoder,
            patches,
            grid: [rows, columns],
        } = self.images;
        let (width, eps) = (encoder.block.width, encoder.block.eps);
        let norm = |name: &str| LayerNorm::load(&visual.child(name), width, eps, true, device);
        let on_device = |tensor: Tensor| device.place_weights(visual.name(), &tensor);
        let class = visual
            .get("class_embedding", &[width])?
            .reshape((1, width))?;
        let places = [rows * columns + 1, width];
        let positions = visual.get("positional_embedding", &places)?;
        let mut projection =
            Projection::transposed("proj", &visual, [width, self.projection], device)?;
        projection.name = "visual.proj";
        Ok(ClipImageTower {
            projection: patches.load(&visual.child("conv1"), width, false, device)?,
            patches,
            class: Some(on_device(class)?),
            positions: on_device(positions)?,
            before: Some(("visual.ln_pre", norm("ln_pre")?)),
            blocks: Blocks::load(
                &visual.child("transformer.resblocks"),
                "visual.transformer.resblocks",
                &LAYOUT,
                &encoder,
                device,
            )?,
            after: ("visual.ln_post", norm("ln_post")?),
            pool: ImagePool::ClassToken,
            last: Some(projection),
            device: device.clone(),
        })
    }

    fn texts(&self, weights: &Scope<'_>, device: &Device) -> Result<ClipTextTower, Error> {
        let TextConfig {
            encoder,
            vocabulary,
            max_tokens,
        } = self.texts;
        let (width, eps) = (encoder.block.width, encoder.block.eps);
        let words = weights.child("token_embedding");
        let positions = weights.get("positional_embedding", &[max_tokens, width])?;
        let norm = weights.child("ln_final");
        let sizes = [width, self.projection];
        Ok(ClipTextTower {
            words: Embedding::load(&words, [vocabulary, width], device)?,
            vocabulary,
            positions: Embedding::new("positional_embedding", &positions, device)?,
            max_tokens,
            causal: true,
            blocks: Blocks::load(
                &weights.child("transformer.resblocks"),
                "transformer.resblocks",
                &LAYOUT,
                &encoder,
                device,
            )?,
            norm: (
                "ln_final",
                LayerNorm::load(&norm, width, eps, true, device)?,
            ),
            pool: TextPool::LargestId,
            projection: Projection::transposed("text_projection", weights, sizes, device)?,
            device: device.clone(),
        })
    }
}

impl ArchitectureConfig for OpenClip {
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error> {
        Self::read(checker, config)
    }

    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        if let Some(patches) = self.patches() {
            patches.check_plan(size)?;
        }
        Ok(self.projection())
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        // OpenAI's archives have these besides the weights.
        for name in ["input_resolution", "context_length", "vocab_size"] {
            weights.ignore(name);
        }
        let texts = hugging_face::base(weights, "text", "token_embedding.weight");
        texts.ignore("attn_mask");
        let towers = self.towers(weights, &texts)?;
        let bias = weights.has("logit_bias");
        let similarity = Similarity {
            scale: number(weights, "logit_scale", &[])?.exp(),
            bias: if bias {
                number(weights, "logit_bias", &[])?
            } else {
                0.0
            },
        };
        let images = towers.images(weights, device)?;
        Ok(network(images, towers.texts(&texts, device)?, similarity))
    }
}
