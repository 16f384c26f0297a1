//! The store under attack: links in place of its parts, held locks, concurrent processes.
#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, unused_imports, reason = "some of it needs Linux")
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::canary::{differences, snapshot};
use super::testbed::Testbed;
use crate::server::Server;
use crate::source::Source;
use crate::world::{Run, World};

const GOOD: &str = "good/model";

#[test]
fn concurrent_downloads_leave_one_whole_model() {
    let bytes: Vec<u8> = (0..1_u32 << 16).flat_map(u32::to_le_bytes).collect();
    let weights = crate::source::safetensors(&bytes);
    let server = Server::files([("/weights", weights.clone())]);
    let world = World::reaching(&[&server]);
    Source::new(test_artifacts::OK_FETCH)
        .asking(&format!("http://{}", server.authority()))
        .file("url.txt", server.url("/weights"))
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    for round in 0..50 {
        let start = || world.command(&["download", "test/model"]).spawn().unwrap();
        for child in [start(), start()] {
            let run = Run::from(child.wait_with_output().unwrap());
            assert_eq!(run.code, Some(0), "round {round}: {run:#?}");
        }
        let path = world.ok(&["find", "test/model"]).stdout;
        assert_eq!(
            std::fs::read(path.trim_end()).unwrap(),
            weights,
            "round {round}"
        );
        assert_eq!(world.unfinished(), Vec::<PathBuf>::new(), "round {round}");
        world.ok(&["verify"]);
        world.ok(&["delete", "test/model", "-y"]);
    }
}

#[test]
fn stale_lock_file_is_ignored() {
    let testbed = Testbed::new();
    let lock = testbed.world.home().join("staging/registry.lock");
    // Left by a killed process or another program.
    for contents in ["", "4294967295", "\u{1b}[2J"] {
        std::fs::write(&lock, contents).unwrap();
        testbed.world.ok(&["download", GOOD, "--overwrite"]);
        assert_eq!(std::fs::read_to_string(&lock).unwrap(), contents);
    }
}

#[test]
fn held_lock_is_waited_for() {
    let testbed = Testbed::new();
    let lock = std::fs::File::open(testbed.world.home().join("staging/registry.lock")).unwrap();
    lock.lock().unwrap();
    let args = ["download", GOOD, "--overwrite"];
    let mut waiting = testbed.world.command(&args).spawn().unwrap();
    let messages = BufReader::new(waiting.stderr.take().unwrap());
    let mut messages = messages.lines().map(Result::unwrap);
    let waits = messages.any(|line| line.contains("waiting for another modelzoo"));
    assert!(waits, "it says what it does");
    assert!(waiting.try_wait().unwrap().is_none());
    // Reading needs no lock.
    testbed.world.ok(&["list"]);
    testbed.world.ok(&["find", GOOD]);
    lock.unlock().unwrap();
    messages.for_each(drop);
    assert!(waiting.wait().unwrap().success());
    testbed.still_works();
}

/// The directories and files of the store.
#[cfg(unix)]
fn parts(world: &World) -> Vec<PathBuf> {
    let found = world.ok(&["find", GOOD]).stdout;
    let file = Path::new(found.trim_end());
    let below = |part: &str| {
        let mut dir = world.home().join(part);
        let mut dirs = Vec::new();
        while let Some(entry) = std::fs::read_dir(&dir).unwrap().next() {
            dir = entry.unwrap().path();
            dirs.push(dir.clone());
            if dir.is_file() {
                break;
            }
        }
        dirs
    };
    let mut parts = below("models");
    parts.extend(below("sources"));
    parts.push(file.to_owned());
    let dir = file
        .ancestors()
        .find(|dir| dir.join("receipt.json").is_file());
    parts.push(dir.unwrap().join("receipt.json"));
    for entry in parts.clone() {
        let manifest = entry.join("manifest.json");
        if manifest.is_file() {
            parts.extend([manifest, entry.join("source.wasm")]);
        }
    }
    parts.sort();
    parts.dedup();
    parts
}

/// Each part of the store in lock is moved outside and replaced by a link.
#[cfg(unix)]
#[test]
fn links_in_the_store_are_not_followed() {
    let names: Vec<_> = {
        let testbed = Testbed::new();
        let home = testbed.world.home();
        let parts = parts(&testbed.world).into_iter();
        parts
            .map(|part| part.strip_prefix(&home).unwrap().to_owned())
            .collect()
    };
    assert!(names.len() >= 7, "{names:?}");
    for at in 0..names.len() {
        let testbed = Testbed::new();
        let world = &testbed.world;
        // The keys of sources differ between worlds.
        let part = parts(world)[at].clone();
        let elsewhere = world.path("elsewhere");
        std::fs::rename(&part, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &part).unwrap();
        if elsewhere.is_dir() {
            std::fs::write(elsewhere.join("victim"), "outside").unwrap();
        }
        let before = snapshot(&elsewhere, &[]);
        for args in [
            &["find", GOOD][..],
            &["verify"],
            &[
                "apply",
                GOOD,
                "images",
                "p",
                "--output",
                "x.jsonl",
                "--overwrite",
            ],
            &["gc"],
            &["download", GOOD],
            &["download", GOOD, "--overwrite"],
            &["update-source"],
            &["register-source", "./good", "--overwrite"],
            &["verify", "--repair"],
            &["delete", GOOD, "-y"],
            &["delete-source", "./good", "-y"],
            &["gc"],
        ] {
            let run = world.run(args);
            assert!(run.code.is_some(), "{part:?} {args:?}: {run:#?}");
            assert!(!run.stderr.contains("panicked"), "{run:#?}");
            let changed = differences(&before, &snapshot(&elsewhere, &[]));
            assert_eq!(
                changed,
                Vec::<PathBuf>::new(),
                "{part:?} {args:?}: {run:#?}"
            );
        }
        // The documented way to repair the store works.
        let _ = std::fs::remove_file(&part);
        world.ok(&["register-source", "./good", "--overwrite"]);
        testbed.still_works();
    }
}

