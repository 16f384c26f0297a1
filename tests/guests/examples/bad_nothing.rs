//! Returns success without the model's file. Cases: `nothing` (no file at all), `beside` (another
//! file), `removed` (the model's file, removed again).

use modelzoo_guest::prelude::*;
use test_guests::{case, copy_weights, unknown_case};

struct Guest;

impl DownloadSource for Guest {
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()> {
        match case(model_name, "nothing") {
            "nothing" => Ok(()),
            "beside" => copy_weights(&model_path.sibling("other.bin")),
            "removed" => {
                copy_weights(model_path)?;
                artifacts::remove(model_path)
            }
            other => Err(unknown_case(other)),
        }
    }
}

modelzoo_guest::export!(Guest, download);
