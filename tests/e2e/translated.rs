//! Models that a manifest of FiftyOne describes without hooks: its `manager` downloads them, its
//! `default_deployment_config_dict` says what they are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::examples::{matrix, mirrored, random_weights};
use crate::source::{DIGITS, Source, digits_dataset};
use crate::world::World;

/// A source of one model without a component.
fn register(world: &World, model: Value) {
    let manifest = json!({ "name": "test/zoo", "models": [model] });
    let dir = world.path("source");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    world.ok(&["register-source", "./source"]);
    digits_dataset(&world.path("dataset"));
}

/// torchvision's SqueezeNet 1.1, the smallest of its networks.
fn squeezenet() -> Vec<u8> {
    let mut tensors = BTreeMap::new();
    let mut conv = |name: String, out: usize, inputs: usize, kernel: usize| {
        tensors.insert(format!("{name}.weight"), vec![out, inputs, kernel, kernel]);
        tensors.insert(format!("{name}.bias"), vec![out]);
    };
    conv("features.0".to_owned(), 64, 3, 3);
    let fires = [
        (3, 64, 16, 64),
        (4, 128, 16, 64),
        (6, 128, 32, 128),
        (7, 256, 32, 128),
        (9, 256, 48, 192),
        (10, 384, 48, 192),
        (11, 384, 64, 256),
        (12, 512, 64, 256),
    ];
    for (index, inputs, squeeze, expand) in fires {
        let fire = |part: &str| format!("features.{index}.{part}");
        conv(fire("squeeze"), squeeze, inputs, 1);
        conv(fire("expand1x1"), expand, squeeze, 1);
        conv(fire("expand3x3"), expand, squeeze, 3);
    }
    conv("classifier.1".to_owned(), 1000, 512, 1);
    random_weights(&tensors)
}

fn squeezenet_entry() -> Value {
    json!({
        "base_name": "squeezenet-1.1-imagenet-torch",
        "base_filename": "squeezenet1_1-f364aa15.pth",
        "manager": {
            "type": "fiftyone.core.models.ModelManager",
            "config": { "url": "https://weights.example/squeezenet1_1-f364aa15.pth" },
        },
        "default_deployment_config_dict": {
            "type": "fiftyone.zoo.models.torch.TorchvisionImageModel",
            "config": {
                "entrypoint_fcn": "torchvision.models.squeezenet.squeezenet1_1",
                "entrypoint_args": { "weights": "SqueezeNet1_1_Weights.DEFAULT" },
                "output_processor_cls": "fiftyone.utils.torch.ClassifierOutputProcessor",
                "labels_path": "{{eta-resources}}/imagenet-labels-no-background.txt",
                "image_min_dim": 224, "image_max_dim": 2048,
                "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
            },
        },
    })
}

const SQUEEZENET: &str = "squeezenet-1.1-imagenet-torch";

#[test]
fn torchvision_model_needs_no_hook() {
    let files = vec![("/m/squeezenet1_1-f364aa15.pth".to_owned(), squeezenet())];
    let (world, _server) = mirrored(&["https://weights.example"], files);
    register(&world, squeezenet_entry());
    world.ok(&["apply", SQUEEZENET, "dataset", "p", "--output", "p.jsonl"]);
    let text = std::fs::read_to_string(world.path("p.jsonl")).unwrap();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["p"]["label"].is_string(), "{line}");
    }
    world.ok(&["embed", SQUEEZENET, "dataset", "v", "--output", "v.npy"]);
    assert_eq!(matrix(&world.path("v.npy"))[0].len(), 1000);
    for (kwarg, reason) in [
        ("image_dim=0", "`image_dim`: is not a positive number"),
        ("classes=[\"a\"]", "has the shape [1000, 512, 1, 1]"),
        (
            "classes=cat,dog",
            "`classes`: `cat,dog` is one text, and a list is wanted\nhint: give it, for example \
             `--kwarg 'classes=[\"cat\",\"dog\"]'`",
        ),
        ("entrypoint_fcn=os.system", "`os.system` is not known"),
        ("labels_path=/etc/passwd", "`labels_path`: is not one of"),
        (
            "use_half_precision=yes",
            "`use_half_precision`: is not true or false",
        ),
        (
            "confidence_tresh=0.5",
            "`confidence_tresh` is not an argument",
        ),
    ] {
        let run = world.run(&["apply", SQUEEZENET, "dataset", "q", "--kwarg", kwarg]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(reason), "{}", run.stderr);
    }
}

