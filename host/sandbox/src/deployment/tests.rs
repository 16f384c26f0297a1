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
    plan(given, dir.path()).unwrap_err()
}

fn head(plan: &mut wit::Plan) -> &mut wit::Classification {
    match &mut plan.head {
        Some(wit::Head::Classification(head)) => head,
        other => panic!("{other:?}"),
    }
}

fn steps(plan: &mut wit::Plan) -> &mut Vec<wit::Step> {
    &mut plan.preprocessing.as_mut().unwrap().steps
}

fn normalize(plan: &mut wit::Plan) -> &mut wit::Normalization {
    let preprocessing = plan.preprocessing.as_mut().unwrap();
    preprocessing.normalize.as_mut().unwrap()
}

#[test]
fn a_good_plan_arrives_whole() {
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
fn configurations_are_bounded_objects() {
    let config = |config: String| refused(|p| p.architecture.config = config);
    assert!(config("{".to_owned()).contains("not JSON"));
    assert!(config("[]".to_owned()).contains("not a JSON object"));
    assert!(config(format!("{{\"a\":\"{}\"}}", "x".repeat(CONFIG_BYTES))).contains("bytes"));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    assert!(config(deep).contains("nests"));
    assert!(refused(|p| p.architecture.name = "a\u{1b}[0m".to_owned()).contains("control"));
    assert!(refused(|p| p.architecture.name = "x".repeat(1000)).contains("1 to 128"));
}

#[test]
fn weights_are_artifacts() {
    let weights = |names: &[&str]| {
        let names = names.iter().map(|&n| n.to_owned()).collect();
        refused(|p| p.weights = names)
    };
    assert!(weights(&["../x"]).contains("weights `../x`"));
    assert!(weights(&["/etc/passwd"]).contains("absolute"));
    assert!(weights(&["other"]).contains("no such artifact"));
    assert!(weights(&["w.safetensors", "w.safetensors"]).contains("twice"));
    assert!(weights(&["w\0"]).contains("weights `w\\u{0}`"));
}

#[test]
fn tokenizers_are_artifacts_and_layers_are_names() {
    let tokenizer = |format| {
        let change = |p: &mut wit::Plan| p.tokenizer.as_mut().unwrap().format = format;
        refused(change)
    };
    let json = |name: &str| wit::TokenizerFormat::Json(name.to_owned());
    assert!(tokenizer(json("../t.json")).contains("tokenizer `../t.json`"));
    assert!(tokenizer(wit::TokenizerFormat::ClipBpe("x".to_owned())).contains("no such"));
    let many = |p: &mut wit::Plan| p.tokenizer.as_mut().unwrap().max_tokens = Some(u32::MAX);
    assert!(refused(many).contains("max-tokens"));
    let layer = |name: String| refused(|p| p.embeddings.as_mut().unwrap().layer = Some(name));
    assert!(layer("\u{1b}[2J".to_owned()).contains("control"));
    assert!(layer("x".repeat(1000)).contains("1 to 128"));
}

#[test]
fn every_head_is_bounded() {
    let multi_label = wit::MultiLabel {
        classes: vec!["a".to_owned()],
        confidence_thresh: 2.0,
        filter_classes: Vec::new(),
    };
    let reason = refused(|p| p.head = Some(wit::Head::MultiLabel(multi_label)));
    assert!(reason.contains("0 to 1"), "{reason}");
    let many = vec![String::new(); CLASSES + 1];
    assert!(refused(|p| head(p).filter_classes = many).contains("filter"));
}

/// What is said of a zero-shot head with so many classes and prompts.
fn zero_shot(classes: usize, prompts: usize) -> Result<runtime::Plan> {
    let dir = artifacts();
    let mut given = good();
    given.head = Some(wit::Head::ZeroShot(wit::ZeroShot {
        classes: vec!["a".to_owned(); classes],
        prompts: vec!["a".to_owned(); prompts],
        scoring: wit::Scoring::Sigmoid,
        confidence_thresh: None,
        filter_classes: Vec::new(),
    }));
    plan(given, dir.path())
}

#[test]
fn a_text_network_does_not_run_without_end() {
    zero_shot(32_768, 32_768).unwrap();
    let reason = zero_shot(32_769, 1).unwrap_err();
    assert_eq!(
        reason,
        "the plan has 32769 classes; at most 32768 are allowed"
    );
    let reason = zero_shot(1, 32_769).unwrap_err();
    assert_eq!(
        reason,
        "the plan has 32769 prompts; at most 32768 are allowed"
    );
}

#[cfg(unix)]
#[test]
fn weights_are_not_links() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("t.json"), "").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("w.safetensors")).unwrap();
    let reason = plan(good(), dir.path()).unwrap_err();
    assert!(reason.contains("no such artifact"), "{reason}");
}

#[test]
fn numbers_are_numbers() {
    assert!(refused(|p| normalize(p).mean = vec![0.5]).contains("3 channels"));
    assert!(refused(|p| normalize(p).mean = vec![f32::NAN; 3]).contains("finite"));
    assert!(refused(|p| normalize(p).std = vec![f32::INFINITY; 3]).contains("finite"));
    assert!(refused(|p| normalize(p).std = vec![0.0; 3]).contains("zero"));
    assert!(refused(|p| head(p).confidence_thresh = Some(f32::NAN)).contains("0 to 1"));
    assert!(refused(|p| head(p).confidence_thresh = Some(1.5)).contains("0 to 1"));
    let crop = |height, width| {
        let step = wit::Step::CenterCrop(wit::Size { height, width });
        refused(|p| *steps(p) = vec![step])
    };
    assert!(crop(0, 1).contains("0 pixels"));
    assert!(crop(1, 16_385).contains("1 to 16384"));
}

#[test]
fn lists_are_bounded() {
    let many = vec![String::new(); CLASSES + 1];
    assert!(refused(|p| head(p).classes = many).contains("classes"));
    let long = vec!["x".repeat(CLASSES_BYTES + 1)];
    assert!(refused(|p| head(p).classes = long).contains("bytes"));
    let step = wit::Step::CenterCrop(wit::Size {
        height: 1,
        width: 1,
    });
    let many = vec![step; STEPS + 1];
    assert!(refused(|p| *steps(p) = many).contains("steps"));
    let names = (0..=WEIGHTS).map(|n| n.to_string()).collect();
    assert!(refused(|p| p.weights = names).contains("weight files"));
}
