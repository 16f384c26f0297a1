//! The example sources, end to end: registered, downloaded by their own hooks from a
//! mirror on loopback, loaded and run. Their networks have the published layouts and random
//! weights, small enough to be made here.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::server::Server;
use crate::source::{Source, digits_dataset};
use crate::world::World;

const MINILM: &str = "modelzoo/all-minilm-l6-v2";
const CLIP: &str = "modelzoo/clip-vit-b-32";

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/fixtures")
}

/// A safetensors file of tensors with these names and shapes and small random values.
pub(crate) fn random_weights(tensors: &BTreeMap<String, Vec<usize>>) -> Vec<u8> {
    let (mut header, mut data) = (BTreeMap::new(), Vec::new());
    let mut state = 1_u64;
    for (name, shape) in tensors {
        let start = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let value = (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            let ones = name.ends_with("norm.weight") || name.ends_with("LayerNorm.weight");
            let value = if ones { 1.0 + value * 0.1 } else { value * 0.4 };
            data.extend(value.to_le_bytes());
        }
        header.insert(
            name,
            json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] }),
        );
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    bytes
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A published example with other pinned files.
fn example(name: &str, component: &str, files: &Value) -> Source {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name);
    let manifest = std::fs::read(dir.join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_slice(&manifest).unwrap();
    for model in manifest["models"].as_array_mut().unwrap() {
        // That of the published weights.
        model.as_object_mut().unwrap().remove("size_bytes");
    }
    Source::new(component)
        .file("files.json", files.to_string())
        .manifest(|m| *m = manifest)
}

/// A world in which `origins` are served by a server on loopback.
pub(crate) fn mirrored(origins: &[&str], files: Vec<(String, Vec<u8>)>) -> (World, Server) {
    let files = files.iter();
    let server = Server::files(files.map(|(path, bytes)| (path.as_str(), bytes.clone())));
    let world = World::new();
    std::fs::create_dir(world.home()).unwrap();
    let mut config = "[mirrors]\n".to_owned();
    for origin in origins {
        config += &format!("{origin:?} = {:?}\n", server.url("/m"));
    }
    std::fs::write(world.home().join("config.toml"), config).unwrap();
    (world, server)
}

/// The rows of a `.npy` matrix of f32.
pub(crate) fn matrix(path: &Path) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    let (_, shape) = header.split_once("'shape': (").unwrap();
    let (shape, _) = shape.split_once(')').unwrap();
    let (_, width) = shape.split_once(", ").unwrap();
    let width: usize = width.parse().unwrap();
    let values: Vec<f32> = bytes[128..]
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
        .collect();
    values.chunks(width).map(<[f32]>::to_vec).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A BERT of the published layout, a tokenizer that it knows, and the digests that pin them.
fn tiny_bert() -> (Value, Vec<(String, Vec<u8>)>) {
    let (width, vocabulary) = (32, 1000);
    let config = json!({
        "model_type": "bert", "vocab_size": vocabulary, "hidden_size": width,
        "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
        "hidden_act": "gelu", "max_position_embeddings": 64, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
    });
    let mut tensors = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| tensors.insert(name, shape.to_vec());
    for (name, rows) in [("word", vocabulary), ("position", 64), ("token_type", 2)] {
        add(
            format!("embeddings.{name}_embeddings.weight"),
            &[rows, width],
        );
    }
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..2 {
        let layer = format!("encoder.layer.{layer}");
        for (name, out, inputs) in [
            ("attention.self.query", width, width),
            ("attention.self.key", width, width),
            ("attention.self.value", width, width),
            ("attention.output.dense", width, width),
            ("intermediate.dense", 64, width),
            ("output.dense", width, 64),
        ] {
            add(format!("{layer}.{name}.weight"), &[out, inputs]);
            add(format!("{layer}.{name}.bias"), &[out]);
        }
        norms.push(format!("{layer}.attention.output.LayerNorm"));
        norms.push(format!("{layer}.output.LayerNorm"));
    }
    for norm in norms {
        add(format!("{norm}.weight"), &[width]);
        add(format!("{norm}.bias"), &[width]);
    }
    let tokenizer = std::fs::read(fixtures().join("tokenizers/bert.json")).unwrap();
    let files = [
        ("config.json", config.to_string().into_bytes()),
        ("model.safetensors", random_weights(&tensors)),
        ("tokenizer.json", tokenizer),
    ];
    let digests: BTreeMap<&str, String> = files
        .iter()
        .map(|(name, bytes)| (*name, sha256(bytes)))
        .collect();
    let pinned = json!({ "repository": "acme/tiny", "revision": "abc", "sha256": digests });
    let served = files
        .into_iter()
        .map(|(name, bytes)| (format!("/m/acme/tiny/resolve/abc/{name}"), bytes));
    (pinned, served.collect())
}

