//! Sleeps forever. Cases, in both hooks: `long` (one endless sleep), `short` (endless short sleeps),
//! `stdin` (waits for input that never arrives, then sleeps).

use std::io::Read as _;
use std::thread::sleep;
use std::time::Duration;

use modelzoo_guest::prelude::*;
use test_guests::{case, unknown_case};

struct Guest;

impl Source for Guest {
    fn download_model(model_name: &str, _: &ModelPath) -> Result<()> {
        Err(wait(case(model_name, "long")))
    }

    fn load_model(model_name: &str, _: &ModelPath, _: Kwargs) -> Result<Plan> {
        Err(wait(case(model_name, "long")))
    }
}

fn wait(case: &str) -> Error {
    match case {
        "long" => loop {
            sleep(Duration::from_secs(1 << 30));
        },
        "short" => loop {
            sleep(Duration::from_millis(1));
        },
        "stdin" => {
            let mut input = Vec::new();
            let read = std::io::stdin().read_to_end(&mut input);
            info!("standard input ended: {read:?}");
            wait("long")
        }
        other => unknown_case(other),
    }
}

modelzoo_guest::export!(Guest);