/// A ViT of the layout that transformers publishes.
fn vit() -> (Value, Vec<u8>) {
    let (width, hidden) = (16, 32);
    let config = json!({
        "model_type": "vit", "hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": hidden, "image_size": 16, "patch_size": 8, "hidden_act": "gelu",
        "id2label": { "0": "cat", "1": "dog" },
    });
    let mut tensors = BTreeMap::new();
    let mut add = |name: &str, shape: &[usize]| tensors.insert(name.to_owned(), shape.to_vec());
    add("vit.embeddings.cls_token", &[1, 1, width]);
    add("vit.embeddings.position_embeddings", &[1, 5, width]);
    add(
        "vit.embeddings.patch_embeddings.projection.weight",
        &[width, 3, 8, 8],
    );
    add("vit.embeddings.patch_embeddings.projection.bias", &[width]);
    let layer = "vit.encoder.layer.0";
    for (name, out, inputs) in [
        ("attention.attention.query", width, width),
        ("attention.attention.key", width, width),
        ("attention.attention.value", width, width),
        ("attention.output.dense", width, width),
        ("intermediate.dense", hidden, width),
        ("output.dense", width, hidden),
    ] {
        add(&format!("{layer}.{name}.weight"), &[out, inputs]);
        add(&format!("{layer}.{name}.bias"), &[out]);
    }
    for norm in [
        "vit.encoder.layer.0.layernorm_before",
        "vit.encoder.layer.0.layernorm_after",
        "vit.layernorm",
    ] {
        add(&format!("{norm}.weight"), &[width]);
        add(&format!("{norm}.bias"), &[width]);
    }
    add("classifier.weight", &[2, width]);
    add("classifier.bias", &[2]);
    (config, random_weights(&tensors))
}

#[test]
fn hugging_face_repository_needs_no_hook() {
    let (config, weights) = vit();
    let processor = json!({
        "image_processor_type": "ViTImageProcessor", "size": { "height": 16, "width": 16 },
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2,
    });
    let below = "/m/acme/tiny-vit/resolve/main";
    // Like many older repositories it has no model.safetensors.
    let files = vec![
        (
            format!("{below}/config.json"),
            config.to_string().into_bytes(),
        ),
        (
            format!("{below}/preprocessor_config.json"),
            processor.to_string().into_bytes(),
        ),
        (format!("{below}/pytorch_model.bin"), weights),
    ];
    let (world, server) = mirrored(&["https://huggingface.co"], files);
    let name = "fiftyone.utils.transformers.FiftyOneTransformerForImageClassification";
    let described = json!({ "type": name, "config": { "name_or_path": "acme/tiny-vit" } });
    register(
        &world,
        json!({
            "base_name": "tiny-vit", "default_deployment_config_dict": described,
        }),
    );
    world.ok(&["download", "tiny-vit"]);
    let asked: Vec<String> = server
        .seen()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert!(
        asked.contains(&format!("{below}/model.safetensors")),
        "{asked:?}"
    );
    // Half precision has no effect on the CPU.
    let apply = ["apply", "tiny-vit", "dataset", "p", "--device", "cpu"];
    let asked = ["--kwarg", "use_half_precision=true", "--output", "p.jsonl"];
    world.ok(&[&apply[..], &asked].concat());
    let text = std::fs::read_to_string(world.path("p.jsonl")).unwrap();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            line["p"]["label"] == "cat" || line["p"]["label"] == "dog",
            "{line}"
        );
    }
}

#[test]
fn unknown_configuration_is_named() {
    let world = World::new();
    let described = json!({ "type": "fiftyone.utils.torch.TorchImageModell", "config": {} });
    register(
        &world,
        json!({
            "base_name": "odd", "default_deployment_config_dict": described,
        }),
    );
    let run = world.run(&["download", "odd"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr.contains("TorchImageModell` is not known"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("did you mean TorchImageModel "),
        "{}",
        run.stderr
    );
}

#[test]
fn hook_serves_an_unknown_configuration() {
    for (half, works) in [(json!(true), true), (json!("yes"), false)] {
        let world = World::new();
        let kind = "acme.models.OfItsOwn";
        let described = json!({ "type": kind, "config": { "use_half_precision": half } });
        let source = Source::digits()
            .manifest(|m| m["models"][0]["default_deployment_config_dict"] = described);
        source.write(&world.path("source"));
        world.ok(&["register-source", "./source"]);
        world.ok(&["download", DIGITS]);
        digits_dataset(&world.path("dataset"));
        let apply = ["apply", DIGITS, "dataset", "p", "--device", "cpu"];
        if works {
            world.ok(&apply);
        } else {
            // The settings that are known still apply.
            let error = world.refused(1, &apply);
            assert!(
                error.contains("`use_half_precision`: is not true or false"),
                "{error}"
            );
        }
    }
}
