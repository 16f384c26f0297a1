//! `modelzoo:source/deployment`: from the plan that `load-model` answers with to the one that the
//! runtime builds.
//!
//! See `wit/v0.1/deployment.wit`. A plan comes from a stranger: everything that could be large is
//! capped here, and everything that is a number is one. Whether the architecture is known and
//! the configuration makes sense is for the runtime to say.

use std::collections::BTreeSet;
use std::path::Path;

use modelzoo_archive::RelPath;
use modelzoo_runtime as runtime;

use crate::bindings::deployment as wit;
use crate::bindings::source::types;
use crate::files;
use crate::state::State;
use crate::text::clean;

/// The most bytes of an architecture's name.
const NAME_BYTES: usize = 128;
/// The most bytes of an architecture's configuration.
const CONFIG_BYTES: usize = 1 << 20;
/// How deep an architecture's configuration may nest.
const CONFIG_DEPTH: usize = 64;
/// The most weight files.
const WEIGHTS: usize = 1024;
/// The most preprocessing steps.
const STEPS: usize = 64;
/// The longest side of an image, in pixels.
const SIDE: u32 = 1 << 16;
/// The most classes.
const CLASSES: usize = 1_000_000;
/// The most tokens of a text.
const TOKENS: u32 = 1 << 16;
/// The most bytes of all classes' names.
const CLASSES_BYTES: usize = 64 << 20;

/// The interface has types only.
impl wit::Host for State {}
/// The interface has types only.
impl types::Host for State {}

/// What is wrong with a plan, in words.
type Result<T> = std::result::Result<T, String>;

/// The runtime's plan; `model_dir` is where the weights are.
pub(crate) fn plan(plan: wit::Plan, model_dir: &Path) -> Result<runtime::Plan> {
    let preprocessing = plan.preprocessing.map(preprocessing).transpose()?;
    let tokenizer = plan
        .tokenizer
        .map(|tokenizer| self::tokenizer(tokenizer, model_dir))
        .transpose()?;
    Ok(runtime::Plan {
        architecture: architecture(plan.architecture)?,
        weights: weights(plan.weights, model_dir)?,
        preprocessing,
        tokenizer,
        head: plan.head.map(head).transpose()?,
        embeddings: plan.embeddings.map(embeddings).transpose()?,
    })
}

fn architecture(given: wit::Architecture) -> Result<runtime::Architecture> {
    if given.name.is_empty() || given.name.len() > NAME_BYTES {
        return Err(format!(
            "the architecture's name has {} bytes, not 1 to {NAME_BYTES}",
            given.name.len()
        ));
    }
    if clean(&given.name, NAME_BYTES) != given.name {
        return Err("the architecture's name has control characters".to_owned());
    }
    let bytes = given.config.len();
    if bytes > CONFIG_BYTES {
        return Err(format!(
            "the architecture's config has {bytes} bytes; at most {CONFIG_BYTES} are allowed"
        ));
    }
    if depth(&given.config) > CONFIG_DEPTH {
        return Err(format!(
            "the architecture's config nests more than {CONFIG_DEPTH} deep"
        ));
    }
    let config: serde_json::Value = serde_json::from_str(&given.config)
        .map_err(|e| format!("the architecture's config is not JSON: {e}"))?;
    if !config.is_object() {
        return Err("the architecture's config is not a JSON object".to_owned());
    }
    Ok(runtime::Architecture {
        name: given.name,
        config,
    })
}

/// How deep brackets nest outside of strings; in valid JSON, its depth.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn weights(names: Vec<String>, model_dir: &Path) -> Result<Vec<String>> {
    if names.len() > WEIGHTS {
        return Err(format!(
            "the plan names {} weight files; at most {WEIGHTS} are allowed",
            names.len()
        ));
    }
    let mut seen = BTreeSet::new();
    for name in &names {
        if !seen.insert(name) {
            return Err(format!("weights `{}` are named twice", clean(name, 200)));
        }
        artifact("weights", name, model_dir)?;
    }
    Ok(names)
}

/// Checks that `name`, which is given for `what`, is one of the model's artifacts.
fn artifact(what: &str, name: &str, model_dir: &Path) -> Result<()> {
    let shown = clean(name, 200);
    let path = RelPath::parse(name).map_err(|e| format!("{what} `{shown}`: {e}"))?;
    match files::open_below(model_dir, &path) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{what} `{shown}`: there is no such artifact")),
    }
}

