//! The library as an embedding program uses it: from a source in a directory to a label.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modelzoo::data::Dataset;
use modelzoo::device::DeviceSpec;
use modelzoo::model::label::Label;
use modelzoo::models::{ErrorLevel, LoadOptions};
use modelzoo::runs::ApplyOptions;
use modelzoo::sources::RegisterOptions;
use modelzoo::{Config, Error, Zoo};
use tempfile::TempDir;

const MODEL: &str = "modelzoo/digits-cnn";

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits")
}

/// The digits example as it is published, in `dir`, with a changed manifest.
fn publish(dir: &Path, change: impl FnOnce(&mut serde_json::Value)) -> String {
    let source = dir.join("source");
    fs::create_dir_all(&source).unwrap();
    let manifest = fs::read(example().join("manifest.json")).unwrap();
    let mut manifest = serde_json::from_slice(&manifest).unwrap();
    change(&mut manifest);
    fs::write(source.join("manifest.json"), manifest.to_string()).unwrap();
    fs::copy(test_artifacts::DIGITS_SOURCE, source.join("source.wasm")).unwrap();
    for file in ["digits-cnn.safetensors", "README.md"] {
        fs::copy(example().join(file), source.join(file)).unwrap();
    }
    source.to_str().unwrap().to_owned()
}

fn zoo(dir: &TempDir) -> Zoo {
    Zoo::open(Config::new(dir.path().join("home")).unwrap())
}

/// On the CPU, so that the result is the same on every machine.
fn on_cpu() -> LoadOptions<'static> {
    LoadOptions {
        device: DeviceSpec::Cpu,
        ..LoadOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn source_is_registered_and_its_model_loaded_and_applied() {
    let dir = tempfile::tempdir().unwrap();
    let source = publish(dir.path(), |_| {});
    let zoo = zoo(&dir);
    zoo.register_source(&source, RegisterOptions::default())
        .await
        .unwrap();
    let model = zoo.load_model(MODEL, on_cpu()).await.unwrap();
    assert_eq!(model.record.name(), format!("{MODEL}@1.0"));

    let output = dir.path().join("labelled");
    let options = ApplyOptions {
        output: Some(output.clone()),
        ..ApplyOptions::default()
    };
    let dataset = Dataset::open(&example().join("dataset")).unwrap();
    let applied = model.apply(&dataset, &options, &()).unwrap();
    assert_eq!((applied.labelled, applied.failed), (dataset.len(), 0));

    let labelled = Dataset::open(&output).unwrap();
    let label = |field| match labelled.label(0, field).unwrap() {
        Some(Label::Classification(label)) => label.label.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(label("predictions"), label("ground_truth"));
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_of_a_source_is_registered_on_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let source = publish(dir.path(), |_| {});
    let zoo = zoo(&dir);
    let without = LoadOptions {
        download: false,
        ..on_cpu()
    };
    let error = zoo.load_model(&source, without).await.err().unwrap();
    assert!(matches!(error, Error::NotDownloaded { .. }), "{error}");
    assert_eq!(zoo.list_sources().unwrap().len(), 1);
    zoo.load_model(&source, on_cpu()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn loading_again_returns_the_loaded_model() {
    let dir = tempfile::tempdir().unwrap();
    let source = publish(dir.path(), |_| {});
    let zoo = zoo(&dir);
    let first = zoo.load_model(&source, on_cpu()).await.unwrap();
    let again = zoo.load_model(MODEL, on_cpu()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));

    let with = |change: fn(&mut LoadOptions<'_>)| {
        let mut options = on_cpu();
        change(&mut options);
        options
    };
    for other in [
        with(|o| o.cache = false),
        with(|o| o.embeddings_layer = Some("<fc2".into())),
        with(|o| {
            o.kwargs.insert("confidence_thresh".into(), 0.5.into());
        }),
    ] {
        let other = zoo.load_model(MODEL, other).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
    }

    // Nobody holds it any more: it is built again, and can be deleted.
    drop((first, again));
    let third = zoo.load_model(MODEL, on_cpu()).await.unwrap();
    let error = zoo.delete(MODEL, None).err().unwrap();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    drop(third);
    zoo.delete(MODEL, None).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn excluded_device_is_refused_at_the_error_level() {
    let dir = tempfile::tempdir().unwrap();
    let source = publish(dir.path(), |manifest| {
        manifest["models"][0]["requirements"] = serde_json::json!({ "cpu": { "support": false } });
    });
    let zoo = zoo(&dir);
    let error = zoo.load_model(&source, on_cpu()).await.err().unwrap();
    assert!(matches!(error, Error::Requirement { .. }), "{error}");
    for error_level in [ErrorLevel::Warn, ErrorLevel::Ignore] {
        let options = LoadOptions {
            error_level,
            ..on_cpu()
        };
        zoo.load_model(MODEL, options).await.unwrap();
    }
}
