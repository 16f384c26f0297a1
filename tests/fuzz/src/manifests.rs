//! Manifests: parsed without a panic and at a cost in proportion, and accepted ones keep the
//! rules.

use std::collections::BTreeSet;

use modelzoo::manifest::Manifest;
use modelzoo::net::Permission;
use modelzoo_archive::RelPath;

use crate::cost::{Bound, measure};
use crate::{Target, assert_one_line, seeds};

pub(crate) const TARGET: Target = Target {
    name: "manifests",
    run,
    seeds,
    words: &[
        "\"name\"",
        "\"url\"",
        "\"component\"",
        "\"path\"",
        "\"sha256\"",
        "\"files\"",
        "\"permissions\"",
        "\"network\"",
        "\"max_download_bytes\"",
        "\"models\"",
        "\"base_name\"",
        "\"base_filename\"",
        "\"version\"",
        "\"author\"",
        "\"license\"",
        "\"tags\"",
        "\"size_bytes\"",
        "\"date_added\"",
        "\"requirements\"",
        "\"packages\"",
        "\"cpu\"",
        "\"gpu\"",
        "\"support\"",
        "\"manager\"",
        "\"type\"",
        "\"config\"",
        "\"google_drive_id\"",
        "\"extract_archive\"",
        "\"default_deployment_config_dict\"",
        "\"training_data\"",
        "\"artifacts\"",
        "\"unpack\"",
        "null",
        "true",
        "false",
        "[]",
        "{}",
        "1e400",
        "-1",
        "\\u202e",
        "\\ud800",
        "..",
        "../",
        "/",
        "https://",
        "*.",
        "\"COM1\"",
    ],
};

const WHOLE: &str = r#"{
  "name": "acme/zoo", "url": "https://github.com/acme/zoo",
  "component": {"path": "source.wasm", "files": ["weights/", "a.txt"]},
  "permissions": {"network": ["https://huggingface.co", "https://*.hf.co"], "max_download_bytes": 7},
  "models": [{
    "base_name": "acme/m", "base_filename": "m.safetensors", "version": "1.0", "author": "A",
    "url": "https://x", "license": "MIT", "source": "https://y", "description": "D", "tags": ["a", "b"],
    "size_bytes": 5, "date_added": "2020-01-02 03:04:05",
    "requirements": {"packages": ["torch>=1.0"], "cpu": {"support": true}, "gpu": {"support": false}},
    "manager": {"type": "fiftyone.core.models.ModelManager",
      "config": {"url": "https://x/m.zip", "google_drive_id": "g", "extract_archive": true}},
    "default_deployment_config_dict": {"type": "a.b.C", "config": {"d": 1}},
    "training_data": [{"name": "N", "url": "u"}, {"name": "O"}],
    "artifacts": [{"path": "m", "url": "https://x/m", "unpack": true}], "unknown": [1, 2]
  }, {"base_name": "acme/n", "version": "2.0rc1+b", "date_added": "2020-01-02T03:04:05+01:00"}]
}"#;

fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<_> = ["digits", "minilm", "openai-clip"]
        .map(|name| seeds::file(&format!("examples/{name}/manifest.json")))
        .into();
    let null = WHOLE.replace(": \"", ": null, \"x\": \"");
    seeds.extend(seeds::texts(&[
        WHOLE,
        &null,
        "{\"name\": \"a\", \"models\": []}",
    ]));
    seeds
}

/// A value of two bytes takes 72, in a list that may have room for as many more; an object of few
/// bytes takes some hundred.
const BOUND: Bound = Bound {
    peak: [256, 64 << 10],
    total: [1024, 256 << 10],
};

fn run(data: &[u8]) -> bool {
    let (manifest, cost) = measure(|| Manifest::parse(data));
    cost.assert_within(BOUND, data.len());
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(error) => {
            assert_one_line(&error.to_string());
            if let Some(remedy) = error.remedy() {
                assert_one_line(&remedy.to_string());
            }
            return false;
        }
    };
    for warning in &manifest.warnings {
        assert_one_line(&warning.to_string());
    }
    for permission in manifest.permissions.network.iter() {
        let again: Permission = permission.to_string().parse().expect("what is shown");
        assert_eq!(&again, permission);
    }
    if let Some(component) = &manifest.component {
        safe(&component.path);
        component.files.iter().for_each(safe);
        digest(component.sha256.as_deref());
    }
    let mut names = BTreeSet::new();
    for model in &manifest.models {
        let name = model.name().to_string();
        assert_one_line(&name);
        assert!(names.insert(name.to_ascii_lowercase()), "{name} twice");
        model.base_filename.iter().for_each(safe);
        for artifact in &model.artifacts {
            safe(&artifact.path);
            digest(artifact.sha256.as_deref());
        }
    }
    true
}

/// A path that means the same on every system and stays below its start.
fn safe(path: &RelPath) {
    let text: &str = path.as_ref();
    assert_eq!(RelPath::parse(text).as_ref(), Ok(path));
    let mut parts = text.split(['/', '\\']);
    assert!(
        parts.all(|part| !["", ".", ".."].contains(&part)),
        "{text:?}"
    );
    assert_one_line(text);
}

fn digest(sha256: Option<&str>) {
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    assert!(sha256.is_none_or(|digest| digest.len() == 64 && digest.bytes().all(plain)));
}