fn tokenizer(given: wit::Tokenizer, model_dir: &Path) -> Result<runtime::Tokenizer> {
    let (wit::TokenizerFormat::Json(name)
    | wit::TokenizerFormat::ClipBpe(name)
    | wit::TokenizerFormat::WordPiece(wit::WordPiece { vocab: name, .. })) = &given.format;
    artifact("tokenizer", name, model_dir)?;
    if given
        .max_tokens
        .is_some_and(|max| !(1..=TOKENS).contains(&max))
    {
        return Err(format!("`max-tokens` must be 1 to {TOKENS}"));
    }
    Ok(runtime::Tokenizer {
        format: match given.format {
            wit::TokenizerFormat::Json(file) => runtime::TokenizerFormat::Json { file },
            wit::TokenizerFormat::ClipBpe(merges) => runtime::TokenizerFormat::ClipBpe { merges },
            wit::TokenizerFormat::WordPiece(wit::WordPiece { vocab, lowercase }) => {
                runtime::TokenizerFormat::WordPiece { vocab, lowercase }
            }
        },
        max_tokens: given.max_tokens,
        pad_to_max: given.pad_to_max,
    })
}

fn embeddings(given: wit::Embeddings) -> Result<runtime::Embeddings> {
    if let Some(layer) = &given.layer {
        let bytes = layer.len();
        if !(1..=NAME_BYTES).contains(&bytes) {
            return Err(format!(
                "the layer's name has {bytes} bytes, not 1 to {NAME_BYTES}"
            ));
        }
        if clean(layer, NAME_BYTES) != *layer {
            return Err("the layer's name has control characters".to_owned());
        }
    }
    Ok(runtime::Embeddings {
        layer: given.layer,
        pooling: match given.pooling {
            wit::Pooling::None => runtime::Pooling::None,
            wit::Pooling::First => runtime::Pooling::First,
            wit::Pooling::Mean => runtime::Pooling::Mean,
            wit::Pooling::Max => runtime::Pooling::Max,
        },
        normalize: given.normalize,
    })
}

fn preprocessing(given: wit::Preprocessing) -> Result<runtime::Preprocessing> {
    let color = match given.color {
        wit::Color::Rgb => runtime::Color::Rgb,
        wit::Color::Gray => runtime::Color::Gray,
    };
    if given.steps.len() > STEPS {
        return Err(format!(
            "the plan has {} preprocessing steps; at most {STEPS} are allowed",
            given.steps.len()
        ));
    }
    let steps = given.steps.into_iter().map(step).collect::<Result<_>>()?;
    let normalize = given
        .normalize
        .map(|n| normalization(n, color))
        .transpose()?;
    Ok(runtime::Preprocessing {
        color,
        steps,
        normalize,
    })
}

fn step(given: wit::Step) -> Result<runtime::Step> {
    Ok(match given {
        wit::Step::Resize(r) => runtime::Step::Resize {
            to: size(r.to)?,
            resampling: resampling(r.resampling),
        },
        wit::Step::ResizeShortest(r) => runtime::Step::ResizeShortest {
            to: side(r.to)?,
            resampling: resampling(r.resampling),
        },
        wit::Step::CenterCrop(to) => runtime::Step::CenterCrop(size(to)?),
        wit::Step::ResizeMin(r) => runtime::Step::ResizeMin {
            to: size(r.to)?,
            resampling: resampling(r.resampling),
        },
        wit::Step::ResizeMax(r) => runtime::Step::ResizeMax {
            to: size(r.to)?,
            resampling: resampling(r.resampling),
        },
        wit::Step::CropToMultiple(of) => runtime::Step::CropToMultiple(side(of)?),
    })
}

fn resampling(given: wit::Resampling) -> runtime::Resampling {
    match given {
        wit::Resampling::Nearest => runtime::Resampling::Nearest,
        wit::Resampling::Bilinear => runtime::Resampling::Bilinear,
        wit::Resampling::Bicubic => runtime::Resampling::Bicubic,
        wit::Resampling::Lanczos => runtime::Resampling::Lanczos,
    }
}

fn size(given: wit::Size) -> Result<runtime::Size> {
    Ok(runtime::Size {
        height: side(given.height)?,
        width: side(given.width)?,
    })
}

