//! Maintenance of a store: updates, pins, verification, garbage collection.

use std::path::PathBuf;

use serde_json::json;

use crate::server::{Response, Server};
use crate::source::Source;
use crate::world::World;

const MODEL: &str = "modelzoo/digits-cnn";

fn with_digits() -> World {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    world.ok(&["download", MODEL]);
    world
}

fn model_file(world: &World) -> PathBuf {
    world.ok(&["find", MODEL]).stdout.trim_end().into()
}

#[test]
fn update_is_checked_then_applied() {
    let world = with_digits();
    let unchanged = world.json(&["update-source", "--check"]);
    assert_eq!(unchanged[0]["outcome"]["outcome"], "unchanged");
    Source::digits()
        .manifest(|m| m["models"][0]["version"] = json!("1.1"))
        .write(&world.path("source"));
    let before = world.visible();
    let changes = world.json(&["update-source", "--check"]);
    assert_eq!(
        changes[0]["outcome"]["models_added"],
        json!(["modelzoo/digits-cnn@1.1"])
    );
    assert_eq!(
        changes[0]["outcome"]["models_removed"],
        json!(["modelzoo/digits-cnn@1.0"])
    );
    assert_eq!(world.visible(), before, "a check changes nothing");
    world.ok(&["update-source", "./source"]);
    assert_eq!(
        world.json(&["list", "-n"]),
        json!(["modelzoo/digits-cnn@1.1"])
    );
    // Other hooks are another component.
    let guest = std::fs::read(test_artifacts::OK_COPY).unwrap();
    std::fs::write(world.path("source/source.wasm"), &guest).unwrap();
    let changes = world.json(&["update-source", "--check"]);
    let [old, new] = [0, 1].map(|at| changes[0]["outcome"]["component"][at].clone());
    assert_eq!(new, crate::downloads::sha256(&guest));
    assert_ne!(old, new);
}

#[test]
fn verify_finds_and_repairs_changes() {
    let world = with_digits();
    world.ok(&["verify"]);
    let path = model_file(&world);
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[1000] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    let run = world.run(&["verify"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stdout
            .contains("digits-cnn.safetensors: has other bytes"),
        "{}",
        run.stdout
    );
    world.ok(&["verify", "--repair"]);
    assert_eq!(std::fs::read(&path).unwrap(), good);
    world.ok(&["verify"]);

    let snapshot = world
        .visible()
        .into_keys()
        .find(|p| p.ends_with("source.wasm"))
        .unwrap();
    std::fs::write(&snapshot, b"other").unwrap();
    assert_eq!(world.run(&["verify"]).code, Some(1));
}

#[test]
fn gc_removes_what_the_lock_does_not_name() {
    let world = with_digits();
    let keep = world.visible();
    let stray = [
        "sources/0123456789abcdef0123456789abcdef/tree/manifest.json",
        "models/0123456789abcdef0123456789abcdef/m/receipt.json",
        "staging/work-left/x",
    ];
    for file in stray {
        let path = world.home().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "stray").unwrap();
    }
    let listed = world.json(&["gc", "--dry-run"]);
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    assert!(stray.iter().all(|file| world.home().join(file).exists()));
    // Only directories with names of the store's form are removed.
    let theirs = world.home().join("models/mine/thesis.txt");
    std::fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    std::fs::write(&theirs, "theirs").unwrap();
    world.ok(&["gc"]);
    assert!(theirs.exists());
    std::fs::remove_dir_all(theirs.parent().unwrap()).unwrap();
    assert!(stray.iter().all(|file| !world.home().join(file).exists()));
    assert_eq!(world.visible(), keep);
    assert_eq!(world.json(&["gc", "--dry-run"]), json!([]));
}

#[test]
fn unreadable_source_does_not_block_others() {
    let world = with_digits();
    Source::digits()
        .manifest(|m| m["models"][0]["base_name"] = json!("other/digits"))
        .write(&world.path("other"));
    world.ok(&["register-source", "./other"]);
    let id = format!(
        "file:{}",
        world.path("source").canonicalize().unwrap().display()
    );
    let manifests = world
        .visible()
        .into_keys()
        .filter(|p| p.ends_with("manifest.json"));
    let broken = manifests
        .into_iter()
        .find(|p| !std::fs::read_to_string(p).unwrap().contains("other/digits"));
    std::fs::write(broken.unwrap(), "{").unwrap();
    let listed = world.ok(&["list", "-n"]);
    assert_eq!(listed.stdout, "other/digits@1.0\n");
    assert!(listed.stderr.contains(&id), "{}", listed.stderr);
    world.ok(&["download", "other/digits"]);
    assert!(world.ok(&["list-sources"]).stdout.contains("unreadable"));
    assert_eq!(
        world.json(&["gc", "--dry-run"]),
        json!([]),
        "its model may be needed"
    );
    world.ok(&["register-source", "./source", "--overwrite"]);
    world.ok(&["find", MODEL]);
}