#[test]
fn minilm_embeds_sentences() {
    let (pinned, files) = tiny_bert();
    let (world, _server) = mirrored(&["https://huggingface.co"], files);
    example("minilm", test_artifacts::MINILM_SOURCE, &pinned).write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world.ok(&["download", MINILM]);
    let long = "a ".repeat(400);
    let texts = format!("the cat sat on the mat\na dog\nthe cat sat on the mat\n{long}\n");
    std::fs::write(world.path("texts.txt"), texts).unwrap();
    // The network has 64 positions and the plan truncates at 256: only the long text fails.
    let run = world.run(&["embed", MINILM, "texts.txt", "v", "--output", "v.npy"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("longer than the 64"), "{}", run.stderr);
    let rows = matrix(&world.path("v.npy"));
    assert_eq!((rows.len(), rows[0].len()), (4, 32));
    assert!(rows[3].iter().all(|value| value.is_nan()));
    let length: f32 = rows[0].iter().map(|value| value * value).sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
    // The same text has the same vector whatever else is in its batch.
    assert!(cosine(&rows[0], &rows[2]) > 0.999_99);
    assert!(cosine(&rows[0], &rows[1]) < 0.999);
    world.run(&[
        "embed",
        MINILM,
        "texts.txt",
        "v",
        "-b",
        "1",
        "--output",
        "one.npy",
    ]);
    let alone = matrix(&world.path("one.npy"));
    for (alone, row) in alone.iter().zip(&rows).take(3) {
        assert!(cosine(alone, row) > 0.999_99);
    }
    let run = world.run(&["apply", MINILM, "texts.txt", "v", "--output", "v.jsonl"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("modelzoo embed"), "{}", run.stderr);
}

/// A CLIP of OpenAI's layout for images of 224 pixels, whose vocabulary is that of the small
/// merges of the tokenizer's fixtures.
fn tiny_clip() -> (Value, Vec<(String, Vec<u8>)>) {
    let merges = std::fs::read(fixtures().join("tokenizers/merges.txt.gz")).unwrap();
    let lines = std::fs::read_to_string(fixtures().join("tokenizers/merges.txt")).unwrap();
    let vocabulary = 512 + lines.lines().count() - 1 + 2;
    let (vision, text, common) = (64, 64, 16);
    let mut tensors = BTreeMap::new();
    let mut add = |name: &str, shape: &[usize]| tensors.insert(name.to_owned(), shape.to_vec());
    add("positional_embedding", &[77, text]);
    add("text_projection", &[text, common]);
    add("logit_scale", &[]);
    add("token_embedding.weight", &[vocabulary, text]);
    add("visual.class_embedding", &[vision]);
    add("visual.positional_embedding", &[50, vision]);
    add("visual.proj", &[vision, common]);
    add("visual.conv1.weight", &[vision, 3, 32, 32]);
    for (norm, width) in [
        ("visual.ln_pre", vision),
        ("visual.ln_post", vision),
        ("ln_final", text),
    ] {
        add(&format!("{norm}.weight"), &[width]);
        add(&format!("{norm}.bias"), &[width]);
    }
    for (tower, width) in [("visual.transformer", vision), ("transformer", text)] {
        let block = format!("{tower}.resblocks.0");
        for (name, out, inputs) in [
            ("attn.out_proj", width, width),
            ("mlp.c_fc", width * 4, width),
            ("mlp.c_proj", width, width * 4),
        ] {
            add(&format!("{block}.{name}.weight"), &[out, inputs]);
            add(&format!("{block}.{name}.bias"), &[out]);
        }
        add(&format!("{block}.attn.in_proj_weight"), &[width * 3, width]);
        add(&format!("{block}.attn.in_proj_bias"), &[width * 3]);
        for norm in ["ln_1", "ln_2"] {
            add(&format!("{block}.{norm}.weight"), &[width]);
            add(&format!("{block}.{norm}.bias"), &[width]);
        }
    }
    let weights = random_weights(&tensors);
    let pinned = json!({
        "weights": { "url": "https://weights.example/w.pt", "sha256": sha256(&weights) },
        "merges": { "url": "https://weights.example/m.gz", "sha256": sha256(&merges) },
    });
    let files = vec![
        ("/m/w.pt".to_owned(), weights),
        ("/m/m.gz".to_owned(), merges),
    ];
    (pinned, files)
}

fn clip_world() -> (World, Server) {
    let (pinned, files) = tiny_clip();
    let (world, server) = mirrored(&["https://weights.example"], files);
    example("openai-clip", test_artifacts::OPENAI_CLIP_SOURCE, &pinned)
        .manifest(|m| m["permissions"]["network"] = json!(["https://weights.example"]))
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    digits_dataset(&world.path("dataset"));
    (world, server)
}

#[test]
fn clip_labels_images_with_given_classes() {
    let (world, _server) = clip_world();
    world.ok(&["download", CLIP]);
    let apply = |classes: &str, output: &str| {
        let kwarg = format!("classes={classes}");
        let mut args = vec!["apply", CLIP, "dataset", "p", "-l"];
        args.extend(["--kwarg", &kwarg, "--output", output]);
        world.ok(&args);
        let text = std::fs::read_to_string(world.path(output)).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["p"].clone()).collect::<Vec<_>>()
    };
    let labels = apply("[\"a cat\", \"a dog\", \"the sea\"]", "three.jsonl");
    assert!(!labels.is_empty());
    for label in &labels {
        let name = label["label"].as_str().unwrap();
        assert!(["a cat", "a dog", "the sea"].contains(&name), "{label}");
        assert!(label["logits"]["$binary"].is_object(), "{label}");
    }
    // A single class has probability 1.
    let labels = apply("[\"a cat\"]", "one.jsonl");
    assert!(labels.iter().all(|label| label["confidence"] == 1.0));
    // Missing classes are an error, and a wrong argument is named.
    let run = world.run(&["apply", CLIP, "dataset", "p", "--output", "none.jsonl"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("no labels"), "{}", run.stderr);
    let run = world.run(&[
        "apply",
        CLIP,
        "dataset",
        "p",
        "--kwarg",
        "classes=[]",
        "--output",
        "x.jsonl",
    ]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("`classes` is empty"), "{}", run.stderr);
}

#[test]
fn clip_embeds_images_and_texts_in_one_space() {
    let (world, _server) = clip_world();
    std::fs::write(world.path("texts.txt"), "a cat\na dog\n").unwrap();
    world.ok(&["embed", CLIP, "dataset", "v", "--output", "images.npy"]);
    world.ok(&["embed", CLIP, "texts.txt", "v", "--output", "texts.npy"]);
    let (images, texts) = (
        matrix(&world.path("images.npy")),
        matrix(&world.path("texts.npy")),
    );
    assert_eq!((images[0].len(), texts[0].len()), (16, 16));
    assert!(cosine(&texts[0], &texts[1]) < 0.999_999);
}

#[test]
fn file_that_is_not_the_pinned_one_is_refused() {
    let (pinned, mut files) = tiny_bert();
    for (path, bytes) in &mut files {
        if path.ends_with("config.json") {
            bytes.push(b' ');
        }
    }
    let (world, _server) = mirrored(&["https://huggingface.co"], files);
    example("minilm", test_artifacts::MINILM_SOURCE, &pinned).write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    let run = world.run(&["download", MINILM]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("was expected"), "{}", run.stderr);
    let models = world.json(&["list", "--downloaded-only"]);
    assert_eq!(models, json!([]));
}

/// The vectors of sentence-transformers for the same sentences, as rows.
fn reference_vectors() -> Vec<Vec<f32>> {
    let bytes = std::fs::read(fixtures().join("minilm/vectors.safetensors")).unwrap();
    let (length, rest) = bytes.split_at(8);
    let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
    let values: Vec<f32> = rest[length..]
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
        .collect();
    values.chunks(384).map(<[f32]>::to_vec).collect()
}

#[test]
#[ignore = "needs the real model, which `cargo xtask parity --full` fetches"]
fn real_minilm_equals_sentence_transformers() {
    let model = std::path::PathBuf::from(std::env::var_os("MODELZOO_MINILM").unwrap());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/minilm");
    let pinned = std::fs::read(dir.join("files.json")).unwrap();
    let pinned: Value = serde_json::from_slice(&pinned).unwrap();
    let part = |name: &str| pinned[name].as_str().unwrap().to_owned();
    let below = format!("/m/{}/resolve/{}", part("repository"), part("revision"));
    let files = pinned["sha256"].as_object().unwrap().keys().map(|name| {
        (
            format!("{below}/{name}"),
            std::fs::read(model.join(name)).unwrap(),
        )
    });
    let (world, _server) = mirrored(&["https://huggingface.co"], files.collect());
    example("minilm", test_artifacts::MINILM_SOURCE, &pinned).write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world.ok(&["download", MINILM]);
    std::fs::copy(fixtures().join("minilm/sentences.txt"), world.path("s.txt")).unwrap();
    world.ok(&["embed", MINILM, "s.txt", "v", "--output", "v.npy"]);
    let (ours, theirs) = (matrix(&world.path("v.npy")), reference_vectors());
    assert_eq!(ours.len(), theirs.len());
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let cosine = cosine(ours, theirs);
        assert!(cosine >= 0.9999, "sentence {index}: cosine {cosine}");
    }
}
