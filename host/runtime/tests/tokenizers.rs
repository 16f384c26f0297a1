//! Tokenizers of every format against their references, and hostile files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use std::io::Write as _;
use std::path::Path;

use common::parity;
use modelzoo_runtime::{Device, Error, Model};
use serde_json::{Value, json};

/// A small network for texts of up to 2000 tokens, with a vocabulary of 1000.
fn model(dir: &Path, tokenizer: &Value) -> Result<Model, Error> {
    let (vocabulary, positions, width) = (1000, 2000, 2);
    let names = [
        ("embeddings.word_embeddings.weight", vec![vocabulary, width]),
        (
            "embeddings.position_embeddings.weight",
            vec![positions, width],
        ),
        ("embeddings.token_type_embeddings.weight", vec![1, width]),
        ("embeddings.LayerNorm.weight", vec![width]),
        ("embeddings.LayerNorm.bias", vec![width]),
    ];
    let block = [
        ("attention.self.query", true),
        ("attention.self.key", true),
        ("attention.self.value", true),
        ("attention.output.dense", true),
        ("attention.output.LayerNorm", false),
        ("intermediate.dense", true),
        ("output.dense", true),
        ("output.LayerNorm", false),
    ];
    let mut tensors: Vec<(String, Vec<usize>)> = names
        .into_iter()
        .map(|(name, shape)| (name.to_owned(), shape))
        .collect();
    for (name, matrix) in block {
        let name = format!("encoder.layer.0.{name}");
        let shape = if matrix { vec![width; 2] } else { vec![width] };
        tensors.push((format!("{name}.weight"), shape));
        tensors.push((format!("{name}.bias"), vec![width]));
    }
    common::write_recipe(&dir.join("weights.safetensors"), &tensors, 1);
    let plan = json!({
        "architecture": { "name": "bert", "config": {
            "vocab_size": vocabulary, "max_position_embeddings": positions, "type_vocab_size": 1,
            "hidden_size": width, "intermediate_size": width, "num_hidden_layers": 1,
            "num_attention_heads": 1,
        } },
        "weights": ["weights.safetensors"],
        "tokenizer": tokenizer,
    });
    Model::build(&serde_json::from_value(plan).unwrap(), dir, &Device::cpu())
}

#[test]
fn every_format_matches_the_reference_tokens() {
    let folder = parity::fixtures().join("tokenizers");
    let cases = parity::read_json(&folder.join("cases.json"));
    let texts: Vec<String> = serde_json::from_value(cases["texts"].clone()).unwrap();
    let tokenizers = cases["tokenizers"].as_array().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let mut wrong = Vec::new();
    for case in tokenizers {
        let name = case["name"].as_str().unwrap();
        let plan = json!({ "format": case["format"], "max_tokens": case["max_tokens"] });
        let model = model(dir.path(), &plan).unwrap();
        let rows: Vec<Vec<u32>> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(rows.len(), texts.len());
        for (text, want) in texts.iter().zip(rows) {
            match model.tokenize(text) {
                Ok(tokens) if tokens.ids() == want => {}
                // Some texts become empty, which is an error without special tokens.
                Err(_) if want.is_empty() => {}
                other => wrong.push(format!("{name} {text:?}\n  {other:?}\n  {want:?}")),
            }
        }
    }
    assert!(tokenizers.len() >= 8 && texts.len() > 30);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Expects a tokenizer's file to be refused; returns the message.
fn refused(name: &str, content: &[u8], format: Value) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), content).unwrap();
    match model(dir.path(), &json!({ "format": format })) {
        Ok(_) => panic!("the tokenizer was opened"),
        Err(error) => error.to_string(),
    }
}

/// A small `tokenizer.json`, changed.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": null,
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": { "a": 0, "b": 1, "##b": 2 },
        },
    });
    change(&mut file);
    serde_json::to_vec(&file).unwrap()
}

fn json_refused(change: impl FnOnce(&mut Value)) -> String {
    refused(
        "t.json",
        &changed(change),
        json!({ "json": { "file": "t.json" } }),
    )
}

fn opened(change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, Model) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("t.json"), changed(change)).unwrap();
    let plan = json!({ "format": { "json": { "file": "t.json" } } });
    let model = model(dir.path(), &plan).unwrap();
    (dir, model)
}

