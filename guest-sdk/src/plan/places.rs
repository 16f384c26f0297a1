//! Tasks whose labels have places in the image: boxes, masks, points.

use super::heads::{Head, strings};
use crate::bindings::modelzoo::source::deployment as wit;

/// Objects in an image, each a box with a class.
///
/// ```
/// use modelzoo_guest::plan::Detection;
///
/// let task = Detection::new(["cat", "dog"]).confidence_thresh(0.25).nms(0.7).max_objects(300);
/// assert_eq!(task.classes.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Detection {
    /// The class names, in the order of the network's classes; empty for those that the weight
    /// files name.
    pub classes: Vec<String>,
    /// Below this confidence (0 to 1) a box is no object. The user's threshold overrides it.
    pub confidence_thresh: Option<f32>,
    /// The classes that become labels; empty for all classes.
    pub filter_classes: Vec<String>,
    /// Which of the boxes that overlap remain; `None` for a network that gives one box per object.
    pub nms: Option<Nms>,
    /// The maximum number of objects per image, the most confident ones; `None` for 10,000.
    pub max_objects: Option<u32>,
}

/// Non-maximum suppression: which of the boxes that overlap remain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nms {
    /// A box is dropped if its intersection over union with a more confident one is larger than
    /// this (0 to 1).
    pub iou_thresh: f32,
    /// Whether boxes of different classes are compared too.
    pub across_classes: bool,
}

impl Detection {
    /// A detection with these class names, in the order of the network's classes.
    pub fn new<S: Into<String>>(classes: impl IntoIterator<Item = S>) -> Self {
        Self {
            classes: strings(classes),
            ..Self::default()
        }
    }

    /// Sets the least confidence (0 to 1) of an object.
    #[must_use]
    pub fn confidence_thresh(mut self, confidence: impl Into<Option<f32>>) -> Self {
        self.confidence_thresh = confidence.into();
        self
    }

    /// Restricts the labels to these classes.
    #[must_use]
    pub fn filter_classes<S: Into<String>>(mut self, classes: impl IntoIterator<Item = S>) -> Self {
        self.filter_classes = strings(classes);
        self
    }

    /// Drops boxes that overlap a more confident one of their class by more than this.
    #[must_use]
    pub fn nms(mut self, iou_thresh: f32) -> Self {
        self.nms = Some(Nms {
            iou_thresh,
            across_classes: false,
        });
        self
    }

    /// Sets the maximum number of objects per image.
    #[must_use]
    pub fn max_objects(mut self, most: u32) -> Self {
        self.max_objects = Some(most);
        self
    }
}

/// Objects in an image, each a box with a class and a mask.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceSegmentation {
    /// Which boxes are objects.
    pub detection: Detection,
    /// Above this probability (0 to 1) a pixel belongs to the object.
    pub mask_thresh: f32,
}

impl InstanceSegmentation {
    /// The masks of these objects, from a probability of 0.5.
    #[must_use]
    pub fn new(detection: Detection) -> Self {
        Self {
            detection,
            mask_thresh: 0.5,
        }
    }
}

/// Objects in an image, each a group of points with a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Keypoints {
    /// Which boxes are objects.
    pub detection: Detection,
    /// The names of an object's points, in the order of the network's points.
    pub points: Vec<String>,
    /// The lines of the skeleton, each the numbers of points that it connects.
    pub edges: Vec<Vec<u32>>,
    /// Below this confidence (0 to 1) a point has no place.
    pub point_thresh: Option<f32>,
}

/// Objects in an image, each a rotated box with a class.
#[derive(Debug, Clone, PartialEq)]
pub struct OrientedBoxes {
    /// Which boxes are objects.
    pub detection: Detection,
}

/// A class for each pixel of an image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SemanticSegmentation {
    /// The class names, in the order of the network's classes.
    pub classes: Vec<String>,
    /// Whether none of the classes is the background: the numbers in masks are then those of the
    /// classes plus one, and 0 is the background.
    pub no_background: bool,
    /// Below this confidence (0 to 1) a pixel is background. The user's threshold overrides it.
    pub confidence_thresh: Option<f32>,
    /// The classes that become labels; empty for all classes.
    pub filter_classes: Vec<String>,
}

impl From<Detection> for Head {
    fn from(head: Detection) -> Self {
        Self::Detection(head)
    }
}

impl From<InstanceSegmentation> for Head {
    fn from(head: InstanceSegmentation) -> Self {
        Self::InstanceSegmentation(head)
    }
}

impl From<Keypoints> for Head {
    fn from(head: Keypoints) -> Self {
        Self::Keypoints(head)
    }
}

impl From<OrientedBoxes> for Head {
    fn from(head: OrientedBoxes) -> Self {
        Self::OrientedBoxes(head)
    }
}

impl From<SemanticSegmentation> for Head {
    fn from(head: SemanticSegmentation) -> Self {
        Self::SemanticSegmentation(head)
    }
}

impl From<Detection> for wit::Detection {
    fn from(head: Detection) -> Self {
        let nms = |nms: Nms| wit::Nms {
            iou_thresh: nms.iou_thresh,
            across_classes: nms.across_classes,
        };
        Self {
            classes: head.classes,
            confidence_thresh: head.confidence_thresh,
            filter_classes: head.filter_classes,
            nms: head.nms.map(nms),
            max_objects: head.max_objects,
        }
    }
}

impl From<InstanceSegmentation> for wit::InstanceSegmentation {
    fn from(head: InstanceSegmentation) -> Self {
        Self {
            detection: head.detection.into(),
            mask_thresh: head.mask_thresh,
        }
    }
}

impl From<Keypoints> for wit::Keypoints {
    fn from(head: Keypoints) -> Self {
        Self {
            detection: head.detection.into(),
            points: head.points,
            edges: head.edges,
            point_thresh: head.point_thresh,
        }
    }
}

impl From<OrientedBoxes> for wit::OrientedBoxes {
    fn from(head: OrientedBoxes) -> Self {
        Self {
            detection: head.detection.into(),
        }
    }
}

impl From<SemanticSegmentation> for wit::SemanticSegmentation {
    fn from(head: SemanticSegmentation) -> Self {
        Self {
            classes: head.classes,
            no_background: head.no_background,
            confidence_thresh: head.confidence_thresh,
            filter_classes: head.filter_classes,
        }
    }
}
