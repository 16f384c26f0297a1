//! A source with all-MiniLM-L6-v2, which embeds sentences: similar meanings have similar vectors. Its
//! files are on Hugging Face, pinned to a revision and digests by the source's `files.json`.

use std::collections::BTreeMap;

use modelzoo_guest::plan::{Embeddings, Pooling, Tokenizer};
use modelzoo_guest::prelude::*;
use modelzoo_guest::{huggingface, source};
use serde::Deserialize;
use serde_json::Value;

/// The maximum number of tokens of a text: the length that the network was trained with.
const MAX_TOKENS: u32 = 256;

struct MiniLm;

/// The contents of `files.json`.
#[derive(Deserialize)]
struct Files {
    repository: String,
    revision: String,
    /// The digest of each file, by its name.
    sha256: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Whether vectors have unit length, as those of the published model.
    #[serde(default = "yes")]
    normalize: bool,
}

const fn yes() -> bool {
    true
}

impl Source for MiniLm {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        let files: Files = source::read_json("files.json")?;
        let pinned = files
            .sha256
            .iter()
            .map(|(name, digest)| (name.as_str(), digest.as_str()));
        huggingface::repo(&files.repository)
            .revision(&files.revision)
            .files(pinned)
            .download(model_path)?;
        Ok(())
    }

    fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        let options: Options = kwargs.parse()?;
        let config = std::fs::read_to_string(model_path.join("config.json").as_path())?;
        let config: Value = serde_json::from_str(&config)
            .map_err(|error| Error::invalid_input(format_args!("config.json: {error}")))?;
        let mut embeddings = Embeddings::pooled(Pooling::Mean);
        embeddings.normalize = options.normalize;
        let tokenizer = Tokenizer::json(model_path.join("tokenizer.json")).max_tokens(MAX_TOKENS);
        Ok(Plan::embedder(Architecture::new("bert", config)?)
            .weights([model_path.join("model.safetensors")])
            .tokenizer(tokenizer)
            .embeddings(embeddings))
    }
}

modelzoo_guest::export!(MiniLm);
