//! Encoders of texts, from a text to its embedding.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::path::Path;

use common::parity;
use modelzoo_model::sample::Tokens;
use modelzoo_runtime::{Device, Error, Model, Plan};
use serde_json::{Value, json};

#[test]
fn old_norm_names_of_bert_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan_of_sentences(dir.path(), |_| {});
    let embed = || {
        let model = Model::build(&plan, dir.path(), &Device::cpu()).unwrap();
        let texts = ["a cat", "two dogs"].map(|text| model.tokenize(text).unwrap());
        model.embed_texts(&texts).unwrap()
    };
    let now = embed();
    let path = dir.path().join("weights.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    let norms: Vec<String> = tensors
        .keys()
        .filter(|name| name.contains("Norm."))
        .cloned()
        .collect();
    assert!(norms.len() > 2);
    for name in norms {
        let tensor = tensors.remove(&name).unwrap();
        let old = name.replace(".weight", ".gamma").replace(".bias", ".beta");
        tensors.insert(old, tensor);
    }
    candle_core::safetensors::save(&tensors, &path).unwrap();
    assert_eq!(embed(), now);
}

/// The plan of bert-tiny with the WordPiece vocabulary of the tokenizer's fixtures, and as many rows
/// of embeddings.
fn plan_of_sentences(dir: &Path, change: impl FnOnce(&mut Value)) -> Plan {
    let mut plan = serde_json::to_value(parity::text_plan("bert-tiny", dir)).unwrap();
    plan["architecture"]["config"]["vocab_size"] = json!(500);
    let folder = parity::fixtures().join("bert-tiny");
    let shapes = parity::read_json(&folder.join("tensors.json"));
    let mut tensors: Vec<(String, Vec<usize>)> =
        serde_json::from_value::<serde_json::Map<_, _>>(shapes)
            .unwrap()
            .into_iter()
            .map(|(name, shape)| (name, serde_json::from_value(shape).unwrap()))
            .collect();
    let words = tensors
        .iter_mut()
        .find(|(name, _)| name.ends_with("word_embeddings.weight"));
    words.unwrap().1[0] = 500;
    common::write_recipe(&dir.join("weights.safetensors"), &tensors, 40);
    let vocab = parity::fixtures().join("tokenizers/vocab-uncased.txt");
    std::fs::copy(vocab, dir.join("vocab.txt")).unwrap();
    plan["tokenizer"] = json!({
        "format": { "word_piece": { "vocab": "vocab.txt", "lowercase": true } },
        "max_tokens": 16,
    });
    plan["embeddings"] = json!({ "pooling": "mean", "normalize": true });
    change(&mut plan);
    serde_json::from_value(plan).unwrap()
}

fn build(dir: &Path, change: impl FnOnce(&mut Value)) -> Result<Model, Error> {
    Model::build(&plan_of_sentences(dir, change), dir, &Device::cpu())
}

fn refused(change: impl FnOnce(&mut Value)) -> Error {
    let dir = tempfile::tempdir().unwrap();
    match build(dir.path(), change) {
        Ok(_) => panic!("the plan was built"),
        Err(error) => error,
    }
}

#[test]
fn text_embeddings_do_not_depend_on_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let model = build(dir.path(), |_| {}).unwrap();
    let sentences = [
        "a photo of a cat",
        "the quick brown fox jumps over the lazy dog while seven wizards box and quiz them with vim",
        "",
        "dog",
        "A PHOTO OF A CAT",
    ];
    let tokens: Vec<Tokens> = sentences
        .iter()
        .map(|text| model.tokenize(text).unwrap())
        .collect();
    assert!(tokens[1].is_cut() && !tokens[0].is_cut());
    assert_eq!(tokens[1].ids().len(), 16);
    assert_eq!(
        tokens[1].ids().last(),
        tokens[2].ids().last(),
        "the end is kept"
    );
    assert_eq!(
        tokens[2].ids().len(),
        2,
        "an empty text is its start and its end"
    );
    assert_eq!(tokens[0], tokens[4]);
    let together = model.embed_texts(&tokens).unwrap();
    for (index, text) in tokens.iter().enumerate() {
        let alone = model.embed_texts(std::slice::from_ref(text)).unwrap();
        let pairs = alone[0].iter().zip(&together[index]);
        let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-6, "{index}: {far}");
        let length: f32 = together[index].iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }
    assert!(model.embed_texts::<Tokens>(&[]).unwrap().is_empty());
}

