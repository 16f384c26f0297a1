//! What is pinned is what is used: bad answers are not pinned, what changed is accepted on request
//! only, and everything in the store is covered by a digest that starts at the lock.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::downloads::sha256;
use crate::server::{Response, Server};
use crate::source::{DIGITS, Source, safetensors, with_digits};
use crate::world::World;

const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

/// The path and the contents of each file of a server.
type Contents = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A server whose files can be exchanged.
struct Files {
    server: Server,
    files: Contents,
}

impl Files {
    fn start() -> Self {
        let files = Contents::default();
        let served = Arc::clone(&files);
        let server = Server::start(move |request| {
            let files = served.lock().unwrap();
            let mut files = files.iter();
            match files.find(|(name, _)| *name == request.path) {
                Some((_, bytes)) => Response::ok(bytes.clone()),
                None => Response::status(404),
            }
        });
        Self { server, files }
    }

    fn serve(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        let mut files = self.files.lock().unwrap();
        files.retain(|(other, _)| other != name);
        files.push((name.to_owned(), bytes.into()));
    }
}

/// A source without a component whose one model has these files, registered as `./plain`.
fn plain(server: &Server, files: &[&str]) -> World {
    let world = World::reaching(&[server]);
    write_plain(&world, server, files, json!({}));
    world.ok(&["register-source", "./plain"]);
    world
}

fn write_plain(world: &World, server: &Server, files: &[&str], more: Value) {
    let artifact = |file: &&str| json!({ "path": file, "url": server.url(&format!("/{file}")) });
    let mut model = json!({
        "base_name": "test/m",
        "artifacts": files.iter().map(artifact).collect::<Vec<_>>(),
    });
    model
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let manifest = json!({ "name": "test/plain", "models": [model] });
    let dir = world.path("plain");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
}

/// A source whose hook fetches `/weights`, registered as `./source`.
fn fetching(server: &Server) -> World {
    let world = World::reaching(&[server]);
    Source::new(test_artifacts::OK_FETCH)
        .asking(&format!("http://{}", server.authority()))
        .file("url.txt", server.url("/weights"))
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    world
}

fn bad_answers() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("web page", b"<!DOCTYPE html><html>busy</html>".to_vec()),
        ("JSON", br#"{"error": "rate limit exceeded"}"#.to_vec()),
        ("text", b"Service Unavailable\n".to_vec()),
        ("empty", Vec::new()),
        ("Git LFS pointer", LFS.to_vec()),
    ]
}

#[test]
fn bad_answer_of_a_hooks_download_is_not_pinned() {
    let weights = test_artifacts::tiny_weights();
    let files = Files::start();
    let world = fetching(&files.server);
    for (says, answer) in bad_answers() {
        files.serve("/weights", answer);
        let error = world.refused(1, &["download", "test/model"]);
        assert!(error.contains(says), "{says}: {error}");
        assert!(error.contains("weights"), "{says}: {error}");
    }
    // A file that ends early.
    files.serve("/weights", &weights[..weights.len() - 1]);
    let error = world.refused(1, &["download", "test/model"]);
    assert!(error.contains("cut off"), "{error}");
    // The server is well again, and nothing has to be repaired.
    files.serve("/weights", weights.clone());
    world.ok(&["download", "test/model"]);
    let path = world.ok(&["find", "test/model"]).stdout;
    assert_eq!(std::fs::read(path.trim_end()).unwrap(), weights);
}

/// A repository's archive holds pointers where the repository has large files.
#[test]
fn pointer_in_a_source_is_not_taken_for_the_weights() {
    let world = World::new();
    Source::new(test_artifacts::OK_COPY)
        .file("weights.safetensors", LFS)
        .write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    let error = world.refused(1, &["download", "test/model"]);
    assert!(
        error.contains("Git LFS pointer") && error.contains("weights.safetensors"),
        "{error}"
    );
}