/// Values and tokens take many times their bytes in memory.
#[test]
fn tokenizer_of_too_many_values_or_tokens_is_refused() {
    let file = String::from_utf8(changed(|_| {})).unwrap();
    let zeros = "0,".repeat(4 << 20);
    let file = file.replacen('{', &format!(r#"{{"x":[{zeros}0],"#), 1);
    let json = json!({ "json": { "file": "t.json" } });
    let message = refused("t.json", file.as_bytes(), json);
    assert!(message.contains("more than 4194304 values"), "{message}");
    let vocabulary = "[UNK]\n[CLS]\n[SEP]\n[PAD]\n".to_owned() + &"a\n".repeat(1 << 20);
    let format = json!({ "word_piece": { "vocab": "vocab.txt", "lowercase": true } });
    let message = refused("vocab.txt", vocabulary.as_bytes(), format);
    assert!(message.contains("more than 1048576 tokens"), "{message}");
}

#[test]
fn plan_decides_truncation_and_padding() {
    let (_dir, model) = opened(|file| {
        file["truncation"] = json!({ "max_length": 1, "strategy": "LongestFirst", "stride": 0, "direction": "Right" });
        file["padding"] = json!({
            "strategy": { "Fixed": 1_000_000_000_000_u64 }, "direction": "Right",
            "pad_to_multiple_of": 1_u64 << 60, "pad_id": 2, "pad_type_id": 0, "pad_token": "##b",
        });
    });
    let tokens = model.tokenize("a b ab").unwrap();
    assert_eq!(tokens.ids(), [0, 1, 0, 2]);
    assert!(!tokens.is_cut());
}

#[test]
fn tokenizer_steps_that_lengthen_texts_are_refused() {
    let double = |from: &str, to: &str| json!({ "type": "Replace", "pattern": { "String": from }, "content": to });
    let steps = |count: usize| vec![double("a", "aa"); count];
    let message = json_refused(|file| {
        file["normalizer"] = json!({ "type": "Sequence", "normalizers": steps(13) });
    });
    assert!(message.contains("times longer"), "{message}");
    let message = json_refused(|file| file["normalizer"] = double("a", &"a".repeat(5000)));
    assert!(message.contains("5000 bytes"), "{message}");
    let message = json_refused(|file| {
        file["normalizer"] = json!({ "type": "Prepend", "prepend": "a".repeat(65) });
    });
    assert!(message.contains("prepends"), "{message}");
    let message = json_refused(|file| {
        let levels = vec![
            json!({ "type": "ByteLevel", "add_prefix_space": false,
            "trim_offsets": false, "use_regex": false });
            13
        ];
        file["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": levels });
    });
    assert!(message.contains("times longer"), "{message}");
    let message = json_refused(|file| {
        let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
        file["post_processor"] = json!({
            "type": "TemplateProcessing", "single": [text, text], "pair": [text],
            "special_tokens": {},
        });
    });
    assert!(message.contains("repeats the text"), "{message}");
    let message = json_refused(|file| {
        let ids = vec![0; 65];
        let special = json!({ "id": "x", "ids": ids, "tokens": vec!["x"; 65] });
        file["post_processor"] = json!({
            "type": "TemplateProcessing", "single": [{ "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [], "special_tokens": { "x": special },
        });
    });
    assert!(message.contains("too much around it"), "{message}");
    // A few doublings are accepted, and bound the text.
    let (_dir, model) = opened(|file| {
        file["normalizer"] = json!({ "type": "Sequence", "normalizers": steps(10) });
    });
    assert!(model.tokenize("a").is_ok());
    let error = model.tokenize(&"a".repeat(9_000)).unwrap_err();
    assert!(error.to_string().contains("at most 8192 bytes"), "{error}");
}

fn added(content: &str, normalized: bool) -> Value {
    json!({
        "id": 3, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": normalized, "special": false,
    })
}

/// They are normalised while the file is read, without a time limit.
#[test]
fn added_tokens_that_grow_are_refused() {
    let message =
        json_refused(|file| file["added_tokens"] = json!([added(&"x".repeat(1025), false)]));
    assert!(message.contains("added token of 1025 bytes"), "{message}");
    let growing = json!({
        "type": "Replace", "pattern": { "Regex": "x" }, "content": "y".repeat(4000),
    });
    let many = |normalized| -> Vec<Value> {
        let names = (0..300).map(|number| format!("{number:08}"));
        names.map(|name| added(&name, normalized)).collect()
    };
    let message = json_refused(|file| {
        file["normalizer"] = growing.clone();
        file["added_tokens"] = json!(many(true));
    });
    assert!(
        message.contains("`added_tokens` of 2400 bytes"),
        "{message}"
    );
    let message = json_refused(|file| {
        let steps = [
            json!({ "type": "Prepend", "prepend": "x".repeat(64) }),
            growing.clone(),
        ];
        file["normalizer"] = json!({ "type": "Sequence", "normalizers": steps });
    });
    assert!(message.contains("times longer"), "{message}");
    let message = json_refused(|file| {
        file["normalizer"] = json!({
            "type": "Replace", "pattern": { "Regex": "(?:(?:a|a)*)*(?!a)b" }, "content": "",
        });
        file["added_tokens"] = json!([added(&"a".repeat(40), true)]);
    });
    assert!(message.contains("goes back"), "{message}");
    // Without normalisation, they do not grow.
    let (_dir, model) = opened(|file| {
        file["normalizer"] = growing.clone();
        file["added_tokens"] = json!(many(false));
    });
    assert!(model.tokenize("a").is_ok());
}

/// The library gives up a match after a million steps, and the time limit abandons the rest. Without
/// either, this would not end.
#[test]
fn backtracking_pattern_ends() {
    let (_dir, model) = opened(|file| {
        file["pre_tokenizer"] = json!({
            "type": "Split", "pattern": { "Regex": "(?:(?:a|a)*)*(?!a)b" },
            "behavior": "Isolated", "invert": false,
        });
    });
    assert!(model.tokenize("b").is_ok());
    match model.tokenize(&"a".repeat(400)) {
        Ok(tokens) => assert!(!tokens.ids().is_empty()),
        Err(error) => assert!(error.to_string().contains("took more than"), "{error}"),
    }
}

#[test]
fn character_tables_are_checked() {
    // SentencePiece's table: the trie's bytes in four, the trie, texts that end with zeros.
    let table = |trie: u32, texts: &[u8]| {
        use base64::Engine as _;
        let mut bytes = trie.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(texts);
        let table = base64::engine::general_purpose::STANDARD.encode(bytes);
        json!({ "type": "Precompiled", "precompiled_charsmap": table })
    };
    let message = json_refused(|file| file["normalizer"] = table(u32::MAX, b"a\0"));
    assert!(message.contains("damaged"), "{message}");
    let long = [b"x".repeat(5000).as_slice(), b"\0"].concat();
    let message = json_refused(|file| file["normalizer"] = table(8, &long));
    assert!(message.contains("times longer"), "{message}");
}

type Change = Box<dyn FnOnce(&mut Value)>;

#[test]
fn other_harmful_tokenizer_files_are_refused() {
    let cases: [(&str, Change); 9] = [
        (
            "dropout",
            Box::new(|file| {
                file["model"] =
                    json!({ "type": "BPE", "dropout": 0.1, "vocab": { "a": 0 }, "merges": [] });
            }),
        ),
        (
            "100000 characters",
            Box::new(|file| {
                file["model"]["max_input_chars_per_word"] = json!(100_000);
            }),
        ),
        (
            "token of 2000 bytes",
            Box::new(|file| {
                file["model"]["vocab"] = json!({ "a": 0, ("x".repeat(2000)): 1 });
            }),
        ),
        (
            "unknown field `extra`",
            Box::new(|file| file["model"]["extra"] = json!([0, 1, 2])),
        ),
        (
            "`FixedLength`",
            Box::new(|file| {
                file["pre_tokenizer"] = json!({ "type": "FixedLength", "length": 0 });
            }),
        ),
        (
            "`normalizer`",
            Box::new(|file| {
                let mut deep = json!({ "type": "Lowercase" });
                for _ in 0..40 {
                    deep = json!({ "type": "Sequence", "normalizers": [deep] });
                }
                file["normalizer"] = json!({ "type": "Sequence", "normalizers": [deep, 5] });
            }),
        ),
        (
            "more than 64 steps",
            Box::new(|file| {
                let steps = vec![json!({ "type": "Lowercase" }); 65];
                let steps: Vec<Value> = steps
                    .into_iter()
                    .map(|_| json!({ "type": "Strip", "strip_left": true, "strip_right": true }))
                    .collect();
                file["normalizer"] = json!({ "type": "Sequence", "normalizers": steps });
            }),
        ),
        (
            "pattern of 5000 bytes",
            Box::new(|file| {
                file["pre_tokenizer"] = json!({ "type": "Split", "pattern": { "Regex": "a".repeat(5000) }, "behavior": "Isolated", "invert": false });
            }),
        ),
        (
            "regex",
            Box::new(|file| {
                file["pre_tokenizer"] = json!({ "type": "Split", "pattern": { "Regex": "(((a{1000}){1000}){1000})" }, "behavior": "Isolated", "invert": false });
            }),
        ),
    ];
    for (expected, change) in cases {
        let message = json_refused(change);
        let found = message.to_lowercase().contains(&expected.to_lowercase());
        assert!(found, "{message:?} should tell of {expected:?}");
    }
}

#[test]
fn files_that_are_not_tokenizers_are_refused() {
    let json = || json!({ "json": { "file": "t" } });
    let merges = || json!({ "clip_bpe": { "merges": "t" } });
    let pieces = || json!({ "word_piece": { "vocab": "t", "lowercase": true } });
    let cases: [(&[u8], Value, &str); 12] = [
        (b"", json(), "EOF"),
        (b"[]", json(), "invalid"),
        (b"{}", json(), "model"),
        (b"\xff\xfe", json(), "line 1"),
        (&b"[".repeat(100_000), json(), "line 1"),
        (b"", merges(), "no merges"),
        (b"#version\na b c\n", merges(), "line 2"),
        (b"#version\na b\n\nc d", merges(), "line 3"),
        (b"#version\n\xff\xff", merges(), "not text"),
        (b"\x1f\x8b\x08\x00broken", merges(), "tokenizer"),
        (b"", pieces(), "[SEP]"),
        (b"[SEP]\n[CLS]\n[PAD]\n", pieces(), "[UNK]"),
    ];
    for (content, format, expected) in cases {
        let message = refused("t", content, format);
        assert!(
            message.contains(expected),
            "{message:?} should tell of {expected:?}"
        );
    }
}

#[test]
fn gzip_bomb_of_merges_is_refused() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        packed.write_all(&vec![b'a'; 1 << 20]).unwrap();
    }
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 17);
    let message = refused("t", &packed, json!({ "clip_bpe": { "merges": "t" } }));
    assert!(message.contains("has more than"), "{message}");
}

