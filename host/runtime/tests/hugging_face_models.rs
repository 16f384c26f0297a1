//! Image models with a repository's configuration: refused configurations, weights and image sizes,
//! and ignored tensors.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::path::Path;

use common::parity::{fixtures, read_json, read_tensor};
use modelzoo_runtime::{Device, Error, Model, Plan};
use serde_json::{Value, json};

type Tensors = Vec<(String, Vec<usize>)>;

/// The tensors of a case.
fn tensors(case: &str) -> Tensors {
    let listed = read_json(&fixtures().join(case).join("tensors.json"));
    let dims = |dims: &Value| serde_json::from_value(dims.clone()).unwrap();
    let listed = listed.as_object().unwrap().iter();
    listed.map(|(name, of)| (name.clone(), dims(of))).collect()
}

/// The configuration of a case.
fn architecture(case: &str) -> Value {
    read_json(&fixtures().join(case).join("architecture.json"))
}

fn build(dir: &Path, architecture: &Value, tensors: &Tensors) -> Result<Model, Error> {
    common::write_recipe(&dir.join("w.safetensors"), tensors, 1);
    let plan: Plan = serde_json::from_value(json!({
        "architecture": architecture,
        "weights": ["w.safetensors"],
        "preprocessing": { "color": "rgb", "steps": [] },
    }))
    .unwrap();
    Model::build(&plan, dir, &Device::cpu())
}

fn build_error(architecture: &Value, tensors: &Tensors) -> Error {
    let dir = tempfile::tempdir().unwrap();
    match build(dir.path(), architecture, tensors) {
        Ok(_) => panic!("{architecture} was built"),
        Err(error) => error,
    }
}

