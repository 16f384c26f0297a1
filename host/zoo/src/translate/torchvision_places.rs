//! Detectors and segmenters of torchvision.

use modelzoo_model::plan::{Architecture, Plan};
use modelzoo_model::task::Task;
use serde_json::{Value, json};

use super::classes::mask_classes;
use super::error::TranslateError as Error;
use super::images::preprocessing;
use super::places;
use super::settings::Settings;

/// The functions of torchvision that build what is known here.
pub(super) const BUILDERS: [&str; 8] = [
    "deeplabv3_resnet101",
    "deeplabv3_resnet50",
    "fasterrcnn_resnet50_fpn",
    "fcn_resnet101",
    "fcn_resnet50",
    "keypointrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "retinanet_resnet50_fpn",
];

/// Makes the task of a network with these classes.
type MakeTask = fn(&Settings, Vec<String>) -> Result<Task, Error>;

/// What a function builds.
pub(super) struct Finder {
    architecture: &'static str,
    config: Value,
    /// The number of classes without another in the configuration.
    classes: usize,
    task: MakeTask,
}

/// The package that a function is in, with a dot, where it is not the classifiers'.
pub(super) fn package(builder: &str) -> &'static str {
    match builder {
        _ if !BUILDERS.contains(&builder) => "",
        _ if builder.ends_with("_fpn") => "detection.",
        _ => "segmentation.",
    }
}

/// What the function builds whose path follows `torchvision.models.`, if it is one of these.
pub(super) fn finder(path: Option<&str>) -> Option<Finder> {
    let path = path?;
    let builder = path.rsplit('.').next().unwrap_or(path);
    let package = package(builder);
    if package.is_empty() || !path.starts_with(package) {
        return None;
    }
    let segmenter = |architecture, depth: u32| Finder {
        architecture,
        config: json!({ "depth": depth }),
        classes: 21,
        task: places::regions,
    };
    let detector = |architecture, classes, task: MakeTask| Finder {
        architecture,
        // The weights are torchvision's first ones.
        config: json!({ "depth": 50, "norm_eps": 0.0 }),
        classes,
        task,
    };
    Some(match builder {
        "fcn_resnet50" => segmenter("fcn", 50),
        "fcn_resnet101" => segmenter("fcn", 101),
        "deeplabv3_resnet50" => segmenter("deeplabv3", 50),
        "deeplabv3_resnet101" => segmenter("deeplabv3", 101),
        "fasterrcnn_resnet50_fpn" => detector("faster_rcnn", 91, places::detection),
        "maskrcnn_resnet50_fpn" => detector("mask_rcnn", 91, places::instances),
        "keypointrcnn_resnet50_fpn" => detector("keypoint_rcnn", 2, places::points),
        "retinanet_resnet50_fpn" => detector("retinanet", 91, places::detection),
        _ => return None,
    })
}

/// The plan of such a network, whose weights are in the file `weights`.
pub(super) fn plan(settings: &Settings, weights: String, finder: Finder) -> Result<Plan, Error> {
    let classes = mask_classes(settings)?.ok_or_else(|| {
        Error::bad(
            "labels_path",
            "is missing, so the names of the classes are not known",
        )
    })?;
    let mut config = finder.config;
    if let Some(config) = config.as_object_mut()
        && classes.len() != finder.classes
    {
        config.insert("num_classes".to_owned(), classes.len().into());
    }
    Ok(Plan {
        architecture: Architecture {
            name: finder.architecture.to_owned(),
            config,
        },
        weights: vec![weights],
        preprocessing: Some(preprocessing(settings)?),
        tokenizer: None,
        head: Some((finder.task)(settings, classes)?),
        embeddings: None,
    })
}
