//! Fetches from a host that it has no permission for (the address in `url.txt`), in both ways, and
//! passes the denial on.

use modelzoo_guest::prelude::*;
use test_guests::Wanted;

struct Guest;

impl DownloadSource for Guest {
    fn download_model(_: &str, _: &ModelPath) -> Result<()> {
        Err(Wanted::read()?.expect_denial())
    }
}

modelzoo_guest::export!(Guest, download);
