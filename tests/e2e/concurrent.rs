//! Commands on one store at the same time, and a store that other users can change.
#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::faults::{downloaded, faulty};
use crate::server::{Response, Server};
use crate::source::{Source, safetensors};
use crate::world::{Run, World};

const MODEL: &str = "modelzoo/digits-cnn";

/// Runs a command where locks work or do nothing; it must succeed.
fn ok(world: &World, args: &[&str], locks: bool) -> Run {
    let settings = [("FAULT_NO_LOCKS", "1".to_owned())];
    let settings = if locks { &[][..] } else { &settings };
    let run = Run::from(faulty(world, args, settings).output().unwrap());
    assert_eq!(run.code, Some(0), "{args:?}: {run:#?}");
    run
}

fn gc_beside_commands(locks: bool) {
    let world = downloaded();
    let weights = Source::digits()
        .files()
        .into_iter()
        .find_map(|(name, bytes)| (name == "digits-cnn.safetensors").then_some(bytes))
        .unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    ok(&world, &["gc"], locks);
                }
            });
        }
        for round in 0..12 {
            let change = |m: &mut Value| m["url"] = json!(format!("https://{round}.example"));
            Source::digits()
                .manifest(change)
                .write(&world.path("source"));
            ok(&world, &["register-source", "./source", "-o"], locks);
            ok(&world, &["download", MODEL, "-o"], locks);
            let path = ok(&world, &["find", MODEL], locks).stdout;
            assert_eq!(std::fs::read(path.trim_end()).unwrap(), weights);
            ok(&world, &["verify"], locks);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(world.unfinished(), Vec::<PathBuf>::new());
}

#[test]
fn gc_beside_other_commands_destroys_nothing() {
    gc_beside_commands(true);
}

#[test]
fn gc_beside_other_commands_destroys_nothing_without_locks() {
    gc_beside_commands(false);
}

#[test]
fn gc_leaves_the_work_of_a_running_command() {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    // What a download has written so far. Its owner is this process.
    let staging = world.home().join("staging");
    let (work, owner) = (staging.join("work-x"), staging.join("work-x.owner"));
    std::fs::create_dir_all(work.join("model")).unwrap();
    std::fs::write(work.join("model/half"), "half").unwrap();
    std::fs::write(&owner, "").unwrap();
    let held = std::fs::OpenOptions::new()
        .write(true)
        .open(&owner)
        .unwrap();
    held.lock().unwrap();
    assert_eq!(world.json(&["gc", "--dry-run"]), json!([]));
    world.ok(&["gc"]);
    world.ok(&["download", MODEL]);
    assert!(work.join("model/half").exists());
    drop(held);
    let listed = world.json(&["gc", "--dry-run"]);
    assert_eq!(listed[0]["path"], work.to_str().unwrap(), "{listed}");
    world.ok(&["gc"]);
    assert_eq!(world.unfinished(), Vec::<PathBuf>::new());
    // A partial download is held by its own lock.
    let part = staging.join("partials/0123456789abcdef0123456789abcdef/key.part");
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    for file in [part.clone(), part.with_extension("json")] {
        std::fs::write(file, "half").unwrap();
    }
    let held = std::fs::OpenOptions::new().write(true).open(&part).unwrap();
    held.lock().unwrap();
    world.ok(&["gc"]);
    assert!(part.exists() && part.with_extension("json").exists());
    drop(held);
    world.ok(&["gc"]);
    assert!(!part.parent().unwrap().exists());
    // So is what was being written beside its place, if that was long ago.
    let write = world.home().join(".modelzoo-unfinished-x");
    std::fs::write(&write, "half").unwrap();
    world.ok(&["gc"]);
    assert!(write.exists());
    let file = std::fs::OpenOptions::new().write(true).open(&write);
    let old = SystemTime::now() - Duration::from_secs(7200);
    file.unwrap().set_modified(old).unwrap();
    world.ok(&["gc"]);
    assert!(!write.exists());
}