#[test]
fn bad_answer_in_place_of_a_listed_file_is_not_pinned() {
    let good: &[(&str, &[u8])] = &[
        ("a.safetensors", &safetensors(b"abc")),
        ("b.pth", b"\x80\x02}q\0."),
        ("c.zip", b"PK\x05\x06\0\0\0\0"),
        ("d.npy", b"\x93NUMPY\x01\0"),
        ("e.png", b"\x89PNG\r\n\x1a\n"),
        ("f.bin", b"\0\x01"),
        ("g.onnx", b"\x08\x07"),
        ("h.json", b"{\"a\": NaN}\n"),
    ];
    let files = Files::start();
    for (name, bytes) in good {
        let world = plain(&files.server, &[name]);
        for (says, answer) in bad_answers() {
            // JSON is what a `.json` file is.
            if *name == "h.json" && says == "JSON" {
                continue;
            }
            files.serve(&format!("/{name}"), answer);
            let error = world.refused(1, &["download", "test/m"]);
            assert!(
                error.contains(says) && error.contains(name),
                "{name}: {error}"
            );
        }
        files.serve(&format!("/{name}"), *bytes);
        world.ok(&["download", "test/m"]);
        world.ok(&["verify"]);
    }
}

#[test]
fn next_address_is_tried_after_a_bad_answer() {
    let files = Files::start();
    files.serve("/first.bin", b"Not Found".to_vec());
    files.serve("/second.bin", b"\0\x01\x02".to_vec());
    let world = World::reaching(&[&files.server]);
    let urls = [
        files.server.url("/first.bin"),
        files.server.url("/second.bin"),
    ];
    let artifacts = json!([{ "path": "m.bin", "url": urls }]);
    write_plain(
        &world,
        &files.server,
        &[],
        json!({ "artifacts": artifacts }),
    );
    world.ok(&["register-source", "./plain"]);
    world.ok(&["download", "test/m"]);
    let found = world.ok(&["find", "test/m"]).stdout;
    let file = PathBuf::from(found.trim_end()).join("m.bin");
    assert_eq!(std::fs::read(file).unwrap(), b"\0\x01\x02");
}

#[test]
fn size_far_from_the_declared_one_is_refused() {
    let files = Files::start();
    files.serve("/m.dat", vec![0; 1000]);
    for (declared, fits) in [(900, true), (1100, true), (1999, true), (5000, false)] {
        let world = World::reaching(&[&files.server]);
        let size = json!({ "size_bytes": declared });
        write_plain(&world, &files.server, &["m.dat"], size);
        world.ok(&["register-source", "./plain"]);
        if fits {
            world.ok(&["download", "test/m"]);
            continue;
        }
        let error = world.refused(1, &["download", "test/m"]);
        assert!(
            error.contains("1000 bytes") && error.contains(&declared.to_string()),
            "{error}"
        );
    }
    // As with a hook.
    files.serve("/weights", test_artifacts::tiny_weights());
    let world = World::reaching(&[&files.server]);
    Source::new(test_artifacts::OK_FETCH)
        .asking(&format!("http://{}", files.server.authority()))
        .file("url.txt", files.server.url("/weights"))
        .manifest(|m| m["models"][0]["size_bytes"] = json!(90_000_000))
        .write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    let error = world.refused(1, &["download", "test/model"]);
    assert!(error.contains("90000000"), "{error}");
}

