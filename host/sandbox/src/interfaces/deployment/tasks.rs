//! The task of a plan.

use modelzoo_model::task::{
    Classification, Depth, Detection, InstanceSegmentation, Keypoints, MultiLabel, Nms,
    OrientedBoxes, Scoring, SemanticSegmentation, Task, ZeroShot,
};

use super::wit;

/// What the network's outputs mean, in the host's types.
pub(super) fn head(given: wit::Head) -> Task {
    match given {
        wit::Head::Classification(given) => Task::Classification(Classification {
            classes: given.classes,
            confidence_thresh: given.confidence_thresh,
            filter_classes: given.filter_classes,
        }),
        wit::Head::MultiLabel(given) => Task::MultiLabel(MultiLabel {
            classes: given.classes,
            confidence_thresh: given.confidence_thresh,
            filter_classes: given.filter_classes,
        }),
        wit::Head::ZeroShot(given) => Task::ZeroShot(ZeroShot {
            classes: given.classes,
            prompts: given.prompts,
            scoring: match given.scoring {
                wit::Scoring::Softmax => Scoring::Softmax,
                wit::Scoring::Sigmoid => Scoring::Sigmoid,
            },
            confidence_thresh: given.confidence_thresh,
            filter_classes: given.filter_classes,
        }),
        wit::Head::Detection(given) => Task::Detection(detection(given)),
        wit::Head::InstanceSegmentation(given) => {
            Task::InstanceSegmentation(InstanceSegmentation {
                detection: detection(given.detection),
                mask_thresh: given.mask_thresh,
            })
        }
        wit::Head::Keypoints(given) => Task::Keypoints(Keypoints {
            detection: detection(given.detection),
            points: given.points,
            edges: given.edges,
            point_thresh: given.point_thresh,
        }),
        wit::Head::OrientedBoxes(given) => Task::OrientedBoxes(OrientedBoxes {
            detection: detection(given.detection),
        }),
        wit::Head::SemanticSegmentation(given) => {
            Task::SemanticSegmentation(SemanticSegmentation {
                classes: given.classes,
                no_background: given.no_background,
                confidence_thresh: given.confidence_thresh,
                filter_classes: given.filter_classes,
            })
        }
        wit::Head::Depth => Task::Depth(Depth {}),
    }
}

fn detection(given: wit::Detection) -> Detection {
    let nms = |wit::Nms {
                   iou_thresh,
                   across_classes,
               }| Nms {
        iou_thresh,
        across_classes,
    };
    Detection {
        classes: given.classes,
        confidence_thresh: given.confidence_thresh,
        filter_classes: given.filter_classes,
        nms: given.nms.map(nms),
        max_objects: given.max_objects,
    }
}
