//! ResNets: refused configurations, and variants without a fixture.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::path::Path;

use modelzoo_runtime::{Device, Error, Model, Plan};
use serde_json::{Value, json};

fn plan(config: &Value, classes: usize) -> Plan {
    serde_json::from_value(json!({
        "architecture": { "name": "resnet", "config": config },
        "weights": ["w.safetensors"],
        "preprocessing": { "color": "rgb", "steps": [] },
        "head": { "classification": { "classes": vec!["x"; classes] } },
    }))
    .unwrap()
}

fn save(dir: &Path, tensors: &[(String, Vec<usize>)]) {
    common::write_recipe(&dir.join("w.safetensors"), tensors, 3);
}

/// The error of building a ResNet with empty weights.
fn refused(config: &Value) -> Error {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), &[]);
    match Model::build(&plan(config, 1000), dir.path(), &Device::cpu()) {
        Ok(_) => panic!("{config} was built"),
        Err(error) => error,
    }
}

#[test]
fn invalid_resnet_configurations_are_refused() {
    let cases = [
        (json!({}), "`depth`: must be given"),
        (
            json!({ "depth": 20 }),
            "`depth`: must be 18, 34, 50, 101 or 152",
        ),
        (
            json!({ "depth": 18, "layers": [1, 1, 1, 1] }),
            "give one or the other",
        ),
        (json!({ "block": "basic" }), "or else both"),
        (
            json!({ "block": "wide", "layers": [1, 1, 1, 1] }),
            "unknown variant `wide`",
        ),
        (
            json!({ "block": "basic", "layers": [1, 1, 0, 1] }),
            "`layers`: must be 1 to",
        ),
        (json!({ "depth": 18, "groups": 2 }), "only bottleneck"),
        (
            json!({ "depth": 50, "num_classes": 0 }),
            "`num_classes`: must be 1",
        ),
        (
            json!({ "depth": 50, "groups": 1_000_000, "width_per_group": 1_000_000 }),
            "`width_per_group`: gives",
        ),
        (
            json!({ "depth": 50, "classes": 3 }),
            "unknown field `classes`",
        ),
    ];
    for (config, expected) in cases {
        let error = refused(&config);
        let expected_kind =
            matches!(&error, Error::BadConfig { architecture, .. } if *architecture == "resnet");
        assert!(expected_kind, "{error:?}");
        assert!(
            error.to_string().contains(expected),
            "{error} should tell of {expected}"
        );
    }
    let error = refused(&json!([50]));
    assert!(
        matches!(&error, Error::BadPlan { field, .. } if field == "architecture.config"),
        "{error:?}"
    );
}

#[test]
fn grouped_and_shallow_resnets_match_candle() {
    for (config, width, groups) in [
        (
            json!({ "block": "bottleneck", "layers": [1, 1, 1, 1], "num_classes": 5, "groups": 32, "width_per_group": 4 }),
            4,
            32,
        ),
        (
            json!({ "block": "bottleneck", "layers": [1, 2, 1, 1], "num_classes": 5, "width_per_group": 128 }),
            128,
            1,
        ),
    ] {
        let layers: [usize; 4] = serde_json::from_value(config["layers"].clone()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        save(
            dir.path(),
            &common::resnet_tensors(true, layers, 5, width, groups),
        );
        let plan = plan(&config, 5);
        let x = common::recipe("x", &[2, 3, 40, 50], 1);
        let run = |device| {
            Model::build(&plan, dir.path(), &device)
                .unwrap()
                .forward(&x)
                .unwrap()
                .to_vec2::<f32>()
                .unwrap()
        };
        let (ours, theirs) = (
            run(Device::cpu()).concat(),
            run(Device::cpu_reference()).concat(),
        );
        let scale = theirs
            .iter()
            .fold(0f32, |scale, value| scale.max(value.abs()));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() <= 1e-5 * scale, "{ours} and {theirs}");
        }
    }
}
