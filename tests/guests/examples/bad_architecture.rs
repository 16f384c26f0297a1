//! Returns a plan with an unknown architecture.

use modelzoo_guest::prelude::*;
use test_guests::{copy_weights, tiny_plan};

struct Guest;

impl Source for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        copy_weights(model_path)
    }

    fn load_model(_: &str, model_path: &ModelPath, _: Kwargs) -> Result<Plan> {
        let mut plan = tiny_plan(model_path)?;
        plan.architecture.name = "resnett".to_owned();
        Ok(plan)
    }
}

modelzoo_guest::export!(Guest);
