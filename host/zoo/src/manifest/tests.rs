use serde_json::{Value, json};

use super::{Manifest, ManifestError};

pub(super) fn parse(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(&serde_json::to_vec(value).unwrap())
}

pub(super) fn with_model(model: Value) -> Value {
    json!({"name": "acme/zoo", "models": [model]})
}

pub(super) fn with_models(models: &[Value]) -> Value {
    json!({"name": "acme/zoo", "models": models})
}

#[test]
fn complete_manifest_is_read() {
    let manifest = parse(&json!({
        "name": "acme/zoo",
        "url": "https://github.com/acme/zoo",
        "component": {"path": "source.wasm", "sha256": "AB".repeat(32), "files": ["weights/", "a.txt"]},
        "permissions": {"network": ["https://huggingface.co", "https://*.hf.co"], "max_download_bytes": 7},
        "models": [{
            "base_name": "acme/m", "base_filename": "m.safetensors", "version": "1.0", "author": "A",
            "url": "https://x", "license": "MIT", "source": "https://y", "description": "D", "tags": ["a", "b"],
            "size_bytes": 5, "date_added": "2020-01-02 03:04:05",
            "requirements": {"packages": ["torch"], "cpu": {"support": true}},
            "manager": {
                "type": "fiftyone.core.models.ModelManager",
                "config": {"url": "https://x/m.zip", "google_drive_id": "g", "extract_archive": true, "delete_archive": true},
            },
            "default_deployment_config_dict": {"type": "a.b.C", "config": {"d": 1}},
            "training_data": [{"name": "N", "url": "u"}, {"name": "O"}],
            "artifacts": [{"path": "m", "url": "https://x/m"}],
            "unknown": [1, 2],
        }],
    }))
    .unwrap();
    assert_eq!(manifest.warnings, []);
    assert_eq!(
        (manifest.name.as_str(), manifest.url.as_deref()),
        ("acme/zoo", Some("https://github.com/acme/zoo"))
    );
    let component = manifest.component.unwrap();
    assert_eq!(
        (component.path.as_ref(), component.sha256),
        ("source.wasm", Some("ab".repeat(32)))
    );
    let files: Vec<_> = component.files.iter().map(ToString::to_string).collect();
    assert_eq!(files, ["weights", "a.txt"]);
    let network: Vec<_> = manifest
        .permissions
        .network
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(network, ["https://huggingface.co", "https://*.hf.co"]);
    assert_eq!(manifest.permissions.max_download_bytes, Some(7));

    let model = &manifest.models[0];
    assert_eq!(model.name().to_string(), "acme/m@1.0");
    assert_eq!(
        model.base_filename.as_ref().unwrap().as_ref(),
        "m.safetensors"
    );
    for (field, text) in [
        (&model.version, "1.0"),
        (&model.author, "A"),
        (&model.url, "https://x"),
        (&model.license, "MIT"),
        (&model.source, "https://y"),
        (&model.description, "D"),
    ] {
        assert_eq!(field.as_deref(), Some(text));
    }
    assert_eq!(model.tags, ["a", "b"]);
    assert_eq!(model.size_bytes, Some(5));
    assert_eq!(model.date_added.unwrap().to_string(), "2020-01-02T03:04:05");
    assert_eq!(
        (model.requirements.packages.len(), model.requirements.cpu),
        (1, Some(true))
    );
    let manager = model.manager.as_ref().unwrap();
    assert_eq!(
        (manager.url.as_deref(), manager.google_drive_id.as_deref()),
        (Some("https://x/m.zip"), Some("g"))
    );
    assert!(manager.extract_archive && manager.delete_archive);
    let deployment = model.default_deployment_config_dict.as_ref().unwrap();
    assert_eq!(
        (deployment.kind.as_str(), &deployment.config["d"]),
        ("a.b.C", &json!(1))
    );
    assert_eq!(model.training_data[0].url.as_deref(), Some("u"));
    assert_eq!(model.training_data[1].name, "O");
    assert_eq!(model.artifacts[0].urls, ["https://x/m"]);
    assert_eq!(model.raw()["unknown"], json!([1, 2]));
}

