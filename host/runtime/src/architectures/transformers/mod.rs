//! Vision transformers.

mod beit;
mod dinov2;
mod dinov2_hub;
mod dinov3;
mod swinv2;
mod torchvision_vit;
mod vit;
mod vit_tower;

pub(crate) use beit::Beit;
pub use beit::BeitConfig;
pub(crate) use dinov2::Dinov2;
pub use dinov2::Dinov2Config;
pub(crate) use dinov2_hub::Dinov2Hub;
pub use dinov2_hub::{Dinov2HubConfig, Ffn};
pub(crate) use dinov3::Dinov3;
pub use dinov3::Dinov3Config;
pub(crate) use swinv2::SwinV2;
pub use swinv2::SwinV2Config;
pub(crate) use torchvision_vit::VisionTransformer;
pub use torchvision_vit::VisionTransformerConfig;
pub(in crate::architectures) use vit::LAYOUT as VIT_LAYOUT;
pub(crate) use vit::ViT;
pub use vit::ViTConfig;
pub(in crate::architectures) use vit_tower::ViTTower;
