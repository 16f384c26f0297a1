//! The architectures that a plan can name, and their configurations.
//!
//! [`ARCHITECTURES`] is the registry: one line per architecture gives its name, its configuration,
//! its row in the documentation, and its place in the parity tests and the scoreboard.
//!
//! A configuration is a JSON object. An unknown field is an error, except in a repository's
//! `config.json`, which has many fields that do not affect inference. Weights that the
//! architecture does not use, or does not find, are errors too; `*.num_batches_tracked` is
//! ignored.
//!
//! Architectures are sorted by family; [`shared`] holds what several families build on. To add
//! one, write a file that implements [`ArchitectureConfig`] and register it here.

pub mod convnets;
pub mod depth;
pub mod detection;
pub mod image_text;
pub mod segmentation;
mod shared;
pub mod text;
pub mod transformers;
pub mod ultralytics;

use modelzoo_base::nearest;
use modelzoo_model::plan::Architecture;
use serde_json::Value;

pub(crate) use shared::network::{
    ArchitectureConfig, ImageTower, Network, Similarity, TextTower, TokenBatch,
};

use crate::error::Error;
use shared::config::ConfigChecker;

/// An entry of the registry.
#[derive(Clone, Copy, Debug)]
pub struct ArchitectureInfo {
    /// The name, as a plan writes it.
    pub name: &'static str,
    /// The module of this crate that it is in.
    pub family: &'static str,
    parse: Parse,
}

/// Reads and checks a configuration.
type Parse = fn(&ConfigChecker, &Value) -> Result<Box<dyn ArchitectureConfig>, Error>;

