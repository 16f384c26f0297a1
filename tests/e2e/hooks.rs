//! Hooks that do what they must not: each ends with one line that names the source and the reason,
//! nothing stays behind, and the next command works.

use std::path::PathBuf;

use crate::server::{Response, Server};
use crate::source::{Source, digits_dataset};
use crate::world::World;

/// The model whose hooks act out a case: the last part of its name.
fn model(case: &str) -> String {
    format!("test/{case}")
}

/// A source of a guest, whose one model is a case of it.
fn guest(component: &str, case: &str) -> Source {
    Source::new(component)
        .file("weights.safetensors", test_artifacts::tiny_weights())
        .manifest(|m| m["models"][0]["base_name"] = model(case).into())
}

/// A world with limits that are soon reached.
fn limited() -> World {
    let world = World::new();
    std::fs::create_dir(world.home()).unwrap();
    let limits = "[limits]\nwall = 1\nmemory_bytes = 33554432\nstaging_bytes = 4194304\nstaging_files = 64\nlog_bytes = 4096\n";
    std::fs::write(world.home().join("config.toml"), limits).unwrap();
    world
}

fn register(world: &World, source: &Source) {
    source.write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
}

/// A download that must fail and leave nothing; answers with what was said.
fn fails_to_download(component: &str, case: &str) -> String {
    let world = limited();
    register(&world, &guest(component, case));
    fails(&world, &["download", &model(case)], case)
}

fn fails(world: &World, args: &[&str], case: &str) -> String {
    let error = world.refused(1, args);
    let line = error
        .lines()
        .find(|l| l.starts_with("error: "))
        .expect("an error");
    assert!(
        line.contains(&model(case)) && line.contains("/source"),
        "{line}"
    );
    assert_eq!(world.unfinished(), Vec::<PathBuf>::new());
    let audit = world.audit();
    assert!(
        audit.iter().any(|r| r["event"] == "hook_failed"),
        "{audit:?}"
    );
    // The host is well: another source works in the same store.
    Source::digits().write(&world.path("good"));
    world.ok(&["register-source", "./good"]);
    world.ok(&["download", "modelzoo/digits-cnn"]);
    error
}

#[test]
fn a_hook_that_crashes() {
    let error = fails_to_download(test_artifacts::BAD_TRAP, "panic");
    assert!(error.contains("the guest gave up"), "{error}");
    for case in ["unreachable", "stack", "exit", "abort"] {
        fails_to_download(test_artifacts::BAD_TRAP, case);
    }
}

#[test]
fn a_hook_that_never_ends() {
    for case in ["compute", "files", "artifacts", "log"] {
        let error = fails_to_download(test_artifacts::BAD_LOOP, case);
        assert!(error.contains("1 s"), "{case}: {error}");
    }
}

#[test]
fn a_hook_that_sleeps() {
    let error = fails_to_download(test_artifacts::BAD_SLEEP, "model");
    assert!(error.contains("1 s"), "{error}");
}

#[test]
fn a_hook_that_grows_without_end() {
    for case in ["grow", "reserve"] {
        let error = fails_to_download(test_artifacts::BAD_MEMORY, case);
        assert!(
            error.contains("memory") || error.contains("allocator"),
            "{case}: {error}"
        );
    }
}

#[test]
fn a_hook_that_writes_too_much() {
    for case in ["append", "write"] {
        let error = fails_to_download(test_artifacts::BAD_QUOTA_BYTES, case);
        assert!(
            error.contains("staging_bytes") || error.contains("bytes"),
            "{case}: {error}"
        );
    }
    for case in ["flat", "deep"] {
        let error = fails_to_download(test_artifacts::BAD_QUOTA_FILES, case);
        assert!(error.contains("files"), "{case}: {error}");
    }
}

#[test]
fn a_hook_that_names_files_elsewhere() {
    let world = limited();
    let outside = world.path("x");
    register(&world, &guest(test_artifacts::BAD_NAMES, "model"));
    fails(&world, &["download", &model("model")], "model");
    assert!(!outside.exists());
}

#[test]
fn a_hook_that_asks_for_a_host_it_was_not_granted() {
    let canary = Server::files([("/loot", b"loot".to_vec())]);
    // The user lets the machine's own address be reached; the source did not ask for it.
    let world = World::reaching(&[&canary]);
    register(
        &world,
        &guest(test_artifacts::BAD_HOST, "model").file("url.txt", canary.url("/loot")),
    );
    let error = fails(&world, &["download", &model("model")], "model");
    assert!(error.contains(&canary.authority()), "{error}");
    assert_eq!(canary.seen().len(), 0);
    let denied = world
        .audit()
        .into_iter()
        .filter(|r| r["outcome"] == "denied")
        .count();
    assert!(denied > 0, "{:?}", world.audit());
}

