//! Allocates forever. Cases, in both hooks: `grow` (memory, touched), `reserve` (1.5 GiB at once),
//! `handles` (open files); in `download_model` also `argument` (one call with 256 MiB of data) and
//! `message` (one log message of 128 MiB).

use std::fs::File;
use std::hint::black_box;

use modelzoo_guest::log::{Level, log};
use modelzoo_guest::prelude::*;
use test_guests::{case, unknown_case};

const MIB: usize = 1 << 20;

struct Guest;

impl Source for Guest {
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()> {
        match case(model_name, "grow") {
            "argument" => artifacts::write(model_path, vec![1; 256 * MIB]).map(drop),
            "message" => {
                log(Level::Info, "x".repeat(128 * MIB));
                Err("the message was taken".into())
            }
            other => Err(take(other)),
        }
    }

    fn load_model(model_name: &str, _: &ModelPath, _: Kwargs) -> Result<Plan> {
        Err(take(case(model_name, "grow")))
    }
}

fn take(case: &str) -> Error {
    match case {
        "grow" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(black_box(vec![1; MIB]));
            }
        }
        "reserve" => {
            // More than 2 GiB would be refused by the guest's own `Vec`.
            let mut all: Vec<u8> = Vec::new();
            match all.try_reserve_exact(1536 * MIB) {
                Ok(()) => "1.5 GiB were given".into(),
                Err(error) => Error::limit(format_args!("the guest's allocator: {error}")),
            }
        }
        "handles" => {
            let mut all = Vec::new();
            loop {
                match File::open(modelzoo_guest::MODEL_DIR) {
                    Ok(file) => all.push(file),
                    Err(error) => {
                        let count = all.len();
                        return Error::limit(format_args!("after {count} files: {error}"));
                    }
                }
            }
        }
        other => unknown_case(other),
    }
}

modelzoo_guest::export!(Guest);