/// A file on a moving branch, next to weights that stay.
#[test]
fn changed_file_is_accepted_by_the_hinted_command() {
    let files = Files::start();
    files.serve("/m.bin", b"\0weights".to_vec());
    files.serve("/README.md", b"# First\n".to_vec());
    let world = plain(&files.server, &["m.bin", "README.md"]);
    let first = world.json(&["download", "test/m"]);
    assert_eq!(first["changes"], json!([]));
    files.serve("/README.md", b"# Second\n".to_vec());

    let again = ["download", "test/m", "--overwrite"];
    let [before, after] = [&b"# First\n"[..], b"# Second\n"].map(sha256);
    let check = |error: &str| {
        for part in ["README.md", &before[..12], &after[..12]] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains("m.bin"), "{error}");
    };
    check(&world.refused(1, &again));
    world.ok(&["register-source", "./plain", "--overwrite"]);
    world.ok(&["update-source"]);
    let error = world.refused(1, &again);
    check(&error);
    world.ok(&["delete", "test/m", "-y"]);
    check(&world.refused(1, &["download", "test/m"]));
    let accept = [&again[..], &["--accept-changes"]].concat();
    let locked = world.refused(1, &[&accept[..], &["--locked"]].concat());
    assert!(locked.contains("--locked"), "{locked}");
    world.refused(1, &[&accept[..], &["--frozen"]].concat());

    let accepted = world.hinted(&error);
    for part in ["README.md", &before[..12], &after[..12]] {
        assert!(accepted.stderr.contains(part), "{}", accepted.stderr);
    }
    world.ok(&["verify"]);
    world.ok(&again);
    let pins = &world.json(&["list-sources"])[0]["artifacts"]["test/m"];
    assert_eq!(pins["README.md"], after);
    let unchanged = world.json(&["download", "test/m", "--accept-changes"]);
    assert_eq!(unchanged["changes"], json!([]));
}

/// One model's changes say nothing about another's.
#[test]
fn changes_are_accepted_model_by_model() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        Response::ok(format!("\0{n}").into_bytes())
    });
    let world = World::reaching(&[&server]);
    let model = |name: &str| {
        let artifacts = json!([{ "path": "m.bin", "url": server.url("/m") }]);
        json!({ "base_name": format!("test/{name}"), "artifacts": artifacts })
    };
    let manifest = json!({ "name": "test/s", "models": [model("a"), model("b")] });
    std::fs::create_dir(world.path("s")).unwrap();
    std::fs::write(world.path("s/manifest.json"), manifest.to_string()).unwrap();
    world.ok(&["register-source", "./s"]);
    world.ok(&["download", "test/a"]);
    world.ok(&["download", "test/b"]);
    let pins = || world.json(&["list-sources"])[0]["artifacts"].clone();
    let before = pins();
    let error = world.refused(1, &["download", "test/a", "-o"]);
    world.hinted(&error);
    let after = pins();
    assert_ne!(after["test/a"], before["test/a"]);
    assert_eq!(after["test/b"], before["test/b"]);
    world.refused(1, &["download", "test/b", "-o"]);
    world.ok(&["verify"]);
}

/// A component with the same hooks and another digest: a custom section says nothing.
fn same_hooks(component: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(component).unwrap();
    bytes.extend_from_slice(&[0, 3, 1, b'x', 0]);
    bytes
}

fn copying() -> Source {
    Source::new(test_artifacts::OK_COPY).file("weights.safetensors", test_artifacts::tiny_weights())
}

/// A world in which the component of a source changed, and no version did.
fn updated() -> World {
    let world = World::new();
    copying().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    world.ok(&["download", "test/model"]);
    let component = same_hooks(test_artifacts::OK_COPY);
    std::fs::write(world.path("source/source.wasm"), component).unwrap();
    world.ok(&["update-source"]);
    crate::source::digits_dataset(&world.path("dataset"));
    world
}

const APPLY: [&str; 6] = ["apply", "test/model", "dataset", "p", "--output", "x.jsonl"];

