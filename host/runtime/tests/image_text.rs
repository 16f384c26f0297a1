//! CLIP, OpenCLIP and SigLIP, from pixels and prompts to labels.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use common::parity;
use modelzoo_model::sample::Tokens;
use modelzoo_runtime::{Color, Device, Error, Image, Model};
use serde_json::{Value, json};

fn zero_shot_equals_the_reference(case: &str) {
    let dir = tempfile::tempdir().unwrap();
    let plan = parity::zero_shot_plan(case, dir.path(), |_| {});
    for device in [Device::cpu(), Device::cpu_reference()] {
        let model = Model::build(&plan, dir.path(), &device).unwrap();
        assert!(model.takes_images() && model.takes_texts());
        let inputs = parity::inputs(case, &model);
        let predictions = parity::check_zero_shot(case, &model, &inputs, parity::close);
        for (input, prediction) in inputs.iter().zip(&predictions) {
            let alone = model.predict_images(&[input]);
            assert_eq!(&alone.unwrap()[0], prediction);
        }
    }
}

#[test]
fn zero_shot_labels_and_logits_match_the_reference() {
    for case in [
        "clip-tiny",
        "clip-gelu",
        "open-clip-tiny",
        "open-clip-openai",
    ] {
        zero_shot_equals_the_reference(case);
    }
}

#[test]
fn zero_shot_of_siglip_matches_the_reference() {
    zero_shot_equals_the_reference("siglip-tiny");
}

#[test]
fn siglip_pads_texts_by_default() {
    let dir = tempfile::tempdir().unwrap();
    let padded = |pad: bool| {
        let plan = parity::zero_shot_plan("siglip-tiny", dir.path(), |plan| {
            plan["tokenizer"]["pad_to_max"] = json!(pad);
        });
        let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
        let text = model.tokenize("a dog").unwrap();
        assert!(text.ids().len() < 12);
        model.embed_texts(&[text]).unwrap()
    };
    assert_eq!(padded(true), padded(false));
}

#[test]
fn padding_does_not_change_a_text_embedding() {
    for case in ["clip-tiny", "open-clip-tiny"] {
        let dir = tempfile::tempdir().unwrap();
        let vectors = |pad: bool, texts: &[&str]| {
            let plan = parity::zero_shot_plan(case, dir.path(), |plan| {
                plan["tokenizer"]["pad_to_max"] = json!(pad);
            });
            let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
            let tokens: Vec<Tokens> = texts
                .iter()
                .map(|text| model.tokenize(text).unwrap())
                .collect();
            model.embed_texts(&tokens).unwrap()
        };
        let long = "the quick brown fox jumps over the lazy dog";
        let alone = vectors(false, &["a dog"]);
        for (padded, index) in [
            (vectors(true, &["a dog"]), 0),
            (vectors(false, &[long, "a dog"]), 1),
        ] {
            let pairs = alone[0].iter().zip(&padded[index]);
            let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < 1e-5, "{case}: {far}");
        }
    }
}

#[test]
fn truncated_text_keeps_its_end_token() {
    let dir = tempfile::tempdir().unwrap();
    let plan = parity::zero_shot_plan("clip-tiny", dir.path(), |_| {});
    let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
    let tokens = model
        .tokenize(&"a photo of many birds ".repeat(20))
        .unwrap();
    assert!(tokens.is_cut());
    assert_eq!((tokens.ids().len(), tokens.ids().last()), (12, Some(&910)));
    assert_eq!(model.tokenize("").unwrap().ids(), [909, 910]);
    // Special tokens that are spelled out in a text are special tokens, as in OpenAI's code.
    let spelt = model.tokenize("<|startoftext|>a<|endoftext|>").unwrap();
    assert_eq!(spelt.ids().iter().filter(|&&id| id >= 909).count(), 4);
}

/// Builds a case with a change to its plan, and expects that to fail.
fn refused(case: &str, change: impl FnOnce(&mut Value)) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let plan = parity::zero_shot_plan(case, dir.path(), change);
    match Model::build(&plan, dir.path(), &Device::cpu()) {
        Ok(_) => panic!("the plan was built"),
        Err(error) => error,
    }
}

/// Some matrix products compute a single row differently.
#[test]
fn zero_shot_scores_do_not_depend_on_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let plan = parity::zero_shot_plan("clip-tiny", dir.path(), |_| {});
    let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
    let first = parity::images("clip-tiny").remove(0);
    let turned = (0..12_u8).map(|turn| {
        let pixels = first.pixels().iter();
        let pixels = pixels.map(|pixel| pixel.wrapping_mul(2 * turn + 1));
        let (width, height) = (first.width(), first.height());
        let image = Image::from_pixels(width, height, Color::Rgb, pixels.collect());
        model.preprocess(&image.unwrap()).unwrap()
    });
    let inputs: Vec<_> = turned.collect();
    let together = model.predict_images(&inputs).unwrap();
    for (input, prediction) in inputs.iter().zip(&together) {
        let alone = model.predict_images(&[input]);
        assert_eq!(&alone.unwrap()[0], prediction);
    }
}

