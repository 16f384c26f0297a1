//! Whether what a bundle says of its source is what the origin has.

use serde_json::{Value, json};

use super::parts::Parts;
use super::{IMPORT, MODEL};
use crate::github::{FEATURE, GitHub, MAIN};
use crate::server::Response;
use crate::world::World;

const NOT_COMPARED: &str = "not compared with its origin";

/// A bundle of a repository, with the model.
fn bundle(github: &GitHub) -> Parts {
    let world = github.world();
    world.ok(&["register-source", "acme/digits"]);
    world.ok(&["download", MODEL]);
    world.ok(&["bundle", "export", "acme/digits", "--output", "bundle.tar"]);
    Parts::read(world.path("bundle.tar"))
}

/// A world into which a bundle was imported.
fn imported(github: &GitHub, bundle: &Parts) -> World {
    let world = github.world();
    std::fs::write(world.path("bundle.tar"), bundle.pack()).unwrap();
    let imported = world.json(&IMPORT);
    assert_eq!(imported["source"]["imported"], true);
    assert_eq!(imported["source"]["checked"], Value::Null);
    world
}

/// The same source with another readme, as somebody else could publish it under its name.
fn forged(bundle: Parts) -> Parts {
    let mut bundle = bundle;
    bundle.get("snapshot/README.md").extend_from_slice(b"more");
    bundle.forged()
}

fn source(world: &World) -> Value {
    world.json(&["list-sources"])[0].clone()
}

#[test]
fn import_is_marked_until_it_is_compared() {
    let github = GitHub::start();
    let world = imported(&github, &bundle(&github));
    assert!(
        world
            .ok(&["list-sources"])
            .stdout
            .contains("never: imported")
    );
    for args in [&["inspect", "acme/digits"][..], &["info", MODEL]] {
        let shown = world.ok(args).stdout;
        assert!(shown.contains(NOT_COMPARED), "{args:?}: {shown}");
    }
    assert_eq!(world.json(&["inspect", "acme/digits"])["imported"], true);
    assert_eq!(world.json(&["info", MODEL])["imported"], true);
    // Importing again and using it compare nothing.
    world.ok(&IMPORT);
    world.ok(&["register-source", "acme/digits"]);
    world.ok(&["verify"]);
    assert_eq!(source(&world)["imported"], true);
    let asked = github.archives();
    let checked = world.json(&["update-source", "--check"]);
    assert_eq!(checked[0]["outcome"]["outcome"], "unchanged");
    assert_eq!(
        source(&world)["imported"],
        true,
        "a dry run changes nothing"
    );

    let updated = world.json(&["update-source"]);
    assert_eq!(updated[0]["outcome"]["outcome"], "unchanged");
    assert_eq!(github.archives(), asked + 2);
    assert_eq!(source(&world)["imported"], Value::Null);
    assert!(world.ok(&["list-sources"]).stdout.contains("today"));
    // The model's files were never fetched.
    assert_eq!(world.json(&["info", MODEL])["imported"], true);
    world.ok(&["download", MODEL, "--overwrite"]);
    assert_eq!(world.json(&["info", MODEL])["imported"], false);
    let shown = world.ok(&["info", MODEL]).stdout;
    assert!(!shown.contains(NOT_COMPARED), "{shown}");
    world.ok(&["verify"]);
    // Now there is nothing to fetch for the same commit.
    world.ok(&["update-source"]);
    assert_eq!(github.archives(), asked + 2);
}

