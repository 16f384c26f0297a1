//! PyTorch checkpoints of every format, tensor by tensor, against torch.
//!
//! `tests/parity/make_pth.py` wrote the files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::path::{Path, PathBuf};

use modelzoo_runtime::{Error, Weights};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/fixtures/checkpoints")
}

fn open(name: &str) -> Weights {
    Weights::open(&fixtures(), &[name.to_owned()]).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Name, type and shape of every tensor.
fn list(weights: &Weights) -> Vec<(String, &'static str, Vec<usize>)> {
    weights
        .tensors()
        .map(|(name, dtype, shape)| (name.to_owned(), dtype, shape.to_vec()))
        .collect()
}

/// Checks that a checkpoint has the tensors of the safetensors file of the same name.
fn agrees(case: &str) {
    let got = open(&format!("{case}.pth"));
    let want = open(&format!("{case}.safetensors"));
    assert_eq!(list(&got), list(&want), "{case}");
    let mut compared = 0;
    for (name, dtype, _) in list(&want) {
        if !matches!(dtype, "F64" | "F32" | "F16" | "BF16") {
            let error = got.values(&name).unwrap_err();
            assert!(
                matches!(error, Error::WrongType { .. }),
                "{case}: {error:?}"
            );
            continue;
        }
        assert_eq!(
            got.values(&name).unwrap(),
            want.values(&name).unwrap(),
            "{case}: {name}"
        );
        compared += 1;
    }
    assert!(compared > 0, "{case} has nothing to compare");
}

macro_rules! cases {
    ($($test:ident: $case:literal;)*) => {
        $(#[test]
        fn $test() {
            agrees($case);
        })*

        #[test]
        fn every_file_has_a_test() {
            let mut cases = vec![$($case),*];
            cases.sort_unstable();
            let mut files: Vec<String> = std::fs::read_dir(fixtures())
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .filter_map(|name| name.strip_suffix(".pth").map(str::to_owned))
                .collect();
            files.sort_unstable();
            assert_eq!(files, cases);
        }
    };
}

cases! {
    an_archive: "archive";
    an_archive_with_a_pickle_of_protocol_4: "archive-protocol4";
    an_archive_that_was_compressed: "compressed";
    a_legacy_file: "legacy";
    a_legacy_file_with_the_state_of_a_training: "legacy-training";
    a_legacy_file_by_python_2: "python2";
    the_state_of_a_training: "training";
    parameters: "parameters";
    dictionaries_in_dictionaries: "nested";
    views_of_shared_storages: "views";
    views_of_shared_storages_in_a_legacy_file: "views-legacy";
    every_type: "types";
    scripted_module: "scripted";
    traced_module_in_half_precision: "traced-half";
}

#[test]
fn weights_format_is_detected_by_content() {
    let dir = tempfile::tempdir().unwrap();
    for case in ["archive", "legacy"] {
        std::fs::copy(
            fixtures().join(format!("{case}.pth")),
            dir.path().join("x.safetensors"),
        )
        .unwrap();
        let weights = Weights::open(dir.path(), &["x.safetensors".to_owned()]).unwrap();
        assert_eq!(list(&weights), list(&open(&format!("{case}.safetensors"))));
    }
}

#[test]
fn formats_can_be_mixed_if_names_differ() {
    let names = ["views.pth", "compressed.pth", "parameters.pth"].map(str::to_owned);
    let error = Weights::open(&fixtures(), &names).err().unwrap();
    assert!(matches!(error, Error::WeightsFile { .. }), "{error:?}");
    assert!(
        error.to_string().contains("another of the weight files"),
        "{error}"
    );

    let mixed = Weights::open(
        &fixtures(),
        &["compressed.pth", "views.pth", "types.safetensors"].map(str::to_owned),
    )
    .unwrap();
    for (file, name) in [
        ("archive", "head.0.weight"),
        ("views", "permuted"),
        ("types", "bfloat16"),
    ] {
        let alone = open(&format!("{file}.safetensors"));
        assert_eq!(mixed.values(name).unwrap(), alone.values(name).unwrap());
    }
}

#[test]
fn missing_tensor_suggests_the_nearest() {
    let error = open("archive.pth")
        .values("visual.conv.weight")
        .unwrap_err();
    let Error::MissingTensor { nearest, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(nearest[0], "visual.conv1.weight");
}

/// Damaged files are read or refused, without panics and without reads outside of them.
mod damage {
    use super::*;

    /// The outcome for a file with this content; all tensors of one that opens are read.
    fn try_open(dir: &Path, content: &[u8]) -> Result<usize, String> {
        std::fs::write(dir.join("w.pth"), content).unwrap();
        let weights = Weights::open(dir, &["w.pth".to_owned()]);
        let weights = weights.map_err(|error| match error {
            Error::WeightsFile { .. } | Error::UnsafePickle { .. } => error.to_string(),
            error => panic!("{error:?}"),
        })?;
        for (name, dtype, shape) in list(&weights) {
            match weights.values(&name) {
                Ok(values) => assert_eq!(values.len(), shape.iter().product::<usize>()),
                Err(Error::WrongType { .. }) => {}
                Err(error) => panic!("{name} {dtype}: {error:?}"),
            }
        }
        Ok(list(&weights).len())
    }

    #[test]
    fn truncated_weights_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for case in ["archive", "legacy", "python2"] {
            let content = std::fs::read(fixtures().join(format!("{case}.pth"))).unwrap();
            assert!(try_open(dir.path(), &content).is_ok());
            for length in 0..content.len() {
                let outcome = try_open(dir.path(), &content[..length]);
                assert!(outcome.is_err(), "{case}, cut after {length} bytes");
            }
        }
    }

    #[test]
    fn a_file_with_flipped_bits_is_read_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = 0x0123_4567_89ab_cdef_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let (mut read, mut refused) = (0, 0);
        for case in [
            "archive",
            "legacy",
            "views",
            "python2",
            "scripted",
            "views-legacy",
        ] {
            let content = std::fs::read(fixtures().join(format!("{case}.pth"))).unwrap();
            for _ in 0..500 {
                let mut damaged = content.clone();
                for _ in 0..=random(3) {
                    damaged[random(content.len())] ^= 1 << random(8);
                }
                match try_open(dir.path(), &damaged) {
                    Ok(_) => read += 1,
                    Err(_) => refused += 1,
                }
            }
        }
        // Flips in elements are not noticed; those in descriptions mostly are.
        assert!(
            read > 100 && refused > 100,
            "{read} read, {refused} refused"
        );
    }

    #[test]
    fn a_file_with_every_byte_replaced_is_read_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let content = std::fs::read(fixtures().join("python2.pth")).unwrap();
        for at in 0..content.len() {
            for byte in [0, 1, b'.', b'(', b'R', 0x7f, 0x80, 0xff] {
                let mut damaged = content.clone();
                damaged[at] = byte;
                let _outcome = try_open(dir.path(), &damaged);
            }
        }
    }
}
