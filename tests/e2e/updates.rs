//! Rollbacks, the age of update checks, and deletion of models in use.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::source::Source;
use crate::world::World;

const MODEL: &str = "modelzoo/digits-cnn";

/// A source with models of these names and versions.
fn write(world: &World, models: &[(&str, Option<&str>)]) {
    Source::digits()
        .manifest(|m| {
            let model = m["models"][0].clone();
            let of = |(name, version): &(&str, Option<&str>)| {
                let mut model = model.clone();
                model["base_name"] = json!(name);
                match version {
                    Some(version) => model["version"] = json!(version),
                    None => drop(model.as_object_mut().unwrap().remove("version")),
                }
                model
            };
            m["models"] = models.iter().map(of).collect();
        })
        .write(&world.path("source"));
}

#[test]
fn rollback_needs_consent() {
    let world = World::new();
    let before = [("a/m", Some("1.9")), ("a/m", Some("1.10")), ("a/n", None)];
    for (after, step) in [
        (
            &[("a/m", Some("1.9")), ("a/n", None)][..],
            "a/m goes from 1.10 to 1.9",
        ),
        (
            &[("a/m", None), ("a/n", None)],
            "a/m goes from 1.10 to no version",
        ),
        (&[("a/m", Some("1.10"))], "a/n is gone"),
        (&[("b/m", Some("1.10"))], "a/m is gone; a/n is gone"),
    ] {
        write(&world, &before);
        world.ok(&["register-source", "./source", "--overwrite"]);
        write(&world, after);
        let error = world.refused(1, &["update-source", "./source"]);
        assert!(
            error.contains("would go back: ") && error.contains(step),
            "{error}"
        );
        assert!(
            error.contains("hint:") && error.contains("--allow-rollback"),
            "{error}"
        );
        let refused = world.audit().pop().unwrap();
        assert_eq!(refused["event"], "refused");
        assert!(
            refused["reason"].as_str().unwrap().contains(step),
            "{refused}"
        );

        let kept = world.visible();
        let check = world.ok(&["update-source", "--check"]);
        let warning = format!("warning: a step back: {}", step.split("; ").next().unwrap());
        assert!(check.stderr.contains(&warning), "{}", check.stderr);
        let check = world.json(&["update-source", "--check"]);
        let steps: Vec<_> = step.split("; ").collect();
        assert_eq!(check[0]["outcome"]["rollback"], json!(steps));
        assert_eq!(world.visible(), kept);

        world.ok(&["update-source", "./source", "--allow-rollback"]);
        assert_ne!(world.visible(), kept);
    }
}

#[test]
fn newer_update_is_applied() {
    let world = World::new();
    write(&world, &[("a/m", Some("1.9"))]);
    world.ok(&["register-source", "./source"]);
    for models in [
        &[("a/m", Some("1.10"))][..],
        &[("a/m", Some("1.10")), ("b/m", None)],
        &[("a/m", Some("2.0")), ("b/m", Some("1"))],
    ] {
        write(&world, models);
        let updated = world.json(&["update-source"]);
        assert_eq!(updated[0]["outcome"]["outcome"], "replaced");
        assert_eq!(updated[0]["outcome"]["rollback"], Value::Null);
    }
}

/// The store knows what was downloaded even if its manifest can no longer be read.
#[test]
fn damaged_manifest_does_not_hide_a_rollback() {
    let world = World::new();
    write(&world, &[("a/m", Some("2.0"))]);
    world.ok(&["register-source", "./source"]);
    world.ok(&["download", "a/m"]);
    let files = world.visible().into_keys();
    let manifest = files
        .into_iter()
        .find(|path| path.ends_with("manifest.json"));
    std::fs::write(manifest.unwrap(), "{").unwrap();
    write(&world, &[("a/m", Some("1.0"))]);
    let error = world.refused(1, &["update-source"]);
    assert!(error.contains("a/m goes from 2.0 to 1.0"), "{error}");
}

/// Backdates the registration of the source.
fn grow_old(world: &World) {
    world.edit_lock(|lock| {
        let mut lines = lock.lines();
        let line = lines.find(|l| l.starts_with("registered = ")).unwrap();
        lock.replace(line, "registered = \"2020-01-01T00:00:00Z\"")
    });
}

fn checked(world: &World) -> String {
    let source = &world.json(&["list-sources"])[0];
    source["checked"].as_str().unwrap().to_owned()
}

