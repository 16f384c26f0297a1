//! Fetches the address in `url.txt` without end, and passes the host's error on. Cases: `get`,
//! `download`.

use modelzoo_guest::prelude::*;
use test_guests::{Wanted, case, unknown_case};

struct Guest;

impl DownloadSource for Guest {
    fn download_model(model_name: &str, _: &ModelPath) -> Result<()> {
        let wanted = Wanted::read()?;
        match case(model_name, "get") {
            "get" => loop {
                fetch::url(&wanted.url).get()?;
            },
            "download" => loop {
                wanted.request().download("again")?;
            },
            other => Err(unknown_case(other)),
        }
    }
}

modelzoo_guest::export!(Guest, download);