#[test]
fn a_hook_that_was_granted_a_private_address() {
    let canary = Server::files([("/loot", b"loot".to_vec())]);
    // Here the source asks and is granted, but the user's configuration does not except it.
    let world = World::new();
    let source = guest(test_artifacts::BAD_HOST, "model")
        .asking(&format!("http://{}", canary.authority()))
        .file("url.txt", canary.url("/loot"));
    register(&world, &source);
    fails(&world, &["download", &model("model")], "model");
    assert_eq!(canary.seen().len(), 0);
}

#[test]
fn a_redirect_to_a_host_that_was_not_granted() {
    let canary = Server::files([("/loot", b"loot".to_vec())]);
    let loot = canary.url("/loot");
    let granted = Server::start(move |_| Response::redirect(loot.clone()));
    let world = World::reaching(&[&granted, &canary]);
    let source = guest(test_artifacts::BAD_REDIRECT, "model")
        .asking(&format!("http://{}", granted.authority()))
        .file("url.txt", granted.url("/start"));
    register(&world, &source);
    fails(&world, &["download", &model("model")], "model");
    assert!(!granted.seen().is_empty());
    assert_eq!(canary.seen().len(), 0);
}

#[test]
fn a_hook_that_looks_around() {
    let world = World::new()
        .env("GITHUB_TOKEN", "ghp_canary")
        .env("SECRET", "canary");
    register(&world, &guest(test_artifacts::BAD_ENV, "model"));
    // It fails if it sees anything.
    world.ok(&["download", &model("model")]);
    let world = World::new();
    register(&world, &guest(test_artifacts::BAD_WRITE_FS, "model"));
    world.ok(&["download", &model("model")]);
}

#[test]
fn a_hook_that_opens_a_socket() {
    let error = fails_to_download(test_artifacts::BAD_SOCKET, "model");
    assert!(error.contains("wasi:sockets"), "{error}");
}

#[test]
fn a_hook_that_floods_the_log() {
    let world = limited();
    register(&world, &guest(test_artifacts::BAD_LOG, "flood"));
    let run = world.run(&["download", &model("flood")]);
    assert!(run.stderr.len() < 32 << 10, "{} bytes", run.stderr.len());
    let world = World::new();
    register(&world, &guest(test_artifacts::BAD_LOG, "escapes"));
    let said = world.ok(&["download", &model("escapes")]).stderr;
    let obeyed = said
        .chars()
        .filter(|c| c.is_control() && *c != '\n' || "\u{202e}\u{2066}".contains(*c));
    assert_eq!(obeyed.collect::<String>(), "", "{said}");
    assert!(
        said.lines()
            .all(|l| !l.starts_with("error:") && !l.starts_with("hint:")),
        "{said}"
    );
}

/// A world in which a guest's model is downloaded, and a dataset to apply it to.
fn ready(component: &str, case: &str) -> World {
    let world = limited();
    register(&world, &guest(component, case));
    world.ok(&["download", &model(case)]);
    digits_dataset(&world.path("dataset"));
    world
}

#[test]
fn an_architecture_that_nobody_has() {
    let world = ready(test_artifacts::BAD_ARCHITECTURE, "model");
    let before = std::fs::read(world.path("dataset/samples.json")).unwrap();
    let error = world.refused(1, &["apply", &model("model"), "dataset", "p"]);
    assert!(
        error.contains("resnett") && error.contains("`resnet`") && error.contains(&model("model")),
        "{error}"
    );
    assert_eq!(
        std::fs::read(world.path("dataset/samples.json")).unwrap(),
        before
    );
}

#[test]
fn fetching_while_loading() {
    let canary = Server::files([("/loot", b"loot".to_vec())]);
    let world = World::reaching(&[&canary]);
    let source = guest(test_artifacts::BAD_FETCH_IN_LOAD, "model")
        .asking(&format!("http://{}", canary.authority()))
        .file("url.txt", canary.url("/loot"));
    register(&world, &source);
    world.ok(&["download", &model("model")]);
    let seen = canary.seen().len();
    digits_dataset(&world.path("dataset"));
    for (case, names) in [
        ("get", "fetch"),
        ("download", "fetch"),
        ("write", "artifacts"),
    ] {
        let kwarg = format!("case={case}");
        let error = world.refused(
            1,
            &["apply", &model("model"), "dataset", "p", "--kwarg", &kwarg],
        );
        assert!(error.contains(names), "{error}");
    }
    assert_eq!(canary.seen().len(), seen);
}

#[test]
fn a_kwarg_that_the_hook_does_not_know() {
    let world = World::new();
    register(&world, &guest(test_artifacts::OK_COPY, "model"));
    world.ok(&["download", &model("model")]);
    digits_dataset(&world.path("dataset"));
    let error = world.refused(
        1,
        &[
            "apply",
            &model("model"),
            "dataset",
            "p",
            "--kwarg",
            "surprise=1",
        ],
    );
    assert!(
        error.contains("surprise") && error.contains(&model("model")),
        "{error}"
    );
}
