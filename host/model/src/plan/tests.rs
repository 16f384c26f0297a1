use serde_json::{Value, json};

use super::architecture::CONFIG_BYTES;
use super::*;

fn good() -> Value {
    json!({
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
    })
}

fn plan() -> Plan {
    serde_json::from_value(good()).unwrap()
}

/// What is wrong with the good plan after a change, as `field: reason`.
fn refused(change: impl FnOnce(&mut Plan)) -> String {
    let mut plan = plan();
    change(&mut plan);
    plan.validate().unwrap_err().to_string()
}

fn steps(plan: &mut Plan) -> &mut Vec<Step> {
    &mut plan.preprocessing.as_mut().unwrap().steps
}

fn normalize(plan: &mut Plan) -> &mut Normalization {
    let preprocessing = plan.preprocessing.as_mut().unwrap();
    preprocessing.normalize.as_mut().unwrap()
}

#[test]
fn plan_is_read_and_written_as_json() {
    plan().validate().unwrap();
    assert_eq!(serde_json::to_value(plan()).unwrap(), good());
}

#[test]
fn configurations_are_bounded_objects() {
    let config = |config: &str| {
        let error = Architecture::parse("resnet".to_owned(), config).unwrap_err();
        assert_eq!(error.field, "architecture.config");
        error.reason
    };
    assert!(config("{").contains("not JSON"));
    assert!(config("[]").contains("not a JSON object"));
    assert!(config(&format!("{{\"a\":\"{}\"}}", "x".repeat(CONFIG_BYTES))).contains("bytes"));
    for deep in [64, 100_000] {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(deep), "]".repeat(deep));
        assert!(config(&deep).contains("nests"));
    }
    let nested = (0..64).fold(json!(1), |inner, _| json!([inner]));
    assert!(refused(|p| p.architecture.config = json!({ "a": nested })).contains("nests"));
    let long = json!({ "a": "x".repeat(CONFIG_BYTES) });
    assert!(refused(|p| p.architecture.config = long).contains("bytes"));
    assert!(refused(|p| p.architecture.config = json!([])).contains("not a JSON object"));
    assert!(refused(|p| p.architecture.name = "a\u{1b}[0m".to_owned()).contains("control"));
    assert!(refused(|p| p.architecture.name = "a\u{202e}b".to_owned()).contains("control"));
    assert!(refused(|p| p.architecture.name = "x".repeat(1000)).contains("1 to 128"));
}

#[test]
fn weights_are_bounded_names_inside_the_directory() {
    let weights = |names: &[&str]| {
        let names = names.iter().map(|&n| n.to_owned()).collect();
        refused(|p| p.weights = names)
    };
    assert_eq!(weights(&[]), "`weights`: names no file");
    for bad in [
        "",
        "../x",
        "a/../b",
        "/etc/passwd",
        "a//b",
        "./a",
        "a\\b",
        "a\0",
    ] {
        let error = weights(&["good", bad]);
        assert!(error.starts_with("`weights[1]`") && error.contains("not a name inside"));
    }
    assert_eq!(weights(&["w", "w"]), "`weights[1]`: names `w` again");
    let names = (0..=WEIGHTS).map(|n| n.to_string()).collect();
    assert!(refused(|p| p.weights = names).contains("1025 files"));
}

#[test]
fn tokenizers_and_layers_are_bounded() {
    let tokenizer =
        |change: &dyn Fn(&mut Tokenizer)| refused(|p| change(p.tokenizer.as_mut().unwrap()));
    for max in [0, MAX_TOKENS + 1, u32::MAX] {
        let error = tokenizer(&|t| t.max_tokens = Some(max));
        assert!(error.starts_with("`tokenizer.max_tokens`"), "{error}");
    }
    let error = tokenizer(&|t| t.max_tokens = None);
    assert!(error.starts_with("`tokenizer.pad_to_max`"), "{error}");
    let error = tokenizer(&|t| {
        t.format = TokenizerFormat::ClipBpe {
            merges: "../t".to_owned(),
        };
    });
    assert!(error.starts_with("`tokenizer.format`"), "{error}");
    let layer = |name: String| refused(|p| p.embeddings.as_mut().unwrap().layer = Some(name));
    assert!(layer("\u{1b}[2J".to_owned()).contains("control"));
    assert!(layer("x".repeat(1000)).contains("1 to 128"));
}

#[test]
fn numbers_are_finite_and_in_range() {
    assert!(refused(|p| normalize(p).mean = vec![0.5]).contains("3 channels"));
    assert!(refused(|p| normalize(p).mean = vec![f32::NAN; 3]).contains("finite"));
    assert!(refused(|p| normalize(p).std = vec![f32::INFINITY; 3]).contains("finite"));
    assert!(refused(|p| normalize(p).std = vec![0.0; 3]).contains("zero"));
    let crop = |height, width| {
        let step = Step::CenterCrop(Size { height, width });
        refused(|p| *steps(p) = vec![step])
    };
    assert!(crop(0, 1).contains("a side of 0 pixels"));
    assert!(crop(1, 16_385).contains("1 to 16384"));
    assert!(crop(1, 16_385).starts_with("`preprocessing.steps[0]`"));
    let many = vec![Step::CropToMultiple(1); 65];
    assert_eq!(
        refused(|p| *steps(p) = many),
        "`preprocessing.steps`: has 65 steps; at most 64 are allowed"
    );
}

#[test]
fn parts_fit_together() {
    let nothing = |p: &mut Plan| (p.preprocessing, p.tokenizer, p.head) = (None, None, None);
    assert!(refused(nothing).contains("takes nothing"));
    assert!(refused(|p| p.preprocessing = None).starts_with("`head`"));
    let zero_shot = json!({ "zero_shot": { "classes": ["a"], "prompts": ["a"] } });
    let error = refused(|p| {
        p.head = serde_json::from_value(zero_shot).unwrap();
        p.tokenizer = None;
    });
    assert!(error.starts_with("`tokenizer`"), "{error}");
    assert!(error.contains("head.zero_shot"), "{error}");
    let error = refused(|p| {
        p.head = serde_json::from_value(
            json!({ "multi_label": { "classes": [], "confidence_thresh": 0.5 } }),
        )
        .unwrap()
    });
    assert_eq!(error, "`head.multi_label.classes`: is empty");
}
