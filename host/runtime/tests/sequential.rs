//! Lists of layers: comparison with PyTorch (`fixtures/make_sequential.py`), and refused lists.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::path::Path;

use candle_core::{Device as Candle, Tensor};
use modelzoo_runtime::{Device, Error, Model, Plan};
use serde_json::{Value, json};

fn largest(x: &Tensor) -> f32 {
    x.abs()
        .unwrap()
        .flatten_all()
        .unwrap()
        .max(0)
        .unwrap()
        .to_scalar()
        .unwrap()
}

fn plan(layers: &Value, color: &str, steps: &Value, classes: usize) -> Plan {
    serde_json::from_value(json!({
        "architecture": { "name": "sequential", "config": layers },
        "weights": ["weights.safetensors"],
        "preprocessing": { "color": color, "steps": steps },
        "head": { "classification": { "classes": vec!["class"; classes] } },
    }))
    .unwrap()
}

#[test]
fn layers_match_pytorch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let cases: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder.join("sequential.json")).unwrap()).unwrap();
    let tensors =
        candle_core::safetensors::load(folder.join("sequential.safetensors"), &Candle::Cpu)
            .unwrap();
    assert_eq!(cases.len() * 2, tensors.len());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (x, y) = (
            &tensors[&format!("{name}.x")],
            &tensors[&format!("{name}.y")],
        );
        let dir = tempfile::tempdir().unwrap();
        let shapes: Vec<(String, Vec<usize>)> = case["tensors"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, shape)| (name.clone(), serde_json::from_value(shape.clone()).unwrap()))
            .collect();
        common::write_recipe(
            &dir.path().join("weights.safetensors"),
            &shapes,
            case["seed"].as_u64().unwrap(),
        );
        for device in [Device::cpu(), Device::cpu_reference()] {
            let color = if x.dim(1).unwrap() == 1 {
                "gray"
            } else {
                "rgb"
            };
            let plan = plan(&case["config"], color, &json!([]), y.dim(1).unwrap());
            let model = Model::build(&plan, dir.path(), &device).unwrap();
            let ours = model.forward(x).unwrap();
            assert_eq!(ours.dims(), y.dims(), "{name}");
            let error = largest(&(&ours - y).unwrap()) / largest(y);
            assert!(
                error <= 1e-5,
                "{name} on {device:?}: relative error {error}"
            );
        }
    }
}

fn refused(layers: &Value, steps: &Value, classes: usize) -> Error {
    let dir = tempfile::tempdir().unwrap();
    match Model::build(
        &plan(layers, "gray", steps, classes),
        dir.path(),
        &Device::cpu(),
    ) {
        Ok(_) => panic!("{layers} was built"),
        Err(error) => error,
    }
}

