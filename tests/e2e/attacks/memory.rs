//! The memory of commands under attack.

use super::testbed::Testbed;
use crate::world::{Run, World};

/// The resources that the processes of a command used.
#[derive(Debug)]
pub(super) struct Usage {
    /// The peak resident memory of one process.
    pub(super) peak_bytes: u64,
}

/// Runs a command, whatever its status, and measures it.
pub(super) fn measure(world: &World, args: &[&str]) -> Usage {
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
    Usage {
        peak_bytes: kib.max().expect("a process") * 1024,
    }
}

/// The most memory of a command whose hook may have 32 MiB: the host's own code, a compiler and
/// one argument of a call.
const CAP: u64 = 512 << 20;

#[test]
fn greedy_hooks_leave_host_memory_bounded() {
    let limits = "memory_bytes = 33554432\nhostcall_bytes = 1048576\nstaging_bytes = 4194304\n\
                  staging_files = 64\nlog_bytes = 4096";
    let testbed = Testbed::limited(limits);
    for (component, case) in [
        (test_artifacts::BAD_MEMORY, "grow"),
        (test_artifacts::BAD_MEMORY, "reserve"),
        (test_artifacts::BAD_MEMORY, "argument"),
        (test_artifacts::BAD_MEMORY, "message"),
        (test_artifacts::BAD_QUOTA_BYTES, "append"),
        (test_artifacts::BAD_QUOTA_FILES, "flat"),
        (test_artifacts::BAD_ERROR, "long"),
    ] {
        let attack = testbed.attack(component, case);
        attack.download();
        let usage = measure(&testbed.world, &["download", attack.model()]);
        assert!(usage.peak_bytes < CAP, "{component} {case}: {usage:?}");
        let dir = attack.dir();
        testbed.world.ok(&["delete-source", &dir, "-y"]);
    }
}

#[test]
fn huge_plans_leave_host_memory_bounded() {
    let testbed = Testbed::new();
    for case in ["many_classes", "long_class", "config_long", "config_deep"] {
        let attack = testbed.attack(test_artifacts::BAD_PLAN, "model");
        attack.load(&[&format!("case={case}")]);
        let kwarg = format!("case={case}");
        let apply = ["apply", attack.model(), "images", "p"];
        let args = [&apply[..], &["--output", "x.jsonl", "--kwarg", &kwarg]].concat();
        let usage = measure(&testbed.world, &args);
        // The guest builds its answer in its own memory, which may have a gigabyte.
        assert!(usage.peak_bytes < (1 << 30) + CAP, "{case}: {usage:?}");
    }
}
