//! Labels as the page's script draws them.
//!
//! Each is an object: `t` is what to draw, `l` the class, `c` the confidence, and the rest the
//! geometry, in coordinates relative to the image.

use modelzoo_model::label::{Classification, Detection, Keypoint, Label, Polyline, Segmentation};
use serde_json::{Value, json};

use crate::raster;

/// The longest text of a label that is shown, in characters.
const MAX_TEXT: usize = 2000;
/// The most shapes of one label that are drawn.
const MAX_SHAPES: usize = 1000;

/// What to draw of a label over a thumbnail of `[width, height]`.
pub(crate) fn of(label: &Label, size: [u32; 2]) -> Vec<Value> {
    match label {
        Label::Classification(label) => vec![class(label)],
        Label::Classifications(labels) => first(&labels.classifications, class),
        Label::Detection(label) => vec![detection(label, size)],
        Label::Detections(labels) => first(&labels.detections, |label| detection(label, size)),
        Label::Polyline(label) => vec![polyline(label)],
        Label::Polylines(labels) => first(&labels.polylines, polyline),
        Label::Keypoint(label) => vec![keypoint(label)],
        Label::Keypoints(labels) => first(&labels.keypoints, keypoint),
        Label::Segmentation(label) => vec![segmentation(label, size)],
        Label::Heatmap(label) => vec![match raster::heat(label, size) {
            Some(map) => json!({ "t": "heat", "r": map }),
            None => note("a heat map in a file of its own"),
        }],
        Label::Regression(label) => match label.value {
            Some(value) => vec![json!({ "t": "value", "l": number(value), "c": label.confidence })],
            None => Vec::new(),
        },
        Label::Number(value) => vec![json!({ "t": "value", "l": number(*value) })],
        Label::Text(text) => vec![json!({ "t": "value", "l": cut(text) })],
        Label::Vector(values) => vec![note(&format!("a vector of {} numbers", values.len()))],
        Label::TemporalDetection(_) | Label::TemporalDetections(_) => {
            vec![note("events of a video")]
        }
        Label::GeoLocation(_) | Label::GeoLocations(_) => vec![note("places")],
    }
}

/// The first of many labels, and how many are left out.
fn first<T>(labels: &[T], shape: impl Fn(&T) -> Value) -> Vec<Value> {
    let mut shapes: Vec<Value> = labels.iter().take(MAX_SHAPES).map(shape).collect();
    if let Some(more) = labels
        .len()
        .checked_sub(MAX_SHAPES)
        .filter(|&more| more > 0)
    {
        shapes.push(note(&format!("{more} more are not drawn")));
    }
    shapes
}

fn class(label: &Classification) -> Value {
    json!({ "t": "class", "l": name(label.label.as_ref()), "c": label.confidence })
}

fn detection(label: &Detection, [width, height]: [u32; 2]) -> Value {
    let Some(bounds) = label.bounding_box else {
        return note("an object without a box");
    };
    let mask = label.mask.as_ref().and_then(|mask| {
        let [_, _, w, h] = bounds;
        let side = |part: f64, whole: u32| ((part * f64::from(whole)).ceil() as u32).min(whole);
        raster::instance(mask, [side(w, width), side(h, height)])
    });
    json!({
        "t": "box",
        "l": name(label.label.as_ref()),
        "c": label.confidence,
        "b": bounds.map(rounded),
        "r": mask,
    })
}

fn polyline(label: &Polyline) -> Value {
    let lines: Vec<Vec<[Value; 2]>> = label
        .points
        .iter()
        .map(|line| line.iter().map(|point| point.map(rounded)).collect())
        .collect();
    json!({
        "t": "lines",
        "l": name(label.label.as_ref()),
        "c": label.confidence,
        "p": lines,
        "closed": label.closed,
        "filled": label.filled,
    })
}

fn keypoint(label: &Keypoint) -> Value {
    let points: Vec<[Value; 2]> = label
        .points
        .iter()
        .map(|point| point.map(rounded))
        .collect();
    json!({ "t": "points", "l": name(label.label.as_ref()), "p": points })
}

fn segmentation(label: &Segmentation, size: [u32; 2]) -> Value {
    let classes = label
        .mask
        .as_ref()
        .and_then(|mask| raster::classes(mask, size));
    match classes {
        Some((mask, names)) => json!({ "t": "classes", "r": mask, "n": names }),
        None if label.mask.is_some() => note("a mask of colors"),
        None => note("a mask in a file of its own"),
    }
}

/// What is said and not drawn.
fn note(text: &str) -> Value {
    json!({ "t": "note", "l": text })
}

fn name(label: Option<&String>) -> Option<String> {
    label.map(|text| cut(text))
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// A coordinate with four places, enough for any screen; null where it is not a number.
fn rounded(value: f64) -> Value {
    Value::from((value * 1e4).round() / 1e4)
}

fn number(value: f64) -> String {
    format!("{value}")
}
