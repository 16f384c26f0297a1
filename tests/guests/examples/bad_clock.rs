//! Reports what it observes of clocks and randomness, so that a test can check that both are the same
//! in every run: `download_model` as the model's file, `load_model` as the class names.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::{Duration, Instant, SystemTime};

use modelzoo_guest::plan::{Classification, Head};
use modelzoo_guest::prelude::*;
use test_guests::tiny_plan;

struct Guest;

impl Source for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        artifacts::write(model_path, observe(model_path.parent())?.join("\n"))?;
        Ok(())
    }

    fn load_model(_: &str, model_path: &ModelPath, _: Kwargs) -> Result<Plan> {
        let mut plan = tiny_plan(model_path)?;
        plan.head = Some(Head::from(Classification::new(observe(Some(model_path))?)));
        Ok(plan)
    }
}

fn observe(file: Option<&std::path::Path>) -> Result<Vec<String>> {
    let start = Instant::now();
    let mut seen = vec![format!(
        "wall {:?}",
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(Error::other)?
    )];
    let mut sum = 0_u64;
    for n in 0..1_000_000_u64 {
        sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(n));
    }
    seen.push(format!("computing took {:?}", start.elapsed()));
    std::thread::sleep(Duration::from_millis(20));
    seen.push(format!("and sleeping {:?}", start.elapsed()));
    seen.push(format!("hash {:x}", RandomState::new().hash_one("x")));
    seen.push(format!("random {:x?}", random()));
    if let Some(file) = file {
        // Times and inode numbers would reveal the host's file system.
        let metadata = std::fs::metadata(file)?;
        seen.push(format!("modified {:?}", metadata.modified().ok()));
        seen.push(format!("accessed {:?}", metadata.accessed().ok()));
        seen.push(format!("created {:?}", metadata.created().ok()));
    }
    Ok(seen)
}

/// 16 bytes of the random numbers that WASI calls secure.
#[cfg(target_family = "wasm")]
fn random() -> [u8; 16] {
    unsafe extern "C" {
        fn getentropy(buffer: *mut std::ffi::c_void, length: usize) -> std::ffi::c_int;
    }
    let mut bytes = [0; 16];
    // SAFETY: the buffer is as long as it says.
    let _ = unsafe { getentropy(bytes.as_mut_ptr().cast(), bytes.len()) };
    bytes
}

/// Replaces wasi-libc where the guests are only type-checked.
#[cfg(not(target_family = "wasm"))]
fn random() -> [u8; 16] {
    [0; 16]
}

modelzoo_guest::export!(Guest);
