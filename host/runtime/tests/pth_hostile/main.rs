//! Hostile checkpoints: pickles that would run code, and inconsistent files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod containers;
mod malformed;
mod modules;
mod states;
mod tensors;
mod unsafe_names;
mod write;

use modelzoo_runtime::{Error, Weights};

/// The expected error of a file.
pub(crate) enum Want {
    /// [`Error::UnsafePickle`] with exactly this name.
    Unsafe(&'static str),
    /// [`Error::WeightsFile`] with these words in its reason.
    Malformed(&'static str),
}

pub(crate) fn try_open(content: &[u8]) -> Result<Weights, Error> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("w.pth"), content).unwrap();
    Weights::open(dir.path(), &["w.pth".to_owned()])
}

pub(crate) fn refuse(case: &str, content: &[u8], want: &Want) {
    let error = match try_open(content) {
        Ok(_) => panic!("{case}: was read"),
        Err(error) => error,
    };
    match (want, &error) {
        (Want::Unsafe(want), Error::UnsafePickle { path, global }) => {
            assert_eq!(global, want, "{case}");
            assert!(path.ends_with("w.pth"), "{case}: {path:?}");
            assert!(
                error.remedy().unwrap().to_string().contains("safetensors"),
                "{case}"
            );
        }
        (Want::Malformed(want), Error::WeightsFile { reason, .. }) => {
            assert!(
                reason.contains(want),
                "{case}: {reason:?} should tell of {want:?}"
            );
        }
        _ => panic!("{case}: {error:?}"),
    }
}
