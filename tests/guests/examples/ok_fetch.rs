//! Downloads its weights from the URL in `url.txt`, with the digest and the length if the file has
//! them.

use modelzoo_guest::prelude::*;
use test_guests::{FetchTarget, tiny_plan};

struct Guest;

impl Source for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        let artifact = FetchTarget::read()?.request().download(model_path)?;
        info!("{} bytes, sha256 {}", artifact.size, artifact.sha256);
        let there = std::fs::metadata(model_path)?.len();
        if there != artifact.size {
            return Err(Error::mismatch(format_args!(
                "the file system shows {there} bytes instead of {}",
                artifact.size
            )));
        }
        Ok(())
    }

    fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
        kwargs.refuse_all()?;
        tiny_plan(model_path)
    }
}

modelzoo_guest::export!(Guest);
