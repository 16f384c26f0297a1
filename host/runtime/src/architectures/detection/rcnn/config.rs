//! The configuration of torchvision's R-CNNs.

use serde::{Deserialize, Serialize};

use super::super::frame::FrameConfig;
use crate::architectures::shared::config::ConfigChecker;
use crate::error::Error;

/// The configuration of `faster_rcnn`, `mask_rcnn` and `keypoint_rcnn`, over a ResNet with a feature
/// pyramid.
///
/// | field | | default |
/// |---|---|---|
/// | `depth` | of the ResNet: 18, 34, 50, 101 or 152 | 50 |
/// | `num_classes` | classes, the background, 0, included | 91, or 2 of `keypoint_rcnn` |
/// | `num_keypoints` | of `keypoint_rcnn` | 17 |
/// | `norm_eps` | the epsilon of the batch norms: 0 for torchvision's first weights | 1e-5 |
/// | `frame` | [`FrameConfig`]: the sizes that images are brought to, their mean and deviation | |
/// | `rpn_pre_nms_top_n`, `rpn_post_nms_top_n`, `rpn_nms_thresh`, `rpn_score_thresh` | the choice of proposals | 1000, 1000, 0.7, 0 |
/// | `box_score_thresh`, `box_nms_thresh`, `box_detections_per_img` | the choice of objects | 0.05, 0.5, 100 |
///
/// The weights have torchvision's names, those of older checkpoints included:
/// `backbone.body.conv1.weight`, …, `backbone.fpn.inner_blocks.0.0.weight`, …,
/// `roi_heads.box_predictor.cls_score.weight`, …. Images of values 0 to 1 go in, of any size: the network
/// normalises and resizes them. Overlapping boxes of a class are suppressed by the network. Masks have
/// 28x28 places within their box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RcnnConfig {
    /// Of the ResNet.
    pub depth: u32,
    /// Classes, the background included.
    pub num_classes: Option<usize>,
    /// Points per object.
    pub num_keypoints: usize,
    /// The epsilon of the batch norms.
    pub norm_eps: f64,
    /// What is done to images.
    pub frame: FrameConfig,
    /// The most proposals of a feature map.
    pub rpn_pre_nms_top_n: usize,
    /// The most proposals of an image.
    pub rpn_post_nms_top_n: usize,
    /// Proposals that overlap more are one.
    pub rpn_nms_thresh: f32,
    /// The least score of a proposal.
    pub rpn_score_thresh: f32,
    /// Objects have a higher score.
    pub box_score_thresh: f32,
    /// Objects of a class that overlap more are one.
    pub box_nms_thresh: f32,
    /// The most objects of an image.
    pub box_detections_per_img: usize,
}

impl Default for RcnnConfig {
    fn default() -> Self {
        Self {
            depth: 50,
            num_classes: None,
            num_keypoints: 17,
            norm_eps: 1e-5,
            frame: FrameConfig::default(),
            rpn_pre_nms_top_n: 1000,
            rpn_post_nms_top_n: 1000,
            rpn_nms_thresh: 0.7,
            rpn_score_thresh: 0.0,
            box_score_thresh: 0.05,
            box_nms_thresh: 0.5,
            box_detections_per_img: 100,
        }
    }
}

/// The most boxes that are compared with each other.
const MAX_BOXES: usize = 10_000;

impl RcnnConfig {
    pub(super) fn check(&self, checker: &ConfigChecker) -> Result<(), Error> {
        let classes = self.num_classes.unwrap_or(2);
        checker.check_range("num_classes", classes, 2..=1 << 20)?;
        checker.check_range("num_keypoints", self.num_keypoints, 1..=10_000)?;
        checker.check_eps("norm_eps", self.norm_eps)?;
        self.frame.check(&checker.child("frame"))?;
        for (field, most) in [
            ("rpn_pre_nms_top_n", self.rpn_pre_nms_top_n),
            ("rpn_post_nms_top_n", self.rpn_post_nms_top_n),
            ("box_detections_per_img", self.box_detections_per_img),
        ] {
            checker.check_range(field, most, 1..=MAX_BOXES)?;
        }
        for (field, threshold) in [
            ("rpn_nms_thresh", self.rpn_nms_thresh),
            ("rpn_score_thresh", self.rpn_score_thresh),
            ("box_score_thresh", self.box_score_thresh),
            ("box_nms_thresh", self.box_nms_thresh),
        ] {
            checker.check_range(field, threshold, 0.0..=1.0)?;
        }
        Ok(())
    }
}
