//! What networks of Ultralytics find in a photograph, the whole way from the file, against
//! Ultralytics' predictor: `found.json` beside the checkpoint.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::path::Path;

use common::parity::{fixtures, read_json};
use modelzoo_model::Model as _;
use modelzoo_model::label::{Array, Detection, Label};
use modelzoo_model::sample::{Fields, Media, Sample};
use modelzoo_model::task::PredictOptions;
use modelzoo_runtime::{Device, Model, Plan};
use serde_json::{Value, json};

/// The plan of a case with the options that the predictor had.
fn with_task(plan: &Plan, found: &Value, task: &str, has_nms: bool) -> Plan {
    let mut detection = json!({
        "classes": ["0", "1", "2"],
        "confidence_thresh": found["conf"],
        "max_objects": found["max_det"],
    });
    if has_nms {
        detection["nms"] = json!({ "iou_thresh": found["iou"] });
    }
    let head = match task {
        "detection" => detection,
        "keypoints" => json!({ "detection": detection, "points": ["a", "b", "c", "d", "e"] }),
        _ => json!({ "detection": detection }),
    };
    let side = &found["imgsz"];
    let mut plan = serde_json::to_value(plan).unwrap();
    plan["head"] = json!({ task: head });
    plan["preprocessing"]["steps"] = json!([
        { "letterbox": { "to": { "height": side, "width": side }, "multiple": 32 } },
    ]);
    serde_json::from_value(plan).unwrap()
}

/// What a model finds in the photograph of a case.
fn find(plan: &Plan, dir: &Path, found: &Value, device: &Device) -> Label {
    let model = Model::build(plan, dir, device).unwrap();
    let images = fixtures().join("preprocessing/images");
    let media = Media::Image(std::fs::read(images.join(found["image"].as_str().unwrap())).unwrap());
    let fields = Fields::new();
    let sample = model.prepare(Sample { media, fields }).unwrap();
    let outputs = model.predict(std::slice::from_ref(&sample)).unwrap();
    let decoder = model.task().unwrap().decoder(&PredictOptions::default());
    let decoder = decoder.unwrap();
    let output = outputs.into_iter().next().unwrap();
    decoder.decode(output, &sample.origin).unwrap().unwrap()
}

/// One object: its class, its confidence, its places in pixels, and more numbers of it.
#[derive(Debug)]
struct Object {
    class: String,
    confidence: Option<f64>,
    places: Vec<f64>,
    mask: Option<Vec<f64>>,
}

