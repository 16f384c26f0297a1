//! From pixels to labels: what networks find in images, against what their references find;
//! `labels.json` in the cases of `tests/parity`. A missing file is a failure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::path::Path;

use common::parity::{fixtures, plan, read_json, read_tensor};
use modelzoo_model::label::{Detection, Label};
use modelzoo_model::sample::{ImageInput, Origin};
use modelzoo_model::task::PredictOptions;
use modelzoo_runtime::{Color, Device, Error, Image, Model, Plan};
use serde_json::{Value, json};

/// The names of classes: `a`, `b`, ….
fn names(count: usize) -> Vec<String> {
    let letters = (b'a'..=b'z').take(count);
    letters
        .map(|letter| char::from(letter).to_string())
        .collect()
}

/// The plan of a case, with a task that reads its outputs.
fn plan_with(case: &str, dir: &Path, head: &Value) -> Plan {
    let mut plan = serde_json::to_value(plan(case, dir)).unwrap();
    plan["head"] = head.clone();
    if let Some(normalize) = expected(case).get("normalize") {
        plan["preprocessing"]["normalize"] = normalize.clone();
    }
    serde_json::from_value(plan).unwrap()
}

fn expected(case: &str) -> Value {
    read_json(&fixtures().join(case).join("labels.json"))
}

/// The images of a case, as pixels.
fn images(case: &str) -> Vec<Image> {
    let x = read_tensor(&fixtures().join(case).join("inputs.safetensors"), "x");
    let normalize = expected(case).get("normalize").cloned();
    let of = |field: &str, default: f32| {
        let value = normalize
            .as_ref()
            .map(|values| values[field][0].as_f64().unwrap());
        value.map_or(default, |value| value as f32)
    };
    let (mean, std) = (of("mean", 0.0), of("std", 1.0));
    let (batch, _, height, width) = x.dims4().unwrap();
    (0..batch)
        .map(|index| {
            let last = x.get(index).unwrap().permute((1, 2, 0)).unwrap();
            let values = last.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let pixels = values
                .iter()
                .map(|value| ((value * std + mean) * 255.0).round() as u8);
            let (width, height) = (width as u32, height as u32);
            Image::from_pixels(width, height, Color::Rgb, pixels.collect()).unwrap()
        })
        .collect()
}

/// The labels of a case's images, with our kernels and with candle's operations, each with what is
/// expected of it and the size of the image.
fn labels(case: &str, head: &Value) -> Vec<(Label, Value, [f64; 2])> {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan_with(case, dir.path(), head);
    let images = images(case);
    let mut labels = Vec::new();
    for device in [Device::cpu(), Device::cpu_reference()] {
        let model = Model::build(&plan, dir.path(), &device).unwrap();
        let inputs: Vec<_> = images
            .iter()
            .map(|image| model.preprocess(image).unwrap())
            .collect();
        let decoder = plan.head.as_ref().unwrap();
        let decoder = decoder.decoder(&PredictOptions::default()).unwrap();
        let outputs = model.predict_images(&inputs).unwrap();
        let expected = expected(case)["images"].as_array().unwrap().clone();
        assert_eq!(outputs.len(), expected.len());
        for ((output, image), expected) in outputs.into_iter().zip(&images).zip(expected) {
            let size = modelzoo_model::geometry::Size {
                height: image.height(),
                width: image.width(),
            };
            let origin = Origin {
                transform: Some(plan.preprocessing.as_ref().unwrap().transform(size)),
                ..Origin::default()
            };
            let label = decoder.decode(output, &origin).unwrap().unwrap();
            let size = [f64::from(size.height), f64::from(size.width)];
            labels.push((label, expected, size));
        }
    }
    labels
}

fn floats(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap()).collect()
}

/// An object that the reference finds, with its number.
struct Expected {
    index: usize,
    /// Cut at the edges of the image.
    edges: [f64; 4],
    score: f64,
    class: usize,
}

/// The reference's objects, the most confident first, without those outside of the image.
fn objects(expected: &Value, [height, width]: [f64; 2]) -> Vec<Expected> {
    let boxes = expected["boxes"].as_array().unwrap();
    let scores = floats(&expected["scores"]);
    let classes = floats(&expected["classes"]);
    let mut objects: Vec<Expected> = (0..boxes.len())
        .map(|index| {
            let [left, top, right, bottom] = floats(&boxes[index])[..] else {
                panic!("four edges")
            };
            Expected {
                index,
                edges: [
                    left.clamp(0.0, width),
                    top.clamp(0.0, height),
                    right.clamp(0.0, width),
                    bottom.clamp(0.0, height),
                ],
                score: scores[index],
                class: classes[index] as usize,
            }
        })
        .filter(|object| {
            let [left, top, right, bottom] = object.edges;
            right > left && bottom > top
        })
        .collect();
    objects.sort_by(|a, b| b.score.total_cmp(&a.score));
    objects
}

