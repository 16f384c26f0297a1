//! Which candidate boxes are objects, for all tasks that give objects.

use serde::{Deserialize, Serialize};

use super::classes::Filter;
use super::{DecodeError, Detection, OptionError, PredictOptions};
use crate::nms;
use crate::output::{Boxes, Output, OutputKind};

/// The most objects of an image.
pub(super) const MAX_OBJECTS: u32 = 10_000;
/// The most candidates that are compared with each other, the most confident ones.
const MAX_CANDIDATES: usize = 30_000;

/// Non-maximum suppression: which of the boxes that overlap remain.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nms {
    /// A box goes where its intersection over union with a more confident one is larger than this
    /// (0 to 1).
    pub iou_thresh: f32,
    /// Whether boxes of different classes are compared too.
    #[serde(default)]
    pub across_classes: bool,
}

/// The boxes of an output.
pub(super) fn boxes(output: Output) -> Result<Boxes, DecodeError> {
    let found = output.kind();
    let Output::Boxes(boxes) = output else {
        let wanted = OutputKind::Boxes;
        return Err(DecodeError::WrongOutput { wanted, found });
    };
    Ok(boxes)
}

/// A candidate that is an object.
pub(super) struct Object<'a> {
    /// Its number among the candidates.
    pub(super) index: usize,
    /// The name of its class.
    pub(super) label: &'a str,
    /// From 0 to 1.
    pub(super) confidence: f32,
    /// `[left, top, right, bottom]` in pixels of the network's input.
    pub(super) edges: [f32; 4],
    /// In radians; zero where boxes are not rotated.
    pub(super) angle: f32,
}

/// Chooses objects as a task and the user's options ask for.
pub(super) struct Objects<'a> {
    filter: Filter<'a>,
    nms: Option<Nms>,
    most: usize,
}

impl<'a> Objects<'a> {
    pub(super) fn new(task: &'a Detection, options: &PredictOptions) -> Result<Self, OptionError> {
        options.no_logits()?;
        let filter = Filter::new(
            &task.classes,
            &task.filter_classes,
            task.confidence_thresh,
            options,
        )?;
        Ok(Self {
            filter,
            nms: task.nms,
            most: task.max_objects.unwrap_or(MAX_OBJECTS) as usize,
        })
    }

    /// The objects among the candidates, most confident first.
    pub(super) fn choose(&self, boxes: &Boxes) -> Result<Vec<Object<'a>>, DecodeError> {
        let candidates = self.candidates(boxes)?;
        let confidences: Vec<f32> = candidates.iter().map(|object| object.confidence).collect();
        let order = match self.nms {
            None => nms::by_confidence(&confidences, candidates.len()),
            Some(nms) => suppressed(&candidates, &confidences, boxes, nms, self.most),
        };
        let mut candidates: Vec<_> = candidates.into_iter().map(Some).collect();
        let chosen = order.into_iter().take(self.most);
        Ok(chosen
            .filter_map(|index| candidates.get_mut(index)?.take())
            .collect())
    }

    /// The boxes whose classes are given, and that are confident enough.
    fn candidates(&self, boxes: &Boxes) -> Result<Vec<Object<'a>>, DecodeError> {
        let classes = self.filter.classes().len();
        let mut candidates = Vec::new();
        let each = boxes.edges().iter().zip(boxes.confidences());
        for (index, ((&edges, &confidence), &class)) in each.zip(boxes.classes()).enumerate() {
            if class as usize >= classes {
                return Err(DecodeError::Class { classes, class });
            }
            if let Some(label) = self.filter.label(class as usize, confidence) {
                let angles = boxes.angles().unwrap_or_default();
                candidates.push(Object {
                    index,
                    label,
                    confidence,
                    edges,
                    angle: angles.get(index).copied().unwrap_or_default(),
                });
            }
        }
        if candidates.len() > MAX_CANDIDATES {
            candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
            candidates.truncate(MAX_CANDIDATES);
        }
        Ok(candidates)
    }
}

/// The candidates that remain, most confident first.
fn suppressed(
    candidates: &[Object<'_>],
    confidences: &[f32],
    boxes: &Boxes,
    nms: Nms,
    most: usize,
) -> Vec<usize> {
    let class = |object: &Object<'_>| boxes.classes().get(object.index).copied();
    let groups: Vec<u32> = candidates.iter().filter_map(class).collect();
    let groups = (!nms.across_classes).then_some(groups.as_slice());
    if boxes.angles().is_some() {
        let rotated: Vec<_> = candidates.iter().map(|o| (o.edges, o.angle)).collect();
        nms::suppress_rotated(&rotated, confidences, groups, nms.iou_thresh, most)
    } else {
        let edges: Vec<_> = candidates.iter().map(|object| object.edges).collect();
        nms::suppress(&edges, confidences, groups, nms.iou_thresh, most)
    }
}
