//! The architectures that a plan can name, and their configurations.
//!
//! | name | configuration | weights |
//! |---|---|---|
//! | `sequential` | [`SequentialConfig`]: a list of layers | by the layers' names |
//! | `resnet` | [`ResNetConfig`]: a depth and a few sizes | torchvision's names |
//! | `vgg` | [`VggConfig`]: a depth or the layers | torchvision's names |
//! | `alexnet` | [`AlexNetConfig`] | torchvision's names |
//! | `squeezenet` | [`SqueezeNetConfig`]: a version | torchvision's names |
//! | `densenet` | [`DenseNetConfig`]: a depth or the sizes | torchvision's names, also the older ones |
//! | `mobilenet_v2` | [`MobileNetV2Config`]: a width or the stages | torchvision's names |
//! | `mnasnet` | [`MnasNetConfig`]: a width | torchvision's names |
//! | `googlenet` | [`GoogLeNetConfig`] | torchvision's names |
//! | `shufflenet_v2` | [`ShuffleNetV2Config`]: a variant or the sizes | torchvision's names |
//! | `inception_v3` | [`InceptionV3Config`] | torchvision's names |
//! | `vit`, `deit` | [`ViTConfig`]: the repository's `config.json` | transformers' names |
//! | `vision_transformer` | [`VisionTransformerConfig`] | torchvision's names of its ViT |
//! | `beit` | [`BeitConfig`]: the repository's `config.json` | transformers' names |
//! | `dinov2`, `dinov2_with_registers` | [`Dinov2Config`]: the repository's `config.json` | transformers' names |
//! | `dinov2_hub` | [`Dinov2HubConfig`]: a variant or the sizes | the names of facebookresearch/dinov2 |
//! | `dinov3_vit` | [`Dinov3Config`]: the repository's `config.json` | transformers' names |
//! | `convnext` | [`ConvNextConfig`]: the repository's `config.json` | transformers' names |
//! | `efficientnet` | [`EfficientNetConfig`]: the repository's `config.json` | transformers' names |
//! | `swinv2` | [`SwinV2Config`]: the repository's `config.json` | transformers' names |
//! | `bert` | [`BertConfig`]: the `config.json` of BERT, RoBERTa, MPNet or DistilBERT | transformers' names |
//! | `clip` | [`ClipConfig`]: the `config.json` of CLIP | transformers' names |
//! | `open_clip` | [`OpenClipConfig`]: the sizes of OpenCLIP, or none for those in the weights | OpenAI's and OpenCLIP's names |
//! | `siglip` | [`SiglipConfig`]: the `config.json` of SigLIP or SigLIP 2 | transformers' names |
//!
//! A configuration is a JSON object. An unknown field is an error, but in a repository's
//! `config.json`, which has many that say nothing about inference; and so are weights that the
//! architecture does not use or does not find; `*.num_batches_tracked` is ignored.

mod alexnet;
mod beit;
mod bert;
mod clip;
mod contrast;
mod convnet;
mod convnext;
mod densenet;
mod dinov2;
mod dinov3;
mod efficientnet;
mod encoder;
mod googlenet;
mod huggingface;
mod inception_v3;
mod mnasnet;
mod mobilenet_v2;
mod network;
mod open_clip;
mod positions;
mod resnet;
mod sequential;
mod shufflenet_v2;
mod siglip;
mod squeezenet;
mod swinv2;
mod transformer;
mod vgg;
mod vision;
mod vision_transformer;
mod vit;

use modelzoo_base::nearest;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use alexnet::AlexNetConfig;
pub use beit::BeitConfig;
pub use bert::BertConfig;
pub use clip::ClipConfig;
pub use convnext::ConvNextConfig;
pub use densenet::DenseNetConfig;
pub use dinov2::{Dinov2Config, Dinov2HubConfig, Ffn};
pub use dinov3::Dinov3Config;
pub use efficientnet::EfficientNetConfig;
pub use googlenet::GoogLeNetConfig;
pub use inception_v3::InceptionV3Config;
pub use mnasnet::MnasNetConfig;
pub use mobilenet_v2::MobileNetV2Config;
pub use open_clip::OpenClipConfig;
pub use resnet::{Block, ResNetConfig};
pub use sequential::{Approximation, Pair, SequentialConfig, SequentialLayer};
pub use shufflenet_v2::{ShuffleNetV2Config, ShuffleNetV2Variant};
pub use siglip::SiglipConfig;
pub use squeezenet::{SqueezeNetConfig, SqueezeNetVersion};
pub use swinv2::SwinV2Config;
pub use vgg::{VggConfig, VggLayer};
pub use vision_transformer::VisionTransformerConfig;
pub use vit::ViTConfig;