#[test]
fn new_component_does_not_get_the_files_of_the_old_one() {
    let world = updated();
    const SAYS: &str = "made by an earlier version";
    assert_eq!(world.json(&["list", "-d", "-n"]), json!([]));
    let listed = world.ok(&["list"]).stderr;
    assert!(listed.contains("an earlier version"), "{listed}");
    let info = world.json(&["info", "test/model"]);
    assert!(
        info["problem"]
            .as_str()
            .unwrap()
            .contains("earlier version")
    );
    let verified = world.run(&["verify"]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(verified.stdout.contains("earlier version"), "{verified:?}");
    for args in [
        &["find", "test/model"][..],
        &[&APPLY[..], &["--frozen"]].concat(),
        &["download", "test/model", "--frozen"],
    ] {
        let error = world.refused(1, args);
        assert!(error.contains(SAYS), "{args:?}: {error}");
        assert!(error.contains("--overwrite`"), "{args:?}: {error}");
    }
    let error = world.refused(1, &[&APPLY[..], &["--frozen"]].concat());
    world.hinted(&error);
    world.ok(&[&APPLY[..], &["--frozen"]].concat());
    world.ok(&["verify"]);
}

#[test]
fn files_of_an_old_component_are_fetched_again_where_allowed() {
    let world = updated();
    let run = world.ok(&APPLY);
    assert!(run.stderr.contains("earlier version"), "{}", run.stderr);
    let again = world.ok(&[&APPLY[..], &["--overwrite", "--frozen"]].concat());
    assert!(
        !again.stderr.contains("earlier version"),
        "{}",
        again.stderr
    );
    world.ok(&["verify"]);
}

/// What the host fetches belongs to the manifest's entry.
#[test]
fn new_entry_does_not_get_the_files_of_the_old_one() {
    let files = Files::start();
    files.serve("/m.bin", b"\0one".to_vec());
    let world = plain(&files.server, &["m.bin"]);
    world.ok(&["download", "test/m"]);
    write_plain(
        &world,
        &files.server,
        &["m.bin"],
        json!({ "description": "of other words", "tags": ["x"] }),
    );
    world.ok(&["update-source"]);
    world.ok(&["find", "test/m"]);
    write_plain(
        &world,
        &files.server,
        &["m.bin"],
        json!({ "of_our_own": 1 }),
    );
    world.ok(&["update-source"]);
    let error = world.refused(1, &["find", "test/m"]);
    assert!(error.contains("earlier version"), "{error}");
    world.hinted(&error);
    world.ok(&["find", "test/m"]);
}

/// What a hook may read decides about what it downloads.
#[test]
fn new_files_of_a_source_do_not_get_the_files_of_the_old_ones() {
    let files = Files::start();
    files.serve("/weights", test_artifacts::tiny_weights());
    let other = safetensors(b"other");
    files.serve("/others", other.clone());
    let world = fetching(&files.server);
    world.ok(&["download", "test/model"]);
    let url = world.path("source/url.txt");
    std::fs::write(url, files.server.url("/others")).unwrap();
    world.ok(&["update-source"]);
    let error = world.refused(1, &["find", "test/model"]);
    assert!(error.contains("earlier version"), "{error}");
    world.hinted(&error);
    let path = world.ok(&["find", "test/model"]).stdout;
    assert_eq!(std::fs::read(path.trim_end()).unwrap(), other);
}

fn file_named(world: &World, name: &str) -> PathBuf {
    let mut files = world.visible().into_keys();
    files.find(|path| path.ends_with(name)).unwrap()
}

#[test]
fn flipped_bit_of_a_receipt_is_found() {
    let world = with_digits();
    let path = file_named(&world, "receipt.json");
    let good = std::fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bad).unwrap();
        let verified = world.run(&["verify", DIGITS]);
        assert_eq!(verified.code, Some(1), "byte {at}: {verified:?}");
        assert_eq!(world.json(&["list", "-d", "-n"]), json!([]), "byte {at}");
    }
    let listed = world.ok(&["list"]);
    assert!(listed.stderr.contains("receipt"), "{}", listed.stderr);
    let info = world.ok(&["info", DIGITS]);
    assert!(info.stdout.contains("problem"), "{}", info.stdout);
    world.ok(&["verify", DIGITS, "--repair"]);
    assert_eq!(std::fs::read(&path).unwrap(), good);
}

#[test]
fn flipped_bit_of_the_lock_is_found() {
    let world = with_digits();
    let path = world.home().join("modelzoo.lock");
    let good = std::fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(9) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bad).unwrap();
        for args in [&["verify"][..], &["list"]] {
            let run = world.run(args);
            assert_eq!(run.code, Some(1), "byte {at}: {run:?}");
            assert!(run.stderr.contains("modelzoo.lock"), "byte {at}: {run:?}");
        }
    }
    std::fs::write(&path, &good).unwrap();
    world.ok(&["verify"]);
}

