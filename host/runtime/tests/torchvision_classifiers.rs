//! torchvision's classifiers: names of weights, options, and refused weights and configurations.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::path::Path;

use candle_core::{DType, Device as Candle, Tensor};
use common::parity;
use modelzoo_runtime::{Device, Error, Model, Plan};
use serde_json::{Value, json};

type Tensors = Vec<(String, Vec<usize>)>;

/// The names and shapes of a case's weights.
fn tensors(case: &str) -> Tensors {
    let path = parity::fixtures().join(case).join("tensors.json");
    let tensors: serde_json::Map<String, Value> =
        serde_json::from_value(parity::read_json(&path)).unwrap();
    let shape = |shape: Value| serde_json::from_value(shape).unwrap();
    tensors
        .into_iter()
        .map(|(name, dims)| (name, shape(dims)))
        .collect()
}

fn plan(architecture: &Value, steps: &Value) -> Plan {
    serde_json::from_value(json!({
        "architecture": architecture,
        "weights": ["w.safetensors"],
        "preprocessing": { "color": "rgb", "steps": steps },
    }))
    .unwrap()
}

fn build(architecture: &Value, dir: &Path) -> Result<Model, Error> {
    Model::build(&plan(architecture, &json!([])), dir, &Device::cpu())
}

/// The architecture of a case, and a folder with other weights for it.
fn with_weights(case: &str, tensors: &Tensors) -> (Value, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    common::write_recipe(&dir.path().join("w.safetensors"), tensors, 3);
    let path = parity::fixtures().join(case).join("architecture.json");
    (parity::read_json(&path), dir)
}

/// The error of building a network with empty weights.
fn refused(name: &str, config: &Value, steps: &Value) -> Error {
    let dir = tempfile::tempdir().unwrap();
    common::write_recipe(&dir.path().join("w.safetensors"), &[], 3);
    let plan = plan(&json!({ "name": name, "config": config }), steps);
    match Model::build(&plan, dir.path(), &Device::cpu()) {
        Ok(_) => panic!("{name} of {config} was built"),
        Err(error) => error,
    }
}

#[test]
fn older_names_of_densenet_are_read() {
    let case = "densenet-tiny";
    let x = common::recipe("x", &[1, 3, 40, 40], 1);
    // The published files have a dot before the number; the recipe would give other values.
    let older = |name: &str| {
        let mut name = name.to_owned();
        if name.contains("denselayer") {
            for part in ["norm1", "conv1", "norm2", "conv2"] {
                let (kind, number) = part.split_at(4);
                name = name.replace(&format!(".{part}."), &format!(".{kind}.{number}."));
            }
        }
        name
    };
    let (architecture, dir) = with_weights(case, &tensors(case));
    let want = build(&architecture, dir.path()).unwrap().forward(&x);
    let weights = candle_core::safetensors::load(dir.path().join("w.safetensors"), &Candle::Cpu);
    let renamed: std::collections::HashMap<String, Tensor> = weights
        .unwrap()
        .into_iter()
        .map(|(name, tensor)| (older(&name), tensor))
        .collect();
    assert!(renamed.contains_key("features.denseblock1.denselayer1.norm.1.running_mean"));
    assert!(renamed.contains_key("features.transition1.norm.weight"));
    candle_core::safetensors::save(&renamed, dir.path().join("w.safetensors")).unwrap();
    let ours = build(&architecture, dir.path()).unwrap().forward(&x);
    let values = |y: Tensor| y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(ours.unwrap()), values(want.unwrap()));
}

/// With `transform_input`, the layers have the values of the network without it for transformed
/// images: `(x * std + mean - 0.5) / 0.5`.
#[test]
fn transform_input_converts_the_normalisation() {
    for (case, layer) in [
        ("googlenet-tiny", "conv1"),
        ("inception_v3-tiny", "Conv2d_1a_3x3"),
    ] {
        let (mut architecture, dir) = with_weights(case, &tensors(case));
        let x = common::recipe("x", &[1, 3, 80, 80], 1);
        assert_eq!(architecture["config"]["transform_input"], json!(true));
        let ours = build(&architecture, dir.path()).unwrap();
        architecture["config"]["transform_input"] = json!(false);
        let plain = build(&architecture, dir.path()).unwrap();
        let per_channel = |values: [f32; 3]| {
            Tensor::new(&values, &Candle::Cpu)
                .and_then(|x| x.reshape((1, 3, 1, 1)))
                .unwrap()
        };
        let transformed = x
            .broadcast_mul(&per_channel([0.458, 0.448, 0.45]))
            .and_then(|x| x.broadcast_add(&per_channel([-0.03, -0.088, -0.188])))
            .unwrap();
        for layer in [layer, "fc"] {
            let want = plain.forward_to(&transformed, layer).unwrap();
            parity::close(case, &ours.forward_to(&x, layer).unwrap(), &want);
        }
        let untransformed = plain.forward_to(&x, layer).unwrap();
        let ours = ours.forward_to(&x, layer).unwrap();
        let apart = (ours - untransformed).unwrap().abs().unwrap();
        let apart = apart.mean_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(apart > 0.01, "{case}: apart by {apart}");
    }
}

