//! Fetches an address that it may fetch (in `url.txt`), but that redirects to where it may not, in
//! both ways, and passes the denial on. In the case `stubborn` it then writes its model all the
//! same, and claims success.

use modelzoo_guest::prelude::*;
use test_guests::{Wanted, case, copy_weights};

struct Guest;

impl DownloadSource for Guest {
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()> {
        match Wanted::read()?.expect_denial() {
            Error::Denied(_) if case(model_name, "denied") == "stubborn" => {
                copy_weights(model_path)
            }
            error => Err(error),
        }
    }
}

modelzoo_guest::export!(Guest, download);