/// The receipt fits the weights, and neither is what the lock pins.
#[test]
fn weights_and_receipt_changed_together_are_found() {
    let world = with_digits();
    let path = file_named(&world, "receipt.json");
    let weights = PathBuf::from(world.ok(&["find", DIGITS]).stdout.trim_end());
    let mut bytes = std::fs::read(&weights).unwrap();
    let before = sha256(&bytes);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    let receipt = std::fs::read_to_string(&path).unwrap();
    let forged = receipt.replace(&before, &sha256(&bytes));
    assert_ne!(forged, receipt);
    std::fs::write(&path, forged).unwrap();
    let verified = world.run(&["verify"]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(
        verified.stdout.contains("modelzoo.lock pins"),
        "{verified:?}"
    );
    let error = world.refused(1, &["find", DIGITS]);
    assert!(error.contains("modelzoo.lock pins"), "{error}");
    world.hinted(&error);
    world.ok(&["verify"]);
}

#[test]
fn stray_files_of_a_model_are_found() {
    for stray in ["files/extra", "beside", "files/deep/extra"] {
        let world = with_digits();
        let dir = file_named(&world, "receipt.json");
        let path = dir.parent().unwrap().join(stray);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "x").unwrap();
        let verified = world.run(&["verify"]);
        assert_eq!(verified.code, Some(1), "{stray}: {verified:?}");
        world.ok(&["verify", "--repair"]);
        world.ok(&["verify"]);
    }
}

/// The host follows the manifest of such a source without running anything of it.
#[test]
fn edited_manifest_of_a_source_without_a_component_is_not_followed() {
    let files = Files::start();
    files.serve("/m.bin", b"\0one".to_vec());
    files.serve("/x.bin", b"\0evil".to_vec());
    let world = plain(&files.server, &["m.bin"]);
    let manifest = file_named(&world, "manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("/m.bin", "/x.bin")).unwrap();
    for args in [
        &["download", "test/m"][..],
        &["info", "test/m"],
        &["bundle", "export", "./plain", "--output", "b.tar"],
    ] {
        let error = world.refused(1, args);
        assert!(error.contains("changed in the store"), "{args:?}: {error}");
    }
    assert_eq!(files.server.seen().len(), 0);
    assert_eq!(world.run(&["verify"]).code, Some(1));
    let listed = &world.json(&["list-sources"])[0];
    assert!(
        listed["problem"]
            .as_str()
            .unwrap()
            .contains("changed in the store")
    );
    let error = world.refused(1, &["bundle", "export", "./plain", "--output", "b.tar"]);
    world.hinted(&error);
    world.ok(&["download", "test/m"]);
    world.ok(&["verify"]);
}

#[test]
fn edited_lock_is_refused_and_can_be_accepted() {
    let world = with_digits();
    let path = world.home().join("modelzoo.lock");
    let good = std::fs::read_to_string(&path).unwrap();
    let edited = good.replace("granted = []", "granted = [\"https://evil.example\"]");
    assert_ne!(edited, good);
    for changed in [
        edited.as_str(),
        "",
        &format!("{good}\n"),
        &good[..good.len() / 2],
    ] {
        std::fs::write(&path, changed).unwrap();
        for args in [
            &["list"][..],
            &["list-sources"],
            &["find", DIGITS],
            &["download", DIGITS, "--overwrite"],
            &["register-source", "./source", "--overwrite"],
            &["verify"],
            &["gc"],
        ] {
            let error = world.refused(1, args);
            assert!(
                error.contains("modelzoo.lock") && error.contains("--accept-lock"),
                "{args:?}: {error}"
            );
        }
    }
    std::fs::write(&path, &edited).unwrap();
    let error = world.refused(1, &["list"]);
    world.hinted(&error);
    let granted = world.json(&["list-sources"])[0]["granted"].clone();
    assert_eq!(granted, json!(["https://evil.example"]));
    // A lock that was not edited stays as it is.
    let accepted = std::fs::read(&path).unwrap();
    world.ok(&["verify", "--accept-lock"]);
    assert_eq!(std::fs::read(&path).unwrap(), accepted);
}
