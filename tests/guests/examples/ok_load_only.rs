//! Has `load_model` only.

use modelzoo_guest::prelude::*;
use test_guests::tiny_plan;

struct Guest;

impl LoadSource for Guest {
    fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        kwargs.refuse_all()?;
        tiny_plan(model_path)
    }
}

modelzoo_guest::export!(Guest, load);
