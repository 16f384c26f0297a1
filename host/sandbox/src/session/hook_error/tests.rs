use super::*;

fn site() -> Box<Site> {
    Box::new(Site {
        source: "acme/digits".to_owned(),
        model: "cnn@1".to_owned(),
        hook: Hook::DownloadModel,
    })
}

#[test]
fn guest_text_is_escaped_and_bounded() {
    let text = format!("  \u{1b}]0;title\u{7}\n{}", "x".repeat(10_000));
    let error = HookError::from_guest(site(), types::Error::Other(text), RefusalCause::default());
    let text = error.to_string();
    assert!(text.starts_with(
        "download_model of `acme/digits` for `cnn@1` failed: \\u{1b}]0;title\\u{7}\\nxxx"
    ));
    assert!(text.len() < ERROR_BYTES + 100);
    assert!(!text.contains(char::is_control));
}

#[test]
fn secrets_are_removed_from_urls() {
    for (url, want) in [
        (
            "https://u:p@example.org/a@b?q=s#f",
            "https://example.org/a@b",
        ),
        ("https://example.org", "https://example.org"),
        ("https://u@v@example.org", "https://example.org"),
        ("no url", "no url"),
    ] {
        let failure = types::HttpFailure {
            status: 503,
            url: url.to_owned(),
        };
        let error = HookError::from_guest(
            site(),
            types::Error::Status(failure),
            RefusalCause::default(),
        );
        assert!(
            error
                .to_string()
                .ends_with(&format!("{want} answered with status 503")),
            "{error}"
        );
    }
}

#[test]
fn panic_message_is_the_reason() {
    let tail = [
        "before",
        "",
        "thread '<unnamed>' (1) panicked at src/lib.rs:7:9:",
        "no such thing",
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    ]
    .map(str::to_owned);
    let error = wasmtime::Error::from(Trap::UnreachableCodeReached);
    let error = HookError::from_run(site(), error, &tail, &Limits::default());
    assert_eq!(
        error.to_string(),
        "download_model of `acme/digits` for `cnn@1` crashed: \
         panicked at src/lib.rs:7:9: no such thing"
    );
}

#[test]
fn trap_without_a_panic_has_its_reason_and_the_last_line() {
    let error = wasmtime::Error::from(Trap::StackOverflow).context("a page of frames");
    let error = HookError::from_run(site(), error, &[], &Limits::default());
    assert!(
        error.to_string().ends_with("call stack exhausted"),
        "{error}"
    );
    let error = wasmtime::Error::from(Trap::UnreachableCodeReached);
    let tail = ["ValueError: no".to_owned()];
    let error = HookError::from_run(site(), error, &tail, &Limits::default());
    assert!(error.to_string().ends_with("it last said: ValueError: no"));
}
