//! Fetches the URL in `url.txt` forever, and passes on the host's error. Cases: `get`, `download`.

use modelzoo_guest::prelude::*;
use test_guests::{FetchTarget, case, unknown_case};

struct Guest;

impl DownloadSource for Guest {
    fn download_model(model_name: &str, _: &ModelPath) -> Result<()> {
        let wanted = FetchTarget::read()?;
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
