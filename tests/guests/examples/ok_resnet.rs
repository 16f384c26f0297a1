//! Loads a ResNet with the kwargs `depth` (18), `num_classes` (2, or as many as `classes`),
//! `classes` (numbers), `confidence_thresh` (none).

use modelzoo_guest::plan::{Architecture, Classification};
use modelzoo_guest::prelude::*;
use serde::Deserialize;
use serde_json::json;

struct Guest;

#[derive(Deserialize)]
struct Options {
    #[serde(default = "depth")]
    depth: u32,
    #[serde(default)]
    num_classes: Option<usize>,
    #[serde(default)]
    classes: Option<Vec<String>>,
    #[serde(default)]
    confidence_thresh: Option<f32>,
}

fn depth() -> u32 {
    18
}

impl LoadSource for Guest {
    fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        let options: Options = kwargs.parse()?;
        let num_classes = options
            .num_classes
            .or(options.classes.as_ref().map(Vec::len))
            .unwrap_or(2);
        let classes = options
            .classes
            .unwrap_or_else(|| (0..num_classes).map(|class| class.to_string()).collect());
        let config = json!({"depth": options.depth, "num_classes": num_classes});
        Ok(Plan::new(
            Architecture::new("resnet", config)?,
            Classification::new(classes).confidence_thresh(options.confidence_thresh),
        )
        .weights([model_path])
        .preprocessing(Preprocessing::imagenet()))
    }
}

modelzoo_guest::export!(Guest, load);