#[test]
fn directory_that_is_not_a_store_is_left_alone() {
    let world = World::new();
    let file = world
        .home()
        .join("models/0123456789abcdef0123456789abcdef/x");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "theirs").unwrap();
    let error = world.refused(1, &["gc"]);
    assert!(error.contains("modelzoo.lock"), "{error}");
    assert!(file.exists());
}

#[test]
fn granted_permissions_are_kept() {
    let world = World::new();
    let source = world.path("source");
    let asking = |hosts: &[&str]| {
        hosts
            .iter()
            .fold(Source::digits(), |source, host| source.asking(host))
            .write(&source);
    };
    asking(&["https://a.example", "https://b.example"]);
    world.ok(&[
        "register-source",
        "./source",
        "--grant",
        "https://a.example",
    ]);
    let granted = || world.json(&["list-sources"])[0]["granted"].clone();
    // A grant for a registered source is added to the earlier ones.
    let again = world.json(&[
        "register-source",
        "./source",
        "--grant",
        "https://b.example",
    ]);
    assert_eq!(again["outcome"]["outcome"], "granted");
    assert_eq!(granted(), json!(["https://a.example", "https://b.example"]));
    asking(&[
        "https://a.example",
        "https://b.example",
        "https://c.example",
    ]);
    world.refused(4, &["update-source"]);
    world.ok(&["update-source", "--grant", "https://c.example"]);
    assert_eq!(
        granted(),
        json!([
            "https://a.example",
            "https://b.example",
            "https://c.example"
        ])
    );
}

#[test]
fn pins_survive_unrelated_updates() {
    let world = with_digits();
    let pins = || {
        std::fs::read_to_string(world.home().join("modelzoo.lock"))
            .unwrap()
            .contains("digits-cnn.safetensors")
    };
    assert!(pins());
    Source::digits()
        .manifest(|m| m["url"] = json!("https://example.org"))
        .write(&world.path("source"));
    world.ok(&["update-source"]);
    assert!(pins());
    Source::digits()
        .manifest(|m| m["models"][0]["description"] = json!("another"))
        .write(&world.path("source"));
    world.ok(&["update-source"]);
    assert!(pins());
    world.ok(&["find", MODEL]);
    Source::digits()
        .manifest(|m| m["models"][0]["of_our_own"] = json!("another"))
        .write(&world.path("source"));
    world.ok(&["update-source"]);
    assert!(!pins());
}

#[test]
fn changed_snapshot_is_not_run_and_is_repaired() {
    let world = with_digits();
    let readme = world
        .visible()
        .into_keys()
        .find(|p| p.ends_with("README.md"))
        .unwrap();
    std::fs::write(&readme, "changed").unwrap();
    let error = world.refused(1, &["download", MODEL, "--overwrite"]);
    assert!(
        error.contains("changed in the store") && error.contains("hint:"),
        "{error}"
    );
    world.ok(&["register-source", "./source", "--overwrite"]);
    world.ok(&["verify"]);
    world.ok(&["download", MODEL, "--overwrite"]);
}

