//! A source with a classifier of handwritten digits. The source contains the weights, so that its
//! hooks need no network.

use modelzoo_guest::prelude::*;
use serde::Deserialize;
use serde_json::json;

struct Digits;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    classes: Option<Vec<String>>,
    confidence_thresh: Option<f32>,
}

impl Source for Digits {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        artifacts::copy_from_source("digits-cnn.safetensors", model_path)?;
        Ok(())
    }

    fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        let options: Options = kwargs.parse()?;
        let classes = options
            .classes
            .unwrap_or_else(|| (0..10).map(|digit| digit.to_string()).collect());
        if classes.len() != 10 {
            let count = classes.len();
            return Err(Error::invalid_input(format_args!(
                "`classes` has {count} names, and there are 10 digits"
            )));
        }
        let head = Classification::new(classes).confidence_thresh(options.confidence_thresh);
        Ok(Plan::new(Architecture::new("sequential", layers())?, head)
            .weights([model_path])
            .preprocessing(Preprocessing::gray().resize(16).normalize([0.3], [0.35])))
    }
}

/// The network that `train.py` trains.
fn layers() -> serde_json::Value {
    let conv = |name: &str, from: u32, to: u32| json!({"type": "conv2d", "name": name, "in_channels": from, "out_channels": to, "kernel_size": 3, "padding": 1});
    let norm = |name: &str, channels: u32| json!({"type": "batch_norm", "name": name, "features": channels});
    let linear = |name: &str, from: u32, to: u32| json!({"type": "linear", "name": name, "in_features": from, "out_features": to});
    let relu = json!({"type": "relu"});
    let pool = json!({"type": "max_pool", "kernel_size": 2});
    json!({"layers": [
        conv("conv1", 1, 32), norm("bn1", 32), relu,
        conv("conv2", 32, 32), norm("bn2", 32), relu, pool,
        conv("conv3", 32, 64), norm("bn3", 64), relu, pool,
        {"type": "flatten"}, {"type": "dropout"},
        linear("fc1", 1024, 64), relu, {"type": "dropout"},
        linear("fc2", 64, 10),
    ]})
}

modelzoo_guest::export!(Digits);
