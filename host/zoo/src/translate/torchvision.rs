//! `TorchvisionImageModel`: the networks of torchvision, by the functions that build them.
//!
//! Classifiers are here; what finds things in images is in `torchvision_places`.

use modelzoo_base::nearest;
use modelzoo_model::plan::{Architecture, Embeddings, Plan};
use serde_json::{Value, json};

use super::classes::{classes, classification};
use super::error::TranslateError as Error;
use super::images::preprocessing;
use super::settings::Settings;
use super::torchvision_places;

/// What stands before each function's name.
const MODULE: &str = "torchvision.models.";

/// The functions of torchvision that build classifiers.
const BUILDERS: [&str; 40] = [
    "alexnet",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_l_16",
    "vit_l_32",
    "wide_resnet50_2",
    "wide_resnet101_2",
];

/// The plan of a classifier whose weights are in the file `weights`.
pub(super) fn plan(settings: &Settings, weights: String) -> Result<Plan, Error> {
    let entrypoint = settings.text("entrypoint_fcn")?.unwrap_or_default();
    if let Some(finder) = torchvision_places::finder(entrypoint.strip_prefix(MODULE)) {
        return torchvision_places::plan(settings, weights, finder);
    }
    let (name, config) = network(entrypoint)?;
    let classes = classes(settings)?.ok_or_else(|| {
        Error::bad(
            "labels_path",
            "is missing, so the names of the classes are not known",
        )
    })?;
    let mut config = config;
    if let Some(config) = config.as_object_mut()
        && classes.len() != 1000
    {
        config.insert("num_classes".to_owned(), classes.len().into());
    }
    let layer = settings.text("embeddings_layer")?.map(str::to_owned);
    Ok(Plan {
        architecture: Architecture {
            name: name.to_owned(),
            config,
        },
        weights: vec![weights],
        preprocessing: Some(preprocessing(settings)?),
        tokenizer: None,
        head: Some(classification(settings, classes)?),
        embeddings: layer.map(|layer| Embeddings {
            layer: Some(layer),
            ..Embeddings::default()
        }),
    })
}

/// The architecture that a function builds, with its configuration.
fn network(entrypoint: &str) -> Result<(&'static str, Value), Error> {
    let unknown = || Error::UnknownEntrypoint {
        name: entrypoint.to_owned(),
        nearest: nearest(
            entrypoint.rsplit('.').next().unwrap_or(entrypoint),
            BUILDERS.into_iter().chain(torchvision_places::BUILDERS),
        )
        .into_iter()
        .map(|builder| format!("{MODULE}{}{builder}", torchvision_places::package(&builder)))
        .collect(),
    };
    let path = entrypoint.strip_prefix(MODULE).ok_or_else(unknown)?;
    let builder = path.rsplit('.').next().unwrap_or(path);
    if !BUILDERS.contains(&builder) {
        return Err(unknown());
    }
    config(builder).ok_or_else(unknown)
}

fn config(builder: &str) -> Option<(&'static str, Value)> {
    let depth = |prefix: &str| builder.strip_prefix(prefix)?.parse::<u32>().ok();
    if let Some(depth) = depth("resnet") {
        return Some(("resnet", json!({ "depth": depth })));
    }
    if let Some(depth) = depth("densenet") {
        return Some(("densenet", json!({ "depth": depth })));
    }
    if let Some(depth) = depth("vgg") {
        return Some(("vgg", json!({ "depth": depth })));
    }
    if let Some(plain) = builder
        .strip_prefix("vgg")
        .and_then(|rest| rest.strip_suffix("_bn"))
    {
        let depth: u32 = plain.parse().ok()?;
        return Some(("vgg", json!({ "depth": depth, "batch_norm": true })));
    }
    if let Some(variant) = builder.strip_prefix("shufflenet_v2_") {
        return Some(("shufflenet_v2", json!({ "variant": variant })));
    }
    if let Some(version) = builder.strip_prefix("squeezenet") {
        return Some(("squeezenet", json!({ "version": version })));
    }
    Some(match builder {
        "resnext50_32x4d" => (
            "resnet",
            json!({ "depth": 50, "groups": 32, "width_per_group": 4 }),
        ),
        "resnext101_32x8d" => (
            "resnet",
            json!({ "depth": 101, "groups": 32, "width_per_group": 8 }),
        ),
        "resnext101_64x4d" => (
            "resnet",
            json!({ "depth": 101, "groups": 64, "width_per_group": 4 }),
        ),
        "wide_resnet50_2" => ("resnet", json!({ "depth": 50, "width_per_group": 128 })),
        "wide_resnet101_2" => ("resnet", json!({ "depth": 101, "width_per_group": 128 })),
        "mnasnet0_5" => ("mnasnet", json!({ "alpha": 0.5 })),
        "mnasnet0_75" => ("mnasnet", json!({ "alpha": 0.75 })),
        "mnasnet1_0" => ("mnasnet", json!({ "alpha": 1.0 })),
        "mnasnet1_3" => ("mnasnet", json!({ "alpha": 1.3 })),
        "mobilenet_v2" => ("mobilenet_v2", json!({})),
        "alexnet" => ("alexnet", json!({})),
        "vit_b_16" => ("vision_transformer", json!({})),
        "vit_b_32" => ("vision_transformer", json!({ "patch_size": 32 })),
        "vit_l_16" => ("vision_transformer", large_vit(16)),
        "vit_l_32" => ("vision_transformer", large_vit(32)),
        // The published weights were trained with it, and torchvision turns it on for them.
        "googlenet" => ("googlenet", json!({ "transform_input": true })),
        "inception_v3" => ("inception_v3", json!({ "transform_input": true })),
        _ => return None,
    })
}

fn large_vit(patch_size: u32) -> Value {
    json!({
        "patch_size": patch_size,
        "num_layers": 24,
        "num_heads": 16,
        "hidden_dim": 1024,
        "mlp_dim": 4096,
    })
}
