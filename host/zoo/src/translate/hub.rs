//! `TorchImageModel`: networks of torch.hub, of which DINOv2 is known.

use modelzoo_base::nearest;
use modelzoo_model::plan::{Architecture, Embeddings, Plan};
use serde_json::{Value, json};

use super::classes::{classes, classification};
use super::error::TranslateError as Error;
use super::fetch::{Fetch, file_name};
use super::images::preprocessing;
use super::settings::Settings;

/// The function that loads a network of torch.hub.
const LOADER: &str = "fiftyone.utils.torch.load_torch_hub_raw_model";
/// The repository whose networks are known.
const REPOSITORY: &str = "facebookresearch/dinov2";
/// Its networks: the name, and the end of its address below `dinov2/`.
const MODELS: [(&str, &str); 8] = [
    ("dinov2_vits14", "dinov2_vits14/dinov2_vits14_pretrain.pth"),
    ("dinov2_vitb14", "dinov2_vitb14/dinov2_vitb14_pretrain.pth"),
    ("dinov2_vitl14", "dinov2_vitl14/dinov2_vitl14_pretrain.pth"),
    ("dinov2_vitg14", "dinov2_vitg14/dinov2_vitg14_pretrain.pth"),
    (
        "dinov2_vits14_reg",
        "dinov2_vits14/dinov2_vits14_reg4_pretrain.pth",
    ),
    (
        "dinov2_vitb14_reg",
        "dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth",
    ),
    (
        "dinov2_vitl14_reg",
        "dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth",
    ),
    (
        "dinov2_vitg14_reg",
        "dinov2_vitg14/dinov2_vitg14_reg4_pretrain.pth",
    ),
];

/// The files of the network that `entrypoint_args` names.
pub(super) fn fetches(settings: &Settings) -> Result<Vec<Fetch>, Error> {
    let (_, path) = network(settings)?;
    let url = format!("https://dl.fbaipublicfiles.com/dinov2/{path}");
    Ok(vec![Fetch::needed(file_name(path), url)])
}

pub(super) fn plan(settings: &Settings) -> Result<Plan, Error> {
    let (variant, path) = network(settings)?;
    // The network's last layer, which gives back what it is fed with: its output.
    let layer = settings
        .text("embeddings_layer")?
        .filter(|layer| *layer != "head");
    settings.flag("as_feature_extractor")?;
    let head = classes(settings)?
        .map(|classes| classification(settings, classes))
        .transpose()?;
    Ok(Plan {
        architecture: Architecture {
            name: "dinov2_hub".to_owned(),
            config: json!({ "variant": variant }),
        },
        weights: vec![file_name(path).to_owned()],
        preprocessing: Some(preprocessing(settings)?),
        tokenizer: None,
        head,
        embeddings: layer.map(|layer| Embeddings {
            layer: Some(layer.to_owned()),
            ..Embeddings::default()
        }),
    })
}

fn network(settings: &Settings) -> Result<(&'static str, &'static str), Error> {
    let entrypoint = settings.text("entrypoint_fcn")?.unwrap_or_default();
    if entrypoint != LOADER {
        return Err(Error::UnknownEntrypoint {
            name: entrypoint.to_owned(),
            nearest: vec![LOADER.to_owned()],
        });
    }
    let argument = |name: &'static str| {
        settings
            .inner("entrypoint_args", name)
            .and_then(Value::as_str)
    };
    let repository = argument("repo_or_dir").unwrap_or_default();
    if repository != REPOSITORY {
        let reason = format!("`repo_or_dir` is `{repository}`, and only {REPOSITORY} is known");
        return Err(Error::unknown("entrypoint_args", reason));
    }
    let model = argument("model").unwrap_or_default();
    match MODELS.iter().find(|(name, _)| *name == model) {
        Some(known) => Ok(*known),
        None => {
            let near = nearest(model, MODELS.iter().map(|(name, _)| *name));
            let near = near.first().map_or(MODELS[0].0, String::as_str);
            let reason = format!("`model` is `{model}`, and nothing like it but {near} is known");
            Err(Error::unknown("entrypoint_args", reason))
        }
    }
}