/// Checks boxes to half a pixel, scores to a thousandth, and the classes.
fn check_boxes(case: &str, found: &[Detection], want: &[Expected], [height, width]: [f64; 2]) {
    assert_eq!(found.len(), want.len(), "{case}: the number of objects");
    assert!(!want.is_empty(), "{case}: nothing is found");
    let names = names(26);
    for (found, want) in found.iter().zip(want) {
        let [left, top, across, down] = found.bounding_box.unwrap();
        let edges = [
            left * width,
            top * height,
            (left + across) * width,
            (top + down) * height,
        ];
        for (edge, wanted) in edges.iter().zip(want.edges) {
            let apart = (edge - wanted).abs();
            assert!(apart < 0.5, "{case}: {edges:?} instead of {:?}", want.edges);
        }
        let score = found.confidence.unwrap();
        let apart = (score - want.score).abs();
        assert!(apart < 1e-3, "{case}: {score} instead of {}", want.score);
        assert_eq!(found.label.as_ref(), Some(&names[want.class]), "{case}");
    }
}

fn check_detections(case: &str, classes: usize) {
    let head = json!({ "detection": { "classes": names(classes) } });
    for (label, expected, size) in labels(case, &head) {
        let Label::Detections(found) = label else {
            panic!("{case}: {label:?}")
        };
        check_boxes(case, &found.detections, &objects(&expected, size), size);
    }
}

#[test]
fn transformers_find_the_objects_of_their_references() {
    for case in [
        "detr-tiny",
        "yolos-tiny",
        "yolos-plain-tiny",
        "rt-detr-tiny",
        "rt-detr-v2-tiny",
        "d-fine-tiny",
        "d-fine-same-width-tiny",
    ] {
        check_detections(case, 4);
    }
}

#[test]
fn convnets_find_the_objects_of_their_references() {
    check_detections("faster-rcnn-tiny", 5);
    check_detections("retinanet-tiny", 4);
}

/// The name that a tensor has in torchvision's first checkpoints.
fn older_name(name: &str) -> String {
    let mut parts: Vec<String> = name.split('.').map(str::to_owned).collect();
    let at = |part: &str| name.split('.').position(|found| found == part);
    if let Some(block) = at("inner_blocks").or(at("layer_blocks")) {
        parts.remove(block + 2);
    }
    if name.starts_with("rpn.head.conv.") {
        parts.drain(3..5);
    }
    if let Some(head) = at("mask_head") {
        let number: usize = parts[head + 1].parse().unwrap();
        parts[head + 1] = format!("mask_fcn{}", number + 1);
        parts.remove(head + 2);
    }
    if let Some(head) = at("classification_head").or(at("regression_head"))
        && parts[head + 1] == "conv"
    {
        let number: usize = parts[head + 2].parse().unwrap();
        parts[head + 2] = (2 * number).to_string();
        parts.remove(head + 3);
    }
    parts.join(".")
}