#[test]
fn only_auxiliary_classifiers_are_ignored() {
    for (case, auxiliary) in [
        (
            "googlenet-tiny",
            &["aux1.conv.bn.weight", "aux2.fc2.bias"][..],
        ),
        (
            "inception_v3-tiny",
            &["AuxLogits.conv0.conv.weight", "AuxLogits.fc.weight"],
        ),
    ] {
        let mut weights = tensors(case);
        weights.extend(auxiliary.iter().map(|&name| (name.to_owned(), vec![3])));
        let (architecture, dir) = with_weights(case, &weights);
        build(&architecture, dir.path()).unwrap();

        weights.push(("aux3.fc2.bias".to_owned(), vec![3]));
        let (architecture, dir) = with_weights(case, &weights);
        let error = build(&architecture, dir.path()).map(|_| ()).unwrap_err();
        assert!(
            matches!(&error, Error::UnexpectedTensor { name, others: 0, .. } if name == "aux3.fc2.bias"),
            "{error}"
        );
    }
}

#[test]
fn mismatched_weights_are_named() {
    for case in [
        "vgg-bn-tiny",
        "alexnet-tiny",
        "squeezenet1_1-tiny",
        "densenet-tiny",
        "mobilenet_v2-tiny",
        "mnasnet-tiny",
        "googlenet-tiny",
        "shufflenet_v2-tiny",
        "inception_v3-tiny",
    ] {
        let whole = tensors(case);
        // The first, one in the middle and the last, by the order of the names.
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let (name, shape) = &whole[at];
            let mut weights = whole.clone();
            weights.remove(at);
            let (architecture, dir) = with_weights(case, &weights);
            let error = build(&architecture, dir.path()).map(|_| ()).unwrap_err();
            assert!(
                matches!(&error, Error::MissingTensor { name: missing, .. } if missing == name),
                "{case} without {name}: {error}"
            );

            weights = whole.clone();
            weights[at].1[0] += 1;
            let (architecture, dir) = with_weights(case, &weights);
            let error = build(&architecture, dir.path()).map(|_| ()).unwrap_err();
            assert!(
                matches!(&error, Error::WrongShape { name: wrong, want, .. } if wrong == name && want == shape),
                "{case} with another {name}: {error}"
            );
        }
        let mut weights = whole.clone();
        weights.push(("classifier.7.weight".to_owned(), vec![2, 2]));
        let (architecture, dir) = with_weights(case, &weights);
        let error = build(&architecture, dir.path()).map(|_| ()).unwrap_err();
        assert!(matches!(&error, Error::UnexpectedTensor { .. }), "{error}");
    }
}

#[test]
fn too_small_images_are_refused() {
    for (case, least) in [
        ("vgg-tiny", 32),
        ("vgg-bn-tiny", 4),
        ("alexnet-tiny", 63),
        ("squeezenet1_0-tiny", 21),
        ("squeezenet1_1-tiny", 17),
        ("densenet-tiny", 29),
        ("mobilenet_v2-tiny", 1),
        ("mnasnet-tiny", 1),
        ("googlenet-tiny", 15),
        ("shufflenet_v2-tiny", 1),
        ("inception_v3-tiny", 75),
    ] {
        let (architecture, dir) = with_weights(case, &tensors(case));
        let resized = |side: usize| {
            let to = json!({ "height": side, "width": 90 });
            let plan = plan(
                &architecture,
                &json!([{ "resize": { "to": to, "resampling": "bilinear" } }]),
            );
            Model::build(&plan, dir.path(), &Device::cpu())
        };
        let image = |side: usize| Tensor::ones((1, 3, side, 90), DType::F32, &Candle::Cpu).unwrap();
        // The limit is the same for sizes in the plan and for sizes of images.
        let model = resized(least).unwrap();
        model.forward(&image(least)).unwrap();
        if least > 1 {
            let error = model.forward(&image(least - 1)).unwrap_err();
            let expected = error
                .to_string()
                .contains("does not fit into a feature map");
            assert!(expected, "{case}: {error}");
            let error = resized(least - 1).map(|_| ()).unwrap_err().to_string();
            assert!(
                error.contains(&format!("at least {least}x{least}")),
                "{error}"
            );
        }
    }
}

