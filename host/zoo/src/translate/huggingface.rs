//! `FiftyOneTransformer*`: repositories of Hugging Face, by their own configurations.

use std::path::Path;

use modelzoo_base::{json, nearest};
use modelzoo_model::plan::{Architecture, Embeddings, Plan, Pooling, Tokenizer, TokenizerFormat};
use modelzoo_model::task::Scoring;
use modelzoo_runtime::architectures;
use serde_json::{Map, Value};

use super::classes::{classes, classification, zero_shot};
use super::error::TranslateError as Error;
use super::fetch::Fetch;
use super::places;
use super::processor;
use super::settings::{Settings, count};

const CONFIG: &str = "config.json";
const PROCESSOR: &str = "preprocessor_config.json";
const TOKENIZER: &str = "tokenizer.json";
const SAFETENSORS: &str = "model.safetensors";
const PICKLED: &str = "pytorch_model.bin";
/// The files that hold a repository's weights, the preferred one first; an index stands for its
/// shards.
const WEIGHTS: [&str; 4] = [
    SAFETENSORS,
    "model.safetensors.index.json",
    PICKLED,
    "pytorch_model.bin.index.json",
];
/// The largest configuration that is read.
const MAX_CONFIG: u64 = 4 << 20;
/// The most values in it. A classifier of 21,841 classes has 44,000.
const MAX_VALUES: u64 = 1 << 17;
/// The kinds of network that compare images with texts, and how many tokens they take.
const IMAGE_TEXT: [(&str, u32); 2] = [("clip", 77), ("siglip", 64)];

/// What a repository is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Labels,
    ZeroShot,
    Embeddings,
    /// Boxes.
    Objects,
    /// A class for each pixel.
    Regions,
    /// A depth for each pixel.
    Depth,
}

impl Use {
    /// The repository that FiftyOne uses if none is named.
    fn default_repository(self) -> Option<&'static str> {
        match self {
            Self::Labels => Some("google/vit-base-patch16-224"),
            Self::ZeroShot => Some("openai/clip-vit-large-patch14"),
            Self::Embeddings => None,
            Self::Objects => Some("hustvl/yolos-tiny"),
            Self::Regions => Some("nvidia/segformer-b0-finetuned-ade-512-512"),
            Self::Depth => Some("Intel/dpt-hybrid-midas"),
        }
    }
}

/// The files of the repository.
pub(super) fn fetches(settings: &Settings, usage: Use) -> Result<Vec<Fetch>, Error> {
    let repository = repository(settings, usage)?;
    let revision = settings.text("revision")?.unwrap_or("main");
    if !is_part(revision) {
        return Err(Error::bad("revision", "is not the name of a revision"));
    }
    let url = |file: &str| format!("https://huggingface.co/{repository}/resolve/{revision}/{file}");
    let mut fetches = vec![
        Fetch::needed(CONFIG, url(CONFIG)),
        Fetch::needed(PROCESSOR, url(PROCESSOR)),
        Fetch::optional(SAFETENSORS, url(SAFETENSORS)),
        Fetch::or_else(PICKLED, url(PICKLED)),
    ];
    if usage == Use::ZeroShot {
        fetches.push(Fetch::needed(TOKENIZER, url(TOKENIZER)));
    }
    Ok(fetches)
}

