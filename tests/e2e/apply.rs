//! Applying a model: what is written, and what happens to samples that cannot be read.

use serde_json::Value;

use crate::source::{DIGITS as MODEL, with_digits};
use crate::world::World;

fn samples(world: &World, dataset: &str) -> Vec<Value> {
    let bytes = std::fs::read(world.path(dataset).join("samples.json")).unwrap();
    let whole: Value = serde_json::from_slice(&bytes).unwrap();
    whole["samples"].as_array().unwrap().clone()
}

fn lines(world: &World, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(world.path(file)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn bad_image_is_one_failure() {
    let world = with_digits();
    let first = samples(&world, "dataset")[0]["filepath"]
        .as_str()
        .unwrap()
        .to_owned();
    std::fs::write(world.path("dataset").join(&first), b"not an image").unwrap();
    let run = world.run(&["apply", MODEL, "dataset", "predictions"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains(&first), "{}", run.stderr);
    assert!(run.stderr.contains("1 failed"), "{}", run.stderr);
    let samples = samples(&world, "dataset");
    assert!(samples[0].get("predictions").is_none_or(Value::is_null));
    assert!(
        samples[1..]
            .iter()
            .all(|s| s["predictions"]["label"].is_string())
    );
}

#[test]
fn batch_equals_its_singles() {
    let world = with_digits();
    for batch in ["1", "7", "64"] {
        let out = format!("batch-{batch}.jsonl");
        world.ok(&[
            "apply", MODEL, "dataset", "p", "-b", batch, "-l", "--output", &out,
        ]);
    }
    let [one, seven, many] = ["1", "7", "64"].map(|b| lines(&world, &format!("batch-{b}.jsonl")));
    assert_eq!(one.len(), samples(&world, "dataset").len());
    for ((a, b), c) in one.iter().zip(&seven).zip(&many) {
        for other in [b, c] {
            assert_eq!(a["filepath"], other["filepath"]);
            assert_eq!(a["p"]["label"], other["p"]["label"]);
            let confidence = |line: &Value| line["p"]["confidence"].as_f64().unwrap();
            assert!((confidence(a) - confidence(other)).abs() < 1e-5);
        }
    }
}

#[test]
fn threshold_leaves_labels_out() {
    let world = with_digits();
    world.ok(&[
        "apply",
        MODEL,
        "dataset",
        "p",
        "-t",
        "1.0",
        "--output",
        "none.jsonl",
    ]);
    world.ok(&[
        "apply",
        MODEL,
        "dataset",
        "p",
        "-t",
        "0",
        "--output",
        "all.jsonl",
    ]);
    let labelled = |file: &str| {
        lines(&world, file)
            .iter()
            .filter(|l| l["p"]["label"].is_string())
            .count()
    };
    let all = samples(&world, "dataset").len();
    assert_eq!(labelled("all.jsonl"), all);
    assert!(labelled("none.jsonl") < all);
}

#[test]
fn logits_are_stored_on_request() {
    let world = with_digits();
    world.ok(&["apply", MODEL, "dataset", "with", "--store-logits"]);
    world.ok(&["apply", MODEL, "dataset", "without"]);
    for sample in samples(&world, "dataset") {
        assert!(
            sample["with"]["logits"]["$binary"]["base64"].is_string(),
            "{sample}"
        );
        assert!(sample["without"].get("logits").is_none_or(Value::is_null));
    }
}

#[test]
fn unknown_fields_are_kept() {
    let world = with_digits();
    let path = world.path("dataset/samples.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let odd = r#""odd" : [1.0000000000000000001, 1e400, {"a":1,"a":2}, "\u00e9"],"#;
    let changed = text.replacen('{', "{ ", 1).replacen(
        "\"ground_truth\"",
        &format!("{odd} \"ground_truth\""),
        1,
    );
    std::fs::write(&path, &changed).unwrap();
    world.ok(&["apply", MODEL, "dataset", "predictions"]);
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(after.contains(odd), "the field has other bytes now");
    let metadata: Value =
        serde_json::from_slice(&std::fs::read(world.path("dataset/metadata.json")).unwrap())
            .unwrap();
    let fields = metadata["sample_fields"].as_array().unwrap();
    let field = fields.iter().find(|f| f["name"] == "predictions").unwrap();
    assert_eq!(
        field["embedded_doc_type"],
        "fiftyone.core.labels.Classification"
    );
}

#[test]
fn image_directory_is_a_dataset() {
    let world = with_digits();
    std::fs::rename(world.path("dataset/data"), world.path("images")).unwrap();
    world.ok(&["apply", MODEL, "images", "p", "--output", "labels.jsonl"]);
    let lines = lines(&world, "labels.jsonl");
    let images = std::fs::read_dir(world.path("images")).unwrap().count();
    assert_eq!(
        lines.len(),
        images,
        "one line an image, and nothing new among them"
    );
    assert!(lines.iter().all(|l| l["p"]["_cls"] == "Classification"));
}

#[test]
fn bad_datasets_are_refused() {
    let world = with_digits();
    let error = world.refused(1, &["apply", MODEL, "no-such-dataset", "p"]);
    assert!(error.contains("no-such-dataset"), "{error}");
    let error = world.refused(1, &["apply", MODEL, "dataset", "not/a/field"]);
    assert!(error.contains("not/a/field"), "{error}");
    let error = world.refused(1, &["apply", MODEL, "dataset", "p", "--device", "cuda:7"]);
    assert!(
        error.contains("cuda:7") && error.contains("hint:"),
        "{error}"
    );
}

#[test]
fn half_precision_is_refused_on_the_cpu() {
    let world = with_digits();
    for command in ["apply", "embed"] {
        let on_cpu = [command, MODEL, "dataset", "p", "--device", "cpu"];
        let with = |precision| [&on_cpu[..], &["--precision", precision]].concat();
        let error = world.refused(1, &with("half"));
        assert!(
            error.contains("`cpu`") && error.contains("slower") && error.contains("hint:"),
            "{error}"
        );
        let error = world.refused(2, &with("quarter"));
        assert!(error.contains("quarter"), "{error}");
    }
    // Nothing was written.
    assert!(
        samples(&world, "dataset")
            .iter()
            .all(|s| s.get("p").is_none())
    );
    for (precision, field) in [("full", "full"), ("auto", "auto")] {
        let on_cpu = ["apply", MODEL, "dataset", field, "--device", "cpu"];
        world.ok(&[&on_cpu[..], &["--precision", precision]].concat());
    }
    for sample in samples(&world, "dataset") {
        assert_eq!(sample["full"]["label"], sample["auto"]["label"]);
    }
    let metadata = std::fs::read(world.path("dataset/metadata.json")).unwrap();
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    for field in ["full", "auto"] {
        let recorded = &metadata["info"]["modelzoo"][field];
        assert_eq!(recorded["device"], "cpu", "{recorded}");
        assert_eq!(recorded["precision"], "full", "{recorded}");
    }
}
