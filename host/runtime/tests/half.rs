//! Half precision with candle's operations on the CPU, the code of CUDA and Metal, against the
//! references' outputs in double precision.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device as Candle, Tensor};
use common::parity;
use modelzoo_model::output::Output;
use modelzoo_runtime::{Color, Device, Error, Image, Model, Plan, Precision};
use serde_json::json;

/// The largest difference divided by the largest value of the reference. Half precision has eleven
/// bits, so each number has an error of 5e-4; the outputs below have errors of up to 2.5e-3, and
/// layers between of up to 4.6e-3, those of cosine attention with its large products.
const TOLERANCE: f32 = 1e-2;
/// The same for a single sample, with errors of up to 1.2e-2: on the CPU, candle's product of one row
/// and a matrix accumulates in half precision, unlike other products, and unlike CUDA.
const ALONE: f32 = 2e-2;
/// The largest error of single precision: a smaller one was not computed in half precision.
const FULL: f32 = 1e-5;

fn half() -> Device {
    Device::cpu_reference().in_half().unwrap()
}

/// Checks one output, and returns its relative error.
fn close(what: &str, ours: &Tensor, want: &Tensor, tolerance: f32) -> f32 {
    assert_eq!(ours.dtype(), DType::F32, "{what}");
    assert_eq!(ours.dims(), want.dims(), "{what}");
    let error = parity::largest(&(ours - want).unwrap()) / parity::largest(want);
    assert!(error <= tolerance, "{what}: relative error {error}");
    error
}

/// Checks an output of the network with [`close`], and the place of the largest value of each row.
fn same(what: &str, ours: &Tensor, want: &Tensor, tolerance: f32) {
    let error = close(what, ours, want, tolerance);
    assert!(error > FULL, "{what}: relative error {error}");
    if want.rank() == 2 {
        let best = |y: &Tensor| y.argmax(1).unwrap().to_vec1::<u32>().unwrap();
        assert_eq!(best(ours), best(want), "{what}");
    }
}

fn outputs(case: &str) -> HashMap<String, Tensor> {
    let path = parity::fixtures().join(case).join("outputs.safetensors");
    candle_core::safetensors::load(path, &Candle::Cpu).unwrap()
}

fn check(case: &str) {
    let dir = tempfile::tempdir().unwrap();
    let plan = parity::plan(case, dir.path());
    let inputs = parity::fixtures().join(case).join("inputs.safetensors");
    let x = parity::read_tensor(&inputs, "x");
    let model = Model::build(&plan, dir.path(), &half()).unwrap();
    let outputs = outputs(case);
    for (name, want) in &outputs {
        match name.strip_prefix("layer:") {
            _ if parity::is_of_texts(name) => {}
            Some(layer) => {
                let ours = model.forward_to(&x, layer).unwrap();
                close(&format!("{case} {name}"), &ours, want, TOLERANCE);
            }
            None => {
                let ours = model.forward(&x).unwrap();
                same(&format!("{case} {name}"), &ours, want, TOLERANCE);
            }
        }
    }
    let want = outputs.get("images").unwrap_or_else(|| &outputs["y"]);
    for index in 0..x.dim(0).unwrap() {
        let alone = model.forward(&x.narrow(0, index, 1).unwrap()).unwrap();
        let want = want.narrow(0, index, 1).unwrap();
        same(&format!("{case} {index} alone"), &alone, &want, ALONE);
    }
}

fn check_texts(case: &str) {
    let dir = tempfile::tempdir().unwrap();
    let plan = parity::text_plan(case, dir.path());
    let texts = parity::texts(case);
    let model = Model::build(&plan, dir.path(), &half()).unwrap();
    let own = |values: &Tensor| parity::own(values, &texts);
    for (name, want) in outputs(case) {
        let what = format!("{case} {name}");
        match name.strip_prefix("layer:") {
            _ if parity::is_of_images(&name) => {}
            Some(layer) => {
                let ours = model.forward_texts_to(&texts, layer).unwrap();
                close(&what, &own(&ours), &own(&want), TOLERANCE);
            }
            None => {
                let ours = model.forward_texts(&texts).unwrap();
                same(&what, &own(&ours), &own(&want), TOLERANCE);
            }
        }
    }
}

/// A test for each case of images.
macro_rules! cases {
    ($($test:ident: $case:literal,)*) => {
        $(
            #[test]
            fn $test() {
                check($case);
            }
        )*
    };
}

