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
    let preprocessing = preprocessing(plan.preprocessing)?;
    Ok(runtime::Plan {
        architecture: architecture(plan.architecture)?,
        weights: weights(plan.weights, model_dir)?,
        preprocessing: Some(preprocessing),
        tokenizer: None,
        head: Some(match plan.head {
            wit::Head::Classification(head) => runtime::Head::Classification(classification(head)?),
        }),
        embeddings: None,
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
        let shown = clean(name, 200);
        let path = RelPath::parse(name).map_err(|e| format!("weights `{shown}`: {e}"))?;
        if !seen.insert(name) {
            return Err(format!("weights `{shown}` are named twice"));
        }
        if files::open_below(model_dir, &path).is_err() {
            return Err(format!("weights `{shown}`: there is no such artifact"));
        }
    }
    Ok(names)
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

fn classification(given: wit::Classification) -> Result<runtime::Classification> {
    if given.classes.len() > CLASSES {
        return Err(format!(
            "the plan has {} classes; at most {CLASSES} are allowed",
            given.classes.len()
        ));
    }
    let bytes: usize = given.classes.iter().map(String::len).sum();
    if bytes > CLASSES_BYTES {
        return Err(format!(
            "the classes' names have {bytes} bytes; at most {CLASSES_BYTES} are allowed"
        ));
    }
    if let Some(threshold) = given.confidence_thresh
        && !(0.0..=1.0).contains(&threshold)
    {
        return Err(format!(
            "the confidence threshold is {threshold}, not 0 to 1"
        ));
    }
    Ok(runtime::Classification {
        classes: given.classes,
        confidence_thresh: given.confidence_thresh,
        filter_classes: Vec::new(),
    })
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
            preprocessing: wit::Preprocessing {
                color: wit::Color::Rgb,
                steps: vec![wit::Step::ResizeShortest(wit::ResizeShortest {
                    to: 256,
                    resampling: wit::Resampling::Bicubic,
                })],
                normalize: Some(wit::Normalization {
                    mean: vec![0.5; 3],
                    std: vec![0.25; 3],
                }),
            },
            head: wit::Head::Classification(wit::Classification {
                classes: vec!["cat".to_owned(), "dog".to_owned()],
                confidence_thresh: Some(0.5),
            }),
        }
    }

    fn refused(change: impl FnOnce(&mut wit::Plan)) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("w.safetensors"), "").unwrap();
        let mut given = good();
        change(&mut given);
        plan(given, dir.path()).unwrap_err()
    }

    fn head(plan: &mut wit::Plan) -> &mut wit::Classification {
        let wit::Head::Classification(head) = &mut plan.head;
        head
    }

    fn normalize(plan: &mut wit::Plan) -> &mut wit::Normalization {
        plan.preprocessing.normalize.as_mut().unwrap()
    }

    #[test]
    fn a_good_plan_arrives_whole() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("w.safetensors"), "").unwrap();
        let json = serde_json::to_value(plan(good(), dir.path()).unwrap()).unwrap();
        let want = serde_json::json!({
            "architecture": { "name": "resnet", "config": { "depth": 18, "text": "]]}}\"[[" } },
            "weights": ["w.safetensors"],
            "preprocessing": {
                "color": "rgb",
                "steps": [{ "resize_shortest": { "to": 256, "resampling": "bicubic" } }],
                "normalize": { "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25] },
            },
            "head": { "classification": { "classes": ["cat", "dog"], "confidence_thresh": 0.5 } },
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

    #[cfg(unix)]
    #[test]
    fn weights_are_not_links() {
        let dir = tempfile::tempdir().unwrap();
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
            refused(|p| p.preprocessing.steps = vec![step])
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
        let steps = vec![step; STEPS + 1];
        assert!(refused(|p| p.preprocessing.steps = steps).contains("steps"));
        let names = (0..=WEIGHTS).map(|n| n.to_string()).collect();
        assert!(refused(|p| p.weights = names).contains("weight files"));
    }
}
