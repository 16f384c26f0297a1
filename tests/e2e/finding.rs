//! A model that finds objects: from a pickled checkpoint of Ultralytics to labels in a dataset.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::examples::mirrored;
use crate::world::World;

const MODEL: &str = "yolo-tiny-torch";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/fixtures")
}

/// A manifest of FiftyOne's form, whose model is the fixture's checkpoint, and a dataset of two
/// photographs.
fn prepared(entry: Value) -> (World, crate::server::Server) {
    let weights = std::fs::read(fixtures().join("checkpoints-yolo/yolo.pt")).unwrap();
    let files = vec![("/m/yolo.pt".to_owned(), weights)];
    let (world, server) = mirrored(&["https://weights.example"], files);
    let manifest = json!({ "name": "test/zoo", "models": [entry] });
    let dir = world.path("source");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    world.ok(&["register-source", "./source"]);
    let dataset = world.path("dataset");
    std::fs::create_dir(&dataset).unwrap();
    for image in ["china.png", "flower.png"] {
        let from = fixtures().join("preprocessing/images").join(image);
        std::fs::copy(from, dataset.join(image)).unwrap();
    }
    (world, server)
}

fn entry() -> Value {
    json!({
        "base_name": MODEL,
        "base_filename": "yolo.pt",
        "manager": {
            "type": "fiftyone.core.models.ModelManager",
            "config": { "url": "https://weights.example/yolo.pt" },
        },
        "default_deployment_config_dict": {
            "type": "fiftyone.utils.ultralytics.FiftyOneYOLOModel",
            "config": {
                "entrypoint_fcn": "ultralytics.YOLO",
                "entrypoint_args": { "model": "yolo.pt" },
                "output_processor_cls":
                    "fiftyone.utils.ultralytics.UltralyticsDetectionOutputProcessor",
                "image_size": [128, 128],
            },
        },
    })
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The objects of a field of each sample, by the names of the images.
fn detections(world: &World, field: &str) -> Vec<(String, Vec<Value>)> {
    let samples = json_of(&world.path("dataset/samples.json"));
    let samples = samples["samples"].as_array().unwrap();
    let mut found: Vec<_> = samples
        .iter()
        .map(|sample| {
            assert_eq!(sample[field]["_cls"], "Detections", "{sample}");
            let name = sample["filepath"].as_str().unwrap().to_owned();
            (
                name,
                sample[field]["detections"].as_array().unwrap().clone(),
            )
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

#[test]
fn objects_become_detections_of_the_dataset() {
    let (world, _server) = prepared(entry());
    let apply = |field: &str, more: &[&str]| {
        world.ok(&[&["apply", MODEL, "dataset", field][..], more].concat());
        detections(&world, field)
    };
    let all = apply("p", &["--confidence-thresh", "0.3"]);
    assert_eq!(all.len(), 2);
    let wanted = json_of(&fixtures().join("checkpoints-yolo/found.json"));
    let (name, objects) = &all[0];
    assert!(name.ends_with("china.png"), "{name}");
    // The most confident one is what Ultralytics' predictor finds.
    let number = |value: &Value| value.as_f64().unwrap();
    let first = &objects[0];
    let confidence = number(&first["confidence"]);
    assert!(
        (confidence - number(&wanted["confidences"][0])).abs() < 1e-3,
        "{first}"
    );
    let names = ["cat", "dog", "hen"];
    let class = wanted["classes"][0].as_u64().unwrap() as usize;
    assert_eq!(first["label"], names[class]);
    let (height, width) = (number(&wanted["size"][0]), number(&wanted["size"][1]));
    let edge = |at: usize| number(&first["bounding_box"][at]);
    let places = [edge(0) * width, edge(1) * height];
    for (at, place) in places.into_iter().enumerate() {
        assert!(
            (place - number(&wanted["boxes"][0][at])).abs() < 0.5,
            "{first}"
        );
    }
    for object in objects {
        let edge = |at: usize| number(&object["bounding_box"][at]);
        assert!(edge(0) >= 0.0 && edge(1) >= 0.0, "{object}");
        assert!(
            edge(0) + edge(2) <= 1.0 + 1e-9 && edge(1) + edge(3) <= 1.0 + 1e-9,
            "{object}"
        );
        assert!(
            names.contains(&object["label"].as_str().unwrap()),
            "{object}"
        );
    }
    // Fewer with a higher threshold, and only of the classes that are asked for.
    let surer = apply("q", &["--confidence-thresh", "0.6"]);
    let class = first["label"].as_str().unwrap();
    let some = apply("r", &["--confidence-thresh", "0.3", "--class", class]);
    for ((_, all), ((_, surer), (_, some))) in all.iter().zip(surer.iter().zip(&some)) {
        assert!(surer.len() <= all.len());
        assert!(
            surer
                .iter()
                .all(|object| number(&object["confidence"]) >= 0.6)
        );
        let same = all.iter().filter(|object| object["label"] == class);
        // Those of other classes no longer count towards the most that an image has.
        assert!(some.len() >= same.count() && !some.is_empty());
        assert!(some.iter().all(|object| object["label"] == class));
    }
    let metadata = json_of(&world.path("dataset/metadata.json"));
    let fields = metadata["sample_fields"].as_array().unwrap();
    let field = fields.iter().find(|field| field["name"] == "p").unwrap();
    assert_eq!(
        field["embedded_doc_type"],
        "fiftyone.core.labels.Detections"
    );
}

#[test]
fn other_tasks_of_the_checkpoint_are_an_error() {
    let mut entry = entry();
    entry["default_deployment_config_dict"]["config"]["output_processor_cls"] =
        json!("fiftyone.utils.ultralytics.UltralyticsClassificationOutputProcessor");
    let (world, _server) = prepared(entry);
    let run = world.run(&["apply", MODEL, "dataset", "p"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let reason =
        "`classification` reads scores of classes, but the architecture `yolo` gives boxes";
    assert!(run.stderr.contains(reason), "{}", run.stderr);
    let run = world.run(&["apply", MODEL, "dataset", "p", "--kwarg", "classes=[\"a\"]"]);
    assert_eq!(run.code, Some(1), "{run:?}");
}

#[test]
fn detections_have_no_logits() {
    let (world, _server) = prepared(entry());
    let run = world.run(&["apply", MODEL, "dataset", "p", "--store-logits"]);
    assert_ne!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr.contains("only classifications have logits"),
        "{}",
        run.stderr
    );
}
