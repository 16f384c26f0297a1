//! Hooks that say too much, or what a terminal would obey, or what only the host may say.

use super::arena::{Arena, assert_tame};

#[test]
fn floods() {
    const BYTES: usize = 4096;
    let arena = Arena::limited("log_bytes = 4096");
    for case in ["flood", "many", "stdout", "stderr"] {
        let attack = arena.attack(test_artifacts::BAD_LOG, case);
        for run in [attack.downloads(), attack.loads(&[])] {
            let said = attack.said(&run);
            let (last, said) = said.split_last().expect("at least that there was more");
            assert_eq!(last, "too many messages: the rest of them is dropped");
            let bytes: usize = said.iter().map(String::len).sum();
            // An empty message is not free either.
            assert!(bytes <= BYTES && said.len() <= BYTES / 16, "{case}");
        }
    }
}

#[test]
fn what_a_terminal_would_obey() {
    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_LOG, "escapes");
    for run in [attack.downloads(), attack.loads(&[])] {
        let said = attack.said(&run);
        // All of it is shown, as what it is.
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
            assert!(said.iter().any(|line| line == shown), "{shown}: {said:#?}");
        }
    }
}

#[test]
fn the_quiet_are_spared_and_programs_too() {
    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_LOG, "escapes");
    attack.downloads();
    let download = |flag| {
        let args = ["download", attack.model(), "--overwrite", flag];
        arena.world.ok(&args)
    };
    let quiet = download("--quiet");
    assert_eq!(attack.said(&quiet), Vec::<String>::new());
    let json = download("--json");
    assert!(!attack.said(&json).is_empty());
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(value.is_object(), "{value}");
    for run in [quiet, json, download("--verbose")] {
        assert_tame(&run.stderr);
    }
}

/// Cases of `bad_error`, with what is to be said of each.
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
    ("empty", "it says not why"),
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
fn errors_of_every_kind() {
    let arena = Arena::new();
    for (case, text) in ERRORS {
        let attack = arena.attack(test_artifacts::BAD_ERROR, case);
        let downloading = attack.download().no_hint();
        let loading = attack.load(&[&format!("case={case}")]);
        // What the guest says is never mistaken for advice of the host. The host's own is about
        // what the user typed, and for that kind only.
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
fn an_error_of_many_megabytes() {
    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_ERROR, "long");
    for failure in [attack.download(), attack.load(&["case=long"])] {
        let failure = failure.says(" failed: xxx").no_hint();
        assert!(failure.error.ends_with("x…"), "{failure:#?}");
    }
}

#[test]
fn kwargs_that_come_back() {
    let arena = Arena::new();
    arena
        .attack(test_artifacts::BAD_KWARGS, "model")
        .load(&["b=[1,null]", "a=\u{1b}[2J\n", "\u{202e}=\u{9b}31m"])
        .says(r#"failed: {"b":[1,null],"a":"\u001b[2J\n","\u{202e}":"\u{9b}31m"}"#)
        .hints("--kwarg KEY=VALUE");
}

#[test]
fn kwargs_that_the_hook_does_not_know() {
    let arena = Arena::new();
    arena
        .attack(test_artifacts::OK_COPY, "model")
        .load(&["surprise=1"])
        .says("unknown kwarg `surprise`; this model takes none");
    arena
        .attack(test_artifacts::OK_RESNET, "model")
        .load(&["depht=18"])
        .says("unknown kwarg `depht`; known are `depth`, ");
    arena
        .attack(test_artifacts::OK_RESNET, "model")
        .load(&["depth=deep"])
        .says("kwarg `depth`: ");
}
