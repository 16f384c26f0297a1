//! Networks that say of each pixel what it belongs to.

mod reduced_attention;
mod segformer;
mod torchvision;

pub(crate) use segformer::Segformer;
pub use segformer::SegformerConfig;
pub(crate) use torchvision::TorchvisionSegmentation;
pub use torchvision::TorchvisionSegmentationConfig;