#[test]
fn large_tokenizer_file_is_refused_before_reading() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("t.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    let plan = json!({ "format": { "json": { "file": "t.json" } } });
    let Err(error) = model(dir.path(), &plan) else {
        panic!("the tokenizer was opened")
    };
    assert!(error.to_string().contains("has more than"), "{error}");
}

#[test]
fn file_names_outside_of_the_directory_are_refused() {
    for name in ["", "../t.json", "/etc/passwd", "a/../t.json", "./t.json"] {
        let message = refused("t.json", b"{}", json!({ "json": { "file": name } }));
        assert!(message.contains("model's directory"), "{name}: {message}");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("t.json")).unwrap();
    let plan = json!({ "format": { "json": { "file": "t.json" } } });
    assert!(matches!(
        model(dir.path(), &plan),
        Err(Error::Tokenizer { .. })
    ));
    assert!(matches!(
        model(
            dir.path(),
            &json!({ "format": { "json": { "file": "missing.json" } } })
        ),
        Err(Error::Tokenizer { .. })
    ));
}

#[test]
fn too_large_text_is_refused() {
    let (_dir, model) = opened(|_| {});
    let error = model.tokenize(&"a ".repeat(1 << 20)).unwrap_err();
    assert!(matches!(error, Error::Tokenizer { .. }), "{error}");
}

