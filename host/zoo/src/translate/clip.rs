//! `TorchCLIPModel` and `TorchOpenClipModel`: CLIP in OpenAI's own layout.

use modelzoo_model::plan::{Architecture, Plan, Tokenizer, TokenizerFormat};
use modelzoo_model::task::Scoring;
use serde_json::json;

use super::classes::{classes, zero_shot};
use super::error::TranslateError as Error;
use super::fetch::{Fetch, file_name};
use super::images::preprocessing;
use super::settings::Settings;

/// The merges that CLIP's tokenizer has.
const MERGES: &str = "https://github.com/openai/CLIP/raw/main/clip/bpe_simple_vocab_16e6.txt.gz";
/// What the merges are called.
const MERGES_NAME: &str = "clip_bpe_simple_vocab_16e6.txt.gz";
/// The weights that open_clip calls `openai`, by the network's name.
const OPENAI: [(&str, &str); 3] = [
    (
        "ViT-B-32",
        "https://openaipublic.azureedge.net/clip/models/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
    ),
    (
        "ViT-B-16",
        "https://openaipublic.azureedge.net/clip/models/5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt",
    ),
    (
        "ViT-L-14",
        "https://openaipublic.azureedge.net/clip/models/b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
    ),
];
/// The most tokens that CLIP takes.
const CONTEXT: u32 = 77;

/// The merges, and for open_clip the weights, which its manifest does not name.
pub(super) fn fetches(settings: &Settings, open_clip: bool) -> Result<Vec<Fetch>, Error> {
    let merges = settings.text("tokenizer_base_url")?.unwrap_or(MERGES);
    let mut fetches = vec![Fetch::needed(merges_name(settings)?, merges.to_owned())];
    if open_clip {
        let url = weights_url(settings)?;
        fetches.push(Fetch::needed(file_name(url), url.to_owned()));
    }
    Ok(fetches)
}

/// The plan of a CLIP whose weights are in the file `weights`; for open_clip in the file that
/// [`fetches`] fetched.
pub(super) fn plan(settings: &Settings, weights: Option<String>) -> Result<Plan, Error> {
    let weights = match weights {
        Some(weights) => weights,
        None => file_name(weights_url(settings)?).to_owned(),
    };
    for field in [
        "tokenizer_base_url",
        "entrypoint_fcn",
        "clip_model",
        "pretrained",
    ] {
        settings.text(field)?;
    }
    // FiftyOne embeds with the image tower, which is what embeddings come from here.
    let layer = settings.text("embeddings_layer")?;
    if layer.is_some_and(|layer| layer != "visual") {
        return Err(Error::bad(
            "embeddings_layer",
            "is not `visual`, the image tower",
        ));
    }
    let head = classes(settings)?
        .map(|classes| zero_shot(settings, classes, Scoring::Softmax))
        .transpose()?;
    // Asked for also where there are no classes to put it before.
    settings.text("text_prompt")?;
    Ok(Plan {
        architecture: Architecture {
            name: "open_clip".to_owned(),
            // The sizes are those of the weights; OpenAI's networks all have this activation.
            config: json!({ "quick_gelu": true }),
        },
        weights: vec![weights],
        preprocessing: Some(preprocessing(settings)?),
        tokenizer: Some(Tokenizer {
            format: TokenizerFormat::ClipBpe {
                merges: merges_name(settings)?.to_owned(),
            },
            max_tokens: Some(settings.count("context_length")?.unwrap_or(CONTEXT)),
            pad_to_max: false,
        }),
        head,
        embeddings: None,
    })
}

fn merges_name(settings: &Settings) -> Result<&str, Error> {
    Ok(settings
        .text("tokenizer_base_filename")?
        .unwrap_or(MERGES_NAME))
}

fn weights_url(settings: &Settings) -> Result<&'static str, Error> {
    let model = settings.text("clip_model")?.unwrap_or("ViT-B-32");
    let pretrained = settings.text("pretrained")?.unwrap_or("openai");
    if pretrained != "openai" {
        let reason = format!("is `{pretrained}`, and only `openai` is known");
        return Err(Error::unknown("pretrained", reason));
    }
    match OPENAI.iter().find(|(name, _)| *name == model) {
        Some((_, url)) => Ok(url),
        None => {
            let known = OPENAI.map(|(name, _)| name).join(", ");
            let reason = format!("is `{model}`, and only {known} are known");
            Err(Error::unknown("clip_model", reason))
        }
    }
}
