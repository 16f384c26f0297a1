//! Downloads its weights from the address in `url.txt`, with the digest and the length that may
//! stand there.

use modelzoo_guest::prelude::*;
use test_guests::{Wanted, tiny_plan};

struct Guest;

impl Source for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        let artifact = Wanted::read()?.request().download(model_path)?;
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