#[test]
fn older_checkpoints_of_torchvision_are_read() {
    for (case, older) in [
        ("mask-rcnn-tiny", "roi_heads.mask_head.mask_fcn4.weight"),
        ("retinanet-tiny", "head.regression_head.conv.6.weight"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(case, dir.path());
        let file = dir.path().join("weights.safetensors");
        let tensors = candle_core::safetensors::load(&file, &candle_core::Device::Cpu).unwrap();
        let renamed: std::collections::HashMap<_, _> = tensors
            .into_iter()
            .map(|(name, tensor)| (older_name(&name), tensor))
            .collect();
        assert!(renamed.contains_key(older), "{:?}", renamed.keys());
        candle_core::safetensors::save(&renamed, &file).unwrap();
        Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
    }
}

#[test]
fn values_that_are_not_finite_are_errors_and_not_empty_results() {
    let detection = json!({ "detection": { "classes": names(4) } });
    let segmentation = json!({ "semantic_segmentation": { "classes": names(5) } });
    for (case, head) in [
        ("rt-detr-tiny", &detection),
        ("retinanet-tiny", &detection),
        ("segformer-tiny", &segmentation),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan_with(case, dir.path(), head);
        let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
        let size = modelzoo_model::geometry::Size {
            height: 64,
            width: 64,
        };
        let input = |value| ImageInput::new(size, 3, vec![value; 3 * 64 * 64]).unwrap();
        let bad = model.predict_images(&[input(0.5), input(f32::NAN)]);
        let bad = bad.unwrap_err();
        assert!(
            matches!(bad, Error::NotFinite { index: 1, .. }),
            "{case}: {bad}"
        );
        assert_eq!(model.predict_images(&[input(0.5)]).unwrap().len(), 1);
    }
}

/// The share of pixels that two masks agree on, of those that either has.
fn overlap(a: &[bool], b: &[bool]) -> f64 {
    let count = |both: fn(bool, bool) -> bool| {
        a.iter().zip(b).filter(|(a, b)| both(**a, **b)).count() as f64
    };
    let either = count(|a, b| a | b);
    if either == 0.0 {
        return 1.0;
    }
    count(|a, b| a & b) / either
}

#[test]
fn mask_rcnn_finds_the_masks_of_its_reference() {
    let case = "mask-rcnn-tiny";
    let head = json!({ "instance_segmentation": { "detection": { "classes": names(5) } } });
    for (label, expected, size) in labels(case, &head) {
        let Label::Detections(found) = label else {
            panic!("{case}: {label:?}")
        };
        let want = objects(&expected, size);
        check_boxes(case, &found.detections, &want, size);
        for (found, want) in found.detections.iter().zip(&want) {
            let (ours, inside) = whole(found, size);
            let rows = expected["masks"][want.index].as_array().unwrap().iter();
            let rows = rows.map(|row| row.as_str().unwrap());
            let theirs = rows.flat_map(|row| row.bytes().map(|at| at == b'#'));
            // As FiftyOne does, which cuts masks to their boxes.
            let theirs: Vec<bool> = theirs.zip(inside).map(|(a, b)| a & b).collect();
            let share = overlap(&ours, &theirs);
            assert!(share >= 0.99, "{case}: masks overlap by {share}");
        }
    }
}

/// The mask of an object over the whole image, and which pixels are in its box.
fn whole(found: &Detection, [height, width]: [f64; 2]) -> (Vec<bool>, Vec<bool>) {
    let mask = found.mask.as_ref().unwrap();
    let [rows, columns] = *mask.shape() else {
        panic!("{:?}", mask.shape())
    };
    let [left, top, ..] = found.bounding_box.unwrap();
    let (left, top) = (
        (left * width).round() as usize,
        (top * height).round() as usize,
    );
    let (height, width) = (height as usize, width as usize);
    let mut whole = vec![false; height * width];
    let mut inside = whole.clone();
    for (at, value) in mask.numbers().enumerate() {
        let (y, x) = (top + at / columns, left + at % columns);
        if y < height && x < width {
            whole[y * width + x] = value != 0.0;
            inside[y * width + x] = true;
        }
    }
    assert_eq!(mask.numbers().count(), rows * columns);
    (whole, inside)
}

#[test]
fn keypoint_rcnn_finds_the_points_of_its_reference() {
    let case = "keypoint-rcnn-tiny";
    let head = json!({ "keypoints": {
        "detection": { "classes": names(3) },
        "points": names(5),
    } });
    for (label, expected, size) in labels(case, &head) {
        let Label::Keypoints(found) = label else {
            panic!("{case}: {label:?}")
        };
        let want = objects(&expected, size);
        assert_eq!(found.keypoints.len(), want.len());
        let [height, width] = size;
        for (found, want) in found.keypoints.iter().zip(&want) {
            let points = expected["points"][want.index].as_array().unwrap();
            let scores = floats(&expected["point_scores"][want.index]);
            assert_eq!(found.points.len(), points.len());
            for ((point, wanted), (ours, theirs)) in found
                .points
                .iter()
                .zip(points)
                .zip(found.confidence.as_ref().unwrap().iter().zip(scores))
            {
                let wanted = floats(wanted);
                let apart = (point[0] * width - wanted[0]).abs();
                let apart = apart.max((point[1] * height - wanted[1]).abs());
                assert!(apart < 0.5, "{case}: {point:?} instead of {wanted:?}");
                assert!((ours - theirs).abs() < 1e-3, "{case}: {ours}, not {theirs}");
            }
        }
    }
}

#[test]
fn pixels_have_the_classes_of_the_references() {
    for case in ["segformer-tiny", "fcn-tiny", "deeplabv3-tiny"] {
        let head = json!({ "semantic_segmentation": { "classes": names(5) } });
        for (label, expected, [height, width]) in labels(case, &head) {
            let Label::Segmentation(found) = label else {
                panic!("{case}: {label:?}")
            };
            let mask = found.mask.unwrap();
            assert_eq!(mask.shape(), [height as usize, width as usize], "{case}");
            let rows = expected["mask"].as_array().unwrap().iter();
            let rows = rows.map(|row| row.as_str().unwrap());
            let want: Vec<f64> = rows
                .flat_map(|row| row.bytes().map(|at| f64::from(at - b'a')))
                .collect();
            let same = mask.numbers().zip(&want).filter(|(a, b)| a == *b).count();
            let share = same as f64 / want.len() as f64;
            assert!(share >= 0.999, "{case}: {share} of the pixels agree");
        }
    }
}
