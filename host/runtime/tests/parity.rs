//! Outputs of every architecture against those of its reference implementation, and preprocessing
//! against Pillow; `tests/parity` has the fixtures. A missing file is a failure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::path::Path;

use candle_core::Tensor;
use common::parity::{check, check_texts, fixtures, read_json, read_tensor};
use modelzoo_runtime::{Color, DecodeLimits, Device, Model, architectures, decode_image};
use serde_json::{Value, json};

#[test]
fn recipe_matches_that_of_the_fixtures() {
    // From tests/parity/README.md.
    let cases = [
        (
            "conv1.weight",
            vec![64, 3, 7, 7],
            [0.021306396, -0.0062156403, 0.13292861],
        ),
        (
            "bn1.running_var",
            vec![64],
            [0.720_146, 1.097_276_7, 0.837_205_5],
        ),
        ("fc.bias", vec![10], [0.07923875, 0.09354852, 0.01884619]),
    ];
    for (name, shape, want) in cases {
        let got = common::recipe(name, &shape, 18)
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert!(
            got.iter()
                .zip(want)
                .all(|(got, want)| (got - want).abs() < 1e-7),
            "{name}: {:?}",
            &got[..3]
        );
    }
}

/// Checks every case of the architectures of a family, those of text towers too.
fn check_family(family: &str) {
    let mut checked = 0;
    for (case, architecture) in cases() {
        let known = architectures().iter();
        if !known
            .filter(|known| known.family == family)
            .any(|known| known.name == architecture)
        {
            continue;
        }
        let inputs = fixtures().join(&case).join("inputs.safetensors");
        let inputs = candle_core::safetensors::load(inputs, &candle_core::Device::Cpu).unwrap();
        assert!(inputs.contains_key("x") || inputs.contains_key("ids"));
        if inputs.contains_key("x") {
            check(&case);
        }
        if inputs.contains_key("ids") {
            check_texts(&case);
        }
        checked += 1;
    }
    assert!(checked > 0, "no case of {family}");
}

/// All cases, each with the name of its architecture.
fn cases() -> Vec<(String, String)> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let entry = entry.unwrap();
        let file = entry.path().join("architecture.json");
        if file.is_file() {
            let name = read_json(&file)["name"].as_str().unwrap().to_owned();
            cases.push((entry.file_name().into_string().unwrap(), name));
        }
    }
    cases.sort();
    cases
}

#[test]
fn every_architecture_has_a_case() {
    let cases = cases();
    for known in architectures() {
        let has_case = cases.iter().any(|(_, name)| name == known.name);
        // Its layers are compared one by one.
        assert!(has_case || known.name == "sequential", "{}", known.name);
    }
    for (case, name) in &cases {
        let known = architectures().iter().any(|known| known.name == name);
        assert!(known, "{case} is of the unknown architecture {name}");
    }
}

#[test]
fn convnets_match_their_references() {
    check_family("convnets");
}

#[test]
fn transformers_match_their_references() {
    check_family("transformers");
}

#[test]
fn text_encoders_match_their_references() {
    check_family("text");
}

#[test]
fn image_text_networks_match_their_references() {
    check_family("image_text");
}

#[test]
fn segmenters_match_their_references() {
    check_family("segmentation");
}

#[test]
fn depth_networks_match_their_references() {
    check_family("depth");
}

#[test]
fn detectors_match_their_references() {
    check_family("detection");
}

#[test]
fn ultralytics_networks_match_their_references() {
    check_family("ultralytics");
}

/// A model whose output is the mean of its input, to inspect preprocessing.
fn preprocessor(dir: &Path, case: &Value) -> Model {
    let channels = if case["color"] == "rgb" { 3 } else { 1 };
    candle_core::safetensors::save(
        &std::collections::HashMap::<String, Tensor>::new(),
        dir.join("none.safetensors"),
    )
    .unwrap();
    let mut preprocessing = json!({ "color": case["color"], "steps": case["steps"] });
    if let Some(normalize) = case.get("normalize") {
        preprocessing["normalize"] = normalize.clone();
    }
    let plan = json!({
        "architecture": { "name": "sequential", "config": { "layers": [{ "type": "global_avg_pool" }, { "type": "flatten" }] } },
        "weights": ["none.safetensors"],
        "preprocessing": preprocessing,
        "head": { "classification": { "classes": vec!["mean"; channels] } },
    });
    Model::build(&serde_json::from_value(plan).unwrap(), dir, &Device::cpu()).unwrap()
}

#[test]
fn preprocessing_matches_pillow() {
    let folder = fixtures().join("preprocessing");
    let cases = read_json(&folder.join("cases.json"));
    let cases = cases["cases"].as_array().unwrap();
    assert!(cases.len() > 50, "only {} cases", cases.len());
    let dir = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        let path = |field: &str| folder.join(case[field].as_str().unwrap());
        let image = decode_image(&path("image"), &DecodeLimits::default()).unwrap();
        let want = decode_image(&path("expected"), &DecodeLimits::default()).unwrap();
        let mut plain = case.clone();
        plain.as_object_mut().unwrap().remove("normalize");
        let input = preprocessor(dir.path(), &plain).preprocess(&image).unwrap();
        assert_eq!(
            want.color(),
            if input.channels() == 3 {
                Color::Rgb
            } else {
                Color::Gray
            },
            "{case}"
        );
        let size = (want.height() as usize, want.width() as usize);
        if (input.height(), input.width()) != size {
            failures.push(format!(
                "{}: {}x{} instead of {size:?}",
                case["name"],
                input.height(),
                input.width()
            ));
            continue;
        }
        let apart = |(got, want): (&f32, &u8)| (got * 255.0 - f32::from(*want)).abs();
        let apart = input
            .values()
            .iter()
            .zip(want.pixels())
            .map(apart)
            .fold(0.0, f32::max);
        let allowed = if case["lossy"] == true { 4.01 } else { 0.01 };
        if apart > allowed {
            failures.push(format!("{}: {apart} levels apart", case["name"]));
        }
        if case.get("tensor").is_some() {
            check_tensor(
                case,
                &preprocessor(dir.path(), case),
                &image,
                &read_tensor(&path("tensor"), "x"),
            );
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Checks normalised values: pixels may differ by one level, divided by the standard deviation.
fn check_tensor(case: &Value, model: &Model, image: &modelzoo_runtime::Image, want: &Tensor) {
    let input = model.preprocess(image).unwrap();
    let std = case["normalize"]["std"].as_array().map_or(1.0, |std| {
        std.iter()
            .map(|std| std.as_f64().unwrap())
            .fold(1.0, f64::min)
    });
    let want = want
        .permute((1, 2, 0))
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    assert_eq!(input.values().len(), want.len());
    let apart = input
        .values()
        .iter()
        .zip(&want)
        .map(|(got, want)| f64::from((got - want).abs()))
        .fold(0.0, f64::max);
    assert!(
        apart <= 1.01 / 255.0 / std,
        "{}: {apart} apart",
        case["name"]
    );
}