#[test]
fn forged_bundle_is_found_at_the_origin() {
    let github = GitHub::start();
    let world = imported(&github, &forged(bundle(&github)));
    let tree = source(&world)["tree"].clone();
    for args in [&["update-source"][..], &["update-source", "acme/digits"]] {
        let error = world.refused(1, args);
        for part in ["acme/digits", MAIN, tree.as_str().unwrap()] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    let error = world.refused(1, &["update-source", "acme/digits"]);
    assert_ne!(world.run(&["update-source", "--check"]).code, Some(0));
    world.hinted(&error);
    assert_ne!(source(&world)["tree"], tree);
    assert_eq!(source(&world)["imported"], Value::Null);
    world.ok(&["verify"]);
}

/// The branch has moved since: what the bundle had is replaced by what the origin has.
#[test]
fn newer_origin_replaces_an_import() {
    let github = GitHub::start();
    let forged = forged(bundle(&github));
    let moved = GitHub::with(|request| {
        (request.path == "/repos/acme/digits/commits/HEAD").then(|| Response::ok(FEATURE))
    });
    let world = imported(&moved, &forged);
    world.ok(&["update-source"]);
    assert_eq!(source(&world)["commit"], FEATURE);
    assert_eq!(source(&world)["imported"], Value::Null);
    world.ok(&["verify"]);
}

/// A mark that the bundle has of itself says nothing.
#[test]
fn bundle_cannot_say_that_it_was_compared() {
    let github = GitHub::start();
    let claimed = bundle(&github).json("bundle.json", |index| {
        index["source"]["imported"] = json!(false);
        index["source"]["imported_models"] = json!([]);
        index["source"]["digests"] = json!({ "manifest.json": "0".repeat(64) });
        index["source"]["receipts"] = json!({ "modelzoo/digits-cnn@1.0": "0".repeat(64) });
    });
    let world = imported(&github, &claimed);
    assert_eq!(world.json(&["info", MODEL])["imported"], true);
    world.ok(&["find", MODEL]);
    world.ok(&["verify"]);
}

#[test]
fn other_files_of_a_bundle_are_accepted_on_request() {
    let github = GitHub::start();
    let own = bundle(&github);
    let world = imported(&github, &own);
    let weights = super::WEIGHTS;
    let mut other = own.clone();
    let bytes = other.get(weights);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let digest = crate::downloads::sha256(bytes);
    let other = other
        .json(super::RECEIPT, |r| r["files"][0]["sha256"] = json!(digest))
        .json("bundle.json", |index| {
            let pins = &mut index["source"]["artifacts"]["modelzoo/digits-cnn@1.0"];
            pins["digits-cnn.safetensors"] = json!(digest);
        })
        .forged();
    std::fs::write(world.path("bundle.tar"), other.pack()).unwrap();
    let error = world.refused(1, &[&IMPORT[..], &["--overwrite"]].concat());
    assert!(
        error.contains("--accept-changes") && error.contains(&digest[..12]),
        "{error}"
    );
    world.ok(&[&IMPORT[..], &["--overwrite", "--accept-changes"]].concat());
    world.ok(&["verify"]);
    let pins = &source(&world)["artifacts"]["modelzoo/digits-cnn@1.0"];
    assert_eq!(pins["digits-cnn.safetensors"], digest);
}

/// Opening a pipe waits for somebody to write to it.
#[cfg(unix)]
#[test]
fn pipe_is_refused() {
    use std::process::Stdio;

    let world = World::new();
    let made = std::process::Command::new("mkfifo")
        .arg(world.path("pipe"))
        .status();
    assert!(made.unwrap().success());
    for args in [
        &["bundle", "import", "pipe"][..],
        &["bundle", "import", "/dev/null"],
        &["bundle", "import", "."],
        &["register-source", "./pipe"],
        &["register-source", "/dev/null"],
        &["inspect", "./pipe"],
    ] {
        let error = world.refused(1, args);
        assert!(error.contains("regular file"), "{args:?}: {error}");
    }
    let mut import = world.command(&["bundle", "import", "/dev/stdin"]);
    let mut child = import.stdin(Stdio::piped()).spawn().unwrap();
    // It does not wait for the end of what is written.
    let ended = child.stderr.take().unwrap();
    let said = std::io::read_to_string(ended).unwrap();
    assert!(said.contains("regular file"), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
