//! Loops forever. Cases, in both hooks: `compute` (no calls of the host), `files` (calls of the file
//! system); in `download_model` also `artifacts` and `log` (calls of modelzoo's interfaces).

use std::hint::black_box;

use modelzoo_guest::prelude::*;
use test_guests::{case, unknown_case};

struct Guest;

impl Source for Guest {
    fn download_model(model_name: &str, _: &ModelPath) -> Result<()> {
        match case(model_name, "compute") {
            "artifacts" => loop {
                black_box(artifacts::list());
            },
            "log" => loop {
                info!("still here");
            },
            other => Err(never_end(other)),
        }
    }

    fn load_model(model_name: &str, _: &ModelPath, _: Kwargs) -> Result<Plan> {
        Err(never_end(case(model_name, "compute")))
    }
}

fn never_end(case: &str) -> Error {
    let mut count = 0_u64;
    match case {
        "compute" => loop {
            count = black_box(count.wrapping_add(1));
        },
        "files" => loop {
            let _ = black_box(std::fs::metadata(modelzoo_guest::MODEL_DIR));
        },
        other => unknown_case(other),
    }
}

modelzoo_guest::export!(Guest);
