//! Faults at every change to the store, one by one: the process is killed, the disk fails, locks do
//! nothing.
//!
//! A small library is loaded into the binary under test. It counts the calls that change the
//! store, and at the n-th it kills the process or lets the call fail.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::server::Server;
use crate::source::{Source, copy};
use crate::world::{Run, World};

const MODEL: &str = "modelzoo/digits-cnn";
/// More changes than any command makes; a sweep that reaches this many never ends.
const ENDLESS: u32 = 2000;

/// The library, compiled once.
pub(crate) fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/shim/faults.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("faults-{}.so", std::process::id()));
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let mut compile = Command::new(cc);
        compile
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl");
        assert!(compile.status().unwrap().success());
        library
    })
}

/// A command of a world with faults in it.
pub(crate) fn faulty(world: &World, args: &[&str], settings: &[(&str, String)]) -> Command {
    let mut command = world.command(args);
    command
        .env("LD_PRELOAD", shim())
        .env("FAULT_UNDER", world.home())
        .envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    command
}

/// Runs a command with a fault at the first change, then at the second, and so on until it
/// succeeds without one. `prepare` makes the world each time; `after` gets the world and the
/// output of the command.
pub(crate) fn sweep(
    args: &[&str],
    errno: Option<i32>,
    step: u32,
    prepare: impl Fn() -> World,
    after: impl Fn(&World, &Output, u32),
) {
    for (struck, at) in (1..ENDLESS).step_by(step as usize).enumerate() {
        let world = prepare();
        let mut settings = vec![("FAULT_AT", at.to_string())];
        settings.extend(errno.map(|errno| ("FAULT_ERRNO", errno.to_string())));
        let output = faulty(&world, args, &settings).output().unwrap();
        let killed = output.status.code().is_none();
        after(&world, &output, at);
        // A command that succeeds although every further change fails has no change left to make.
        if output.status.success() {
            assert!(struck > 2, "the library did not see the command's changes");
            return;
        }
        assert!(errno.is_some() || killed, "{output:?}");
    }
    panic!("{args:?} did not come to an end");
}

/// What must hold after a crash at any point.
pub(crate) fn sound(world: &World, at: u32) {
    let verified = world.run(&["verify"]);
    assert_eq!(verified.code, Some(0), "after change {at}: {verified:#?}");
    world.ok(&["list"]);
    world.ok(&["list-sources"]);
    world.ok(&["gc"]);
    assert_eq!(
        world.unfinished(),
        Vec::<PathBuf>::new(),
        "after change {at}"
    );
}

/// A world with a source to register. Its component is compiled already; compiling would take most of
/// the time.
pub(crate) fn unregistered() -> World {
    static COMPILED: OnceLock<World> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        let world = World::new();
        Source::digits().write(&world.path("source"));
        world.ok(&["register-source", "./source"]);
        world.ok(&["download", MODEL]);
        world
    });
    let world = World::new();
    Source::digits().write(&world.path("source"));
    copy(&compiled.home().join("cache"), &world.home().join("cache"));
    world
}

fn registered() -> World {
    let world = unregistered();
    world.ok(&["register-source", "./source"]);
    world
}

pub(crate) fn downloaded() -> World {
    let world = registered();
    world.ok(&["download", MODEL]);
    world
}

#[test]
fn killed_registration_is_recovered() {
    sweep(
        &["register-source", "./source"],
        None,
        1,
        unregistered,
        |world, _, at| {
            sound(world, at);
            world.ok(&["register-source", "./source"]);
            world.ok(&["download", MODEL]);
        },
    );
}

#[test]
fn killed_download_is_recovered() {
    sweep(&["download", MODEL], None, 1, registered, |world, _, at| {
        sound(world, at);
        world.ok(&["download", MODEL]);
        world.ok(&["verify"]);
    });
}

#[test]
fn killed_update_is_recovered() {
    let prepare = || {
        let world = downloaded();
        let changed =
            Source::digits().manifest(|m| m["models"][0]["description"] = "changed".into());
        changed.write(&world.path("source"));
        world
    };
    sweep(
        &["update-source", "./source"],
        None,
        1,
        prepare,
        |world, _, at| {
            // The state before or after, never in between: the model is there either way.
            assert_eq!(
                world.json(&["list", "-d", "-n"]).as_array().unwrap().len(),
                1,
                "after change {at}"
            );
            sound(world, at);
            world.ok(&["update-source", "./source"]);
            let info = world.json(&["info", MODEL]);
            assert_eq!(info["manifest"]["description"], "changed");
        },
    );
}

#[test]
fn killed_deletion_is_recovered() {
    sweep(
        &["delete-source", "./source", "-y"],
        None,
        1,
        downloaded,
        |world, _, at| {
            sound(world, at);
            if world.json(&["list-sources"]).as_array().unwrap().is_empty() {
                world.ok(&["register-source", "./source"]);
            }
            world.ok(&["delete-source", "./source", "-y"]);
            assert_eq!(
                world
                    .visible()
                    .keys()
                    .filter(|p| !p.ends_with("modelzoo.lock"))
                    .count(),
                0
            );
        },
    );
}

