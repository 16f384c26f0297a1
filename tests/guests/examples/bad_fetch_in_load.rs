//! Calls a function in `load_model` that only `download_model` has, and passes on the host's error.
//! The kwarg `case` names it: `get`, `download`, `write`, `remove` or `list`. The URL is in
//! `url.txt`.

use modelzoo_guest::prelude::*;
use serde::Deserialize;
use test_guests::{FetchTarget, copy_weights, tiny_plan, unknown_case};

struct Guest;

#[derive(Deserialize)]
struct Options {
    case: String,
}

impl Source for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        copy_weights(model_path)
    }

    fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        let options: Options = kwargs.parse()?;
        match options.case.as_str() {
            "get" => fetch::url(FetchTarget::read()?.url).get().map(drop)?,
            "download" => FetchTarget::read()?
                .request()
                .download("stolen")
                .map(drop)?,
            "write" => artifacts::write("stolen", "x").map(drop)?,
            "remove" => artifacts::remove(model_path)?,
            "list" => info!("there are {} artifacts", artifacts::list().len()),
            other => return Err(unknown_case(other)),
        }
        warn!("the host let {} through", options.case);
        tiny_plan(model_path)
    }
}

modelzoo_guest::export!(Guest);