#[test]
fn invalid_configurations_are_refused_before_the_weights() {
    let cases = [
        (
            "vit",
            json!({ "hidden_act": "mish" }),
            "`hidden_act`: `mish` is not supported",
        ),
        (
            "vit",
            json!({ "hidden_size": 0 }),
            "`hidden_size`: must be 1",
        ),
        (
            "vit",
            json!({ "num_attention_heads": 7 }),
            "`num_attention_heads`: must divide",
        ),
        (
            "vit",
            json!({ "num_hidden_layers": 100_000 }),
            "`num_hidden_layers`: must be 1 to 1000",
        ),
        (
            "vit",
            json!({ "patch_size": 300 }),
            "`patch_size`: is larger than `image_size`",
        ),
        (
            "vit",
            json!({ "image_size": [224, 0] }),
            "`image_size`: must be 1",
        ),
        (
            "vit",
            json!({ "image_size": "large" }),
            "did not match any variant",
        ),
        (
            "vit",
            json!({ "layer_norm_eps": -1 }),
            "`layer_norm_eps`: must be 0 to 1",
        ),
        ("vit", json!({ "num_labels": 0 }), "`num_labels`: must be 1"),
        (
            "deit",
            json!({ "pooler_act": "mish" }),
            "`pooler_act`: `mish`",
        ),
        (
            "vision_transformer",
            json!({ "variant": "vit_b_16" }),
            "unknown field `variant`",
        ),
        (
            "vision_transformer",
            json!({ "patch_size": 15 }),
            "`image_size`: must be a multiple",
        ),
        (
            "vision_transformer",
            json!({ "num_heads": 7 }),
            "`num_heads`: must divide",
        ),
        (
            "beit",
            json!({ "image_size": [224, 448] }),
            "as many patches each way",
        ),
        (
            "beit",
            json!({ "use_relative_position_bias": true, "use_shared_relative_position_bias": true }),
            "not supported together",
        ),
        (
            "dinov2",
            json!({ "image_size": [224, 448] }),
            "as many patches each way",
        ),
        (
            "dinov2",
            json!({ "mlp_ratio": 0 }),
            "`mlp_ratio`: must be 1",
        ),
        (
            "dinov2_with_registers",
            json!({ "num_register_tokens": 9999 }),
            "must be 0 to 1024",
        ),
        (
            "dinov2_hub",
            json!({ "variant": "dinov2_vitx14" }),
            "`variant`: must be `dinov2_vits14`",
        ),
        (
            "dinov2_hub",
            json!({ "variant": "dinov2_vits14", "depth": 3 }),
            "give one or the others",
        ),
        (
            "dinov2_hub",
            json!({ "img_size": 519 }),
            "`img_size`: must be a multiple",
        ),
        (
            "dinov2_hub",
            json!({ "interpolate_antialias": true }),
            "`interpolate_offset`: must be 0",
        ),
        (
            "dinov2_hub",
            json!({ "interpolate_offset": 1.5 }),
            "must be 0 to 0.5",
        ),
        ("dinov2_hub", json!({ "heads": 3 }), "unknown field `heads`"),
        (
            "dinov3_vit",
            json!({ "num_attention_heads": 192 }),
            "into multiples of 4",
        ),
        (
            "dinov3_vit",
            json!({ "rope_theta": 0 }),
            "`rope_theta`: must be",
        ),
        (
            "convnext",
            json!({ "depths": [1, 1] }),
            "`depths`: must have as many",
        ),
        (
            "convnext",
            json!({ "hidden_sizes": [], "depths": [] }),
            "`hidden_sizes`: must be 1",
        ),
        (
            "efficientnet",
            json!({ "pooling_type": "max" }),
            "`pooling_type`: `max`",
        ),
        (
            "efficientnet",
            json!({ "hidden_dim": 1280 }),
            "`hidden_dim`: must be 2560",
        ),
        (
            "efficientnet",
            json!({ "strides": [1] }),
            "`strides`: must have 7 values",
        ),
        (
            "efficientnet",
            json!({ "strides": [1, 2, 2, 3, 1, 2, 1] }),
            "`strides`: must be 1 or 2",
        ),
        (
            "efficientnet",
            json!({ "kernel_sizes": [3, 3, 4, 3, 5, 5, 3] }),
            "`kernel_sizes`: must be odd",
        ),
        (
            "efficientnet",
            json!({ "depth_coefficient": 1e9 }),
            "`depth_coefficient`: must be",
        ),
        (
            "efficientnet",
            json!({ "in_channels": [32, 16, 24, 40, 80, 112, 112] }),
            "`in_channels`: each must be",
        ),
        (
            "swinv2",
            json!({ "use_absolute_embeddings": true }),
            "must be false",
        ),
        (
            "swinv2",
            json!({ "num_heads": [3, 6] }),
            "`num_heads`: must have as many",
        ),
        (
            "swinv2",
            json!({ "num_heads": [3, 6, 12, 25] }),
            "25 do not divide 768",
        ),
        (
            "swinv2",
            json!({ "window_size": 0 }),
            "`window_size`: must be",
        ),
        ("swinv2", json!({ "image_size": 16 }), "no tokens left"),
        (
            "swinv2",
            json!({ "pretrained_window_sizes": [1, 1, 1, 1] }),
            "must be 0 or 2",
        ),
    ];
    for (name, config, expected) in cases {
        let error = build_error(&json!({ "name": name, "config": config }), &Vec::new());
        let of_config =
            matches!(&error, Error::BadConfig { architecture, .. } if *architecture == name);
        assert!(of_config, "{name} {config}: {error:?}");
        let text = error.to_string();
        assert!(text.contains(expected), "{text} should tell of {expected}");
    }
    let error = build_error(&json!({ "name": "vit", "config": [1] }), &Vec::new());
    assert!(
        matches!(&error, Error::BadPlan { field, .. } if field == "architecture.config"),
        "{error:?}"
    );
}

/// One case of each family.
const FAMILIES: [&str; 10] = [
    "vit-tiny",
    "deit-tiny",
    "vit-torchvision-tiny",
    "beit-tiny",
    "dinov2-tiny",
    "dinov2-hub-registers-tiny",
    "dinov3-tiny",
    "convnext-tiny",
    "efficientnet-tiny",
    "swinv2-tiny",
];

