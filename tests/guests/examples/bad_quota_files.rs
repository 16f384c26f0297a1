//! Creates files forever, and passes on the host's error. Cases: `flat`; `deep` (each in directories
//! of its own); `stubborn` (ignores the errors, and returns success after 50,000 attempts).

use modelzoo_guest::prelude::*;
use test_guests::{case, copy_weights, unknown_case};

struct Guest;

impl DownloadSource for Guest {
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()> {
        copy_weights(model_path)?;
        match case(model_name, "flat") {
            "flat" => (0_u64..).try_for_each(|n| artifacts::write(format!("f{n}"), "").map(drop)),
            "deep" => (0_u64..)
                .try_for_each(|n| artifacts::write(format!("d{n}/a/b/c/d/e/f"), "").map(drop)),
            "stubborn" => {
                for n in 0..50_000 {
                    let _ = artifacts::write(format!("f{n}"), "");
                }
                Ok(())
            }
            other => Err(unknown_case(other)),
        }
    }
}

modelzoo_guest::export!(Guest, download);
