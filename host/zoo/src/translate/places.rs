//! The tasks of networks that find things in images.

use modelzoo_model::task::{
    Depth, Detection, InstanceSegmentation, Keypoints, SemanticSegmentation, Task,
};
use serde_json::Value;

use super::classes::check_processor;
use super::error::TranslateError as Error;
use super::settings::Settings;

/// The member of `output_processor_args` that says how likely a pixel of a mask is.
const MASK_THRESH: &str = "mask_thresh";

/// The objects of a detector with these classes.
fn objects(settings: &Settings, classes: Vec<String>) -> Result<Detection, Error> {
    Ok(Detection {
        classes,
        confidence_thresh: settings.confidence("confidence_thresh")?,
        filter_classes: settings.texts("filter_classes")?.unwrap_or_default(),
        ..Detection::default()
    })
}

/// Boxes.
pub(super) fn detection(settings: &Settings, classes: Vec<String>) -> Result<Task, Error> {
    let known = [
        "DetectorOutputProcessor",
        "TransformersDetectorOutputProcessor",
    ];
    check_processor(settings, &known)?;
    Ok(Task::Detection(objects(settings, classes)?))
}

/// Boxes with masks.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a probability has no more digits"
)]
pub(super) fn instances(settings: &Settings, classes: Vec<String>) -> Result<Task, Error> {
    check_processor(settings, &["InstanceSegmenterOutputProcessor"])?;
    let threshold = settings.inner("output_processor_args", MASK_THRESH);
    let threshold = threshold.map(|value| {
        value
            .as_f64()
            .ok_or_else(|| Error::bad(MASK_THRESH, "is not a number"))
    });
    Ok(Task::InstanceSegmentation(InstanceSegmentation {
        detection: objects(settings, classes)?,
        mask_thresh: threshold.transpose()?.unwrap_or(0.5) as f32,
    }))
}

/// Boxes with points, whose names and lines are those of the configuration's skeleton. A point needs
/// the confidence that an object needs.
pub(super) fn points(settings: &Settings, classes: Vec<String>) -> Result<Task, Error> {
    check_processor(settings, &["KeypointDetectorOutputProcessor"])?;
    let bad = || {
        let reason = "is not an object with the `labels` of points and the `edges` between them";
        Error::bad("skeleton", reason)
    };
    let skeleton = settings.get("skeleton").ok_or_else(bad)?;
    let labels = skeleton.get("labels").cloned().unwrap_or_default();
    let edges = skeleton.get("edges").cloned();
    let edges = edges.unwrap_or_else(|| Value::Array(Vec::new()));
    Ok(Task::Keypoints(Keypoints {
        points: serde_json::from_value(labels).map_err(|_| bad())?,
        edges: serde_json::from_value(edges).map_err(|_| bad())?,
        point_thresh: settings.confidence("confidence_thresh")?,
        detection: objects(settings, classes)?,
    }))
}

/// A class for each pixel.
pub(super) fn regions(settings: &Settings, classes: Vec<String>) -> Result<Task, Error> {
    let known = [
        "SemanticSegmenterOutputProcessor",
        "TransformersSemanticSegmentatorOutputProcessor",
    ];
    check_processor(settings, &known)?;
    let flag = |member: &'static str| match settings.inner("output_processor_args", member) {
        None => Ok(None),
        Some(value) => match value.as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => Err(Error::bad(member, "is not true or false")),
        },
    };
    // Scores before the softmax are what our networks give.
    if flag("has_softmax_out")? == Some(true) {
        return Err(Error::unknown("has_softmax_out", "is true"));
    }
    Ok(Task::SemanticSegmentation(SemanticSegmentation {
        classes,
        no_background: flag("no_background_cls")?.unwrap_or(false),
        confidence_thresh: settings.confidence("confidence_thresh")?,
        filter_classes: settings.texts("filter_classes")?.unwrap_or_default(),
    }))
}

/// A number for each pixel.
pub(super) fn depth(settings: &Settings) -> Result<Task, Error> {
    check_processor(settings, &["TransformersDepthEstimatorOutputProcessor"])?;
    Ok(Task::Depth(Depth {}))
}
