//! Hooks that crash, never return, or call forbidden interfaces.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::testbed::Testbed;

const AUTHOR: &str = "this is a fault of the source: tell its author";

/// Cases of `bad_trap` with the possible reasons.
const TRAPS: &[(&str, &[&str])] = &[
    ("panic", &["crashed: panicked at "]),
    ("unreachable", &["crashed: wasm trap: wasm `unreachable`"]),
    (
        "stack",
        &["out of bounds memory access", "call stack exhausted"],
    ),
    ("exit", &["crashed: it exited with status 0"]),
    ("abort", &["crashed: wasm trap: wasm `unreachable`"]),
];

#[test]
fn crashes_are_reported_with_their_reason() {
    let testbed = Testbed::new();
    for (case, reasons) in TRAPS {
        let attack = testbed.attack(test_artifacts::BAD_TRAP, case);
        for failure in [attack.download(), attack.load(&[])] {
            let failure = failure.hints(AUTHOR);
            assert!(
                reasons.iter().any(|reason| failure.error.contains(reason)),
                "{case}: {failure:#?}"
            );
            // What a guest logs before it crashes is shown as a message of the guest.
            if *case == "panic" {
                let failure = failure.says("the guest gave up");
                assert!(failure.messages.iter().any(|l| l == "the guest gave up"));
            }
        }
    }
}

const LIMITS: &str = "wall = 1\nlog_bytes = 4096";

#[test]
fn endless_loops_are_stopped() {
    let testbed = Testbed::limited(LIMITS);
    for case in ["compute", "files"] {
        let attack = testbed.attack(test_artifacts::BAD_LOOP, case);
        for failure in [attack.download(), attack.load(&[])] {
            failure
                .says("was stopped: more than 1 s for its own work")
                .hints("limits.wall");
        }
    }
}

#[test]
fn endless_host_calls_are_stopped() {
    let testbed = Testbed::limited(LIMITS);
    for case in ["artifacts", "log"] {
        testbed
            .attack(test_artifacts::BAD_LOOP, case)
            .download()
            .says("was stopped: more than 1 s for its own work")
            .hints("limits.wall");
    }
}

#[test]
fn endless_sleeps_are_stopped() {
    let testbed = Testbed::limited(LIMITS);
    for case in ["long", "short", "stdin"] {
        let attack = testbed.attack(test_artifacts::BAD_SLEEP, case);
        for failure in [attack.download(), attack.load(&[])] {
            failure
                .says("was stopped: more than 1 s for its own work")
                .hints("limits.wall");
        }
    }
}

#[test]
fn endless_hook_does_not_block_other_commands() {
    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_LOOP, "log");
    let mut runaway = attack.start_download(Stdio::null());
    let mut messages = BufReader::new(runaway.stderr.take().unwrap()).lines();
    let first = messages.next().unwrap().unwrap();
    assert!(first.ends_with("] still here"), "{first}");
    testbed.still_works();
    assert!(runaway.try_wait().unwrap().is_none(), "it ran beside it");
    runaway.kill().unwrap();
    runaway.wait().unwrap();
    testbed.still_works();
}

#[test]
fn sockets_are_forbidden() {
    let testbed = Testbed::new();
    for (case, interface) in [
        ("connect", "wasi:sockets/tcp-create-socket@"),
        ("listen", "wasi:sockets/tcp-create-socket@"),
        ("udp", "wasi:sockets/udp-create-socket@"),
        ("resolve", "wasi:sockets/instance-network@"),
    ] {
        let attack = testbed.attack(test_artifacts::BAD_SOCKET, case);
        for failure in [attack.download(), attack.load(&[])] {
            failure
                .says("was stopped: it called `")
                .says(interface)
                .says("which it may not have")
                .hints(AUTHOR);
        }
    }
}

#[test]
fn load_cannot_fetch_or_write() {
    let testbed = Testbed::new();
    for (case, what) in [
        ("get", "`get` of `modelzoo:source/fetch@"),
        ("download", "`download` of `modelzoo:source/fetch@"),
        ("write", "`write` of `modelzoo:source/artifacts@"),
        ("remove", "`remove` of `modelzoo:source/artifacts@"),
        ("list", "`list` of `modelzoo:source/artifacts@"),
    ] {
        // Even if the user granted and allows the host.
        testbed
            .attack(test_artifacts::BAD_FETCH_IN_LOAD, "model")
            .asking(format!("http://{}", testbed.canary.authority()))
            .file("url.txt", testbed.canary.url("/secret"))
            .load(&[&format!("case={case}")])
            .says("was stopped: it called ")
            .says(what)
            .hints(AUTHOR);
    }
}
