//! From a reference to labels: registered, listed, downloaded, loaded and applied.

use serde_json::Value;

use crate::server::{Response, Server};
use crate::source::{Source, digits_dataset};
use crate::world::World;

const MODEL: &str = "modelzoo/digits-cnn";

/// Registers a source by `reference`, downloads and applies its model, and returns the
/// accuracy over the held-out digits.
pub(crate) fn whole_path(world: &World, reference: &str) -> f64 {
    let registered = world.json(&["register-source", reference]);
    assert_eq!(registered["outcome"]["outcome"], "new");
    let listed = world.json(&["list"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["name"], format!("{MODEL}@1.0"));
    assert_eq!(listed[0]["downloaded"], false);

    world.ok(&["download", MODEL]);
    assert_eq!(
        world
            .json(&["list", "--downloaded-only"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let found = world.ok(&["find", MODEL]).stdout;
    assert!(std::path::Path::new(found.trim_end()).is_file(), "{found}");

    let dataset = world.path("dataset");
    digits_dataset(&dataset);
    world.ok(&["apply", MODEL, dataset.to_str().unwrap(), "predictions"]);
    assert_eq!(world.unfinished(), Vec::<std::path::PathBuf>::new());
    accuracy(&std::fs::read(dataset.join("samples.json")).unwrap())
}

/// The share of samples whose prediction equals the ground truth; each must have a complete label.
fn accuracy(samples: &[u8]) -> f64 {
    let samples: Value = serde_json::from_slice(samples).unwrap();
    let samples = samples["samples"].as_array().unwrap();
    let right = samples.iter().filter(|sample| {
        let label = &sample["predictions"];
        assert_eq!(label["_cls"], "Classification");
        assert_eq!(label["_id"]["$oid"].as_str().unwrap().len(), 24);
        let confidence = label["confidence"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&confidence));
        label["label"] == sample["ground_truth"]["label"]
    });
    right.count() as f64 / samples.len() as f64
}

#[test]
fn local_directory_is_registered_downloaded_and_applied() {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    assert!(whole_path(&world, "./source") >= 0.98);
}

#[test]
fn local_archive_is_registered_downloaded_and_applied() {
    let world = World::new();
    std::fs::write(world.path("digits.tar.gz"), Source::digits().tar_gz()).unwrap();
    assert!(whole_path(&world, "./digits.tar.gz") >= 0.98);
}

#[test]
fn archive_url_is_registered_downloaded_and_applied() {
    let server = Server::files([("/digits.zip", Source::digits().zip(""))]);
    let world = World::reaching(&[&server]);
    assert!(whole_path(&world, &server.url("/digits.zip")) >= 0.98);
    assert_eq!(server.seen().len(), 1, "the source is fetched once");
}

#[test]
fn archive_url_without_extension_is_registered_downloaded_and_applied() {
    let body = Source::digits().tar_gz();
    let server = Server::start(move |request| match request.path.as_str() {
        "/download?id=7" => {
            Response::ok(body.clone()).with("content-type", "application/octet-stream")
        }
        _ => Response::status(404),
    });
    let world = World::reaching(&[&server]);
    assert!(whole_path(&world, &server.url("/download?id=7")) >= 0.98);
}

#[test]
fn apply_registers_and_downloads_by_itself() {
    let server = Server::files([("/digits.zip", Source::digits().zip("digits-main/"))]);
    let world = World::reaching(&[&server]);
    let dataset = world.path("dataset");
    digits_dataset(&dataset);
    let url = server.url("/digits.zip");
    world.ok(&[
        "apply",
        &url,
        "dataset",
        "predictions",
        "--model-name",
        MODEL,
    ]);
    assert!(accuracy(&std::fs::read(dataset.join("samples.json")).unwrap()) >= 0.98);
    // The next command finds the source and the model.
    assert_eq!(
        world.json(&["list", "-d", "-n"]),
        serde_json::json!(["modelzoo/digits-cnn@1.0"])
    );
}

#[test]
fn kwargs_reach_the_hook() {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    digits_dataset(&world.path("dataset"));
    let classes =
        r#"classes=["zero","one","two","three","four","five","six","seven","eight","nine"]"#;
    let args = [
        "apply",
        MODEL,
        "dataset",
        "predictions",
        "--kwarg",
        classes,
        "--output",
        "out.jsonl",
    ];
    world.ok(&args);
    let lines = std::fs::read_to_string(world.path("out.jsonl")).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let label = first["predictions"]["label"].as_str().unwrap();
    assert!(classes.contains(&format!("\"{label}\"")), "{label}");

    let error = world.refused(
        1,
        &["apply", MODEL, "dataset", "other", "--kwarg", "clases=[]"],
    );
    assert!(error.contains("clases"), "{error}");
}