/// The plan of a repository whose files are in the directory `dir`.
pub(super) fn plan(settings: &Settings, usage: Use, dir: &Path) -> Result<Plan, Error> {
    repository(settings, usage)?;
    let mut config = read(dir, CONFIG)?;
    let kind = config
        .get("model_type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let architecture = architectures()
        .iter()
        .map(|known| known.name)
        .find(|known| *known == kind);
    let Some(architecture) = architecture else {
        return Err(Error::UnknownModelType {
            nearest: nearest(&kind, architectures().iter().map(|known| known.name)),
            name: kind,
        });
    };
    let own = labels(&config);
    let given = classes(settings)?;
    let classifies = matches!(usage, Use::Labels | Use::Objects | Use::Regions);
    if classifies && own.is_empty() {
        config.insert(
            "num_labels".to_owned(),
            given.iter().flatten().count().into(),
        );
    }
    let image_text = IMAGE_TEXT.iter().find(|(name, _)| *name == kind);
    let head = match usage {
        Use::Embeddings => None,
        Use::Labels => Some(classification(settings, given.unwrap_or(own))?),
        Use::Objects => Some(places::detection(settings, given.unwrap_or(own))?),
        Use::Regions => Some(places::regions(settings, given.unwrap_or(own))?),
        Use::Depth => Some(places::depth(settings)?),
        Use::ZeroShot if image_text.is_none() => {
            let reason = format!("is `{kind}`, which does not compare images with texts");
            return Err(Error::unknown("model_type", reason));
        }
        Use::ZeroShot => {
            settings.text("text_prompt")?;
            settings.get("class_prompts");
            given
                .map(|classes| zero_shot(settings, classes, Scoring::Softmax))
                .transpose()?
        }
    };
    let tokenizer = image_text
        .filter(|_| usage == Use::ZeroShot)
        .map(|&(kind, context)| tokenizer(&config, kind, context));
    Ok(Plan {
        preprocessing: Some(processor::preprocessing(&read(dir, PROCESSOR)?)?),
        architecture: Architecture {
            name: architecture.to_owned(),
            config: Value::Object(config),
        },
        weights: vec![weights(dir)?.to_owned()],
        tokenizer,
        head,
        embeddings: embeddings(settings)?,
    })
}

/// The repository's name, `user/name`.
fn repository(settings: &Settings, usage: Use) -> Result<&str, Error> {
    let Some(name) = settings
        .text("name_or_path")?
        .or(usage.default_repository())
    else {
        return Err(Error::bad("name_or_path", "is missing"));
    };
    match name.split_once('/') {
        Some((user, repository)) if is_part(user) && is_part(repository) => Ok(name),
        _ => {
            let reason = format!("`{name}` is not the name of a repository, as in user/name");
            Err(Error::bad("name_or_path", reason))
        }
    }
}

/// Whether a text can be one part of an address without meaning another place.
fn is_part(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty() && part.chars().all(plain) && !part.chars().all(|c| c == '.')
}

/// The class names of `id2label`, in the order of their numbers.
fn labels(config: &Map<String, Value>) -> Vec<String> {
    let Some(labels) = config.get("id2label").and_then(Value::as_object) else {
        return Vec::new();
    };
    // A name may be a number, as in `{"0": 5}`.
    let name = |label: &Value| match label.as_str() {
        Some(name) => name.to_owned(),
        None => label.to_string(),
    };
    let mut numbered: Vec<(u64, String)> = labels
        .iter()
        .filter_map(|(number, label)| Some((number.parse().ok()?, name(label))))
        .collect();
    numbered.sort_unstable();
    numbered.into_iter().map(|(_, label)| label).collect()
}

/// SigLIP was trained with texts that are all padded to one length, and pools at their end; so
/// they are padded here, whatever else the processor's arguments say.
fn tokenizer(config: &Map<String, Value>, kind: &str, context: u32) -> Tokenizer {
    let own = config
        .get("text_config")
        .and_then(|text| text.get("max_position_embeddings"))
        .and_then(count);
    Tokenizer {
        format: TokenizerFormat::Json {
            file: TOKENIZER.to_owned(),
        },
        max_tokens: Some(own.unwrap_or(context)),
        pad_to_max: kind == "siglip",
    }
}

/// `embeddings_output_key` names the layer, `embeddings_aggregation` says how its tokens become
/// one vector.
fn embeddings(settings: &Settings) -> Result<Option<Embeddings>, Error> {
    let layer = settings
        .text("embeddings_output_key")?
        .or(settings.text("embeddings_layer")?);
    let pooling = match settings.text("embeddings_aggregation")? {
        None => None,
        Some("token") => Some(Pooling::First),
        Some("mean") => Some(Pooling::Mean),
        Some("max") => Some(Pooling::Max),
        Some("no_agg") => Some(Pooling::None),
        Some(other) => {
            let reason = format!("is `{other}`, not token, mean, max or no_agg");
            return Err(Error::bad("embeddings_aggregation", reason));
        }
    };
    let position = settings
        .get("embeddings_token_position")
        .and_then(Value::as_i64);
    if position.is_some_and(|position| position != 0) {
        return Err(Error::bad(
            "embeddings_token_position",
            "is not 0, the first token",
        ));
    }
    if layer.is_none() && pooling.is_none() {
        return Ok(None);
    }
    let tokens = layer.map(str::to_owned);
    Ok(Some(Embeddings {
        // What is pooled are tokens.
        layer: tokens.or_else(|| pooling.map(|_| "last_hidden_state".to_owned())),
        pooling: pooling.unwrap_or_default(),
        normalize: false,
    }))
}

fn weights(dir: &Path) -> Result<&'static str, Error> {
    WEIGHTS
        .into_iter()
        .find(|name| dir.join(name).is_file())
        .ok_or_else(|| Error::File {
            path: dir.join(SAFETENSORS),
            reason: "is missing".to_owned(),
        })
}

/// A file of the repository, which is an object of JSON.
fn read(dir: &Path, name: &str) -> Result<Map<String, Value>, Error> {
    let path = dir.join(name);
    let failed = |reason: String| Error::File {
        path: path.clone(),
        reason,
    };
    let size = std::fs::metadata(&path)
        .map_err(|e| failed(e.to_string()))?
        .len();
    if size > MAX_CONFIG {
        return Err(failed(format!(
            "has {size} bytes; at most {MAX_CONFIG} are read"
        )));
    }
    let text = std::fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
    if json::count_values(text.as_bytes()) > MAX_VALUES {
        return Err(failed(format!("has more than {MAX_VALUES} values")));
    }
    match serde_json::from_str(&json::without_nan(&text)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(failed("is not an object of JSON".to_owned())),
        Err(error) => Err(failed(error.to_string())),
    }
}
