//! Copies its weights out of the source.

use modelzoo_guest::plan::{Architecture, Classification};
use modelzoo_guest::prelude::*;
use serde_json::json;

struct Copy;

impl Source for Copy {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        artifacts::copy_from_source("weights.safetensors", model_path)?;
        Ok(())
    }

    fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        kwargs.refuse_all()?;
        Ok(Plan::new(
            Architecture::new("sequential", json!({"layers": []}))?,
            Classification::new(["a", "b"]),
        )
        .weights([model_path]))
    }
}

modelzoo_guest::export!(Copy);