#[test]
fn text_embeddings_need_a_pooling() {
    for embeddings in [
        json!({ "normalize": true }),
        json!({ "layer": "encoder.layer.0" }),
    ] {
        let error = refused(|plan| plan["embeddings"] = embeddings);
        let Error::BadPlan { field, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(field, "embeddings.pooling", "{error}");
    }
    // Without `embeddings` in the plan, there are none.
    let dir = tempfile::tempdir().unwrap();
    let model = build(dir.path(), |plan| plan["embeddings"] = Value::Null).unwrap();
    let texts = ["dog", "a photo of a cat"].map(|text| model.tokenize(text).unwrap());
    for texts in [&texts[..], &texts[..1]] {
        let error = model.embed_texts(texts).unwrap_err();
        assert!(matches!(error, Error::CannotDo { .. }), "{error}");
        assert!(
            error
                .remedy()
                .unwrap()
                .to_string()
                .contains("embeddings.pooling")
        );
    }
}

#[test]
fn padding_beyond_the_network_limit_is_refused() {
    for (max, network) in [(21, true), (1 << 16, true), (u32::MAX, false)] {
        let error = refused(|plan| {
            plan["tokenizer"]["max_tokens"] = json!(max);
            plan["tokenizer"]["pad_to_max"] = json!(true);
        });
        let Error::BadPlan { field, reason } = &error else {
            panic!("{error}")
        };
        assert_eq!(field, "tokenizer.max_tokens");
        assert_eq!(reason.contains("the network takes 20"), network, "{reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let model = build(dir.path(), |plan| {
        plan["tokenizer"]["max_tokens"] = json!(20);
        plan["tokenizer"]["pad_to_max"] = json!(true);
    });
    let model = model.unwrap();
    let text = model.tokenize("dog").unwrap();
    assert_eq!(model.embed_texts(&[text]).unwrap().len(), 1);
}

#[test]
fn too_long_text_is_truncated_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let uncut = |plan: &mut Value| {
        plan["tokenizer"]
            .as_object_mut()
            .unwrap()
            .remove("max_tokens");
    };
    let model = build(dir.path(), uncut).unwrap();
    assert!(model.tokenize("a photo of a cat").is_ok());
    let error = model.tokenize(&"a ".repeat(40)).unwrap_err();
    let Error::TextTooLong { tokens, limit } = error else {
        panic!("{error}")
    };
    assert_eq!((tokens, limit), (42, 20));
    let model = build(dir.path(), |plan| {
        plan["tokenizer"]["max_tokens"] = json!(20)
    })
    .unwrap();
    assert_eq!(model.tokenize(&"a ".repeat(40)).unwrap().ids().len(), 20);
    // A larger limit than the network's only matters for texts of that length.
    let model = build(dir.path(), |plan| {
        plan["tokenizer"]["max_tokens"] = json!(40)
    })
    .unwrap();
    assert!(matches!(
        model.tokenize(&"a ".repeat(40)),
        Err(Error::TextTooLong { .. })
    ));
}

#[test]
fn tokenizer_of_another_network_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let vocab = parity::fixtures().join("tokenizers/clip.json");
    std::fs::copy(vocab, dir.path().join("clip.json")).unwrap();
    let model = build(dir.path(), |plan| {
        plan["tokenizer"]["format"] = json!({ "json": { "file": "clip.json" } });
    });
    let error = model.unwrap().tokenize("a cat").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("but the network knows 500 tokens"),
        "{error}"
    );
}

#[test]
fn unknown_token_ids_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = build(dir.path(), |_| {}).unwrap();
    let far = Tokens::new(vec![2, 500, 3], false);
    let long = Tokens::new(vec![2; 21], false);
    let none = Tokens::new(Vec::new(), false);
    let some = Tokens::new(vec![2, 3], false);
    for texts in [vec![far], vec![long], vec![none.clone()], vec![some, none]] {
        let error = model.embed_texts(&texts).unwrap_err();
        assert!(matches!(error, Error::BadInput { .. }), "{error}");
    }
}

#[test]
fn unsupported_configurations_are_refused_by_field() {
    let cases = [
        ("hidden_act", json!("gelu_10")),
        ("position_embedding_type", json!("relative_key")),
        ("num_attention_heads", json!(5)),
        ("num_hidden_layers", json!(0)),
        ("num_hidden_layers", json!(1001)),
        ("max_position_embeddings", json!(0)),
        ("vocab_size", json!(1 << 21)),
        ("layer_norm_eps", json!(-1)),
        ("is_decoder", json!(true)),
    ];
    for (field, value) in cases {
        let error = refused(|plan| plan["architecture"]["config"][field] = value);
        let Error::BadConfig { field: named, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(named, field, "{error}");
    }
    let error = refused(|plan| plan["architecture"]["config"]["model_type"] = json!("t5"));
    assert!(error.to_string().contains("t5"), "{error}");
    let error = refused(|plan| {
        plan["architecture"]["config"]["model_type"] = json!("roberta");
        plan["architecture"]["config"]["pad_token_id"] = json!(usize::MAX);
    });
    assert!(matches!(error, Error::BadConfig { .. }), "{error}");
}

#[test]
fn weights_of_another_size_are_refused_by_name() {
    let error = refused(|plan| plan["architecture"]["config"]["hidden_size"] = json!(64));
    assert!(matches!(error, Error::WrongShape { .. }), "{error}");
    let error = refused(|plan| plan["architecture"]["config"]["num_hidden_layers"] = json!(3));
    let Error::MissingTensor { name, .. } = error else {
        panic!("{error}")
    };
    assert!(name.starts_with("encoder.layer.2."), "{name}");
    let error = refused(|plan| plan["architecture"]["config"]["num_hidden_layers"] = json!(1));
    assert!(matches!(error, Error::UnexpectedTensor { .. }), "{error}");
}

#[test]
fn text_model_refuses_image_tasks() {
    let error = refused(|plan| plan["preprocessing"] = json!({ "color": "rgb", "steps": [] }));
    assert!(error.to_string().contains("takes no images"), "{error}");
    let error = refused(|plan| {
        plan["head"] = json!({ "zero_shot": { "classes": ["a"], "prompts": ["a"] } });
    });
    assert!(matches!(error, Error::BadPlan { .. }), "{error}");
    let error = refused(|plan| plan["embeddings"]["layer"] = json!("encoder.layer.7"));
    let Error::UnknownLayer { nearest, .. } = error else {
        panic!("{error}")
    };
    assert!(
        nearest.contains(&"encoder.layer.1".to_owned()),
        "{nearest:?}"
    );
}
