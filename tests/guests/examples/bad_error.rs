//! Writes a file and then fails with each error of the interface. The case is the last part of the
//! model's name in `download_model`, and the kwarg `case` in `load_model`.

use modelzoo_guest::prelude::*;
use serde::Deserialize;
use test_guests::{case, unknown_case};

struct Guest;

#[derive(Deserialize)]
struct Options {
    case: String,
}

impl Source for Guest {
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()> {
        artifacts::write(model_path, "unfinished")?;
        Err(error(case(model_name, "other")))
    }

    fn load_model(_: &str, _: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        let options: Options = kwargs.parse()?;
        Err(error(&options.case))
    }
}

fn error(case: &str) -> Error {
    match case {
        "invalid-input" => Error::invalid_input("the guest's invalid-input"),
        "not-found" => Error::not_found("the guest's not-found"),
        "denied" => Error::denied("the guest's denied"),
        "network" => Error::network("the guest's network"),
        "status" => Error::status(503, "https://example.org/the-guests-status"),
        "mismatch" => Error::mismatch("the guest's mismatch"),
        "limit" => Error::limit("the guest's limit"),
        "io" => Error::io("the guest's io"),
        "unsupported" => Error::unsupported("the guest's unsupported"),
        "other" => Error::other("the guest's other"),
        "empty" => Error::other(""),
        "controls" => Error::other("\u{1b}[2J\u{1b}]0;t\u{7}a\r\nhint: forged\u{202e}\0b"),
        "long" => Error::other("x".repeat(32 << 20)),
        "odd-status" => Error::status(u16::MAX, "\u{1b}[2Jhttps://example.org/"),
        other => unknown_case(other),
    }
}

modelzoo_guest::export!(Guest);