#[test]
fn parallel_registrations_are_all_kept_without_locks() {
    let world = World::new();
    let names: Vec<String> = (0..40).map(|n| format!("s{n:02}")).collect();
    for name in &names {
        Source::new(test_artifacts::OK_COPY)
            .file("weights.safetensors", name.as_bytes())
            .manifest(|m| m["models"][0]["base_name"] = json!(format!("test/{name}")))
            .write(&world.path(name));
    }
    let settings = [("FAULT_NO_LOCKS", "1".to_owned())];
    let register = |name: &String| {
        let reference = format!("./{name}");
        faulty(&world, &["register-source", &reference], &settings)
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = names.iter().map(register).collect();
    for child in children {
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!(run.code, Some(0), "{run:#?}");
    }
    let listed = world.json(&["list", "-n"]);
    let expected: Vec<_> = names.iter().map(|name| format!("test/{name}")).collect();
    assert_eq!(listed, json!(expected));
    world.ok(&["verify"]);
}

/// Two sources, of which the models are downloaded from a server that fails afterwards.
fn two_sources(server: &Server) -> World {
    let world = World::reaching(&[server]);
    for name in ["a", "b"] {
        Source::new(test_artifacts::OK_FETCH)
            .asking(&format!("http://{}", server.authority()))
            .file("url.txt", server.url(&format!("/{name}")))
            .manifest(|m| m["models"][0]["base_name"] = json!(format!("test/{name}")))
            .write(&world.path(name));
        let reference = format!("./{name}");
        world.ok(&["register-source", &reference, "--grant", "all"]);
        world.ok(&["download", &format!("test/{name}")]);
    }
    world
}

#[test]
fn verify_and_repair_go_on_after_what_cannot_be_read() {
    let broken = std::sync::Arc::new(AtomicBool::new(false));
    let fails = std::sync::Arc::clone(&broken);
    let server = Server::start(move |request| match request.path.as_str() {
        "/a" if fails.load(Ordering::SeqCst) => Response::status(404),
        path => Response::ok(safetensors(path.as_bytes())),
    });
    let world = two_sources(&server);
    let file = |model: &str| PathBuf::from(world.ok(&["find", model]).stdout.trim_end());
    let [a, b] = ["test/a", "test/b"].map(file);
    // Of the first, nothing is left that could be listed; the second has other bytes.
    std::fs::remove_dir_all(a.parent().unwrap()).unwrap();
    std::fs::write(&b, "xx").unwrap();
    broken.store(true, Ordering::SeqCst);
    let run = world.run(&["verify", "--json"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let results: Value = serde_json::from_str(&run.stdout).unwrap();
    let problems = |results: &Value, name: &str| {
        let results = results.as_array().unwrap();
        let of = results.iter().find(|r| r["name"] == name).unwrap();
        of["problems"].as_array().unwrap().len()
    };
    assert!(problems(&results, "test/a") > 0 && problems(&results, "test/b") > 0);

    let error = world.run(&["verify", "--repair"]);
    assert_eq!(error.code, Some(1), "{error:#?}");
    assert!(error.stderr.contains("404"), "{error:#?}");
    assert_eq!(std::fs::read(&b).unwrap(), safetensors(b"/b"));
    // A snapshot that is gone altogether is reported, and hides nothing.
    let manifests = world.visible().into_keys();
    let mut manifests = manifests.filter(|path| path.ends_with("manifest.json"));
    let of_a = manifests.find(|path| std::fs::read_to_string(path).unwrap().contains("test/a"));
    std::fs::remove_dir_all(of_a.unwrap().parent().unwrap()).unwrap();
    let run = world.run(&["verify"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stdout.contains("ok        test/b"), "{run:#?}");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn exposures(world: &World) -> Vec<Value> {
    let found = world.json(&["doctor"]);
    found["store"]["exposures"].as_array().unwrap().clone()
}

#[test]
fn store_that_others_can_change_is_reported() {
    let world = downloaded();
    assert_eq!(exposures(&world), Vec::<Value>::new());
    assert_eq!(world.ok(&["list"]).stderr, "");
    for part in ["", "modelzoo.lock", "sources", "models"] {
        let path = match part {
            "" => world.home(),
            part => world.home().join(part),
        };
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        set_mode(&path, mode | 0o002);
        let listed = world.ok(&["list"]);
        assert!(
            listed.stderr.contains("other users can change")
                && listed.stderr.contains("can be changed by every user"),
            "{part}: {}",
            listed.stderr
        );
        let found = exposures(&world);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["path"], path.to_str().unwrap());
        let shown = world.ok(&["doctor"]).stdout;
        assert!(shown.contains("can change the store"), "{shown}");
        set_mode(&path, mode);
    }
    // What lies deeper is looked for by `doctor` alone.
    let model = PathBuf::from(world.ok(&["find", MODEL]).stdout.trim_end());
    set_mode(&model, 0o666);
    assert_eq!(exposures(&world).len(), 1);
}

/// As the super-user only: nobody else can give a file away.
#[test]
fn store_of_another_user_is_reported() {
    const OTHER: u32 = 54_321;
    let world = downloaded();
    if std::os::unix::fs::chown(world.home(), Some(OTHER), None).is_err() {
        return;
    }
    let listed = world.ok(&["list"]);
    assert!(
        listed.stderr.contains("belongs to user 54321"),
        "{listed:?}"
    );
    assert_eq!(exposures(&world).len(), 1);
    let config = world.home().join("config.toml");
    std::fs::write(&config, "offline = true\n").unwrap();
    world.ok(&["list"]);
    std::os::unix::fs::chown(&config, Some(OTHER), None).unwrap();
    let error = world.refused(1, &["list"]);
    assert!(error.contains("belongs to user 54321"), "{error}");
}

#[test]
fn settings_that_others_can_change_are_refused() {
    let world = World::new();
    std::fs::create_dir(world.home()).unwrap();
    let config = world.home().join("config.toml");
    std::fs::write(&config, "offline = true\n").unwrap();
    set_mode(&config, 0o644);
    world.ok(&["list"]);
    set_mode(&config, 0o646);
    for args in [&["list"][..], &["doctor"], &["register-source", "./x"]] {
        let error = world.refused(1, args);
        assert!(
            error.contains("config.toml can be changed by every user") && error.contains("hint: "),
            "{error}"
        );
    }
}

#[test]
fn store_is_not_for_others_whatever_the_mask() {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    let run = |args: &str| {
        let program = env!("CARGO_BIN_EXE_modelzoo");
        let script = format!("umask 000; exec {program} {args}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(world.path(""));
        shell.env_clear();
        for (name, value) in world.command(&[]).get_envs() {
            shell.envs(value.map(|value| (name, value)));
        }
        let run = Run::from(shell.output().unwrap());
        assert_eq!(run.code, Some(0), "{run:#?}");
    };
    run("register-source ./source");
    run(&format!("download {MODEL}"));
    run("doctor");
    assert_eq!(exposures(&world), Vec::<Value>::new());
}
