//! Networks that compare images with texts.

mod clip;
mod open_clip;
mod siglip;
mod towers;

pub(crate) use clip::Clip;
pub use clip::ClipConfig;
pub(crate) use open_clip::OpenClip;
pub use open_clip::OpenClipConfig;
pub(crate) use siglip::Siglip;
pub use siglip::SiglipConfig;