#[test]
fn invalid_configurations_are_refused() {
    let huge = 1_u64 << 40;
    let cases = [
        ("vgg", json!({}), "`depth`: must be given"),
        ("vgg", json!({ "depth": 12 }), "must be 11, 13, 16 or 19"),
        (
            "vgg",
            json!({ "depth": 11, "layers": [8] }),
            "give one or the other",
        ),
        ("vgg", json!({ "layers": [] }), "`layers`: must be 1 to"),
        (
            "vgg",
            json!({ "layers": [8, "A"] }),
            "a number of channels or \"M\"",
        ),
        (
            "vgg",
            json!({ "layers": [8, -1] }),
            "a number of channels or \"M\"",
        ),
        ("vgg", json!({ "layers": [0] }), "`layers`: must be 1 to"),
        (
            "vgg",
            json!({ "layers": vec!["M"; 1001] }),
            "`layers`: must be 1 to 1000, not 1001",
        ),
        (
            "vgg",
            json!({ "depth": 11, "hidden": huge }),
            "`hidden`: must be 1 to",
        ),
        (
            "vgg",
            json!({ "depth": 11, "width": 3 }),
            "unknown field `width`",
        ),
        (
            "alexnet",
            json!({ "num_classes": 0 }),
            "`num_classes`: must be 1 to",
        ),
        ("alexnet", json!({ "hidden": 0 }), "`hidden`: must be 1 to"),
        (
            "squeezenet",
            json!({ "version": "1.0" }),
            "unknown variant `1.0`",
        ),
        ("densenet", json!({}), "`depth`: must be given"),
        (
            "densenet",
            json!({ "depth": 264 }),
            "must be 121, 161, 169 or 201",
        ),
        (
            "densenet",
            json!({ "growth_rate": 8 }),
            "or else `growth_rate`, `block_config`",
        ),
        (
            "densenet",
            json!({ "depth": 121, "growth_rate": 8 }),
            "give one or the other",
        ),
        (
            "densenet",
            json!({ "depth": 121, "bn_size": huge }),
            "`bn_size`: must be 1 to",
        ),
        (
            "densenet",
            json!({ "growth_rate": 8, "block_config": [1, 0, 1, 1], "num_init_features": 8 }),
            "`block_config`: must be 1 to",
        ),
        (
            "mobilenet_v2",
            json!({ "width_mult": 0 }),
            "`width_mult`: must be 0.001 to 1000",
        ),
        (
            "mobilenet_v2",
            json!({ "width_mult": 1e300 }),
            "`width_mult`: must be 0.001 to 1000",
        ),
        (
            "mobilenet_v2",
            json!({ "round_nearest": 0 }),
            "`round_nearest`: must be 1 to",
        ),
        (
            "mobilenet_v2",
            json!({ "inverted_residual_setting": [[1, 8, 1, 3]] }),
            "the strides must be 1 or 2",
        ),
        (
            "mobilenet_v2",
            json!({ "inverted_residual_setting": vec![[1, 8, 600, 1]; 2] }),
            "must be 1 to 1000, not 1200",
        ),
        (
            "mobilenet_v2",
            json!({ "inverted_residual_setting": [[6, 8, 1]] }),
            "invalid length 3",
        ),
        (
            "mnasnet",
            json!({ "alpha": -1 }),
            "`alpha`: must be 0.001 to 1000",
        ),
        (
            "mnasnet",
            json!({ "version": 3 }),
            "`version`: must be 1 to 2, not 3",
        ),
        (
            "googlenet",
            json!({ "width_divisor": 3 }),
            "must be 1, 2, 4 or 8",
        ),
        (
            "googlenet",
            json!({ "aux_logits": true }),
            "unknown field `aux_logits`",
        ),
        ("shufflenet_v2", json!({}), "`variant`: must be given"),
        (
            "shufflenet_v2",
            json!({ "variant": "x3_0" }),
            "unknown variant `x3_0`",
        ),
        (
            "shufflenet_v2",
            json!({ "stages_repeats": [1, 1, 1], "stages_out_channels": [8, 8, 9, 8, 8] }),
            "must be even",
        ),
        (
            "shufflenet_v2",
            json!({ "variant": "x1_0", "stages_repeats": [1, 1, 1] }),
            "give one or the other",
        ),
        (
            "inception_v3",
            json!({ "width_divisor": 0 }),
            "must be 1, 2, 4, 8 or 16",
        ),
        (
            "inception_v3",
            json!({ "num_classes": huge }),
            "`num_classes`: must be 1 to",
        ),
    ];
    for (name, config, expected) in cases {
        let error = refused(name, &config, &json!([]));
        let kind = matches!(&error, Error::BadConfig { architecture, .. } if *architecture == name);
        assert!(kind, "{error:?}");
        let message = error.to_string();
        assert!(
            message.contains(expected),
            "{message} should tell of {expected}"
        );
    }
    let error = refused("alexnet", &json!([]), &json!([]));
    assert!(
        matches!(&error, Error::BadPlan { field, .. } if field == "architecture.config"),
        "{error:?}"
    );
}

/// Large sizes are refused when the weights lack the tensors, without allocating for them.
#[test]
fn sizes_beyond_the_weights_allocate_nothing() {
    for (name, config) in [
        ("vgg", json!({ "layers": vec![1 << 20; 1000] })),
        ("alexnet", json!({ "hidden": 1 << 20 })),
        (
            "densenet",
            json!({ "growth_rate": 1 << 18, "block_config": [1000, 1000, 1000, 1000], "num_init_features": 1 << 20 }),
        ),
        ("mobilenet_v2", json!({ "width_mult": 500 })),
        ("mnasnet", json!({ "alpha": 500 })),
        (
            "shufflenet_v2",
            json!({ "stages_repeats": [1000, 1000, 1000], "stages_out_channels": vec![1 << 20; 5] }),
        ),
    ] {
        let error = refused(name, &config, &json!([]));
        assert!(matches!(error, Error::MissingTensor { .. }), "{error}");
    }
}
