//! Writes forever into one file, and passes on the host's error. Cases: `append`; `write` (a new file
//! each time); `copy` (copies of the source's weights); `extract` (unpacks the source's
//! `archive.bin` again and again); `stubborn` (ignores the errors of 50 attempts, and returns
//! success).

use modelzoo_guest::prelude::*;
use test_guests::{WEIGHTS, case, copy_weights, unknown_case};

const MIB: usize = 1 << 20;

struct Guest;

impl DownloadSource for Guest {
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()> {
        copy_weights(model_path)?;
        let block = vec![0x55; MIB];
        match case(model_name, "append") {
            "append" => endlessly(|_| artifacts::append("big", &block).map(drop)),
            "write" => endlessly(|n| artifacts::write(format!("big{n}"), &block).map(drop)),
            "copy" => {
                endlessly(|n| artifacts::copy_from_source(WEIGHTS, format!("w{n}")).map(drop))
            }
            "extract" => {
                artifacts::copy_from_source("archive.bin", "archive.bin")?;
                endlessly(|n| {
                    artifacts::extract("archive.bin")
                        .into_dir(format!("d{n}"))
                        .map(drop)
                })
            }
            "stubborn" => {
                for _ in 0..50 {
                    let _ = artifacts::append("big", &block);
                }
                Ok(())
            }
            other => Err(unknown_case(other)),
        }
    }
}

fn endlessly(mut attempt: impl FnMut(u64) -> Result<()>) -> Result<()> {
    (0..).try_for_each(&mut attempt)
}

modelzoo_guest::export!(Guest, download);
