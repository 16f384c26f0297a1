//! The store under attack: links in the place of its parts, locks that somebody holds, processes
//! that race.
#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, unused_imports, reason = "some of it needs Linux")
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::hostile::arena::Arena;
use crate::hostile::canary::{differences, look};
use crate::server::Server;
use crate::source::Source;
use crate::world::{Run, World};

const GOOD: &str = "good/model";

#[test]
fn two_processes_fifty_times() {
    let weights: Vec<u8> = (0..1_u32 << 16).flat_map(u32::to_le_bytes).collect();
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
        world.ok(&["delete", "test/model"]);
    }
}

#[test]
fn a_lock_file_that_nobody_holds() {
    let arena = Arena::new();
    let turn = arena.world.home().join("staging/registry.lock");
    // What a killed process left, or another program.
    for contents in ["", "4294967295", "\u{1b}[2J"] {
        std::fs::write(&turn, contents).unwrap();
        arena.world.ok(&["download", GOOD, "--overwrite"]);
        assert_eq!(std::fs::read_to_string(&turn).unwrap(), contents);
    }
}

#[test]
fn a_lock_that_somebody_holds_is_waited_for() {
    let arena = Arena::new();
    let turn = std::fs::File::open(arena.world.home().join("staging/registry.lock")).unwrap();
    turn.lock().unwrap();
    let args = ["download", GOOD, "--overwrite"];
    let mut waiting = arena.world.command(&args).spawn().unwrap();
    let said = BufReader::new(waiting.stderr.take().unwrap());
    let mut said = said.lines().map(Result::unwrap);
    let waits = said.any(|line| line.contains("waiting for another modelzoo"));
    assert!(waits, "it says what it does");
    assert!(waiting.try_wait().unwrap().is_none());
    // Looking needs no turn.
    arena.world.ok(&["list"]);
    arena.world.ok(&["find", GOOD]);
    turn.unlock().unwrap();
    said.for_each(drop);
    assert!(waiting.wait().unwrap().success());
    arena.is_well();
}

/// Directories and files of the store, with the thing that each is.
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

/// Every part of the store in turn is moved elsewhere, with a link in its place.
#[cfg(unix)]
#[test]
fn links_in_the_place_of_every_part() {
    let names: Vec<_> = {
        let arena = Arena::new();
        let home = arena.world.home();
        let parts = parts(&arena.world).into_iter();
        parts
            .map(|part| part.strip_prefix(&home).unwrap().to_owned())
            .collect()
    };
    assert!(names.len() >= 7, "{names:?}");
    for at in 0..names.len() {
        let arena = Arena::new();
        let world = &arena.world;
        // Keys of sources differ from world to world.
        let part = parts(world)[at].clone();
        let elsewhere = world.path("elsewhere");
        std::fs::rename(&part, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &part).unwrap();
        if elsewhere.is_dir() {
            std::fs::write(elsewhere.join("victim"), "treasure").unwrap();
        }
        let before = look(&elsewhere, &[]);
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
            &["delete", GOOD],
            &["delete-source", "./good", "-y"],
            &["gc"],
        ] {
            let run = world.run(args);
            assert!(run.code.is_some(), "{part:?} {args:?}: {run:#?}");
            assert!(!run.stderr.contains("panicked"), "{run:#?}");
            let changed = differences(&before, &look(&elsewhere, &[]));
            assert_eq!(
                changed,
                Vec::<PathBuf>::new(),
                "{part:?} {args:?}: {run:#?}"
            );
        }
        // There is a way out for those who do not know what happened.
        let _ = std::fs::remove_file(&part);
        world.ok(&["register-source", "./good", "--overwrite"]);
        arena.is_well();
    }
}

/// While commands run, a model's file is again and again another one, behind a link. What it links
/// to is never used, although it is as long as the right one.
#[cfg(unix)]
#[test]
fn a_link_that_comes_and_goes() {
    let arena = Arena::new();
    let world = &arena.world;
    let found = world.ok(&["find", GOOD]).stdout;
    let file = Path::new(found.trim_end()).to_owned();
    let right = std::fs::read(&file).unwrap();
    // The same model, but that it takes dark for light.
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
            // A command that finds no model makes one, in a directory of its own: then some of
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

/// Every verb that there is, where asking for a socket kills the process.
#[cfg(target_os = "linux")]
#[test]
fn no_verb_needs_a_network() {
    let arena = Arena::new();
    let world = &arena.world;
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
        &["verify"],
        &["du"],
        &["gc"],
        &["bundle", "export", "./good", "--output", "bundle.tar"],
        &["completions", "bash"],
        &["delete", GOOD],
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
        // These may have something to say against the machine or the model.
        let ended = match call[0] {
            "doctor" | "embed" => run.code.is_some(),
            _ => run.code == Some(0),
        };
        assert!(ended, "{call:?}: {run:#?}");
    }
}
