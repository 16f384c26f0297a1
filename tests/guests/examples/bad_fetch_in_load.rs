//! Uses in `load_model` what only `download_model` may use, and passes the host's error on. The
//! kwarg `case` says what: `get`, `download`, `write`, `remove` or `list`. The address is the one
//! in `url.txt`.

use modelzoo_guest::prelude::*;
use serde::Deserialize;
use test_guests::{Wanted, copy_weights, tiny_plan, unknown_case};

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
            "get" => fetch::url(Wanted::read()?.url).get().map(drop)?,
            "download" => Wanted::read()?.request().download("loot").map(drop)?,
            "write" => artifacts::write("loot", "x").map(drop)?,
            "remove" => artifacts::remove(model_path)?,
            "list" => info!("there are {} artifacts", artifacts::list().len()),
            other => return Err(unknown_case(other)),
        }
        warn!("the host let {} through", options.case);
        tiny_plan(model_path)
    }
}

modelzoo_guest::export!(Guest);