/// Writes the registry: for each architecture its name, its family and configuration, and what its
/// row in the documentation says about the configuration and the weights.
macro_rules! register {
    ($($name:literal: $family:ident::$config:ident, $about:literal, $weights:literal;)*) => {
        /// All architectures.
        ///
        /// | name | configuration | names of the weights |
        /// |---|---|---|
        $(#[doc = concat!("| `", $name, "` | ", $about, " | ", $weights, " |")])*
        pub const ARCHITECTURES: &[ArchitectureInfo] = &[$(
            ArchitectureInfo {
                name: $name,
                family: stringify!($family),
                parse: parse_config::<$family::$config>,
            },
        )*];
    };
}

register! {
    "sequential": convnets::Sequential, "[`SequentialConfig`](convnets::SequentialConfig): a list of layers", "those of the layers";
    "resnet": convnets::ResNet, "[`ResNetConfig`](convnets::ResNetConfig): a depth, or the blocks", "torchvision";
    "vgg": convnets::Vgg, "[`VggConfig`](convnets::VggConfig): a depth, or the layers", "torchvision";
    "alexnet": convnets::AlexNet, "[`AlexNetConfig`](convnets::AlexNetConfig)", "torchvision";
    "squeezenet": convnets::SqueezeNet, "[`SqueezeNetConfig`](convnets::SqueezeNetConfig): a version", "torchvision";
    "densenet": convnets::DenseNet, "[`DenseNetConfig`](convnets::DenseNetConfig): a depth, or the sizes", "torchvision, also the older ones";
    "mobilenet_v2": convnets::MobileNetV2, "[`MobileNetV2Config`](convnets::MobileNetV2Config): a width, or the stages", "torchvision";
    "mnasnet": convnets::MnasNet, "[`MnasNetConfig`](convnets::MnasNetConfig): a width", "torchvision";
    "googlenet": convnets::GoogLeNet, "[`GoogLeNetConfig`](convnets::GoogLeNetConfig)", "torchvision";
    "shufflenet_v2": convnets::ShuffleNetV2, "[`ShuffleNetV2Config`](convnets::ShuffleNetV2Config): a variant, or the sizes", "torchvision";
    "inception_v3": convnets::InceptionV3, "[`InceptionV3Config`](convnets::InceptionV3Config)", "torchvision";
    "convnext": convnets::ConvNext, "[`ConvNextConfig`](convnets::ConvNextConfig): the repository's `config.json`", "transformers";
    "efficientnet": convnets::EfficientNet, "[`EfficientNetConfig`](convnets::EfficientNetConfig): the repository's `config.json`", "transformers";
    "vit": transformers::ViT, "[`ViTConfig`](transformers::ViTConfig): the repository's `config.json`", "transformers";
    "deit": transformers::ViT, "[`ViTConfig`](transformers::ViTConfig): the repository's `config.json`", "transformers";
    "vision_transformer": transformers::VisionTransformer, "[`VisionTransformerConfig`](transformers::VisionTransformerConfig)", "torchvision";
    "beit": transformers::Beit, "[`BeitConfig`](transformers::BeitConfig): the repository's `config.json`", "transformers";
    "dinov2": transformers::Dinov2, "[`Dinov2Config`](transformers::Dinov2Config): the repository's `config.json`", "transformers";
    "dinov2_with_registers": transformers::Dinov2, "[`Dinov2Config`](transformers::Dinov2Config): the repository's `config.json`", "transformers";
    "dinov2_hub": transformers::Dinov2Hub, "[`Dinov2HubConfig`](transformers::Dinov2HubConfig): a variant, or the sizes", "facebookresearch/dinov2";
    "dinov3_vit": transformers::Dinov3, "[`Dinov3Config`](transformers::Dinov3Config): the repository's `config.json`", "transformers";
    "swinv2": transformers::SwinV2, "[`SwinV2Config`](transformers::SwinV2Config): the repository's `config.json`", "transformers";
    "segformer": segmentation::Segformer, "[`SegformerConfig`](segmentation::SegformerConfig): the repository's `config.json`", "transformers";
    "fcn": segmentation::TorchvisionSegmentation, "[`TorchvisionSegmentationConfig`](segmentation::TorchvisionSegmentationConfig): a depth", "torchvision";
    "deeplabv3": segmentation::TorchvisionSegmentation, "[`TorchvisionSegmentationConfig`](segmentation::TorchvisionSegmentationConfig): a depth", "torchvision";
    "depth_anything": depth::DepthAnything, "[`DepthAnythingConfig`](depth::DepthAnythingConfig): the repository's `config.json`", "transformers";
    "detr": detection::Detr, "[`DetrConfig`](detection::DetrConfig): the repository's `config.json`", "transformers";
    "rt_detr": detection::RtDetr, "[`RtDetrConfig`](detection::RtDetrConfig): the repository's `config.json`", "transformers";
    "rt_detr_v2": detection::RtDetr, "[`RtDetrConfig`](detection::RtDetrConfig): the repository's `config.json`", "transformers";
    "d_fine": detection::DFine, "[`DFineConfig`](detection::DFineConfig): the repository's `config.json`", "transformers";
    "yolos": detection::Yolos, "[`YolosConfig`](detection::YolosConfig): the repository's `config.json`", "transformers";
    "faster_rcnn": detection::Rcnn, "[`RcnnConfig`](detection::RcnnConfig)", "torchvision";
    "mask_rcnn": detection::Rcnn, "[`RcnnConfig`](detection::RcnnConfig)", "torchvision";
    "keypoint_rcnn": detection::Rcnn, "[`RcnnConfig`](detection::RcnnConfig)", "torchvision";
    "retinanet": detection::RetinaNet, "[`RetinaNetConfig`](detection::RetinaNetConfig)", "torchvision";
    "bert": text::Bert, "[`BertConfig`](text::BertConfig): the `config.json` of BERT, RoBERTa, MPNet or DistilBERT", "transformers";
    "clip": image_text::Clip, "[`ClipConfig`](image_text::ClipConfig): the `config.json` of CLIP", "transformers";
    "open_clip": image_text::OpenClip, "[`OpenClipConfig`](image_text::OpenClipConfig): OpenCLIP's configuration, or none where the weights show the sizes", "OpenAI and OpenCLIP";
    "yolo": ultralytics::Yolo, "the `yaml` of Ultralytics, or none where the weights carry it", "Ultralytics";
    "siglip": image_text::Siglip, "[`SiglipConfig`](image_text::SiglipConfig): the `config.json` of SigLIP or SigLIP 2", "transformers";
}

/// All architectures: [`ARCHITECTURES`].
#[must_use]
pub fn architectures() -> &'static [ArchitectureInfo] {
    ARCHITECTURES
}

/// Reads the configuration that a plan gives to an architecture.
pub(crate) fn parse(architecture: &Architecture) -> Result<Box<dyn ArchitectureConfig>, Error> {
    let Architecture { name, config } = architecture;
    let found = ARCHITECTURES.iter().find(|known| known.name == *name);
    let Some(found) = found else {
        let known: Vec<_> = ARCHITECTURES.iter().map(|known| known.name).collect();
        return Err(Error::UnknownArchitecture {
            name: name.clone(),
            nearest: nearest(name, known.iter().copied()),
            known,
        });
    };
    (found.parse)(&ConfigChecker::new(found.name), config)
}

fn parse_config<C: ArchitectureConfig + 'static>(
    checker: &ConfigChecker,
    config: &Value,
) -> Result<Box<dyn ArchitectureConfig>, Error> {
    Ok(Box::new(C::parse(checker, config)?))
}
