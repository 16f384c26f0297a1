//! Guests that crash or never end.

use modelzoo_sandbox::{Hook, HookError};

use super::world::{Guest, MODEL_FILE, guest};

/// Runs both hooks, and returns their errors.
fn both(guest: &Guest) -> [HookError; 2] {
    let errors = [guest.download().error(), guest.load().error()];
    assert_eq!(errors[0].site().hook, Hook::DownloadModel);
    assert_eq!(errors[1].site().hook, Hook::LoadModel);
    errors
}

#[test]
pub(crate) fn bad_trap() {
    for (case, reasons) in [
        ("panic", &["the guest gave up"][..]),
        ("unreachable", &["unreachable"]),
        ("stack", &["stack", "out of bounds"]),
        ("exit", &["exit"]),
        ("abort", &["unreachable", "abort"]),
    ] {
        for error in both(&guest(test_artifacts::BAD_TRAP).case(case)) {
            let HookError::Trap { reason, .. } = &error else {
                panic!("{case}: {error:?}");
            };
            assert!(
                reasons.iter().any(|r| reason.contains(r)),
                "{case}: {reason}"
            );
        }
    }
    // The host goes on.
    assert_eq!(
        guest(test_artifacts::OK_COPY).download().names(),
        [MODEL_FILE]
    );
}

#[test]
pub(crate) fn bad_loop() {
    for case in ["compute", "files"] {
        for error in both(&guest(test_artifacts::BAD_LOOP).case(case).with_short_time()) {
            assert!(
                matches!(error, HookError::Timeout { .. }),
                "{case}: {error:?}"
            );
        }
    }
    for case in ["artifacts", "log"] {
        let run = guest(test_artifacts::BAD_LOOP)
            .case(case)
            .with_short_time()
            .download();
        let error = run.error();
        assert!(
            matches!(error, HookError::Timeout { .. }),
            "{case}: {error:?}"
        );
    }
}

#[test]
pub(crate) fn bad_sleep() {
    for case in ["long", "short", "stdin"] {
        for error in both(
            &guest(test_artifacts::BAD_SLEEP)
                .case(case)
                .with_short_time(),
        ) {
            assert!(
                matches!(error, HookError::Timeout { .. }),
                "{case}: {error:?}"
            );
        }
    }
}

#[test]
pub(crate) fn bad_socket() {
    for case in ["connect", "listen", "udp", "resolve"] {
        for error in both(&guest(test_artifacts::BAD_SOCKET).case(case)) {
            let HookError::Forbidden { interface, .. } = &error else {
                panic!("{case}: {error:?}");
            };
            assert!(
                interface.starts_with("wasi:sockets/"),
                "{case}: {interface}"
            );
        }
    }
}

#[test]
pub(crate) fn bad_fetch_in_load() {
    let guest = guest(test_artifacts::BAD_FETCH_IN_LOAD).file("url.txt", "https://example.org/");
    assert_eq!(guest.download().names(), [MODEL_FILE]);
    for (case, interface) in [
        ("get", "fetch"),
        ("download", "fetch"),
        ("write", "artifacts"),
        ("remove", "artifacts"),
        ("list", "artifacts"),
    ] {
        let guest = super::world::guest(test_artifacts::BAD_FETCH_IN_LOAD)
            .file("url.txt", "https://example.org/")
            .kwargs(serde_json::json!({"case": case}));
        let error = guest.load().error();
        let HookError::Forbidden {
            interface: named, ..
        } = &error
        else {
            panic!("{case}: {error:?}");
        };
        assert!(named.contains(interface), "{case}: {named}");
    }
}
