//! Has `download_model` only.

use modelzoo_guest::prelude::*;
use test_guests::copy_weights;

struct Guest;

impl DownloadSource for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        copy_weights(model_path)
    }
}

modelzoo_guest::export!(Guest, download);