#[test]
fn text_without_tokens_is_refused() {
    let (_dir, model) = opened(|_| {});
    let error = model.tokenize("  ").unwrap_err();
    assert!(error.to_string().contains("no token"), "{error}");
    // Padding that the network masks is not a token.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("t.json"), changed(|_| {})).unwrap();
    let format = json!({ "json": { "file": "t.json" } });
    let plan = json!({ "format": format, "max_tokens": 8, "pad_to_max": true });
    let padded = self::model(dir.path(), &plan).unwrap();
    let error = padded.tokenize("  ").unwrap_err();
    assert!(error.to_string().contains("no token"), "{error}");
    assert!(padded.tokenize("a").is_ok());
}

#[test]
fn max_tokens_below_the_special_tokens_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let vocab = parity::fixtures().join("tokenizers/bert.json");
    std::fs::copy(vocab, dir.path().join("bert.json")).unwrap();
    for (max, fits) in [(1, false), (2, false), (3, true)] {
        let plan = json!({ "format": { "json": { "file": "bert.json" } }, "max_tokens": max });
        match model(dir.path(), &plan) {
            Ok(model) => {
                assert!(fits, "{max}");
                assert_eq!(model.tokenize("a photo of a cat").unwrap().ids().len(), 3);
            }
            Err(error) => {
                assert!(!fits, "{max}");
                assert!(error.to_string().contains("max_tokens"), "{error}");
            }
        }
    }
}