#[test]
fn invalid_layers_are_refused_before_opening_weights() {
    let conv = |more: Value| {
        let mut layer = json!({ "type": "conv2d", "name": "c", "in_channels": 1, "out_channels": 4, "kernel_size": 3 });
        layer
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        layer
    };
    let (flatten, pool) = (
        json!({ "type": "flatten" }),
        json!({ "type": "global_avg_pool" }),
    );
    let linear = |from: usize| json!({ "type": "linear", "name": "f", "in_features": from, "out_features": 2 });
    let cases = [
        (json!([]), "`layers`: has 0 layers"),
        (json!(["relu"]), "`layers[0].type`: must be given"),
        (
            json!([{ "type": "reelu" }]),
            "unknown type `reelu` (nearest: relu",
        ),
        (
            json!([{ "type": "relu", "inplace": true }]),
            "`layers[0]`: unknown field `inplace`",
        ),
        (
            json!([conv(json!({ "strides": 2 }))]),
            "`layers[0]`: unknown field `strides`",
        ),
        (
            json!([conv(json!({ "kernel_size": [3, 3, 3] }))]),
            "a number or [height, width]",
        ),
        (
            json!([conv(json!({ "kernel_size": 0 }))]),
            "`layers[0].kernel_size`: must be 1 to",
        ),
        (
            json!([conv(json!({ "stride": [1, 0] }))]),
            "`layers[0].stride`: must be 1 to",
        ),
        (
            json!([conv(json!({ "padding": 1_000_000 }))]),
            "`layers[0].padding`: must be 0 to",
        ),
        (
            json!([conv(json!({ "groups": 3 }))]),
            "`layers[0].groups`: must divide",
        ),
        (
            json!([conv(json!({ "out_channels": 1u64 << 40 }))]),
            "`layers[0].out_channels`: must be 1 to",
        ),
        (
            json!([conv(json!({ "name": "" })), pool]),
            "`layers[0].name`: is empty",
        ),
        (
            json!([conv(json!({})), pool, flatten, { "type": "linear", "name": "c", "in_features": 4, "out_features": 2 }]),
            "`c` is the name of an earlier layer",
        ),
        (
            json!([{ "type": "max_pool", "kernel_size": 2, "padding": 2 }]),
            "at most half",
        ),
        (
            json!([{ "type": "batch_norm", "name": "n", "features": 1, "eps": -1.0 }]),
            "`layers[0].eps`",
        ),
        (
            json!([conv(json!({}))]),
            "leaves a feature map: a `flatten` must follow",
        ),
        (
            json!([conv(json!({})), linear(4)]),
            "a `flatten` must come between",
        ),
        (
            json!([flatten, conv(json!({}))]),
            "after the feature map has been flattened",
        ),
        (
            json!([conv(json!({})), { "type": "batch_norm", "name": "n", "features": 5 }, pool, flatten]),
            "`layers[1].features`: is 5, but the input has 4",
        ),
        (
            json!([conv(json!({})), pool, flatten, linear(5)]),
            "`layers[3].in_features`: is 5, but the input has 4",
        ),
        (
            json!([conv(json!({})), flatten, linear(4 * 64)]),
            "is 256, but the input has 144",
        ),
        (
            json!([conv(json!({ "kernel_size": 9 })), pool, flatten]),
            "does not fit into a feature map of 8x8",
        ),
    ];
    let steps =
        json!([{ "resize": { "to": { "height": 8, "width": 8 }, "resampling": "bilinear" } }]);
    for (layers, expected) in cases {
        let error = refused(&json!({ "layers": layers }), &steps, 4);
        assert!(
            matches!(
                error,
                Error::BadConfig {
                    architecture: "sequential",
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(
            error.to_string().contains(expected),
            "{error} should tell of {expected}"
        );
    }
    let error = refused(
        &json!({ "layers": [pool, flatten], "name": "x" }),
        &steps,
        1,
    );
    assert!(
        error.to_string().contains("unknown field `name`"),
        "{error}"
    );
    let error = refused(&json!({ "layers": [pool, flatten] }), &steps, 2);
    assert!(
        matches!(
            error,
            Error::ClassCount {
                classes: 2,
                outputs: 1
            }
        ),
        "{error}"
    );
    let error = refused(
        &json!({ "layers": [conv(json!({ "in_channels": 3 })), pool, flatten] }),
        &steps,
        4,
    );
    assert!(
        error
            .to_string()
            .contains("gives 1 channels, but the network takes 3"),
        "{error}"
    );
}

#[test]
fn size_known_only_from_the_image_is_checked_in_forward() {
    let layers = json!({ "layers": [{ "type": "flatten" }, { "type": "linear", "name": "f", "in_features": 9, "out_features": 2 }] });
    let dir = tempfile::tempdir().unwrap();
    common::write_recipe(
        &dir.path().join("weights.safetensors"),
        &[("f.weight".into(), vec![2, 9]), ("f.bias".into(), vec![2])],
        1,
    );
    let model = Model::build(
        &plan(&layers, "gray", &json!([]), 2),
        dir.path(),
        &Device::cpu(),
    )
    .unwrap();
    let x = Tensor::zeros((1, 1, 3, 3), candle_core::DType::F32, &Candle::Cpu).unwrap();
    assert_eq!(model.forward(&x).unwrap().dims(), [1, 2]);
    let x = Tensor::zeros((1, 1, 4, 3), candle_core::DType::F32, &Candle::Cpu).unwrap();
    let error = model.forward(&x).unwrap_err().to_string();
    assert_eq!(
        error,
        "f: takes 9 features, got 12: the input has another size than it was made for"
    );
}
