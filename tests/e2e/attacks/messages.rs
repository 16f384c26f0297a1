//! Messages of hooks: too many, with control sequences, or imitating the host.

use super::testbed::{Testbed, assert_terminal_safe};

#[test]
fn log_volume_is_limited() {
    const BYTES: usize = 4096;
    let testbed = Testbed::limited("log_bytes = 4096");
    for case in ["flood", "many", "stdout", "stderr"] {
        let attack = testbed.attack(test_artifacts::BAD_LOG, case);
        for run in [attack.downloads(), attack.loads(&[])] {
            let messages = attack.messages(&run);
            let (last, messages) = messages.split_last().expect("at least that there was more");
            assert_eq!(last, "too many messages: the rest of them is dropped");
            let bytes: usize = messages.iter().map(String::len).sum();
            // Empty messages count too.
            assert!(bytes <= BYTES && messages.len() <= BYTES / 16, "{case}");
        }
    }
}

#[test]
fn log_messages_are_escaped() {
    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_LOG, "escapes");
    for run in [attack.downloads(), attack.loads(&[])] {
        let messages = attack.messages(&run);
        // Everything is shown, escaped.
        for shown in [
            r"\u{1b}[2J\u{1b}[1;1Hcleared",
            r"\u{1b}]52;c;bG9vdA==\u{7}",
            r"\rovertyped",
            r"user\u{202e}txt.exe\u{2066}",
            r"\u{9b}31mred\u{9d}0;title\u{9c}",
            "error: forged",
            "hint: forged",
            "no line's end",
        ] {
            assert!(
                messages.iter().any(|line| line == shown),
                "{shown}: {messages:#?}"
            );
        }
    }
}

#[test]
fn quiet_and_json_keep_messages_off_stdout() {
    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_LOG, "escapes");
    attack.downloads();
    let download = |flag| {
        let args = ["download", attack.model(), "--overwrite", flag];
        testbed.world.ok(&args)
    };
    let quiet = download("--quiet");
    assert_eq!(attack.messages(&quiet), Vec::<String>::new());
    let json = download("--json");
    assert!(!attack.messages(&json).is_empty());
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(value.is_object(), "{value}");
    for run in [quiet, json, download("--verbose")] {
        assert_terminal_safe(&run.stderr);
    }
}

/// Cases of `bad_error` with the expected message.
const ERRORS: &[(&str, &str)] = &[
    ("invalid-input", "the guest's invalid-input"),
    ("not-found", "the guest's not-found"),
    ("denied", "the guest's denied"),
    ("network", "the guest's network"),
    (
        "status",
        "https://example.org/the-guests-status answered with status 503",
    ),
    ("mismatch", "the guest's mismatch"),
    ("limit", "the guest's limit"),
    ("io", "the guest's io"),
    ("unsupported", "the guest's unsupported"),
    ("other", "the guest's other"),
    ("empty", "it gives no reason"),
    (
        "controls",
        r"\u{1b}[2J\u{1b}]0;t\u{7}a\r\nhint: forged\u{202e}\u{0}b",
    ),
    (
        "odd-status",
        r"\u{1b}[2Jhttps://example.org/ answered with status 65535",
    ),
];

#[test]
fn errors_of_every_kind_are_reported() {
    let testbed = Testbed::new();
    for (case, text) in ERRORS {
        let attack = testbed.attack(test_artifacts::BAD_ERROR, case);
        let downloading = attack.download().no_hint();
        let loading = attack.load(&[&format!("case={case}")]);
        // The guest's text is never taken for a hint of the host. The host's own hint is about
        // kwargs that the user typed, for this kind only.
        let loading = match *case {
            "invalid-input" => loading.hints("--kwarg KEY=VALUE"),
            _ => loading.no_hint(),
        };
        for failure in [downloading, loading] {
            assert!(
                failure.error.ends_with(&format!(" failed: {text}")),
                "{failure:#?}"
            );
        }
    }
}

#[test]
fn huge_error_is_cut() {
    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_ERROR, "long");
    for failure in [attack.download(), attack.load(&["case=long"])] {
        let failure = failure.says(" failed: xxx").no_hint();
        assert!(failure.error.ends_with("x…"), "{failure:#?}");
    }
}

#[test]
fn kwargs_in_errors_are_escaped() {
    let testbed = Testbed::new();
    testbed
        .attack(test_artifacts::BAD_KWARGS, "model")
        .load(&["b=[1,null]", "a=\u{1b}[2J\n", "\u{202e}=\u{9b}31m"])
        .says(r#"failed: {"b":[1,null],"a":"\u001b[2J\n","\u{202e}":"\u{9b}31m"}"#)
        .hints("--kwarg KEY=VALUE");
}

#[test]
fn unknown_kwargs_are_refused() {
    let testbed = Testbed::new();
    testbed
        .attack(test_artifacts::OK_COPY, "model")
        .load(&["surprise=1"])
        .says("unknown kwarg `surprise`; this model takes none");
    testbed
        .attack(test_artifacts::OK_RESNET, "model")
        .load(&["depht=18"])
        .says("unknown kwarg `depht`; known are `depth`, ");
    testbed
        .attack(test_artifacts::OK_RESNET, "model")
        .load(&["depth=deep"])
        .says("kwarg `depth`: ");
}
