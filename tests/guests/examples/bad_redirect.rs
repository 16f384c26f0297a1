//! Fetches a granted URL (in `url.txt`) that redirects to one that is not granted, with both
//! functions, and passes on the denial. In the case `stubborn` it ignores the denial, writes its
//! model, and returns success.

use modelzoo_guest::prelude::*;
use test_guests::{FetchTarget, case, copy_weights};

struct Guest;

impl DownloadSource for Guest {
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()> {
        match FetchTarget::read()?.expect_denial() {
            Error::Denied(_) if case(model_name, "denied") == "stubborn" => {
                copy_weights(model_path)
            }
            error => Err(error),
        }
    }
}

modelzoo_guest::export!(Guest, download);
