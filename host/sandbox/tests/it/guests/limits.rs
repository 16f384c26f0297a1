//! Guests that allocate, write or log too much.

use modelzoo_sandbox::{GuestErrorKind, HookError, Level, Limit};

use super::world::{MODEL_FILE, guest, tar};
use crate::server::Server;

const MIB: u64 = 1 << 20;

#[test]
pub(crate) fn bad_memory() {
    let with = |case: &str| {
        guest(test_artifacts::BAD_MEMORY)
            .case(case)
            .limits(|limits| limits.memory_bytes = 64 * MIB)
    };
    for error in [with("grow").download().error(), with("grow").load().error()] {
        assert!(
            matches!(
                error,
                HookError::Limit {
                    which: Limit::Memory,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    for error in [
        with("reserve").download().error(),
        with("reserve").load().error(),
    ] {
        assert!(
            matches!(
                error,
                HookError::Limit {
                    which: Limit::Memory,
                    ..
                } | HookError::Guest {
                    kind: GuestErrorKind::Limit,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    for error in [
        with("handles").download().error(),
        with("handles").load().error(),
    ] {
        assert!(
            matches!(
                error,
                HookError::Limit {
                    which: Limit::Resources,
                    ..
                } | HookError::Guest {
                    kind: GuestErrorKind::Limit,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    // Enough memory for the guest, but too much for one host call.
    for case in ["argument", "message"] {
        let error = guest(test_artifacts::BAD_MEMORY)
            .case(case)
            .download()
            .error();
        assert!(
            matches!(
                error,
                HookError::Limit {
                    which: Limit::Hostcall,
                    ..
                }
            ),
            "{case}: {error:?}"
        );
    }
}

/// The number of bytes and files in a directory.
fn usage(directory: &std::path::Path) -> (u64, u64) {
    let mut total = (0, 0);
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (bytes, files) = match entry.file_type().unwrap().is_dir() {
            true => usage(&entry.path()),
            false => (entry.metadata().unwrap().len(), 1),
        };
        total = (total.0 + bytes, total.1 + files);
    }
    total
}

#[test]
pub(crate) fn bad_quota_bytes() {
    let archive = tar(&[("block", &[7; MIB as usize])]);
    for case in ["append", "write", "copy", "extract", "stubborn"] {
        let mut guest = guest(test_artifacts::BAD_QUOTA_BYTES)
            .case(case)
            .file("archive.bin", &archive)
            .limits(|limits| limits.staging_bytes = 10 * MIB);
        if case == "copy" {
            guest = guest.file(MODEL_FILE, vec![1; MIB as usize]);
        }
        let run = guest.download();
        let (bytes, _) = usage(run.model_dir.path());
        assert!(bytes <= 10 * MIB, "{case}: {bytes}");
        if case == "stubborn" {
            assert_eq!(run.names(), ["big", MODEL_FILE]);
        } else {
            assert!(bytes >= 5 * MIB, "{case}: {bytes}");
            let error = run.error();
            assert!(
                matches!(
                    error,
                    HookError::Guest {
                        kind: GuestErrorKind::Limit,
                        ..
                    } | HookError::Limit {
                        which: Limit::StagingBytes,
                        ..
                    }
                ),
                "{case}: {error:?}"
            );
        }
    }
}

#[test]
pub(crate) fn bad_quota_files() {
    for case in ["flat", "deep", "stubborn"] {
        let run = guest(test_artifacts::BAD_QUOTA_FILES)
            .case(case)
            .limits(|limits| limits.staging_files = 100)
            .download();
        let (_, files) = usage(run.model_dir.path());
        assert_eq!(files, 100, "{case}");
        if case == "stubborn" {
            assert_eq!(run.names().len(), 100);
        } else {
            let error = run.error();
            assert!(
                matches!(
                    error,
                    HookError::Guest {
                        kind: GuestErrorKind::Limit,
                        ..
                    } | HookError::Limit {
                        which: Limit::StagingFiles,
                        ..
                    }
                ),
                "{case}: {error:?}"
            );
        }
    }
}

#[test]
pub(crate) fn bad_quota_requests() {
    let server = Server::serving(b"again".to_vec());
    for (case, allowed) in [("get", 7), ("download", 9)] {
        let before = server.requests();
        let error = guest(test_artifacts::BAD_QUOTA_REQUESTS)
            .case(case)
            .granting(server.origin())
            .file("url.txt", server.url("/"))
            .limits(|limits| limits.requests = allowed)
            .download()
            .error();
        assert!(
            matches!(
                error,
                HookError::Guest {
                    kind: GuestErrorKind::Limit,
                    ..
                } | HookError::Limit {
                    which: Limit::Requests,
                    ..
                }
            ),
            "{case}: {error:?}"
        );
        assert_eq!(server.requests() - before, allowed as usize, "{case}");
    }
}

#[test]
pub(crate) fn bad_log() {
    for case in ["flood", "many", "stdout", "stderr"] {
        let guest = guest(test_artifacts::BAD_LOG)
            .case(case)
            .limits(|limits| limits.log_bytes = 64 << 10);
        let downloaded = guest.download();
        assert_eq!(downloaded.names(), [MODEL_FILE], "{case}");
        let loaded = guest.load();
        assert!(loaded.result.is_ok(), "{case}: {:?}", loaded.result);
        for log in [downloaded.log, loaded.log] {
            let bytes: usize = log.iter().map(|(_, message)| message.len()).sum();
            // In addition to the messages, the host reports that it dropped some.
            assert!((1..=66 << 10).contains(&bytes), "{case}: {bytes}");
            let (level, last) = log.last().unwrap();
            assert_eq!(*level, Level::Warn, "{case}: {last}");
        }
    }

    let run = guest(test_artifacts::BAD_LOG).case("escapes").download();
    assert_eq!(run.names(), [MODEL_FILE]);
    assert!(run.log.len() > 20, "{:?}", run.log);
    for (_, message) in &run.log {
        let obeyed = |c: char| {
            c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!message.contains(obeyed), "{message:?}");
    }
}
