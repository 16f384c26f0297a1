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
/// The most classes.
const CLASSES: usize = 1_000_000;
/// The most classes of a zero-shot head, and prompts: the text network runs once for each.
const PROMPTS: usize = 32_768;
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
    if (1..=runtime::MAX_SIDE).contains(&pixels) {
        Ok(pixels)
    } else {
        Err(format!(
            "a side of {pixels} pixels; 1 to {} are allowed",
            runtime::MAX_SIDE
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
            names("classes", &given.classes, CLASSES)?;
            names("classes of the filter", &given.filter_classes, CLASSES)?;
            runtime::Head::Classification(runtime::Classification {
                confidence_thresh: given.confidence_thresh.map(confidence).transpose()?,
                classes: given.classes,
                filter_classes: given.filter_classes,
            })
        }
        wit::Head::MultiLabel(given) => {
            names("classes", &given.classes, CLASSES)?;
            names("classes of the filter", &given.filter_classes, CLASSES)?;
            runtime::Head::MultiLabel(runtime::MultiLabel {
                confidence_thresh: confidence(given.confidence_thresh)?,
                classes: given.classes,
                filter_classes: given.filter_classes,
            })
        }
        wit::Head::ZeroShot(given) => {
            names("classes", &given.classes, PROMPTS)?;
            names("prompts", &given.prompts, PROMPTS)?;
            names("classes of the filter", &given.filter_classes, CLASSES)?;
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
fn names(what: &str, names: &[String], most: usize) -> Result<()> {
    if names.len() > most {
        return Err(format!(
            "the plan has {} {what}; at most {most} are allowed",
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
mod tests;
