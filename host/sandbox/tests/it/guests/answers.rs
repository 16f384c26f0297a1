//! Guests with invalid results.

use modelzoo_runtime::Error;
use modelzoo_sandbox::{GuestErrorKind, HookError, Limit};
use serde_json::json;

use super::world::guest;

#[test]
pub(crate) fn bad_architecture() {
    // The runtime knows which architectures exist.
    let guest = guest(test_artifacts::BAD_ARCHITECTURE);
    let run = guest.load_from(guest.download().model_dir);
    let error = run.build().err().unwrap();
    assert!(
        matches!(&error, Error::UnknownArchitecture { name, .. } if name == "resnett"),
        "{error:?}"
    );
    assert!(
        error.remedy().unwrap().to_string().contains("resnet"),
        "{:?}",
        error.remedy()
    );
}

#[test]
pub(crate) fn bad_plan() {
    let load = |case: &str| {
        guest(test_artifacts::BAD_PLAN)
            .kwargs(json!({"case": case}))
            .load()
    };
    assert!(load("none").build().is_ok());
    for case in [
        "nan_mean",
        "infinite_mean",
        "zero_std",
        "nan_std",
        "nan_confidence",
        "large_confidence",
        "zero_size",
        "huge_size",
        "huge_shortest",
        "many_steps",
        "missing_weights",
        "escaping_weights",
        "absolute_weights",
        "many_weights",
        "config_no_json",
        "config_array",
        "config_deep",
        "config_long",
        "long_name",
        "many_classes",
        "long_class",
        "other_channels",
        "no_weights",
    ] {
        let error = load(case).error();
        assert!(
            matches!(
                error,
                HookError::BadAnswer { .. }
                    | HookError::Limit {
                        which: Limit::Hostcall,
                        ..
                    }
            ),
            "{case}: {error:?}"
        );
        assert!(error.to_string().len() < 1000, "{case}");
    }
    // The runtime knows what a configuration means.
    assert!(load("config_unknown_field").build().is_err());
    // Any text is valid; the command escapes it when it prints it.
    let run = load("class_controls");
    assert!(run.build().is_ok(), "{:?}", run.result);
}

#[test]
pub(crate) fn bad_error() {
    for (case, kind) in [
        ("invalid-input", GuestErrorKind::InvalidInput),
        ("not-found", GuestErrorKind::NotFound),
        ("denied", GuestErrorKind::Denied),
        ("network", GuestErrorKind::Network),
        ("status", GuestErrorKind::Status),
        ("mismatch", GuestErrorKind::Mismatch),
        ("limit", GuestErrorKind::Limit),
        ("io", GuestErrorKind::Io),
        ("unsupported", GuestErrorKind::Unsupported),
        ("other", GuestErrorKind::Other),
        ("empty", GuestErrorKind::Other),
        ("controls", GuestErrorKind::Other),
        ("long", GuestErrorKind::Other),
        ("odd-status", GuestErrorKind::Status),
    ] {
        let guest = guest(test_artifacts::BAD_ERROR)
            .case(case)
            .kwargs(json!({"case": case}));
        for (got, message) in [guest.download().guest_error(), guest.load().guest_error()] {
            assert_eq!(got, kind, "{case}: {message}");
            assert!(!message.contains(char::is_control), "{case}: {message:?}");
            assert!(message.len() < 4096, "{case}: {} bytes", message.len());
            if !matches!(case, "empty" | "controls" | "long" | "odd-status") {
                assert!(
                    message.contains("the-guests") || message.contains("the guest's"),
                    "{message}"
                );
            }
        }
    }
}

#[test]
pub(crate) fn bad_kwargs() {
    let kwargs = json!({"b": [1, null], "a": "\u{1b}[2J\n", "\u{202e}": {"c": 1e300}});
    let (kind, message) = guest(test_artifacts::BAD_KWARGS)
        .kwargs(kwargs)
        .load()
        .guest_error();
    assert_eq!(kind, GuestErrorKind::InvalidInput);
    // In the given order, as one line of JSON.
    assert!(
        message.starts_with(r#"{"b":[1,null],"a":"\u001b[2J\n","#),
        "{message}"
    );
    assert!(
        message.contains(r#"{"c":1e300}"#) || message.contains(r#"{"c":1e+300}"#),
        "{message}"
    );
    assert!(!message.contains('\u{202e}'), "{message:?}");
}