#[test]
fn lock_with_paths_outside_the_store_is_refused() {
    let world = with_digits();
    let path = world.home().join("modelzoo.lock");
    let lock = std::fs::read_to_string(&path).unwrap();
    for (from, to, named) in [
        (
            "manifests = [\".\"]",
            "manifests = [\"../../..\"]",
            "`manifests`",
        ),
        ("tree = \"", "tree = \"/etc", "`tree`"),
    ] {
        let changed = lock.replacen(from, to, 1);
        assert_ne!(changed, lock);
        std::fs::write(&path, changed).unwrap();
        for args in [&["list"][..], &["verify", "--accept-lock"]] {
            let error = world.refused(1, args);
            assert!(error.contains("modelzoo.lock"), "{error}");
        }
        // Not even the user can accept it.
        let error = world.refused(1, &["verify", "--accept-lock"]);
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn disk_usage_adds_up() {
    let world = with_digits();
    let usage = world.json(&["du"]);
    let of = |kind: &str| {
        usage
            .as_array()
            .unwrap()
            .iter()
            .find(|u| u["kind"] == kind)
            .unwrap()["bytes"]
            .as_u64()
    };
    assert!(of("model").unwrap() > 380_896 && of("source").unwrap() > 380_896);
    assert!(of("cache").unwrap() > 0);
}

#[test]
fn bytes_that_differ_from_the_pin_are_refused() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server =
        Server::start(
            move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => Response::ok(test_artifacts::tiny_weights()),
                _ => Response::ok(crate::source::safetensors(b"something else")),
            },
        );
    let world = World::reaching(&[&server]);
    Source::new(test_artifacts::OK_FETCH)
        .asking(&format!("http://{}", server.authority()))
        .file("url.txt", server.url("/weights"))
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    let error = world.refused(1, &["download", "test/model", "--frozen"]);
    assert!(error.contains("--frozen"), "{error}");
    world.ok(&["download", "test/model"]);
    let lock = std::fs::read_to_string(world.home().join("modelzoo.lock")).unwrap();
    assert!(lock.contains("weights.safetensors"), "{lock}");
    let error = world.refused(1, &["download", "test/model", "--overwrite"]);
    assert!(
        error.contains("weights.safetensors") && error.contains("hint:"),
        "{error}"
    );
}

#[test]
fn foreign_lock_is_followed_exactly() {
    let world = with_digits();
    let lock = std::fs::read(world.home().join("modelzoo.lock")).unwrap();
    std::fs::remove_dir_all(world.home()).unwrap();
    std::fs::create_dir(world.home()).unwrap();
    std::fs::write(world.home().join("modelzoo.lock"), &lock).unwrap();
    world.ok(&["download", MODEL, "--locked", "--frozen"]);
    assert_eq!(
        std::fs::read(world.home().join("modelzoo.lock")).unwrap(),
        lock
    );

    // The source now differs from what the lock pins.
    std::fs::remove_dir_all(world.home()).unwrap();
    std::fs::create_dir(world.home()).unwrap();
    std::fs::write(world.home().join("modelzoo.lock"), &lock).unwrap();
    Source::digits()
        .manifest(|m| m["url"] = json!("https://example.org"))
        .write(&world.path("source"));
    let error = world.refused(1, &["download", MODEL, "--locked"]);
    assert!(error.contains("modelzoo.lock pins"), "{error}");

    std::fs::create_dir(world.path("other")).unwrap();
    Source::digits().write(&world.path("other"));
    let error = world.refused(1, &["register-source", "./other", "--locked"]);
    assert!(error.contains("--locked"), "{error}");
}

#[test]
fn out_of_range_limit_is_refused() {
    let world = World::new();
    std::fs::create_dir(world.home()).unwrap();
    let config = world.home().join("config.toml");
    for (text, named) in [
        (
            "[limits]\nmemory_bytes = 99999999999999\n",
            "limits.memory_bytes",
        ),
        ("[limits]\nmemory = 1\n", "memory"),
        ("offlin = true\n", "offlin"),
        ("allow_private = [\"not a host\"]\n", "allow_private"),
        ("[mirrors]\n\"nothing\" = \"https://x\"\n", "mirrors"),
    ] {
        std::fs::write(&config, text).unwrap();
        let run = world.run(&["list"]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(named), "{}", run.stderr);
    }
}

#[test]
fn requirements_are_shown_and_never_run() {
    let world = World::new();
    Source::digits()
        .manifest(|m| {
            m["models"][0]["requirements"] = json!({
                "packages": ["torch>=2", "surprise"], "cpu": { "support": false }, "gpu": { "support": true }
            });
        })
        .write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    let shown = world.ok(&["requirements", MODEL]).stdout;
    assert!(
        shown.contains("surprise") && shown.contains("not part of modelzoo"),
        "{shown}"
    );
    let error = world.refused(1, &["requirements", MODEL, "--ensure"]);
    assert!(error.contains("does not support the CPU"), "{error}");
    world.ok(&["requirements", MODEL, "--ensure", "--error-level", "1"]);
    crate::source::digits_dataset(&world.path("dataset"));
    let apply = ["apply", MODEL, "dataset", "p", "--device", "cpu"];
    let error = world.run(&apply);
    assert!(
        error.code == Some(1) && error.stderr.contains("does not support the CPU"),
        "{error:?}"
    );
    world.ok(&[&apply[..], &["--error-level", "2"]].concat());
}
