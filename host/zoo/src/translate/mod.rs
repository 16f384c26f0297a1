//! FiftyOne's `default_deployment_config_dict`, as a plan.
//!
//! A manifest names classes and functions of Python. Here they are names in a closed table, never
//! resolved; an unknown one is an error that suggests the nearest. One structure describes a
//! model, whoever wrote it: a hook, or this table.

mod classes;
mod clip;
mod error;
mod fetch;
mod hub;
mod huggingface;
mod images;
mod places;
mod processor;
mod settings;
#[cfg(test)]
mod tests;
mod torchvision;
mod torchvision_places;
mod ultralytics;

use std::path::Path;

use modelzoo_archive::RelPath;
use modelzoo_base::nearest;
use modelzoo_model::plan::Plan;
use serde_json::{Map, Value};

pub use error::TranslateError;
pub use fetch::Fetch;

use crate::manifest::Deployment;
use huggingface::Use;
use settings::Settings;

/// The classes that are known, by the last parts of their names.
const TYPES: [(&str, Class); 11] = [
    ("TorchvisionImageModel", Class::Torchvision),
    ("TorchImageModel", Class::Hub),
    ("TorchCLIPModel", Class::Clip { open_clip: false }),
    ("TorchOpenClipModel", Class::Clip { open_clip: true }),
    (
        "FiftyOneTransformerForImageClassification",
        Class::HuggingFace(Use::Labels),
    ),
    (
        "FiftyOneZeroShotTransformerForImageClassification",
        Class::HuggingFace(Use::ZeroShot),
    ),
    (
        "FiftyOneTransformerForObjectDetection",
        Class::HuggingFace(Use::Objects),
    ),
    (
        "FiftyOneTransformerForSemanticSegmentation",
        Class::HuggingFace(Use::Regions),
    ),
    (
        "FiftyOneTransformerForDepthEstimation",
        Class::HuggingFace(Use::Depth),
    ),
    ("FiftyOneTransformer", Class::HuggingFace(Use::Embeddings)),
    ("FiftyOneYOLOModel", Class::Ultralytics),
];

/// The ends of the names of classes whose outputs this version does not support.
const NOT_YET: [(&str, &str); 6] = [
    ("YOLOEVPModel", "finds what examples show"),
    (
        "RTDETRModel",
        "finds objects in images by a network that is not built",
    ),
    ("Detection", "finds objects in images"),
    ("Segmentation", "finds objects or regions in images"),
    ("DepthEstimation", "measures depths in images"),
    ("PoseEstimation", "finds poses in images"),
];

#[derive(Clone, Copy)]
enum Class {
    Torchvision,
    Hub,
    Clip { open_clip: bool },
    HuggingFace(Use),
    Ultralytics,
}

/// The files to fetch for a model beside the one that its manager names.
///
/// # Errors
/// The configuration is not one that is known.
pub fn fetches(deployment: &Deployment) -> Result<Vec<Fetch>, TranslateError> {
    let settings = Settings::new(&deployment.config, &Map::new());
    match class(deployment)? {
        Class::Torchvision | Class::Ultralytics => Ok(Vec::new()),
        Class::Hub => hub::fetches(&settings),
        Class::Clip { open_clip } => clip::fetches(&settings, open_clip),
        Class::HuggingFace(usage) => huggingface::fetches(&settings, usage),
    }
}

/// What a configuration says about a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Translated {
    /// What the model is.
    pub plan: Plan,
    /// Whether it asks for half precision where the device gains from it. The plan is the same
    /// either way.
    pub half: bool,
}

/// Translates the configuration of a model whose files are in the directory `dir`; `file` is its
/// `base_filename`, or the name that its manager gave the file without one.
///
/// # Errors
/// The configuration, or a keyword argument, is not one that is known.
pub fn translate(
    deployment: &Deployment,
    kwargs: &Map<String, Value>,
    file: Option<&RelPath>,
    dir: &Path,
) -> Result<Translated, TranslateError> {
    Settings::check_kwargs(kwargs)?;
    let settings = Settings::new(&deployment.config, kwargs);
    let weights = || {
        file.map(ToString::to_string).ok_or_else(|| {
            TranslateError::bad(
                "base_filename",
                "is missing: nothing says which file the weights are",
            )
        })
    };
    let plan = match class(deployment)? {
        Class::Torchvision => torchvision::plan(&settings, weights()?)?,
        Class::Hub => hub::plan(&settings)?,
        Class::Clip { open_clip: false } => clip::plan(&settings, Some(weights()?))?,
        Class::Clip { open_clip: true } => clip::plan(&settings, None)?,
        Class::HuggingFace(usage) => huggingface::plan(&settings, usage, dir)?,
        Class::Ultralytics => ultralytics::plan(&settings, weights()?)?,
    };
    let half = half_precision(&settings)?;
    settings.finish()?;
    Ok(Translated { plan, half })
}

/// Whether the configuration alone asks for half precision: what there is to know of one for which
/// a hook gives the plan, since keyword arguments are the hook's then.
///
/// # Errors
/// It says neither yes nor no.
pub(crate) fn wants_half(deployment: &Deployment) -> Result<bool, TranslateError> {
    half_precision(&Settings::new(&deployment.config, &Map::new()))
}

fn half_precision(settings: &Settings) -> Result<bool, TranslateError> {
    Ok(settings.flag("use_half_precision")?.unwrap_or(false))
}

fn class(deployment: &Deployment) -> Result<Class, TranslateError> {
    let name = &deployment.kind;
    let last = name.rsplit('.').next().unwrap_or(name);
    if let Some((_, class)) = TYPES.iter().find(|(known, _)| *known == last) {
        return Ok(*class);
    }
    if let Some((_, what)) = NOT_YET.iter().find(|(end, _)| last.ends_with(end)) {
        return Err(TranslateError::NotYet {
            name: name.clone(),
            reason: what,
        });
    }
    Err(TranslateError::UnknownType {
        nearest: nearest(last, TYPES.iter().map(|(known, _)| *known)),
        name: name.clone(),
    })
}