/// A world with a bundle of a source and its model, and nothing else.
fn with_bundle() -> World {
    static EXPORTED: OnceLock<World> = OnceLock::new();
    let exported = EXPORTED.get_or_init(|| {
        let world = downloaded();
        let output = ["--output", "bundle.tar"];
        world.ok(&[&["bundle", "export", "./source"][..], &output].concat());
        world
    });
    let world = World::new();
    std::fs::copy(exported.path("bundle.tar"), world.path("bundle.tar")).unwrap();
    world
}

#[test]
fn killed_import_is_recovered() {
    let args = ["bundle", "import", "bundle.tar"];
    sweep(&args, None, 1, with_bundle, |world, _, at| {
        sound(world, at);
        world.ok(&args);
        world.ok(&["find", MODEL]);
        world.ok(&["verify"]);
    });
}

/// The disk fails permanently from the n-th change on.
fn failing_disk(errno: i32, says: &str) {
    for args in [
        &["register-source", "./source", "-o"][..],
        &["download", MODEL, "-o"],
    ] {
        let prepare = || {
            let world = downloaded();
            let changed =
                Source::digits().manifest(|m| m["models"][0]["description"] = "changed".into());
            changed.write(&world.path("source"));
            world
        };
        sweep(args, Some(errno), 3, prepare, |world, output, at| {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!error.contains("panicked"), "{error}");
            if !output.status.success() {
                assert_eq!(output.status.code(), Some(1), "{error}");
                assert!(
                    error.starts_with("error: ") || error.contains("\nerror: "),
                    "{error}"
                );
                assert!(error.contains(says), "{error}");
            }
            // The old model is still there.
            world.ok(&["find", MODEL]);
            sound(world, at);
        });
    }
}

#[test]
fn full_disk_is_reported() {
    failing_disk(28, "No space left on device");
}

#[test]
fn read_only_disk_is_reported() {
    failing_disk(30, "Read-only file system");
}

#[test]
fn unwritable_disk_is_reported() {
    failing_disk(13, "Permission denied");
}

#[test]
fn exceeded_disk_quota_is_reported() {
    failing_disk(122, "Disk quota exceeded");
}

#[test]
fn failing_disk_is_reported() {
    failing_disk(5, "Input/output error");
}

#[test]
fn concurrent_downloads_succeed_without_locks() {
    let weights = crate::source::safetensors(&vec![7; 1 << 20]);
    let server = Server::files([("/weights", weights.clone())]);
    let world = World::reaching(&[&server]);
    Source::new(test_artifacts::OK_FETCH)
        .asking(&format!("http://{}", server.authority()))
        .file("url.txt", server.url("/weights"))
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    let settings = [("FAULT_NO_LOCKS", "1".to_owned())];
    let children: Vec<_> = (0..6)
        .map(|_| {
            faulty(&world, &["download", "test/model"], &settings)
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!(run.code, Some(0), "{run:#?}");
    }
    let path = world.ok(&["find", "test/model"]).stdout;
    assert_eq!(std::fs::read(path.trim_end()).unwrap(), weights);
    sound(&world, 0);
}

#[test]
fn offline_opens_no_socket_and_resolves_no_name() {
    let world = unregistered();
    let settings = [("FAULT_NO_NETWORK", "1".to_owned())];
    let run = |args: &[&str]| Run::from(faulty(&world, args, &settings).output().unwrap());
    // The library works: without --offline the name resolution ends the process.
    let url = "https://modelzoo.invalid/x.zip";
    assert_eq!(run(&["register-source", url]).code, None);
    for args in [
        &["register-source", url, "--offline"][..],
        &["register-source", "acme/digits", "--offline"],
        &[
            "apply",
            "acme/digits",
            "source",
            "p",
            "-n",
            MODEL,
            "--offline",
        ],
    ] {
        let refused = run(args);
        assert_eq!(refused.code, Some(1), "{args:?}: {refused:#?}");
    }
    crate::source::digits_dataset(&world.path("dataset"));
    for args in [
        &["register-source", "./source"][..],
        &["list"],
        &["list-sources"],
        &["info", MODEL],
        &["requirements", MODEL],
        &["download", MODEL],
        &["find", MODEL],
        &["apply", MODEL, "dataset", "predictions"],
        &["update-source"],
        &["verify"],
        &["du"],
        &["gc"],
        &["bundle", "export", "./source", "--output", "bundle.tar"],
        &["delete", MODEL, "-y"],
        &["delete-source", "./source", "-y"],
        &["bundle", "import", "bundle.tar"],
    ] {
        let done = run(&[args, &["--offline"]].concat());
        assert_eq!(done.code, Some(0), "{args:?}: {done:#?}");
    }
}

#[test]
fn links_in_the_store_are_not_followed() {
    let world = downloaded();
    let path = PathBuf::from(world.ok(&["find", MODEL]).stdout.trim_end());
    let elsewhere = world.path("elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert_eq!(
        world.run(&["find", MODEL]).code,
        Some(1),
        "a link is no downloaded file"
    );
    let kept = std::fs::read(&elsewhere).unwrap();
    world.ok(&["download", MODEL]);
    assert_eq!(std::fs::read(&elsewhere).unwrap(), kept);
    world.ok(&["verify"]);
}

#[test]
fn home_that_is_not_a_directory_is_refused() {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    std::fs::write(world.home(), "a file").unwrap();
    let run = world.run(&["register-source", "./source"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    assert_eq!(std::fs::read(world.home()).unwrap(), b"a file");
}
