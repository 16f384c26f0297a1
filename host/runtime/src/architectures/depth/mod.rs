//! Networks that measure depth.

mod depth_anything;
mod dpt_neck;

pub(crate) use depth_anything::DepthAnything;
pub use depth_anything::DepthAnythingConfig;
