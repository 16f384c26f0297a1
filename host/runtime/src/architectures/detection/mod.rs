//! Networks that find objects.

mod anchors;
mod attention;
mod d_fine;
mod detr;
mod found;
mod fpn;
mod frame;
mod hgnet;
mod hybrid_encoder;
mod joined;
mod proposals;
mod rcnn;
mod resnet_vd;
mod retinanet;
mod rt_detr;
mod yolos;

pub(crate) use d_fine::DFine;
pub use d_fine::DFineConfig;
pub(crate) use detr::Detr;
pub use detr::DetrConfig;
pub use frame::FrameConfig;
pub(crate) use rcnn::Rcnn;
pub use rcnn::RcnnConfig;
pub(crate) use retinanet::RetinaNet;
pub use retinanet::RetinaNetConfig;
pub(crate) use rt_detr::RtDetr;
pub use rt_detr::{Places, RtDetrConfig};
pub(crate) use yolos::Yolos;
pub use yolos::YolosConfig;