fn side(pixels: u32) -> Result<u32> {
    if (1..=SIDE).contains(&pixels) {
        Ok(pixels)
    } else {
        Err(format!(
            "a side of {pixels} pixels; 1 to {SIDE} are allowed"
        ))
    }
}

fn normalization(
    given: wit::Normalization,
    color: runtime::Color,
) -> Result<runtime::Normalization> {
    let channels = color.channels();
    for (name, values) in [("mean", &given.mean), ("std", &given.std)] {
        if values.len() != channels {
            return Err(format!(
                "`{name}` has {} values for {channels} channels",
                values.len()
            ));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(format!("`{name}` has a value that is not a finite number"));
        }
    }
    if given.std.contains(&0.0) {
        return Err("`std` has a zero".to_owned());
    }
    Ok(runtime::Normalization {
        mean: given.mean,
        std: given.std,
    })
}

fn head(given: wit::Head) -> Result<runtime::Head> {
    Ok(match given {
        wit::Head::Classification(given) => {
            names("classes", &given.classes)?;
            names("classes of the filter", &given.filter_classes)?;
            runtime::Head::Classification(runtime::Classification {
                confidence_thresh: given.confidence_thresh.map(confidence).transpose()?,
                classes: given.classes,
                filter_classes: given.filter_classes,
            })
        }
        wit::Head::MultiLabel(given) => {
            names("classes", &given.classes)?;
            names("classes of the filter", &given.filter_classes)?;
            runtime::Head::MultiLabel(runtime::MultiLabel {
                confidence_thresh: confidence(given.confidence_thresh)?,
                classes: given.classes,
                filter_classes: given.filter_classes,
            })
        }
        wit::Head::ZeroShot(given) => {
            names("classes", &given.classes)?;
            names("prompts", &given.prompts)?;
            names("classes of the filter", &given.filter_classes)?;
            runtime::Head::ZeroShot(runtime::ZeroShot {
                confidence_thresh: given.confidence_thresh.map(confidence).transpose()?,
                classes: given.classes,
                prompts: given.prompts,
                scoring: match given.scoring {
                    wit::Scoring::Softmax => runtime::Scoring::Softmax,
                    wit::Scoring::Sigmoid => runtime::Scoring::Sigmoid,
                },
                filter_classes: given.filter_classes,
            })
        }
    })
}

/// Checks how many names of classes, or prompts, there are, and how long they are.
fn names(what: &str, names: &[String]) -> Result<()> {
    if names.len() > CLASSES {
        return Err(format!(
            "the plan has {} {what}; at most {CLASSES} are allowed",
            names.len()
        ));
    }
    let bytes: usize = names.iter().map(String::len).sum();
    if bytes > CLASSES_BYTES {
        return Err(format!(
            "the plan's {what} have {bytes} bytes; at most {CLASSES_BYTES} are allowed"
        ));
    }
    Ok(())
}

fn confidence(threshold: f32) -> Result<f32> {
    if (0.0..=1.0).contains(&threshold) {
        Ok(threshold)
    } else {
        Err(format!(
            "the confidence threshold is {threshold}, not 0 to 1"
        ))
    }
}

#[cfg(test)]
mod tests {
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

    fn refused(change: impl FnOnce(&mut wit::Plan)) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("w.safetensors"), "").unwrap();
        fs::write(dir.path().join("t.json"), "").unwrap();
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
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("w.safetensors"), "").unwrap();
        fs::write(dir.path().join("t.json"), "").unwrap();
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
        let many = vec![String::new(); CLASSES + 1];
        let zero_shot = wit::ZeroShot {
            classes: vec!["a".to_owned()],
            prompts: many.clone(),
            scoring: wit::Scoring::Sigmoid,
            confidence_thresh: None,
            filter_classes: Vec::new(),
        };
        let reason = refused(|p| p.head = Some(wit::Head::ZeroShot(zero_shot)));
        assert!(reason.contains("prompts"), "{reason}");
        let multi_label = wit::MultiLabel {
            classes: vec!["a".to_owned()],
            confidence_thresh: 2.0,
            filter_classes: Vec::new(),
        };
        let reason = refused(|p| p.head = Some(wit::Head::MultiLabel(multi_label)));
        assert!(reason.contains("0 to 1"), "{reason}");
        assert!(refused(|p| head(p).filter_classes = many).contains("filter"));
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
        assert!(crop(1, u32::MAX).contains("pixels"));
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
}