/// While commands run, a model's file is swapped for a link to another file, again and again. The
/// link's target is never used, although it has the right length.
#[cfg(unix)]
#[test]
fn racing_link_is_not_followed() {
    let testbed = Testbed::new();
    let world = &testbed.world;
    let found = world.ok(&["find", GOOD]).stdout;
    let file = Path::new(found.trim_end()).to_owned();
    let right = std::fs::read(&file).unwrap();
    // The same model with dark and light swapped.
    let mut wrong = right.clone();
    let data = wrong.len() - 40;
    for byte in wrong[data..].iter_mut().skip(3).step_by(4) {
        *byte ^= 0x80;
    }
    let elsewhere = world.path("elsewhere");
    std::fs::write(&elsewhere, &wrong).unwrap();
    let labels = || -> Option<Vec<Value>> {
        let args = [
            "apply",
            GOOD,
            "images",
            "p",
            "--output",
            "x.jsonl",
            "--overwrite",
        ];
        let run = world.run(&args);
        assert!(
            run.code.is_some() && !run.stderr.contains("panicked"),
            "{run:#?}"
        );
        let text = std::fs::read_to_string(world.path("x.jsonl")).ok()?;
        let lines = text
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap());
        (run.code == Some(0)).then(|| lines.map(|l| l["p"]["label"].clone()).collect())
    };
    let expected = labels().unwrap();
    std::fs::write(&file, &wrong).unwrap();
    assert_ne!(
        labels().unwrap(),
        expected,
        "the other weights would be seen"
    );
    std::fs::write(&file, &right).unwrap();

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (plain, link) = (file.with_extension("plain"), file.with_extension("link"));
            // A command that finds no model downloads it to a new directory: then some of
            // these fail.
            while !stop.load(Ordering::Relaxed) {
                let _ = std::os::unix::fs::symlink(&elsewhere, &link);
                let _ = std::fs::rename(&link, &file);
                let _ = std::fs::write(&plain, &right);
                let _ = std::fs::rename(&plain, &file);
            }
        });
        let done: Vec<_> = (0..40).filter_map(|_| labels()).collect();
        stop.store(true, Ordering::Relaxed);
        for labels in &done {
            assert_eq!(*labels, expected);
        }
    });
    assert_eq!(std::fs::read(&elsewhere).unwrap(), wrong);
    world.ok(&["download", GOOD, "--overwrite"]);
    assert_eq!(labels().unwrap(), expected);
}

/// Every verb, where opening a socket kills the process.
#[cfg(target_os = "linux")]
#[test]
fn local_verbs_open_no_socket() {
    let testbed = Testbed::new();
    let world = &testbed.world;
    crate::source::digits_dataset(&world.path("dataset"));
    let calls: &[&[&str]] = &[
        &["list"],
        &["find", GOOD],
        &["info", GOOD],
        &["requirements", GOOD],
        &["list-sources"],
        &["inspect", "./good"],
        &["audit"],
        &["doctor"],
        &["register-source", "./good", "--overwrite"],
        &["update-source"],
        &["download", GOOD, "--overwrite"],
        &["apply", GOOD, "dataset", "p"],
        &["embed", GOOD, "dataset", "e"],
        &["view", "dataset", "--output", "page.html"],
        &["verify"],
        &["du"],
        &["gc"],
        &["bundle", "export", "./good", "--output", "bundle.tar"],
        &["completions", "bash"],
        &["delete", GOOD, "-y"],
        &["delete-source", "./good", "-y"],
    ];
    let help = world.ok(&["--help"]).stdout;
    let commands = help.split("Commands:\n").nth(1).unwrap();
    let verbs = commands.lines().take_while(|line| !line.is_empty());
    let verbs: Vec<_> = verbs
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(verbs.len() >= 17, "{help}");
    for verb in verbs.into_iter().filter(|verb| *verb != "help") {
        let tried = calls.iter().any(|call| call[0] == verb);
        assert!(tried, "`{verb}` is not tried without a network");
    }
    for call in calls {
        let mut command = world.command(&[*call, &["--offline"]].concat());
        command
            .env("LD_PRELOAD", crate::faults::shim())
            .env("FAULT_NO_NETWORK", "1");
        let run = Run::from(command.output().unwrap());
        // These may fail because of the machine or the model.
        let ended = match call[0] {
            "doctor" | "embed" => run.code.is_some(),
            _ => run.code == Some(0),
        };
        assert!(ended, "{call:?}: {run:#?}");
    }
}
