//! CLIP with the names of its authors and of OpenCLIP (`clip/model.py` of openai/CLIP,
//! `open_clip/model.py` of mlfoundations/open_clip), with vision transformers.

mod config;

use candle_core::Tensor;

pub use config::OpenClipConfig;

use super::contrast::{Blocks, End, ImageSizes, Images, Pool, Projection, Texts, network, number};
use super::encoder::Sizes;
use super::transformer::{Layout, MlpNames, Order, QkvNames};
use super::{Blueprint, Network, Similarity};
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Embedding, LayerNorm};
use crate::plan::Size;
use crate::weights::Scope;

pub(super) const NAME: &str = "open_clip";
pub(crate) use config::Config as OpenClip;

/// The names of a block's tensors, of both towers.
const LAYOUT: Layout = Layout {
    order: Order::NormFirst,
    qkv: QkvNames::Tensors(["attn.in_proj_weight", "attn.in_proj_bias"]),
    out: "attn.out_proj",
    norms: ["ln_1", "ln_2"],
    mlp: MlpNames::Plain(["mlp.c_fc", "mlp.c_proj"]),
    scales: None,
};

/// What the towers' sizes are, once the weights were looked at.
struct Model {
    projection: usize,
    vision: Sizes,
    image: ImageSizes,
    text: Sizes,
    vocabulary: usize,
    max_tokens: usize,
}

impl Model {
    fn images(&self, weights: &Scope<'_>, device: &Device) -> Result<Images, Error> {
        let visual = weights.child("visual");
        let Sizes { width, eps, .. } = self.vision;
        let norm = |name: &str| LayerNorm::load(&visual.child(name), width, eps, true, device);
        let on_device = |tensor: Tensor| device.place_weights(visual.name(), &tensor);
        let class = visual
            .get("class_embedding", &[width])?
            .reshape((1, width))?;
        let places = [self.image.patches() + 1, width];
        let positions = visual.get("positional_embedding", &places)?;
        let mut projection =
            Projection::transposed("proj", &visual, [width, self.projection], device)?;
        projection.name = "visual.proj";
        Ok(Images {
            sizes: self.image,
            patches: self
                .image
                .load(&visual.child("conv1"), width, false, device)?,
            class: Some(on_device(class)?),
            positions: on_device(positions)?,
            before: Some(("visual.ln_pre", norm("ln_pre")?)),
            blocks: Blocks::load(
                &visual.child("transformer.resblocks"),
                "visual.transformer.resblocks",
                &LAYOUT,
                &self.vision,
                device,
            )?,
            after: ("visual.ln_post", norm("ln_post")?),
            pool: Pool::First,
            projection: Some(projection),
            device: device.clone(),
        })
    }

    fn texts(&self, weights: &Scope<'_>, device: &Device) -> Result<Texts, Error> {
        let Sizes { width, eps, .. } = self.text;
        let words = weights.child("token_embedding");
        let positions = weights.get("positional_embedding", &[self.max_tokens, width])?;
        let norm = weights.child("ln_final");
        let sizes = [width, self.projection];
        Ok(Texts {
            words: Embedding::load(&words, [self.vocabulary, width], device)?,
            vocabulary: self.vocabulary,
            positions: Embedding::new("positional_embedding", &positions, device)?,
            max_tokens: self.max_tokens,
            causal: true,
            blocks: Blocks::load(
                &weights.child("transformer.resblocks"),
                "transformer.resblocks",
                &LAYOUT,
                &self.text,
                device,
            )?,
            norm: (
                "ln_final",
                LayerNorm::load(&norm, width, eps, true, device)?,
            ),
            end: End::Largest,
            projection: Projection::transposed("text_projection", weights, sizes, device)?,
            device: device.clone(),
        })
    }
}

impl Blueprint for OpenClip {
    fn in_channels(&self) -> Option<usize> {
        Some(3)
    }

    fn outputs(&self, _: usize, size: Option<Size>) -> Result<Option<usize>, Error> {
        if let Some(image) = self.image() {
            image.check_plan(size)?;
        }
        Ok(self.projection())
    }

    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error> {
        // OpenAI's archives have these beside their tensors.
        for name in ["input_resolution", "context_length", "vocab_size"] {
            weights.ignore(name);
        }
        let below = weights.child("text");
        let texts = if below.has("token_embedding.weight") {
            below
        } else {
            weights.clone()
        };
        texts.ignore("attn_mask");
        let model = self.model(weights, &texts)?;
        let bias = weights.has("logit_bias");
        let similarity = Similarity {
            scale: number(weights, "logit_scale", &[])?.exp(),
            bias: if bias {
                number(weights, "logit_bias", &[])?
            } else {
                0.0
            },
        };
        let images = model.images(weights, device)?;
        Ok(network(images, model.texts(&texts, device)?, similarity))
    }
}
