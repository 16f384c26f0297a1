use std::fs;

use super::*;

fn good() -> wit::Plan {
    wit::Plan {
        architecture: wit::Architecture {
            name: "resnet".to_owned(),
            config: r#"{"depth": 18, "text": "]]}}\"[["}"#.to_owned(),
        },
        weights: vec!["w.safetensors".to_owned()],
        preprocessing: Some(wit::Preprocessing {
            color: wit::Color::Rgb,
            steps: vec![wit::Step::ResizeShortest(wit::ResizeShortest {
                to: 256,
                resampling: wit::Resampling::Bicubic,
            })],
            normalize: Some(wit::Normalization {
                mean: vec![0.5; 3],
                std: vec![0.25; 3],
            }),
        }),
        tokenizer: Some(wit::Tokenizer {
            format: wit::TokenizerFormat::Json("t.json".to_owned()),
            max_tokens: Some(77),
            pad_to_max: true,
        }),
        head: Some(wit::Head::Classification(wit::Classification {
            classes: vec!["cat".to_owned(), "dog".to_owned()],
            confidence_thresh: Some(0.5),
            filter_classes: vec!["dog".to_owned()],
        })),
        embeddings: Some(wit::Embeddings {
            layer: Some("<fc".to_owned()),
            pooling: wit::Pooling::Mean,
            normalize: true,
        }),
    }
}

/// A directory with the files that the good plan names.
fn artifacts() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("w.safetensors"), "").unwrap();
    fs::write(dir.path().join("t.json"), "").unwrap();
    dir
}

fn refused(change: impl FnOnce(&mut wit::Plan)) -> String {
    let dir = artifacts();
    let mut given = good();
    change(&mut given);
    plan(given, dir.path()).unwrap_err().to_string()
}

#[test]
fn good_plan_is_converted_whole() {
    let dir = artifacts();
    let json = serde_json::to_value(plan(good(), dir.path()).unwrap()).unwrap();
    let want = serde_json::json!({
        "architecture": { "name": "resnet", "config": { "depth": 18, "text": "]]}}\"[[" } },
        "weights": ["w.safetensors"],
        "preprocessing": {
            "color": "rgb",
            "steps": [{ "resize_shortest": { "to": 256, "resampling": "bicubic" } }],
            "normalize": { "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25] },
        },
        "tokenizer": {
            "format": { "json": { "file": "t.json" } },
            "max_tokens": 77,
            "pad_to_max": true,
        },
        "head": { "classification": {
            "classes": ["cat", "dog"], "confidence_thresh": 0.5, "filter_classes": ["dog"],
        } },
        "embeddings": { "layer": "<fc", "pooling": "mean", "normalize": true },
    });
    assert_eq!(json, want);
}

#[test]
fn invalid_plan_is_refused() {
    let config = |config: &str| refused(|p| p.architecture.config = config.to_owned());
    assert!(config("{").contains("not JSON"));
    assert!(config("[]").contains("not a JSON object"));
    let no_images = |p: &mut wit::Plan| p.preprocessing = None;
    assert!(refused(no_images).starts_with("`head`"));
}

#[test]
fn weights_are_artifacts() {
    let weights = |names: &[&str]| {
        let names = names.iter().map(|&n| n.to_owned()).collect();
        refused(|p| p.weights = names)
    };
    assert!(weights(&["../x"]).contains("`weights[0]`: `../x`"));
    assert!(weights(&["/etc/passwd"]).contains("not a name inside"));
    assert!(weights(&["w.safetensors", "other"]).contains("`weights[1]`: there is no such"));
    assert!(weights(&["w.safetensors", "w.safetensors"]).contains("again"));
    assert!(weights(&["w\0"]).contains("`weights[0]`: `w\\u{0}`"));
    assert!(weights(&["CON"]).contains("`CON` is not a name"));
}

#[test]
fn tokenizers_are_artifacts() {
    let tokenizer = |format| {
        let change = |p: &mut wit::Plan| p.tokenizer.as_mut().unwrap().format = format;
        refused(change)
    };
    let json = |name: &str| wit::TokenizerFormat::Json(name.to_owned());
    assert!(tokenizer(json("../t.json")).contains("`tokenizer.format`: `../t.json`"));
    assert!(tokenizer(wit::TokenizerFormat::ClipBpe("x".to_owned())).contains("no such"));
}

#[cfg(unix)]
#[test]
fn weights_are_not_links() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("t.json"), "").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("w.safetensors")).unwrap();
    let error = plan(good(), dir.path()).unwrap_err().to_string();
    assert!(error.contains("no such artifact"), "{error}");
}