pub(crate) use network::{Blueprint, ImageTower, Network, Similarity, TextTower, TokenBatch};

use crate::error::Error;
use crate::plan::Architecture;

/// The names of all architectures, as a plan writes them.
#[must_use]
pub fn architectures() -> &'static [&'static str] {
    &[
        sequential::NAME,
        resnet::NAME,
        siglip::NAME,
        open_clip::NAME,
        clip::NAME,
        bert::NAME,
        vgg::NAME,
        alexnet::NAME,
        squeezenet::NAME,
        densenet::NAME,
        mobilenet_v2::NAME,
        mnasnet::NAME,
        googlenet::NAME,
        shufflenet_v2::NAME,
        inception_v3::NAME,
        vit::NAME,
        vit::DEIT,
        vision_transformer::NAME,
        beit::NAME,
        dinov2::NAME,
        dinov2::REGISTERS,
        dinov2::HUB,
        dinov3::NAME,
        convnext::NAME,
        efficientnet::NAME,
        swinv2::NAME,
    ]
}

/// Reads the configuration that a plan gives to an architecture.
pub(crate) fn parse(architecture: &Architecture) -> Result<Box<dyn Blueprint>, Error> {
    let Architecture { name, config } = architecture;
    Ok(match name.as_str() {
        sequential::NAME => Box::new(sequential::Layers::parse(config)?),
        resnet::NAME => Box::new(resnet::Sizes::parse(config)?),
        vgg::NAME => Box::new(vgg::Vgg::parse(config)?),
        alexnet::NAME => Box::new(alexnet::AlexNet::parse(config)?),
        squeezenet::NAME => Box::new(squeezenet::SqueezeNet::parse(config)?),
        densenet::NAME => Box::new(densenet::DenseNet::parse(config)?),
        mobilenet_v2::NAME => Box::new(mobilenet_v2::MobileNetV2::parse(config)?),
        mnasnet::NAME => Box::new(mnasnet::MnasNet::parse(config)?),
        googlenet::NAME => Box::new(googlenet::GoogLeNet::parse(config)?),
        shufflenet_v2::NAME => Box::new(shufflenet_v2::ShuffleNetV2::parse(config)?),
        inception_v3::NAME => Box::new(inception_v3::InceptionV3::parse(config)?),
        vit::NAME => Box::new(vit::Sizes::parse(vit::NAME, config)?),
        vit::DEIT => Box::new(vit::Sizes::parse(vit::DEIT, config)?),
        vision_transformer::NAME => Box::new(vision_transformer::Sizes::parse(config)?),
        beit::NAME => Box::new(beit::Sizes::parse(config)?),
        dinov2::NAME => Box::new(dinov2::Sizes::parse(dinov2::NAME, config)?),
        dinov2::REGISTERS => Box::new(dinov2::Sizes::parse(dinov2::REGISTERS, config)?),
        dinov2::HUB => Box::new(dinov2::HubSizes::parse(config)?),
        dinov3::NAME => Box::new(dinov3::Sizes::parse(config)?),
        convnext::NAME => Box::new(convnext::Sizes::parse(config)?),
        efficientnet::NAME => Box::new(efficientnet::Sizes::parse(config)?),
        swinv2::NAME => Box::new(swinv2::parse(config)?),
        bert::NAME => Box::new(bert::Encoder::parse(config)?),
        clip::NAME => Box::new(clip::Clip::parse(config)?),
        open_clip::NAME => Box::new(open_clip::OpenClip::parse(config)?),
        siglip::NAME => Box::new(siglip::Siglip::parse(config)?),
        _ => {
            return Err(Error::UnknownArchitecture {
                name: name.clone(),
                nearest: nearest(name, architectures().iter().copied()),
            });
        }
    })
}

/// Reads a configuration, or a part of it that is at `field`.
fn read<T: DeserializeOwned>(
    architecture: &'static str,
    field: String,
    config: &Value,
) -> Result<T, Error> {
    if !config.is_object() {
        return Err(Error::BadConfig {
            architecture,
            field,
            reason: "must be a JSON object".to_owned(),
        });
    }
    T::deserialize(config).map_err(|error| Error::BadConfig {
        architecture,
        field,
        reason: error.to_string(),
    })
}
