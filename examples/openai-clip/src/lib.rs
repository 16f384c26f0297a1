//! A source with OpenAI's CLIP ViT-B/32, which labels images with the user's classes. Its files are
//! where OpenAI published them; the source's `files.json` pins their digests.

use modelzoo_guest::plan::{Tokenizer, ZeroShot};
use modelzoo_guest::prelude::*;
use modelzoo_guest::{fetch, source};
use serde::Deserialize;
use serde_json::json;

/// The weights, in the model's directory.
const WEIGHTS: &str = "ViT-B-32.pt";
/// The tokenizer's BPE merges, in the model's directory.
const MERGES: &str = "bpe_simple_vocab_16e6.txt.gz";
/// The prompt before each class.
const PROMPT: &str = "A photo of a";
/// The side of the network's input, in pixels.
const SIDE: u32 = 224;
/// The network's context length, in tokens; a longer prompt is truncated.
const CONTEXT: u32 = 77;

struct Clip;

/// The contents of `files.json`.
#[derive(Deserialize)]
struct Files {
    weights: File,
    merges: File,
}

#[derive(Deserialize)]
struct File {
    url: String,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The classes; without them the model only has embeddings.
    classes: Option<Vec<String>>,
    /// The prompt before each class.
    #[serde(default = "prompt")]
    text_prompt: String,
    confidence_thresh: Option<f32>,
}

fn prompt() -> String {
    PROMPT.to_owned()
}

impl Source for Clip {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        let files: Files = source::read_json("files.json")?;
        for (name, file) in [(WEIGHTS, files.weights), (MERGES, files.merges)] {
            fetch::url(&file.url)
                .sha256(file.sha256)
                .download(model_path.join(name))?;
        }
        Ok(())
    }

    fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        let options: Options = kwargs.parse()?;
        // The weights determine the sizes; all of OpenAI's networks have this activation.
        let architecture = Architecture::new("open_clip", json!({ "quick_gelu": true }))?;
        let tokenizer = Tokenizer::clip_bpe(model_path.join(MERGES)).max_tokens(CONTEXT);
        let plan = Plan::embedder(architecture)
            .weights([model_path.join(WEIGHTS)])
            .preprocessing(Preprocessing::clip(SIDE))
            .tokenizer(tokenizer);
        let Some(classes) = options.classes else {
            return Ok(plan);
        };
        let head = ZeroShot::new(&options.text_prompt, classes)?
            .confidence_thresh(options.confidence_thresh);
        Ok(plan.head(head))
    }
}

modelzoo_guest::export!(Clip);
