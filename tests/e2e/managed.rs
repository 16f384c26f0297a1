//! Models that the host downloads itself, as the manifest says.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::server::{Response, Server};
use crate::source::Source;
use crate::world::World;

/// A source without a component, as in FiftyOne.
fn without_component(model: Value) -> Vec<u8> {
    serde_json::to_vec(&json!({ "name": "test/plain", "models": [model] })).unwrap()
}

#[test]
fn manager_downloads_without_a_hook() {
    let archive = Source::digits().zip("inner/");
    let server = Server::files([("/m.zip", archive), ("/m.bin", b"\x80\x02weights".to_vec())]);
    let world = World::reaching(&[&server]);
    for (name, config, file) in [
        ("plain", json!({ "url": server.url("/m.bin") }), "m.bin"),
        (
            "packed",
            json!({ "url": server.url("/m.zip"), "extract_archive": true }),
            "manifest.json",
        ),
        (
            "unpacked",
            json!({ "url": server.url("/m.zip"), "extract_archive": true, "delete_archive": true }),
            "manifest.json",
        ),
    ] {
        let dir = world.path(name);
        std::fs::create_dir(&dir).unwrap();
        let model = json!({
            "base_name": format!("test/{name}"),
            "base_filename": "m.bin",
            "manager": { "type": "fiftyone.core.models.ModelManager", "config": config },
        });
        std::fs::write(dir.join("manifest.json"), without_component(model)).unwrap();
        world.ok(&["register-source", &format!("./{name}")]);
        let downloaded = world.json(&["download", &format!("test/{name}")]);
        let files = downloaded["receipt"]["files"].as_array().unwrap();
        assert!(files.iter().any(|f| f["name"] == file), "{files:?}");
    }
    // What the manager deletes is nowhere in the store.
    let mut stored = world.visible().into_keys();
    assert!(!stored.any(|path| path.file_name().is_some_and(|name| name == "archive")));
}

#[test]
fn component_that_is_a_directory_is_refused() {
    let world = World::new();
    std::fs::create_dir_all(world.path("s/wasm")).unwrap();
    std::fs::write(world.path("s/wasm/x"), b"x").unwrap();
    let manifest = json!({
        "name": "test/s",
        "component": { "path": "wasm", "sha256": "0".repeat(64) },
        "models": [{ "base_name": "test/m" }],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    std::fs::write(world.path("s/manifest.json"), manifest).unwrap();
    let error = world.refused(1, &["register-source", "./s"]);
    assert!(
        error.contains("manifest.json declares wasm, which the source does not contain"),
        "{error}"
    );
}

#[test]
fn artifacts_come_from_the_first_url_that_has_them() {
    let weights = b"the right weights".to_vec();
    let server = Server::files([("/wrong", b"others".to_vec()), ("/right", weights.clone())]);
    let world = World::reaching(&[&server]);
    let model = json!({
        "base_name": "test/m",
        "artifacts": [{
            "path": "weights.bin",
            "url": [server.url("/missing"), server.url("/wrong"), server.url("/right")],
            "sha256": crate::downloads::sha256(&weights),
        }],
    });
    std::fs::create_dir(world.path("s")).unwrap();
    std::fs::write(world.path("s/manifest.json"), without_component(model)).unwrap();
    world.ok(&["register-source", "./s"]);
    world.ok(&["download", "test/m"]);
    let found = world.ok(&["find", "test/m"]).stdout;
    assert_eq!(
        std::fs::read(PathBuf::from(found.trim_end()).join("weights.bin")).unwrap(),
        weights
    );
}

#[test]
fn file_far_larger_than_declared_is_refused() {
    let server = Server::files([("/m", vec![1; 3 << 20])]);
    let world = World::reaching(&[&server]);
    let model = json!({
        "base_name": "test/m",
        "size_bytes": 1000,
        "artifacts": [{ "path": "m.bin", "url": server.url("/m") }],
    });
    std::fs::create_dir(world.path("s")).unwrap();
    std::fs::write(world.path("s/manifest.json"), without_component(model)).unwrap();
    world.ok(&["register-source", "./s"]);
    let error = world.refused(1, &["download", "test/m"]);
    assert!(
        error.contains("at most") || error.contains("larger"),
        "{error}"
    );
}

#[test]
fn model_larger_than_the_free_disk_is_not_started() {
    let server = Server::files([]);
    let world = World::reaching(&[&server]);
    let artifact = |name: &str, size: Option<u64>| {
        let mut artifact = json!({ "path": name, "url": server.url("/m") });
        if let Some(size) = size {
            artifact["size_bytes"] = json!(size);
        }
        artifact
    };
    let half = Some(1 << 63);
    for (name, model) in [
        (
            "whole",
            json!({ "size_bytes": 1_u64 << 60, "artifacts": [artifact("m.bin", None)] }),
        ),
        // The sum has more than 64 bits.
        (
            "parts",
            json!({ "artifacts": [artifact("a.bin", half), artifact("b.bin", half)] }),
        ),
    ] {
        let mut model = model;
        let full = format!("test/{name}");
        model["base_name"] = json!(full);
        std::fs::create_dir(world.path(name)).unwrap();
        let manifest = world.path(name).join("manifest.json");
        std::fs::write(manifest, without_component(model)).unwrap();
        world.ok(&["register-source", &format!("./{name}")]);
        let error = world.refused(1, &["download", &full]);
        assert!(
            error.contains("are free") && error.contains("hint:"),
            "{error}"
        );
    }
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn mirror_serves_the_files_of_its_origin() {
    let zip = Source::digits().zip("");
    let mirror = Server::files([("/mirror/digits.zip", zip)]);
    let world = World::reaching(&[&mirror]);
    std::fs::create_dir(world.home()).unwrap();
    let config = format!(
        "[mirrors]\n\"https://models.invalid\" = \"{}\"\n",
        mirror.url("/mirror")
    );
    std::fs::write(world.home().join("config.toml"), config).unwrap();
    world.ok(&["register-source", "https://models.invalid/digits.zip"]);
    assert_eq!(
        world.json(&["list-sources"])[0]["id"],
        "https://models.invalid/digits.zip"
    );
}

#[test]
fn web_page_is_refused_as_weights() {
    let server = Server::start(|_| {
        Response::ok(b"<!DOCTYPE html><html>quota exceeded</html>".to_vec())
            .with("content-type", "text/html")
    });
    let world = World::reaching(&[&server]);
    let model = json!({
        "base_name": "test/m",
        "manager": { "type": "fiftyone.core.models.ModelManager", "config": { "url": server.url("/m") } },
    });
    std::fs::create_dir(world.path("s")).unwrap();
    std::fs::write(world.path("s/manifest.json"), without_component(model)).unwrap();
    world.ok(&["register-source", "./s"]);
    let error = world.refused(1, &["download", "test/m"]);
    assert!(
        error.to_lowercase().contains("html") || error.contains("web page"),
        "{error}"
    );
}