/// The objects of a label, in pixels of an image of `[height, width]`.
fn objects(label: Label, size: [f64; 2]) -> Vec<Object> {
    let [height, width] = size;
    let pixels = |points: &[[f64; 2]]| -> Vec<f64> {
        let scaled = points.iter().map(|[x, y]| [x * width, y * height]);
        scaled.flatten().collect()
    };
    match label {
        Label::Detections(label) => label
            .detections
            .iter()
            .map(|object| {
                let [left, top, w, h] = object.bounding_box.unwrap();
                Object {
                    class: object.label.clone().unwrap(),
                    confidence: object.confidence,
                    places: pixels(&[[left, top], [left + w, top + h]]),
                    mask: object.mask.as_ref().map(|mask| eighths(object, mask, size)),
                }
            })
            .collect(),
        Label::Polylines(label) => label
            .polylines
            .iter()
            .map(|object| Object {
                class: object.label.clone().unwrap(),
                confidence: object.confidence,
                places: pixels(&object.points[0]),
                mask: None,
            })
            .collect(),
        Label::Keypoints(label) => label
            .keypoints
            .iter()
            .map(|object| Object {
                class: object.label.clone().unwrap(),
                confidence: None,
                places: pixels(&object.points),
                mask: object.confidence.clone(),
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// How many pixels of a mask are in each eighth of the image's rows, as `numpy.array_split` has
/// them.
fn eighths(object: &Detection, mask: &Array, [height, _]: [f64; 2]) -> Vec<f64> {
    let rows = height as usize;
    let ends: Vec<usize> = (1..=8)
        .map(|part| rows / 8 * part + part.min(rows % 8))
        .collect();
    let top = (object.bounding_box.unwrap()[1] * height).round() as usize;
    let mut counts = vec![0.0; 8];
    for (row, line) in mask.bytes().chunks(mask.shape()[1]).enumerate() {
        let part = ends.iter().position(|&end| top + row < end).unwrap();
        counts[part] += line.iter().filter(|&&belongs| belongs == 1).count() as f64;
    }
    counts
}

/// The objects that the predictor found.
fn expected(found: &Value) -> Vec<Object> {
    let numbers = |value: &Value| -> Vec<f64> {
        let mut numbers = Vec::new();
        flatten(value, &mut numbers);
        numbers
    };
    let confidences = numbers(&found["confidences"]);
    let place = ["corners", "points", "boxes"]
        .into_iter()
        .find(|name| found.get(name).is_some());
    let more = ["masks", "seen"]
        .into_iter()
        .find(|name| found.get(name).is_some());
    let size = [&found["size"][1], &found["size"][0]].map(|side| side.as_f64().unwrap());
    // Boxes of random weights may have no area inside the image: those are no labels.
    let is_seen = |object: &Object| match (place, &object.places[..]) {
        (Some("boxes"), &[left, top, right, bottom]) => left < right && top < bottom,
        (Some("corners"), corners) => (0..2).all(|axis| {
            let mut along = corners.iter().skip(axis).step_by(2);
            let (inside, before) = (
                along.clone().any(|at| *at > 0.0),
                along.any(|at| *at < size[axis]),
            );
            inside && before
        }),
        _ => true,
    };
    (0..confidences.len())
        .map(|at| Object {
            class: found["classes"][at].to_string(),
            confidence: (place != Some("points")).then(|| confidences[at]),
            places: numbers(&found[place.unwrap()][at]),
            mask: more.map(|more| numbers(&found[more][at])),
        })
        .filter(is_seen)
        .collect()
}

fn flatten(value: &Value, into: &mut Vec<f64>) {
    match value {
        Value::Array(parts) => parts.iter().for_each(|part| flatten(part, into)),
        number => into.push(number.as_f64().unwrap()),
    }
}

/// The largest difference between the places of two objects; corners may begin elsewhere.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    let turns = if a.len() == 8 { 4 } else { 1 };
    let turn = |turn: usize| {
        let turned = b.iter().cycle().skip(2 * turn);
        let differences = a.iter().zip(turned).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, f64::max)
    };
    (0..turns).map(turn).fold(f64::INFINITY, f64::min)
}

/// Compares with what the predictor found: as many objects, each with its counterpart.
fn compare(what: &str, mut ours: Vec<Object>, found: &Value) {
    let wanted = expected(found);
    assert!(!wanted.is_empty(), "{what}: nothing is to be found");
    assert_eq!(ours.len(), wanted.len(), "{what}");
    for want in &wanted {
        let sure = |own: &Object| match (own.confidence, want.confidence) {
            (Some(own), Some(want)) => (own - want).abs() < 1e-3,
            _ => true,
        };
        let same = |own: &Object| {
            own.class == want.class && sure(own) && apart(&own.places, &want.places) < 0.5
        };
        let at = ours.iter().position(same);
        let at = at.unwrap_or_else(|| panic!("{what}: no {want:?} among {ours:?}"));
        let own = ours.swap_remove(at);
        let (Some(own), Some(want_more)) = (&own.mask, &want.mask) else {
            continue;
        };
        let area: f64 = want_more.iter().sum();
        let off: f64 = own.iter().zip(want_more).map(|(a, b)| (a - b).abs()).sum();
        // Pixels at the edges of a box belong to it or not by how it is rounded.
        let border = if want_more.len() == 8 { 200.0 } else { 0.005 };
        assert!(
            off <= 0.01 * area + border,
            "{what}: {own:?} is not {want_more:?}"
        );
    }
}

/// The plan of the checkpoint that Ultralytics saved.
fn pickled(classes: &Value) -> (Plan, Value) {
    let folder = fixtures().join("checkpoints-yolo");
    let found = read_json(&folder.join("found.json"));
    let plan = json!({
        "architecture": { "name": "yolo", "config": {} },
        "weights": ["yolo.pt"],
        "preprocessing": { "color": "rgb", "steps": [] },
        "head": { "detection": { "classes": classes } },
    });
    let plan = with_task(
        &serde_json::from_value(plan).unwrap(),
        &found,
        "detection",
        true,
    );
    let mut plan = serde_json::to_value(plan).unwrap();
    plan["head"]["detection"]["classes"] = classes.clone();
    (serde_json::from_value(plan).unwrap(), found)
}

#[test]
fn checkpoint_carries_the_network_and_the_names() {
    let (plan, found) = pickled(&json!([]));
    let folder = fixtures().join("checkpoints-yolo");
    let size = [&found["size"][0], &found["size"][1]].map(|side| side.as_f64().unwrap());
    let label = find(&plan, &folder, &found, &Device::cpu());
    let mut ours = objects(label, size);
    for object in &mut ours {
        let names = ["cat", "dog", "hen"];
        let class = names.iter().position(|name| *name == object.class);
        object.class = class.unwrap().to_string();
    }
    compare("checkpoint", ours, &found);
}

#[test]
fn names_that_do_not_fit_are_an_error() {
    let (plan, _) = pickled(&json!(["cat", "dog"]));
    let folder = fixtures().join("checkpoints-yolo");
    let error = Model::build(&plan, &folder, &Device::cpu()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "plan: the head has 2 classes, but the network has 3 outputs"
    );
}

#[test]
fn task_that_reads_something_else_is_an_error() {
    let (plan, _) = pickled(&json!([]));
    let folder = fixtures().join("checkpoints-yolo");
    for (head, reason) in [
        (json!({ "depth": {} }), "reads a map"),
        (
            json!({ "classification": { "classes": ["a", "b", "c"] } }),
            "reads scores",
        ),
    ] {
        let mut plan = serde_json::to_value(&plan).unwrap();
        plan["head"] = head;
        let plan: Plan = serde_json::from_value(plan).unwrap();
        let error = Model::build(&plan, &folder, &Device::cpu()).err().unwrap();
        assert!(error.to_string().contains(reason), "{error}");
    }
    // Boxes have no masks.
    let mut plan = serde_json::to_value(&plan).unwrap();
    plan["head"] = json!({ "instance_segmentation": { "detection": plan["head"]["detection"] } });
    let plan: Plan = serde_json::from_value(plan).unwrap();
    let model = Model::build(&plan, &folder, &Device::cpu()).unwrap();
    let image = fixtures().join("preprocessing/images/china.png");
    let media = Media::Image(std::fs::read(image).unwrap());
    let sample = Sample {
        media,
        fields: Fields::new(),
    };
    let sample = model.prepare(sample).unwrap();
    let output = model
        .predict(std::slice::from_ref(&sample))
        .unwrap()
        .remove(0);
    let decoder = model.task().unwrap().decoder(&PredictOptions::default());
    let error = decoder.unwrap().decode(output, &sample.origin).unwrap_err();
    assert_eq!(error.to_string(), "the network gives boxes without masks");
}

#[test]
fn descriptions_are_checked() {
    let (plan, _) = pickled(&json!([]));
    let folder = fixtures().join("checkpoints-yolo");
    let detect = json!([[-1], 1, "Detect", ["nc"]]);
    let conv = json!([-1, 1, "Conv", [8, 3, 2]]);
    for (config, reason) in [
        (json!({ "backbon": [] }), "`backbon`"),
        (json!({ "nc": 3 }), "`backbone`"),
        (
            json!({ "backbone": [], "head": [detect] }),
            "must be 1 to 500",
        ),
        (
            json!({ "backbone": [conv], "head": [[7, 1, "Detect", []]] }),
            "not before it",
        ),
        (
            json!({ "backbone": [[-1, 1, "os.system", ["ls"]]], "head": [detect] }),
            "os.system",
        ),
        (
            json!({ "backbone": [[-1, 1, "Conv"]], "head": [detect] }),
            "must be `[from",
        ),
        (
            json!({ "backbone": [conv], "head": [[-1, 1, "Pose", ["nc"]]], "kpt_shape": [0, 3] }),
            "kpt_shape",
        ),
        (
            json!({ "backbone": [conv], "head": [[-1, 1, "Index", []]] }),
            "Index",
        ),
        (
            json!({ "backbone": [conv], "head": [detect], "eps": -1 }),
            "eps",
        ),
    ] {
        let mut plan = serde_json::to_value(&plan).unwrap();
        plan["architecture"]["config"] = config.clone();
        let plan: Plan = serde_json::from_value(plan).unwrap();
        let error = Model::build(&plan, &folder, &Device::cpu()).err().unwrap();
        let error = error.to_string();
        assert!(error.contains(reason), "{config}: {error}");
    }
}