/// D3: what is optional may be absent, `null` or empty.
#[test]
fn absent_null_and_empty_fields_are_equal() {
    let empty = json!({
        "base_name": "m", "base_filename": null, "version": "", "tags": null, "size_bytes": null, "manager": null,
        "author": "", "requirements": null, "training_data": null, "date_added": "", "artifacts": null,
    });
    for model in [json!({"base_name": "m"}), empty] {
        let manifest = parse(&with_model(model)).unwrap();
        assert_eq!(manifest.warnings, []);
        let model = &manifest.models[0];
        assert_eq!(model.name().to_string(), "m");
        assert!(model.base_filename.is_none() && model.manager.is_none() && model.author.is_none());
    }
}

#[test]
fn bad_optional_field_is_a_warning_that_names_it() {
    let manager =
        |config: Value| json!({"type": "fiftyone.core.models.ModelManager", "config": config});
    for (field, value, place) in [
        ("author", json!(1), "author"),
        ("version", json!(1.0), "version"),
        ("license", json!([]), "license"),
        ("tags", json!({}), "tags"),
        ("tags", json!("a"), "tags"),
        ("tags", json!(["a", 1]), "tags[1]"),
        ("size_bytes", json!(-1), "size_bytes"),
        ("size_bytes", json!("5"), "size_bytes"),
        ("size_bytes", json!(1.5), "size_bytes"),
        ("requirements", json!([]), "requirements"),
        (
            "requirements",
            json!({"cpu": {"support": 1}}),
            "requirements.cpu.support",
        ),
        ("manager", json!("x"), "manager"),
        ("manager", json!({"config": {}}), "manager.type"),
        (
            "manager",
            json!({"type": "os.system", "config": {"url": "https://x"}}),
            "manager.type",
        ),
        ("manager", manager(json!({"url": 1})), "manager.config.url"),
        (
            "manager",
            manager(json!({"extract_archive": "yes"})),
            "manager.config.extract_archive",
        ),
        (
            "default_deployment_config_dict",
            json!({}),
            "default_deployment_config_dict.type",
        ),
        (
            "default_deployment_config_dict",
            json!({"type": "a", "config": 1}),
            "default_deployment_config_dict.config",
        ),
        ("training_data", json!("x"), "training_data"),
        (
            "training_data",
            json!([{"name": "a"}, "x"]),
            "training_data[1]",
        ),
        ("date_added", json!({}), "date_added"),
        ("date_added", json!("soon"), "date_added"),
    ] {
        let manifest = parse(&with_model(json!({"base_name": "m", field: value}))).unwrap();
        let fields: Vec<_> = manifest.warnings.iter().map(|w| w.field.as_str()).collect();
        assert_eq!(fields, [format!("models[0].{place}")], "{field} {value}");
    }
}

#[test]
fn valid_fields_are_kept_beside_bad_ones() {
    let model = json!({"base_name": "m", "version": 2, "size_bytes": 1e6, "tags": ["a", 1], "training_data": ["x", {"name": "y"}]});
    let manifest = parse(&with_model(model)).unwrap();
    let model = &manifest.models[0];
    assert_eq!(model.name().to_string(), "m@2");
    assert_eq!(
        (
            model.size_bytes,
            model.tags.len(),
            model.training_data.len()
        ),
        (Some(1_000_000), 1, 1)
    );
    assert_eq!(
        manifest.warnings[0].to_string(),
        "models[0].version is a number, and read as `2`; write it as a text"
    );
}

