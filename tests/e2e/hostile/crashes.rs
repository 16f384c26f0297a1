//! Hooks that end in the middle, never end, or call what is not theirs.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::arena::Arena;

const AUTHOR: &str = "this is a fault of the source: tell its author";

/// Cases of `bad_trap`, with what may be said of each.
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
fn crashes() {
    let arena = Arena::new();
    for (case, reasons) in TRAPS {
        let attack = arena.attack(test_artifacts::BAD_TRAP, case);
        for failure in [attack.download(), attack.load(&[])] {
            let failure = failure.hints(AUTHOR);
            assert!(
                reasons.iter().any(|reason| failure.error.contains(reason)),
                "{case}: {failure:#?}"
            );
            // What a guest says before it ends is heard, and is no line of the host's.
            if *case == "panic" {
                let failure = failure.says("the guest gave up");
                assert!(failure.said.iter().any(|l| l == "the guest gave up"));
            }
        }
    }
}

const LIMITS: &str = "wall = 1\nlog_bytes = 4096";

#[test]
fn loops_without_end() {
    let arena = Arena::limited(LIMITS);
    for case in ["compute", "files"] {
        let attack = arena.attack(test_artifacts::BAD_LOOP, case);
        for failure in [attack.download(), attack.load(&[])] {
            failure
                .says("was stopped: more than 1 s for its own work")
                .hints("limits.wall");
        }
    }
}

#[test]
fn calls_of_the_host_without_end() {
    let arena = Arena::limited(LIMITS);
    for case in ["artifacts", "log"] {
        arena
            .attack(test_artifacts::BAD_LOOP, case)
            .download()
            .says("was stopped: more than 1 s for its own work")
            .hints("limits.wall");
    }
}

#[test]
fn waits_without_end() {
    let arena = Arena::limited(LIMITS);
    for case in ["long", "short", "stdin"] {
        let attack = arena.attack(test_artifacts::BAD_SLEEP, case);
        for failure in [attack.download(), attack.load(&[])] {
            failure
                .says("was stopped: more than 1 s for its own work")
                .hints("limits.wall");
        }
    }
}

#[test]
fn a_runaway_holds_nobody_up() {
    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_LOOP, "log");
    let mut runaway = attack.start_download(Stdio::null());
    let mut said = BufReader::new(runaway.stderr.take().unwrap()).lines();
    let first = said.next().unwrap().unwrap();
    assert!(first.ends_with("] still here"), "{first}");
    arena.is_well();
    assert!(runaway.try_wait().unwrap().is_none(), "it ran beside it");
    runaway.kill().unwrap();
    runaway.wait().unwrap();
    arena.is_well();
}

#[test]
fn sockets() {
    let arena = Arena::new();
    for (case, interface) in [
        ("connect", "wasi:sockets/tcp-create-socket@"),
        ("listen", "wasi:sockets/tcp-create-socket@"),
        ("udp", "wasi:sockets/udp-create-socket@"),
        ("resolve", "wasi:sockets/instance-network@"),
    ] {
        let attack = arena.attack(test_artifacts::BAD_SOCKET, case);
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
fn fetching_and_writing_while_loading() {
    let arena = Arena::new();
    for (case, what) in [
        ("get", "`get` of `modelzoo:source/fetch@"),
        ("download", "`download` of `modelzoo:source/fetch@"),
        ("write", "`write` of `modelzoo:source/artifacts@"),
        ("remove", "`remove` of `modelzoo:source/artifacts@"),
        ("list", "`list` of `modelzoo:source/artifacts@"),
    ] {
        // Even where the user granted the host, and lets it be reached.
        arena
            .attack(test_artifacts::BAD_FETCH_IN_LOAD, "model")
            .asking(format!("http://{}", arena.canary.authority()))
            .file("url.txt", arena.canary.url("/loot"))
            .load(&[&format!("case={case}")])
            .says("was stopped: it called ")
            .says(what)
            .hints(AUTHOR);
    }
}
