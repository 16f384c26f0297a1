//! Fetches from a host that it has no permission for (the URL in `url.txt`) with both functions, and
//! passes on the denial.

use modelzoo_guest::prelude::*;
use test_guests::FetchTarget;

struct Guest;

impl DownloadSource for Guest {
    fn download_model(_: &str, _: &ModelPath) -> Result<()> {
        Err(FetchTarget::read()?.expect_denial())
    }
}

modelzoo_guest::export!(Guest, download);