#[test]
fn misspelled_field_is_a_warning() {
    let manifest = parse(&json!({
        "name": "a", "models": [],
        "component": {"path": "source.wasm", "sha265": "x"},
        "permissions": {"netwrok": [], "\u{1b}[2J": 1},
    }))
    .unwrap();
    let warnings: Vec<_> = manifest.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "component.sha265 is not known; did you mean `sha256`?",
            "permissions.netwrok is not known; did you mean `network`?",
            "permissions.\\u{1b}[2J is not known",
            "models is empty: the source declares no model",
        ]
    );
}

#[test]
fn models_that_share_a_file_are_a_warning() {
    let model = |name: &str, file: &str, version: &str| json!({"base_name": name, "base_filename": file, "version": version});
    let models = [
        model("a", "W.pt", ""),
        model("b", "w.pt", ""),
        model("c", "w.pt", "1"),
        model("d", "x.pt", ""),
    ];
    let warnings = parse(&with_models(&models)).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].field, "models[1].base_filename");
}

#[test]
fn artifacts_are_read() {
    let model = json!({"base_name": "m", "artifacts": [
        {"path": "a/b", "url": ["https://x/1", "https://y/1"], "sha256": "A".repeat(64), "size_bytes": 3},
        {"path": "c.zip", "url": "https://x/2", "unpack": true},
        {"path": "c.zip", "url": "https://x/3", "unpack": true},
    ]});
    let artifacts = parse(&with_model(model))
        .unwrap()
        .models
        .remove(0)
        .artifacts;
    assert_eq!(artifacts[0].urls, ["https://x/1", "https://y/1"]);
    assert_eq!(
        (artifacts[0].sha256.clone(), artifacts[0].size_bytes),
        (Some("a".repeat(64)), Some(3))
    );
    assert_eq!((artifacts[0].unpack, artifacts[1].unpack), (false, true));
    for (a, b) in [("a", "a"), ("a", "A"), ("a", "a/b"), ("a/b/c", "a/b")] {
        let file = |path: &str| json!({"path": path, "url": "https://x"});
        let error = parse(&with_model(
            json!({"base_name": "m", "artifacts": [file(a), file(b)]}),
        ))
        .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("artifacts[1].path is in the way of artifacts[0]"),
            "{a} {b}: {error}"
        );
    }
}

/// FiftyOne's own manifests. `MODELZOO_FIFTYONE` names an unpacked `fiftyone` wheel
/// (`pip download fiftyone --no-deps`). Its manifests have no `name`, which a source must have.
#[test]
#[ignore = "reads a wheel that is not part of the repository"]
fn fiftyones_own_manifests() {
    let root =
        std::path::PathBuf::from(std::env::var_os("MODELZOO_FIFTYONE").expect("MODELZOO_FIFTYONE"));
    let mut models = Vec::new();
    for file in [
        "manifest-torch.json",
        "manifest-tf.json",
        "manifest-hosted.json",
    ] {
        let text = std::fs::read(root.join("fiftyone/zoo/models").join(file)).unwrap();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        value["name"] = json!("voxel51/builtin");
        let manifest = parse(&value).unwrap();
        assert_eq!(manifest.warnings, [], "{file}");
        models.extend(manifest.models);
    }
    assert!(models.len() >= 336, "{}", models.len());
    let of_license = |license: &str| {
        let wanted = [license.to_owned()];
        models
            .iter()
            .filter(|m| crate::license::matches(m.license.as_deref().unwrap_or(""), &wanted))
            .count()
    };
    // A filter that compares texts finds 37 and 136 of these.
    assert!(
        of_license("BSD-3-Clause") >= 53,
        "{}",
        of_license("BSD-3-Clause")
    );
    assert!(
        of_license("Apache 2.0") >= 164,
        "{}",
        of_license("Apache 2.0")
    );
    assert!(
        models
            .iter()
            .all(|m| m.date_added.is_some() && m.default_deployment_config_dict.is_some())
    );
    assert_eq!(models.iter().filter(|m| m.manager.is_some()).count(), 198);
}
