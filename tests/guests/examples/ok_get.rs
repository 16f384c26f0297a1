//! Fetches the document at the URL in `url.txt`, with a header field, and writes the response as
//! JSON: the status, the header fields, and the body as text.

use modelzoo_guest::prelude::*;
use serde_json::json;
use test_guests::FetchTarget;

struct Guest;

impl DownloadSource for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        let response = fetch::url(FetchTarget::read()?.url)
            .header("x-guest", "ok_get")
            .get()?;
        let seen = json!({
            "status": response.status,
            "headers": response.headers,
            "body": String::from_utf8_lossy(&response.body),
        });
        artifacts::write(model_path, seen.to_string())?;
        Ok(())
    }
}

modelzoo_guest::export!(Guest, download);