/// Tensors that are optional in transformers too.
fn optional(name: &str) -> bool {
    name.ends_with("mask_token")
}

#[test]
fn missing_tensor_is_refused() {
    for case in FAMILIES {
        let (all, architecture) = (tensors(case), architecture(case));
        let needed = all.iter().filter(|(name, _)| !optional(name));
        // Some of each; all would take long.
        for (name, _) in needed.step_by(all.len() / 8) {
            let rest = all.iter().filter(|(other, _)| other != name).cloned();
            let error = build_error(&architecture, &rest.collect());
            // Without one of two tensors, the weights may be those of another variant.
            let told = matches!(
                error,
                Error::MissingTensor { .. } | Error::UnexpectedTensor { .. }
            );
            assert!(told, "{case} without {name}: {error:?}");
        }
    }
}

#[test]
fn unexpected_tensor_is_named() {
    for case in FAMILIES {
        let mut all = tensors(case);
        all.push(("adapter.weight".to_owned(), vec![2, 2]));
        let error = build_error(&architecture(case), &all);
        assert!(
            matches!(&error, Error::UnexpectedTensor { name, .. } if name == "adapter.weight"),
            "{case}: {error:?}"
        );
    }
}

#[test]
fn tensor_of_wrong_shape_is_named() {
    for case in FAMILIES {
        let mut all = tensors(case);
        let at = all.len() / 2;
        all[at].1[0] += 1;
        let error = build_error(&architecture(case), &all);
        assert!(
            matches!(&error, Error::WrongShape { name, .. } if *name == all[at].0),
            "{case}: {error:?}"
        );
    }
}

#[test]
fn training_tensors_are_ignored() {
    let cases = [
        ("vit-tiny", "vit.pooler.dense.weight", vec![32, 32]),
        ("vit-tiny", "vit.pooler.dense.bias", vec![32]),
        ("vit-tiny", "vit.embeddings.mask_token", vec![1, 1, 32]),
        (
            "swinv2-tiny",
            "swinv2.encoder.layers.0.blocks.0.attention.self.relative_coords_table",
            vec![1, 7, 7, 2],
        ),
        (
            "beit-tiny",
            "beit.encoder.layer.0.attention.attention.relative_position_bias.relative_position_index",
            vec![17, 17],
        ),
    ];
    for (case, name, dims) in cases {
        let mut all = tensors(case);
        all.push((name.to_owned(), dims));
        let dir = tempfile::tempdir().unwrap();
        build(dir.path(), &architecture(case), &all).unwrap();
    }
}

#[test]
fn published_names_of_torchvision_vit_are_read() {
    let newer = [(".mlp.0.", ".mlp.linear_1."), (".mlp.3.", ".mlp.linear_2.")];
    let renamed = |name: &str| {
        newer
            .iter()
            .fold(name.to_owned(), |name, (new, old)| name.replace(new, old))
    };
    let all = tensors("vit-torchvision-tiny").into_iter();
    let all: Tensors = all.map(|(name, dims)| (renamed(&name), dims)).collect();
    assert!(all.iter().any(|(name, _)| name.contains("linear_2")));
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), &architecture("vit-torchvision-tiny"), &all).unwrap();
}

#[test]
fn newer_names_of_dinov3_are_read() {
    let all = tensors("dinov3-tiny").into_iter().map(|(name, dims)| {
        let nested = name.starts_with("layer.");
        (
            if nested {
                format!("model.{name}")
            } else {
                name
            },
            dims,
        )
    });
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), &architecture("dinov3-tiny"), &all.collect()).unwrap();
}

