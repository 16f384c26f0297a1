//! What commands take of the machine while they are attacked.

use crate::hostile::arena::Arena;
use crate::world::{Run, World};

/// What the processes of a command took.
#[derive(Debug)]
pub(super) struct Taken {
    /// The most memory that one of them held.
    pub(super) peak_bytes: u64,
}

/// Runs a command, however it ends, and measures it.
pub(super) fn measured(world: &World, args: &[&str]) -> Taken {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("measured");
    let mut command = world.command(args);
    command
        .env("LD_PRELOAD", crate::faults::shim())
        .env("FAULT_MEASURE", &log);
    let run = Run::from(command.output().unwrap());
    assert!(run.code.is_some(), "{run:#?}");
    let text = std::fs::read_to_string(log).unwrap();
    let kib = text
        .lines()
        .map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap());
    Taken {
        peak_bytes: kib.max().expect("a process") * 1024,
    }
}

/// The most that a command may hold whose hook may have 32 MiB: the host's own code, a compiler, and
/// one argument of a call.
const CAP: u64 = 512 << 20;

#[test]
fn hooks_that_take_without_end() {
    let limits = "memory_bytes = 33554432\nhostcall_bytes = 1048576\nstaging_bytes = 4194304\n\
                  staging_files = 64\nlog_bytes = 4096";
    let arena = Arena::limited(limits);
    for (component, case) in [
        (test_artifacts::BAD_MEMORY, "grow"),
        (test_artifacts::BAD_MEMORY, "reserve"),
        (test_artifacts::BAD_MEMORY, "argument"),
        (test_artifacts::BAD_MEMORY, "message"),
        (test_artifacts::BAD_QUOTA_BYTES, "append"),
        (test_artifacts::BAD_QUOTA_FILES, "flat"),
        (test_artifacts::BAD_ERROR, "long"),
    ] {
        let attack = arena.attack(component, case);
        attack.download();
        let taken = measured(&arena.world, &["download", attack.model()]);
        assert!(taken.peak_bytes < CAP, "{component} {case}: {taken:?}");
        let dir = attack.dir();
        arena.world.ok(&["delete-source", &dir, "-y"]);
    }
}

#[test]
fn plans_without_end() {
    let arena = Arena::new();
    for case in ["many_classes", "long_class", "config_long", "config_deep"] {
        let attack = arena.attack(test_artifacts::BAD_PLAN, "model");
        attack.load(&[&format!("case={case}")]);
        let kwarg = format!("case={case}");
        let apply = ["apply", attack.model(), "images", "p"];
        let args = [&apply[..], &["--output", "x.jsonl", "--kwarg", &kwarg]].concat();
        let taken = measured(&arena.world, &args);
        // The guest makes its answer in memory of its own, of which it may have a gigabyte.
        assert!(taken.peak_bytes < (1 << 30) + CAP, "{case}: {taken:?}");
    }
}