#[test]
fn age_of_the_last_check_is_shown() {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    assert!(world.ok(&["list-sources"]).stdout.contains("today"));
    grow_old(&world);
    assert_eq!(checked(&world), "2020-01-01T00:00:00Z");
    let before = world.visible();
    for shown in [&["list-sources"][..], &["inspect", "./source"]] {
        assert!(world.ok(shown).stdout.contains(" days ago"));
    }
    // Listing is not a check, and a dry run changes nothing.
    for args in [
        &["update-source", "--check", "--frozen"][..],
        &["update-source", "--check", "--locked"],
        &["update-source", "--frozen"],
    ] {
        world.ok(args);
        assert_eq!(checked(&world), "2020-01-01T00:00:00Z", "{args:?}");
    }
    world.refused(1, &["update-source", "--locked"]);
    for args in [&["update-source", "--check"][..], &["update-source"]] {
        std::fs::remove_dir_all(world.home().join("checks")).unwrap_or_default();
        world.ok(args);
        assert!(checked(&world).as_str() > "2026", "{args:?}");
        assert!(world.ok(&["list-sources"]).stdout.contains("today"));
    }
    assert_eq!(world.visible(), before, "the lock is as it was");
    assert_eq!(world.json(&["gc", "--dry-run"]), json!([]));
    world.ok(&["delete-source", "./source", "-y"]);
    assert_eq!(
        std::fs::read_dir(world.home().join("checks"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn failed_check_does_not_count() {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    grow_old(&world);
    std::fs::remove_dir_all(world.path("source")).unwrap();
    world.refused(1, &["update-source"]);
    world.run(&["update-source", "--check"]);
    assert_eq!(checked(&world), "2020-01-01T00:00:00Z");
}

fn receipt(world: &World) -> PathBuf {
    let files = world.visible().into_keys();
    files
        .into_iter()
        .find(|path| path.ends_with("receipt.json"))
        .unwrap()
}

/// Another process is loading the model: its hook still runs.
#[test]
fn models_in_use_are_not_deleted() {
    let world = World::new();
    let copying = || {
        Source::new(test_artifacts::OK_COPY)
            .file("weights.safetensors", test_artifacts::tiny_weights())
    };
    copying().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    world.ok(&["download", "test/model"]);
    // From now on its `load_model` never returns.
    crate::source::replace_component(&world, "", "test/model", || {
        copying().write(&world.path("source"));
        std::fs::copy(test_artifacts::BAD_LOOP, world.path("source/source.wasm")).unwrap();
        world.ok(&["update-source"]);
    });
    crate::source::digits_dataset(&world.path("dataset"));
    let apply = ["apply", "test/model", "dataset", "p", "--output", "x.jsonl"];
    let mut child = world.command(&apply).spawn().unwrap();
    let held = File::open(receipt(&world)).unwrap();
    let begun = Instant::now();
    while !matches!(held.try_lock(), Err(TryLockError::WouldBlock)) {
        held.unlock().unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(50),
            "it never loaded the model"
        );
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(20));
    }

    for args in [
        &["delete-source", "./source", "-y"][..],
        &["delete", "test/model", "-y"],
    ] {
        let error = world.refused(1, args);
        assert!(error.contains("in use by another command"), "{error}");
        assert!(error.contains("test") && error.contains("hint:"), "{error}");
    }
    assert_eq!(world.unfinished(), Vec::<PathBuf>::new());
    // A process that has ended uses no model.
    child.kill().unwrap();
    child.wait().unwrap();
    world.ok(&["delete-source", "./source", "-y"]);
    assert_eq!(world.json(&["list-sources"]), json!([]));
}

/// A planted receipt, link or lock does not lead outside the store.
#[test]
fn deletion_stays_within_the_store() {
    let treasure = |world: &World| std::fs::read_to_string(world.path("beside/treasure")).unwrap();
    for name in [
        "../../../../../beside/treasure",
        "/etc/passwd",
        "..",
        "a/../../x",
    ] {
        let world = World::new();
        std::fs::create_dir(world.path("beside")).unwrap();
        std::fs::write(world.path("beside/treasure"), "treasure").unwrap();
        Source::digits().write(&world.path("source"));
        world.ok(&["register-source", "./source"]);
        world.ok(&["download", MODEL]);
        let path = receipt(&world);
        let mut receipt: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        receipt["files"][0]["name"] = json!(name);
        receipt["files"][0]["size"] = json!(8);
        std::fs::write(&path, receipt.to_string()).unwrap();
        #[cfg(unix)]
        {
            let dir = path.parent().unwrap();
            std::os::unix::fs::symlink(world.path("beside"), dir.join("files/link")).unwrap();
            let models = dir.parent().unwrap();
            std::os::unix::fs::symlink(world.path("beside"), models.join("link")).unwrap();
        }
        assert_eq!(world.json(&["list", "-d", "-n"]), json!([]), "{name}");
        world.run(&["verify"]);
        world.ok(&["inspect", "./source"]);
        world.ok(&["gc"]);
        assert_eq!(treasure(&world), "treasure");
        world.ok(&["delete", MODEL, "-y"]);
        assert_eq!(treasure(&world), "treasure");
        world.ok(&["delete-source", "./source", "-y"]);
        assert_eq!(treasure(&world), "treasure");
        assert!(
            world
                .visible()
                .keys()
                .all(|path| path.ends_with("modelzoo.lock"))
        );
        assert_eq!(world.unfinished(), Vec::<PathBuf>::new());
    }
}
