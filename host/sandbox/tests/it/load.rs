//! `load-model`: answers, errors and crashes.

use modelzoo_sandbox::{GuestErrorKind, Hook, HookError, Level, Limits};

use crate::guest::{Guest, short};

#[tokio::test]
async fn guest_errors_keep_their_kind() {
    let kinds = [
        GuestErrorKind::InvalidInput,
        GuestErrorKind::NotFound,
        GuestErrorKind::Denied,
        GuestErrorKind::Network,
        GuestErrorKind::Mismatch,
        GuestErrorKind::Limit,
        GuestErrorKind::Io,
        GuestErrorKind::Unsupported,
        GuestErrorKind::Other,
    ];
    for (case, want) in [0, 1, 2, 3, 5, 6, 7, 8, 9].into_iter().zip(kinds) {
        let guest = Guest::loader_with(
            r#"(data (i32.const 16) "no \1b[31msuch")"#,
            &format!("(call $fail (i32.const {case}) (i32.const 16) (i32.const 12))"),
        );
        let error = guest.load(Limits::default()).await.error();
        assert_eq!(
            error.to_string(),
            "load_model of `acme/source` for `model@1` failed: no \\u{1b}[31msuch"
        );
        assert_eq!(error.site().hook, Hook::LoadModel);
        let HookError::Guest { kind, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(kind, want);
    }
}

#[tokio::test]
async fn messages_arrive() {
    let guest = Guest::loader_with(
        r#"(data (i32.const 16) "one\0atwo")"#,
        "(call $log (i32.const 2) (i32.const 16) (i32.const 7))
         (call $fail (i32.const 9) (i32.const 0) (i32.const 0))",
    );
    let run = guest.load(Limits::default()).await;
    let want = ["one", "two"].map(|line| (Level::Warn, line.to_owned()));
    assert_eq!(run.log, want);
}

#[tokio::test]
async fn traps_are_reported_with_a_reason() {
    for (body, want) in [
        ("unreachable", "wasm `unreachable` instruction executed"),
        ("(i32.load (i32.const -1))", "out of bounds memory access"),
        (
            "(i32.div_u (i32.const 1) (i32.const 0))",
            "integer divide by zero",
        ),
        ("(call $again)", "call stack exhausted"),
        // Answers that point outside of the memory.
        ("(i32.const -8)", "out of bounds"),
        (
            "(call $fail (i32.const 9) (i32.const 16) (i32.const -1))",
            "out of bounds",
        ),
        // An answer that is no case of the variant.
        (
            "(call $fail (i32.const 77) (i32.const 16) (i32.const 1))",
            "discriminant",
        ),
    ] {
        let guest = Guest::loader_with(
            "(func $again (result i32) (i32.add (call $again) (i32.const 1)))",
            body,
        );
        let error = guest.load(Limits::default()).await.error();
        let HookError::Trap { reason, .. } = &error else {
            panic!("{body}: {error:?}")
        };
        assert!(reason.contains(want), "{body}: {reason}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_traps() {
    let guest = Guest::loader_with(
        r#"(data (i32.const 16) "\ff\fe")"#,
        "(call $fail (i32.const 9) (i32.const 16) (i32.const 2))",
    );
    let error = guest.load(Limits::default()).await.error();
    assert!(matches!(error, HookError::Trap { .. }), "{error:?}");
}

#[tokio::test]
async fn download_interface_in_load_model_is_forbidden() {
    for (call, interface, function) in [
        (
            "(call $get (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 512))",
            "modelzoo:source/fetch@0.1.0",
            "get",
        ),
        (
            "(call $write (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 512))",
            "modelzoo:source/artifacts@0.1.0",
            "write",
        ),
    ] {
        let guest = Guest::both(&format!("{call} unreachable"));
        let error = guest.load(short()).await.error();
        let HookError::Forbidden {
            interface: i,
            function: f,
            ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!((i.as_str(), f.as_str()), (interface, function));
        assert!(error.to_string().contains(interface));
        // The other hook of the same component has it.
        let run = guest.download(short()).await;
        let [artifact] = run.result.unwrap().try_into().unwrap();
        assert_eq!((artifact.name.as_ref(), artifact.size), ("file", 4));
    }
}

#[tokio::test]
async fn missing_hook_is_an_error() {
    let guest = Guest::loader("unreachable");
    let error = guest.download(short()).await.error();
    assert!(matches!(error, HookError::Component { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with("download_model of `acme/source`")
    );
}