#[test]
fn incomplete_plan_is_refused_before_reading_weights() {
    let dir = tempfile::tempdir().unwrap();
    let build = |change: &dyn Fn(&mut Value)| {
        let plan = parity::zero_shot_plan("clip-tiny", dir.path(), change);
        std::fs::remove_file(dir.path().join("weights.safetensors")).unwrap();
        match Model::build(&plan, dir.path(), &Device::cpu()) {
            Ok(_) => panic!("the plan was built"),
            Err(error) => error,
        }
    };
    let error = build(&|plan| plan["tokenizer"] = Value::Null);
    let Error::BadPlan { field, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(field, "tokenizer");
    let error = build(&|plan| plan["tokenizer"]["format"]["clip_bpe"]["merges"] = json!("none"));
    assert!(matches!(error, Error::Tokenizer { .. }), "{error}");
}

#[test]
fn too_many_prompts_are_refused() {
    let error = refused("clip-tiny", |plan| {
        let classes: Vec<String> = (0..400_000).map(|class| class.to_string()).collect();
        let prompts = vec!["a photo of a thing"; classes.len()];
        plan["head"]["zero_shot"]["prompts"] = json!(prompts);
        plan["head"]["zero_shot"]["classes"] = json!(classes);
    });
    let Error::BadPlan { field, reason } = &error else {
        panic!("{error}")
    };
    assert_eq!(field, "head.zero_shot.prompts");
    assert!(reason.contains("400000 texts"), "{reason}");
}

fn refused_config(case: &str, path: &str, value: Value) -> String {
    let error = refused(case, |plan| {
        let config = &mut plan["architecture"]["config"];
        let (tower, field) = path.rsplit_once('/').unwrap();
        config.pointer_mut(tower).unwrap()[field] = value;
    });
    assert!(matches!(error, Error::BadConfig { .. }), "{error}");
    error.to_string()
}

#[test]
fn unsupported_configurations_are_refused_by_field() {
    let cases = [
        ("clip-tiny", "/vision_config/hidden_act", json!("gelu_10")),
        ("clip-tiny", "/vision_config/patch_size", json!(25)),
        ("clip-tiny", "/vision_config/image_size", json!(1 << 20)),
        ("clip-tiny", "/vision_config/num_channels", json!(4)),
        ("clip-tiny", "/text_config/num_attention_heads", json!(5)),
        ("clip-tiny", "/text_config/vocab_size", json!(0)),
        ("clip-tiny", "/projection_dim", json!(0)),
        ("siglip-tiny", "/model_type", json!("siglip2")),
        ("siglip-tiny", "/text_config/projection_size", json!(7)),
        ("siglip-tiny", "/text_config/pad_token_id", json!(400)),
        (
            "siglip-tiny",
            "/vision_config/vision_use_head",
            json!(false),
        ),
        (
            "open-clip-tiny",
            "/model_cfg/vision_cfg/layers",
            json!([3, 4, 6, 3]),
        ),
        (
            "open-clip-tiny",
            "/model_cfg/vision_cfg/timm_model_name",
            json!("vit"),
        ),
        (
            "open-clip-tiny",
            "/model_cfg/text_cfg/hf_model_name",
            json!("roberta-base"),
        ),
        (
            "open-clip-tiny",
            "/model_cfg/vision_cfg/mlp_ratio",
            json!(1e300),
        ),
        (
            "open-clip-tiny",
            "/model_cfg/vision_cfg/head_width",
            json!(0),
        ),
        ("open-clip-tiny", "/model_cfg/embed_dim", json!(0)),
    ];
    for (case, path, value) in cases {
        let message = refused_config(case, path, value);
        let field = path.rsplit('/').next().unwrap();
        assert!(
            message.contains(field),
            "{message:?} should tell of {field:?}"
        );
    }
    let message = refused_config("siglip-tiny", "/model_type", json!("siglip2"));
    assert!(message.contains("NaFlex"), "{message}");
}

#[test]
fn mismatched_weights_are_refused_by_name() {
    let error = refused("clip-tiny", |plan| {
        plan["architecture"]["config"]["text_config"]["vocab_size"] = json!(912);
    });
    assert!(matches!(error, Error::WrongShape { .. }), "{error}");
    let error = refused("siglip-tiny", |plan| {
        plan["architecture"]["config"]["vision_config"]["num_hidden_layers"] = json!(1);
    });
    assert!(matches!(error, Error::UnexpectedTensor { .. }), "{error}");
    let error = refused("clip-tiny", |plan| {
        plan["architecture"] = json!({ "name": "open_clip", "config": {} });
    });
    let Error::MissingTensor { name, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(name, "visual.conv1.weight");
}

#[test]
fn images_of_wrong_size_are_refused() {
    let error = refused("clip-tiny", |plan| {
        let to = json!({ "height": 24, "width": 32 });
        plan["preprocessing"]["steps"] =
            json!([{ "resize": { "to": to, "resampling": "bicubic" } }]);
    });
    assert!(matches!(error, Error::BadInput { .. }), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let plan = parity::zero_shot_plan("siglip-tiny", dir.path(), |_| {});
    let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
    let image = Image::from_pixels(1, 1, Color::Rgb, vec![7; 3]).unwrap();
    let input = model.preprocess(&image).unwrap();
    let error = model.predict_images(&[input]).unwrap_err();
    assert!(matches!(error, Error::BadInput { .. }), "{error}");
}

#[test]
fn clip_with_a_resnet_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let plan = parity::zero_shot_plan("open-clip-openai", dir.path(), |_| {});
    let tensors = [("visual.layer1.0.conv1.weight".to_owned(), vec![4, 4, 1, 1])];
    common::write_recipe(&dir.path().join("weights.safetensors"), &tensors, 1);
    let Err(error) = Model::build(&plan, dir.path(), &Device::cpu()) else {
        panic!("the plan was built")
    };
    assert!(error.to_string().contains("a ResNet for images"), "{error}");
}
