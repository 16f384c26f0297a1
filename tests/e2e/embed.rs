//! Embedding a dataset: where the vectors are written and what is refused.

use serde_json::Value;

use crate::source::{DIGITS as MODEL, with_digits};
use crate::world::World;

fn json(world: &World, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(world.path(file)).unwrap()).unwrap()
}

#[test]
fn every_sample_gets_a_vector() {
    let world = with_digits();
    world.ok(&["embed", MODEL, "dataset", "features"]);
    let samples = json(&world, "dataset/samples.json");
    let samples = samples["samples"].as_array().unwrap();
    assert!(!samples.is_empty());
    for sample in samples {
        assert!(sample["features"]["$binary"]["base64"].is_string());
    }
    let metadata = json(&world, "dataset/metadata.json");
    let fields = metadata["sample_fields"].as_array().unwrap();
    assert!(
        fields.iter().any(|field| field["name"] == "features"
            && field["ftype"] == "fiftyone.core.fields.VectorField")
    );
    let about = &metadata["info"]["modelzoo"]["features"];
    assert_eq!(about["model"], format!("{MODEL}@1.0"));
}

#[test]
fn layer_is_chosen_by_name() {
    let world = with_digits();
    let width = |file: &str| {
        let bytes = std::fs::read(world.path(file)).unwrap();
        let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
        let (_, shape) = header.split_once("'shape': (").unwrap();
        let (shape, _) = shape.split_once(')').unwrap();
        let (_, width) = shape.split_once(", ").unwrap();
        width.parse::<usize>().unwrap()
    };
    world.ok(&["embed", MODEL, "dataset", "f", "--output", "default.npy"]);
    let run = world.run(&[
        "embed", MODEL, "dataset", "f", "--layer", "nothing", "--output", "x.npy",
    ]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("no layer `nothing`"), "{}", run.stderr);
    assert!(!world.path("x.npy").exists());
    // The classifier gives ten numbers, one per digit; its input is larger.
    world.ok(&[
        "embed", MODEL, "dataset", "f", "--layer", "fc2", "--output", "fc.npy",
    ]);
    assert_eq!(width("fc.npy"), 10);
    assert!(width("default.npy") > 10);
}

#[test]
fn text_model_refuses_images() {
    let world = with_digits();
    std::fs::write(world.path("texts.txt"), "one\ntwo\n").unwrap();
    for verb in ["embed", "apply"] {
        let run = world.run(&[verb, MODEL, "texts.txt", "f", "--output", "out.jsonl"]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains("takes images"), "{}", run.stderr);
        assert!(!world.path("out.jsonl").exists());
    }
}

#[test]
fn parquet_table_is_complete() {
    let world = with_digits();
    world.ok(&["embed", MODEL, "dataset", "f", "--output", "f.parquet"]);
    let bytes = std::fs::read(world.path("f.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    // It is replaced only on request.
    let run = world.run(&["embed", MODEL, "dataset", "f", "--output", "f.parquet"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    world.ok(&[
        "embed",
        MODEL,
        "dataset",
        "f",
        "--output",
        "f.parquet",
        "--overwrite",
    ]);
}

#[test]
fn classes_limit_the_labels() {
    let world = with_digits();
    world.ok(&[
        "apply", MODEL, "dataset", "p", "--class", "3", "--output", "p.jsonl",
    ]);
    let text = std::fs::read_to_string(world.path("p.jsonl")).unwrap();
    let labels: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["p"]["label"].clone())
        .collect();
    assert!(labels.iter().any(|label| label == "3"));
    assert!(labels.iter().all(|label| label == "3" || label.is_null()));
    let run = world.run(&[
        "apply", MODEL, "dataset", "p", "--class", "cow", "--output", "q.jsonl",
    ]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("no class `cow`"), "{}", run.stderr);
}

#[test]
fn batches_of_failures_do_not_stop_a_run() {
    let world = with_digits();
    // All but the first eight are not images, and the last batch holds only such files.
    let samples = json(&world, "dataset/samples.json");
    let paths = samples["samples"].as_array().unwrap();
    for sample in &paths[8..] {
        let path = sample["filepath"].as_str().unwrap();
        std::fs::write(world.path("dataset").join(path), b"no image").unwrap();
    }
    let run = world.run(&[
        "embed", MODEL, "dataset", "f", "-b", "4", "--output", "f.jsonl",
    ]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let text = std::fs::read_to_string(world.path("f.jsonl")).unwrap();
    assert_eq!(text.lines().count(), paths.len());
}
