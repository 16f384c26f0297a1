//! Crashes or exits. Cases, in both hooks: `panic`, `unreachable`, `stack` (endless recursion),
//! `exit` (with success), `abort`.

use std::hint::black_box;

use modelzoo_guest::prelude::*;
use test_guests::{case, unknown_case};

struct Guest;

impl Source for Guest {
    fn download_model(model_name: &str, _: &ModelPath) -> Result<()> {
        Err(end(case(model_name, "panic")))
    }

    fn load_model(model_name: &str, _: &ModelPath, _: Kwargs) -> Result<Plan> {
        Err(end(case(model_name, "panic")))
    }
}

#[expect(clippy::panic, reason = "this is what is tested")]
fn end(case: &str) -> Error {
    match case {
        "panic" => panic!("the guest gave up"),
        #[cfg(target_family = "wasm")]
        "unreachable" => core::arch::wasm32::unreachable(),
        "stack" => Error::other(deeper(0)),
        "exit" => std::process::exit(0),
        "abort" => std::process::abort(),
        other => unknown_case(other),
    }
}

#[expect(unconditional_recursion, reason = "this is what is tested")]
fn deeper(depth: u64) -> u64 {
    let here = black_box([depth; 64]);
    black_box(deeper(depth.wrapping_add(1))).wrapping_add(here.iter().sum())
}

modelzoo_guest::export!(Guest);
