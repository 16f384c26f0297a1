//! Sources made for tests: a manifest, a guest's component, and files.

use std::io::{Cursor, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::world::World;

/// A builder for a source.
pub(crate) struct Source {
    manifest: Value,
    files: Vec<(String, Vec<u8>)>,
}

impl Source {
    /// A source named `test/source` with one model `test/model` and the hooks of a guest.
    pub(crate) fn new(component: &str) -> Self {
        let bytes = std::fs::read(component).unwrap();
        Self {
            manifest: json!({
                "name": "test/source",
                "url": "https://example.org/test/source",
                "component": { "path": "source.wasm", "files": [] },
                "permissions": { "network": [] },
                "models": [{
                    "base_name": "test/model",
                    "base_filename": "weights.safetensors",
                    "license": "MIT",
                    "tags": ["classification", "image"],
                    "description": "A model for tests",
                }],
            }),
            files: vec![("source.wasm".into(), bytes)],
        }
    }

    /// The digits example, as it is published.
    pub(crate) fn digits() -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits");
        let mut source = Self::new(test_artifacts::DIGITS_SOURCE);
        source.manifest =
            serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
        for file in ["digits-cnn.safetensors", "README.md"] {
            source
                .files
                .push((file.into(), std::fs::read(dir.join(file)).unwrap()));
        }
        source
    }

    /// Changes the manifest.
    pub(crate) fn manifest(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.manifest);
        self
    }

    /// Requests the permission for an origin.
    pub(crate) fn asking(self, permission: &str) -> Self {
        self.manifest(|m| {
            m["permissions"]["network"]
                .as_array_mut()
                .unwrap()
                .push(permission.into())
        })
    }

    /// Adds a file that hooks may read.
    pub(crate) fn file(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.into(), contents.into()));
        self.manifest(|m| {
            m["component"]["files"]
                .as_array_mut()
                .unwrap()
                .push(name.into())
        })
    }

    /// All files of the source by name.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let manifest = serde_json::to_vec_pretty(&self.manifest).unwrap();
        let mut files = self.files.clone();
        files.insert(0, ("manifest.json".into(), manifest));
        files
    }

    /// Writes the source into a directory.
    pub(crate) fn write(&self, dir: &Path) {
        for (name, contents) in self.files() {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
    }

    /// The source as a zip, its files below `root` (empty for none).
    pub(crate) fn zip(&self, root: &str) -> Vec<u8> {
        let named = |(name, contents)| (format!("{root}{name}"), contents);
        pack_zip(&self.files().into_iter().map(named).collect::<Vec<_>>())
    }

    /// The source as a tar.gz.
    pub(crate) fn tar_gz(&self) -> Vec<u8> {
        let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gz);
        for (name, contents) in self.files() {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, contents.as_slice())
                .unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }
}

/// Replaces the component of the registered source whose id ends so while its model stays, and has
/// the store believe that the new component made the model's files. Otherwise they would be fetched again, and no
/// test could show a hook the files of another one.
pub(crate) fn replace_component(world: &World, source: &str, model: &str, replace: impl FnOnce()) {
    let state = || {
        let sources = world.json(&["list-sources"]);
        let mut sources = sources.as_array().unwrap().iter();
        let is_it = |s: &&Value| s["id"].as_str().unwrap().ends_with(source);
        sources.find(is_it).unwrap().clone()
    };
    let before = state();
    let receipts: Vec<_> = world
        .visible()
        .into_iter()
        .filter(|(path, _)| path.ends_with("receipt.json"))
        .filter(|(_, bytes)| crate::downloads::sha256(bytes) == before["receipts"][model])
        .collect();
    let [(path, bytes)] = receipts.as_slice() else {
        panic!("{model} has no receipt: {before}");
    };
    replace();
    let after = state();
    let component = |state: &Value| state["digests"]["source.wasm"].as_str().unwrap().to_owned();
    let receipt = String::from_utf8(bytes.clone()).unwrap();
    let receipt = receipt.replace(&component(&before), &component(&after));
    std::fs::write(path, &receipt).unwrap();
    world.edit_lock(|text| {
        let mut lock: toml::Table = toml::from_str(text).unwrap();
        let sources = lock["source"].as_array_mut().unwrap();
        let id = after["id"].as_str();
        let source = sources.iter_mut().find(|s| s["id"].as_str() == id).unwrap();
        let source = source.as_table_mut().unwrap();
        let pins = toml::Value::try_from(&before["artifacts"]).unwrap();
        source.insert("artifacts".into(), pins);
        let digest = crate::downloads::sha256(receipt.as_bytes());
        let receipts = toml::Table::from_iter([(model.to_owned(), digest.into())]);
        source.insert("receipts".into(), receipts.into());
        toml::to_string(&lock).unwrap()
    });
}

/// A safetensors file with these bytes as its one tensor.
pub(crate) fn safetensors(data: &[u8]) -> Vec<u8> {
    let n = data.len();
    let header = format!(r#"{{"a":{{"dtype":"U8","shape":[{n}],"data_offsets":[0,{n}]}}}}"#);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// Files as a zip.
pub(crate) fn pack_zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in files {
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(contents).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The model of the digits example.
pub(crate) const DIGITS: &str = "modelzoo/digits-cnn";

/// A world in which the digits example is registered as `source`, its model is downloaded and
/// its held-out digits are in `dataset`.
pub(crate) fn with_digits() -> World {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    world.ok(&["download", DIGITS]);
    digits_dataset(&world.path("dataset"));
    world
}

/// The held-out digits, copied to a directory of the test's own.
pub(crate) fn digits_dataset(to: &Path) {
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits/dataset"),
        to,
    );
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
