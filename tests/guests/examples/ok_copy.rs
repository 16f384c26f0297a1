//! Copies its weights from the source.

use modelzoo_guest::prelude::*;
use test_guests::{copy_weights, tiny_plan};

struct Guest;

impl Source for Guest {
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()> {
        info!("copying {model_name}");
        debug!("to {}", model_path.artifact());
        copy_weights(model_path)
    }

    fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        kwargs.refuse_all()?;
        tiny_plan(model_path)
    }
}

modelzoo_guest::export!(Guest);