cases! {
    resnet: "resnet18-tiny",
    mobilenet_v2_is_depthwise: "mobilenet_v2-tiny",
    efficientnet_squeezes: "efficientnet-tiny",
    densenet_norms_what_it_joins: "densenet-tiny",
    googlenet_pools: "googlenet-tiny",
    alexnet_pools_to_any_size: "alexnet-tiny",
    vit: "vit-tiny",
    beit_has_biases: "beit-tiny",
    swinv2_has_windows: "swinv2-padding-tiny",
    convnext: "convnext-tiny",
    dinov2: "dinov2-tiny",
    dinov3_is_rotary: "dinov3-gated-tiny",
}

/// Texts of different lengths, so that some have padding.
fn check_padded(case: &str) {
    let texts = parity::texts(case);
    let length = texts[0].ids().len();
    assert!(texts.iter().any(|text| text.ids().len() != length));
    check_texts(case);
}

#[test]
fn bert_with_padding() {
    check_padded("bert-tiny");
}

#[test]
fn mpnet_with_padding_and_biases() {
    check_padded("bert-mpnet");
}

#[test]
fn clip() {
    check("clip-tiny");
    check_texts("clip-tiny");
}

#[test]
fn open_clip() {
    check("open-clip-tiny");
    check_texts("open-clip-tiny");
}

#[test]
fn siglip() {
    check("siglip-tiny");
    check_texts("siglip-tiny");
}

#[test]
fn similarities_and_vectors_stay_f32() {
    let case = "clip-tiny";
    let dir = tempfile::tempdir().unwrap();
    let plan = parity::zero_shot_plan(case, dir.path(), |plan| {
        plan["embeddings"] = json!({ "normalize": true });
    });
    let model = Model::build(&plan, dir.path(), &half()).unwrap();
    assert_eq!(model.device().precision(), Precision::Half);
    let inputs = parity::inputs(case, &model);
    let predictions = parity::check_zero_shot(case, &model, &inputs, |what, ours, want| {
        close(what, ours, want, TOLERANCE);
    });
    for prediction in predictions {
        let Output::Scores(logits) = prediction else {
            panic!("{prediction:?}")
        };
        // With eleven bits they would be multiples of a power of two.
        let logits = logits.values();
        let rounded = logits
            .iter()
            .all(|value| value.to_bits().trailing_zeros() >= 13);
        assert!(!rounded, "{logits:?}");
    }
    let texts = parity::CLASSES.map(|text| model.tokenize(text).unwrap());
    let vectors = model.embed_images(&inputs).unwrap();
    for vector in vectors.iter().chain(&model.embed_texts(&texts).unwrap()) {
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
}

/// A network of one linear layer from one pixel, whose weights are all `weight`.
fn linear(dir: &Path, weight: f32) -> Plan {
    let tensors: HashMap<_, _> = [
        ("fc.weight", Tensor::full(weight, (2, 3), &Candle::Cpu)),
        ("fc.bias", Tensor::zeros(2, DType::F32, &Candle::Cpu)),
    ]
    .into_iter()
    .map(|(name, tensor)| (name, tensor.unwrap()))
    .collect();
    candle_core::safetensors::save(&tensors, dir.join("weights.safetensors")).unwrap();
    serde_json::from_value(json!({
        "architecture": { "name": "sequential", "config": { "layers": [
            { "type": "flatten" },
            { "type": "linear", "name": "fc", "in_features": 3, "out_features": 2 },
        ] } },
        "weights": ["weights.safetensors"],
        "preprocessing": { "color": "rgb", "steps": [] },
        "head": { "classification": { "classes": ["a", "b"] } },
    }))
    .unwrap()
}

#[test]
fn numbers_beyond_half_precision_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plan = linear(dir.path(), 1e5);
    let Err(error) = Model::build(&plan, dir.path(), &half()) else {
        panic!("100000 is beyond half precision")
    };
    assert!(matches!(error, Error::TooLargeForHalf { .. }), "{error}");
    assert!(error.to_string().starts_with("fc: "), "{error}");
    // The weights fit, their sum does not.
    let plan = linear(dir.path(), 5e4);
    let white = Image::from_pixels(1, 1, Color::Rgb, vec![255; 3]).unwrap();
    let predict = |device| {
        let model = Model::build(&plan, dir.path(), &device).unwrap();
        let input = model.preprocess(&white).unwrap();
        model.predict_images(&[input])
    };
    assert!(predict(Device::cpu_reference()).is_ok());
    let error = predict(half()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotFinite {
                index: 0,
                precision: Precision::Half
            }
        ),
        "{error}"
    );
    assert!(error.remedy().unwrap().to_string().contains("`full`"));
}