#[test]
fn images_of_unsupported_sizes_are_refused() {
    let cases = [
        (
            "vit-tiny",
            [3, 32, 40],
            "patches: takes images of 32x32, got 32x40",
        ),
        ("vit-torchvision-tiny", [3, 40, 32], "takes images of 32x32"),
        ("deit-tiny", [3, 1, 1], "takes images of 32x32"),
        ("beit-tiny", [3, 7, 32], "takes images of at least 8x8"),
        ("dinov2-tiny", [3, 42, 13], "takes images of at least 14x14"),
        (
            "dinov2-hub-tiny",
            [3, 42, 43],
            "sides are multiples of 14x14",
        ),
        ("dinov3-tiny", [3, 7, 7], "takes images of at least 8x8"),
        (
            "convnext-tiny",
            [3, 3, 32],
            "does not fit into a feature map of 3x32",
        ),
        (
            "convnext-tiny",
            [3, 4, 4],
            "does not fit into a feature map of 1x1",
        ),
        (
            "efficientnet-tiny",
            [3, 2, 2],
            "does not fit into a feature map of 1x1",
        ),
        ("swinv2-tiny", [4, 32, 32], "takes 3 channels, got 4"),
    ];
    for (case, dims, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let model = build(dir.path(), &architecture(case), &tensors(case)).unwrap();
        let [channels, height, width] = dims;
        let x = common::recipe("x", &[1, channels, height, width], 1);
        let error = match model.forward(&x) {
            Ok(y) => panic!("{case} took {dims:?} and gave {:?}", y.dims()),
            Err(error) => error,
        };
        assert!(matches!(error, Error::BadInput { .. }), "{case}: {error:?}");
        let text = error.to_string();
        assert!(text.contains(expected), "{text} should tell of {expected}");
    }
}

#[test]
fn smallest_supported_images_give_finite_outputs() {
    for (case, height, width) in [
        ("beit-shared-tiny", 8, 8),
        ("dinov2-tiny", 14, 14),
        ("dinov2-hub-registers-tiny", 14, 14),
        ("dinov3-tiny", 8, 8),
        ("convnext-tiny", 32, 32),
        ("efficientnet-tiny", 8, 8),
        ("swinv2-tiny", 1, 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let model = build(dir.path(), &architecture(case), &tensors(case)).unwrap();
        let x = common::recipe("x", &[1, 3, height, width], 1);
        let y = model.forward(&x).unwrap().flatten_all().unwrap();
        let y = y.to_vec1::<f32>().unwrap();
        assert!(y.iter().all(|value| value.is_finite()), "{case}: {y:?}");
    }
}

#[test]
fn unsupported_image_size_in_plan_is_refused_when_building() {
    let dir = tempfile::tempdir().unwrap();
    common::write_recipe(&dir.path().join("w.safetensors"), &tensors("vit-tiny"), 1);
    let plan = |side: u32| -> Plan {
        serde_json::from_value(json!({
            "architecture": architecture("vit-tiny"),
            "weights": ["w.safetensors"],
            "preprocessing": {
                "color": "rgb",
                "steps": [{ "center_crop": { "height": side, "width": side } }],
            },
            "head": { "classification": { "classes": ["a", "b", "c", "d", "e"] } },
        }))
        .unwrap()
    };
    let error = Model::build(&plan(64), dir.path(), &Device::cpu()).err();
    let error = error.unwrap().to_string();
    assert!(
        error.contains("takes images of 32x32, got 64x64"),
        "{error}"
    );
    Model::build(&plan(32), dir.path(), &Device::cpu()).unwrap();
}

#[test]
fn tracing_all_tokens_does_not_change_the_output() {
    // Without a trace, the last block skips tokens that the head does not read.
    let (case, device) = ("vit-tiny", Device::cpu());
    let dir = tempfile::tempdir().unwrap();
    let plan = common::parity::plan(case, dir.path());
    let model = Model::build(&plan, dir.path(), &device).unwrap();
    let x = read_tensor(&fixtures().join(case).join("inputs.safetensors"), "x");
    let class = model.forward_to(&x, "<classifier").unwrap();
    let all = model.forward_to(&x, "last_hidden_state").unwrap();
    let first = all.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
    common::parity::close(case, &class, &first.contiguous().unwrap());
}
