use serde_json::json;

use super::*;

fn parse(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(&serde_json::to_vec(value).unwrap())
}

fn with_model(model: Value) -> Value {
    json!({"name": "acme/zoo", "models": [model]})
}

#[test]
fn a_whole_manifest() {
    let manifest = parse(&json!({
        "name": "acme/zoo",
        "url": "https://github.com/acme/zoo",
        "component": {"path": "source.wasm", "sha256": "AB".repeat(32), "files": ["weights/", "a.txt"]},
        "permissions": {"network": ["https://huggingface.co", "https://*.hf.co"], "max_download_bytes": 7},
        "models": [{
            "base_name": "acme/m", "base_filename": "m.safetensors", "version": "1.0", "author": "A",
            "url": "https://x", "license": "MIT", "source": "https://y", "description": "D", "tags": ["a"],
            "size_bytes": 5, "date_added": "2020-01-01", "requirements": {"packages": ["torch"]},
            "manager": {"type": "t"}, "default_deployment_config_dict": {"type": "t"},
            "training_data": [{"name": "N", "url": "u"}], "unknown": [1, 2],
        }],
    }))
    .unwrap();
    assert_eq!(manifest.warnings, []);
    let component = manifest.component.unwrap();
    assert_eq!(component.sha256, Some("ab".repeat(32)));
    assert_eq!(
        component
            .files
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["weights", "a.txt"]
    );
    assert_eq!(manifest.permissions.network.iter().count(), 2);
    assert_eq!(manifest.permissions.max_download_bytes, Some(7));
    let model = &manifest.models[0];
    assert_eq!(model.name().to_string(), "acme/m@1.0");
    assert_eq!(model.raw()["unknown"], json!([1, 2]));
    assert_eq!(model.training_data[0].name, "N");
}

#[test]
fn nulls_and_absent_fields_are_the_same() {
    let manifest = parse(&with_model(json!({
        "base_name": "m", "base_filename": null, "version": "", "tags": null, "size_bytes": null, "manager": null
    })))
    .unwrap();
    assert_eq!(manifest.warnings, []);
    assert_eq!(manifest.models[0].name().to_string(), "m");
}

#[test]
fn a_bad_optional_field_is_a_warning_that_names_it() {
    for (field, value) in [
        ("author", json!(1)),
        ("version", json!(1.0)),
        ("license", json!([])),
        ("tags", json!("a")),
        ("tags", json!([1])),
        ("size_bytes", json!(-1)),
        ("size_bytes", json!("5")),
        ("requirements", json!([])),
        ("manager", json!("x")),
        ("training_data", json!(["x"])),
        ("date_added", json!({})),
    ] {
        let manifest = parse(&with_model(json!({"base_name": "m", field: value}))).unwrap();
        assert_eq!(manifest.warnings.len(), 1, "{field}");
        assert_eq!(manifest.warnings[0].field, format!("models[0].{field}"));
    }
}

#[test]
fn errors_name_their_place() {
    let place = |value: &Value| parse(value).unwrap_err().to_string();
    for (value, expected) in [
        (json!([]), "the whole is no object"),
        (json!({"models": []}), "name is missing"),
        (json!({"name": "a/b"}), "models is missing"),
        (json!({"name": "a/b", "models": {}}), "models is no list"),
        (json!({"name": "..", "models": []}), "`..` is no name"),
        (
            json!({"name": "a", "models": [1]}),
            "models[0] is no object",
        ),
        (with_model(json!({})), "models[0].base_name is missing"),
        (
            with_model(json!({"base_name": "a/../b"})),
            "models[0].base_name",
        ),
        (
            with_model(json!({"base_name": "a", "version": "1/2"})),
            "models[0].version",
        ),
        (
            with_model(json!({"base_name": "a", "base_filename": "/etc/passwd"})),
            "models[0].base_filename",
        ),
        (
            with_model(json!({"base_name": "a", "base_filename": "..\\x"})),
            "models[0].base_filename",
        ),
        (
            json!({"name": "a", "models": [], "component": {}}),
            "component.path is missing",
        ),
        (
            json!({"name": "a", "models": [], "component": {"path": "x", "sha256": "1"}}),
            "component.sha256 is not 64",
        ),
        (
            json!({"name": "a", "models": [], "permissions": {"network": ["*"]}}),
            "permissions.network holds `*`",
        ),
    ] {
        assert!(
            place(&value).contains(expected),
            "{} / {expected}",
            place(&value)
        );
    }
    let syntax = Manifest::parse(b"{\n  \"name\": }")
        .unwrap_err()
        .to_string();
    assert!(syntax.contains("line 2, column 11"), "{syntax}");
}

#[test]
fn artifacts_are_read_strictly() {
    let artifact =
        |value: Value| parse(&with_model(json!({"base_name": "m", "artifacts": [value]})));
    let whole = json!({"path": "a/b", "url": ["https://x/1", "https://y/1"], "sha256": "0".repeat(64), "unpack": true});
    let read = artifact(whole)
        .unwrap()
        .models
        .remove(0)
        .artifacts
        .remove(0);
    assert_eq!(
        (read.urls.len(), read.unpack, read.size_bytes),
        (2, true, None)
    );
    for (bad, place) in [
        (json!({"url": "https://x"}), "artifacts[0].path is missing"),
        (
            json!({"path": "../x", "url": "https://x"}),
            "artifacts[0].path is no safe path",
        ),
        (json!({"path": "x"}), "artifacts[0].url names no address"),
        (
            json!({"path": "x", "url": "https://x", "sha256": "1"}),
            "artifacts[0].sha256 is not",
        ),
    ] {
        let error = artifact(bad).unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }
}

#[test]
fn models_must_be_distinct() {
    let two = |a: Value, b: Value| parse(&json!({"name": "z", "models": [a, b]}));
    assert!(two(json!({"base_name": "a/m"}), json!({"base_name": "A/m"})).is_err());
    assert!(
        two(
            json!({"base_name": "m", "version": "1"}),
            json!({"base_name": "m", "version": "1"})
        )
        .is_err()
    );
    assert!(
        two(
            json!({"base_name": "m", "version": "1"}),
            json!({"base_name": "m"})
        )
        .is_ok()
    );
}

#[test]
fn nothing_nested_is_too_deep_for_us() {
    let deep = format!(
        "{{\"name\":\"a\",\"models\":[],\"x\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(Manifest::parse(deep.as_bytes()).is_err());
}
