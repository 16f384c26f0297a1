//! References: directories of repositories, moving branches, tokens in URLs, models of one name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::github::{FEATURE, GitHub, MAIN};
use crate::server::{Response, Server};
use crate::source::{Source, pack_zip};
use crate::world::World;

/// A repository whose directories `one` and `two/deep` are sources, and which has another file named
/// like a manifest.
fn nested() -> Vec<u8> {
    let mut files = vec![(
        "repo-1/web/manifest.json".to_owned(),
        br#"{"icons": []}"#.to_vec(),
    )];
    for (dir, name) in [("one", "acme/one"), ("two/deep", "acme/two")] {
        let source = Source::digits().manifest(|m| {
            m["name"] = json!(name);
            m["models"][0]["base_name"] = json!(name);
        });
        files.extend(
            source
                .files()
                .into_iter()
                .map(|(file, bytes)| (format!("repo-1/{dir}/{file}"), bytes)),
        );
    }
    pack_zip(&files)
}

#[test]
fn repository_with_several_manifests_is_one_source() {
    let github = GitHub::serving(nested());
    let world = github.world();
    world.ok(&["register-source", "acme/digits"]);
    assert_eq!(
        world.json(&["list", "-n"]),
        json!(["acme/one@1.0", "acme/two@1.0"])
    );
    assert_eq!(
        world.json(&["list-sources"])[0]["manifests"],
        json!(["one", "two/deep"])
    );
    world.ok(&["download", "acme/two"]);
    world.ok(&["delete-source", "acme/digits", "-y"]);
    assert_eq!(world.json(&["list"]), json!([]));
}

#[test]
fn directory_of_a_repository_is_a_source() {
    let github = GitHub::serving(nested());
    let world = github.world();
    // The branch is `feature/x`; what follows it is the directory.
    world.ok(&[
        "register-source",
        "https://github.com/acme/digits/tree/feature/x/two/deep",
    ]);
    let source = &world.json(&["list-sources"])[0];
    assert_eq!(
        (&source["commit"], &source["subdir"]),
        (&json!(FEATURE), &json!("two/deep"))
    );
    assert_eq!(world.json(&["list", "-n"]), json!(["acme/two@1.0"]));
    // The lock alone restores the same directory of the same commit.
    std::fs::remove_dir_all(world.home().join("sources")).unwrap();
    world.ok(&["download", "acme/two", "--locked"]);
}

#[test]
fn moving_branch_is_followed_by_updates_only() {
    let moved = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&moved);
    let github = GitHub::with(move |request| {
        let now = if state.load(Ordering::SeqCst) {
            FEATURE
        } else {
            MAIN
        };
        (request.path == "/repos/acme/digits/commits/HEAD").then(|| Response::ok(now))
    });
    let world = github.world();
    world.ok(&["register-source", "acme/digits"]);
    moved.store(true, Ordering::SeqCst);
    world.ok(&["register-source", "acme/digits"]);
    world.ok(&["download", "modelzoo/digits-cnn"]);
    let commit = || world.json(&["list-sources"])[0]["commit"].clone();
    assert_eq!(commit(), MAIN);
    let fetched = github.archives();
    world.ok(&["update-source", "acme/digits"]);
    assert_eq!(commit(), FEATURE);
    assert_eq!(github.archives(), fetched + 1);
    // Nothing is fetched for the same commit.
    world.ok(&["update-source"]);
    assert_eq!(github.archives(), fetched + 1);
}

#[test]
fn two_refs_of_a_repository_are_two_sources() {
    let github = GitHub::start();
    let world = github.world();
    world.ok(&["register-source", "acme/digits/main"]);
    world.ok(&["register-source", "acme/digits/feature/x"]);
    let sources = world.json(&["list-sources"]);
    assert_eq!(sources.as_array().unwrap().len(), 2);
    let error = world.refused(1, &["download", "modelzoo/digits-cnn"]);
    assert!(
        error.contains("gh:acme/digits@main") && error.contains("gh:acme/digits@feature/x"),
        "{error}"
    );
    world.ok(&["download", "gh:acme/digits@main:modelzoo/digits-cnn"]);
    world.ok(&[
        "download",
        "modelzoo/digits-cnn",
        "--source",
        "acme/digits/feature/x",
    ]);
    let listed = world.json(&["list", "-d"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn pull_request_is_registered() {
    let github = GitHub::with(|request| {
        (request.path == "/repos/acme/digits/git/ref/pull/12/head").then(|| {
            Response::ok(json!({ "object": { "sha": FEATURE, "type": "commit" } }).to_string())
        })
    });
    let world = github.world();
    world.ok(&["register-source", "https://github.com/acme/digits/pull/12"]);
    assert_eq!(world.json(&["list-sources"])[0]["commit"], FEATURE);
}

#[test]
fn token_in_a_url_is_redacted() {
    let zip = Source::digits().zip("");
    let server = Server::start(
        move |request| match request.path.contains("token=s3cret-canary") {
            true => Response::ok(zip.clone()),
            false => Response::status(404),
        },
    );
    let world = World::reaching(&[&server]);
    let url = server.url("/private.zip?token=s3cret-canary");
    let mut said = String::new();
    for args in [
        &["register-source", &url][..],
        &["list-sources"],
        &["list", "--json"],
        &["register-source", &url, "-v"],
    ] {
        let run = world.ok(args);
        said += &(run.stdout + &run.stderr);
    }
    let failed = world.run(&[
        "register-source",
        &server.url("/other.zip?token=t0p-canary"),
    ]);
    assert_eq!(failed.code, Some(1));
    said += &failed.stderr;
    said += &format!("{:?}", world.audit());
    for bytes in world.visible().values() {
        said += &String::from_utf8_lossy(bytes);
    }
    assert!(
        !said.contains("s3cret-canary") && !said.contains("t0p-canary"),
        "{said}"
    );
}

#[test]
fn retry_after_is_obeyed() {
    let count = AtomicUsize::new(0);
    let zip = Source::digits().zip("");
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Response::status(429).with("retry-after", "1"),
        1 => Response::status(503),
        _ => Response::ok(zip.clone()),
    });
    let world = World::reaching(&[&server]);
    world.ok(&["register-source", &server.url("/digits.zip")]);
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn latest_is_the_last_release() {
    let world = World::new();
    Source::digits()
        .manifest(|m| {
            let model = m["models"][0].clone();
            let versions = ["0.9", "1.10", "1.9", "2.0rc1"];
            m["models"] = versions
                .iter()
                .map(|version| {
                    let mut model = model.clone();
                    model["version"] = json!(version);
                    model["base_filename"] = json!(format!("digits-{version}.safetensors"));
                    model
                })
                .collect();
        })
        .write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    let name = |wanted: &str| world.json(&["info", wanted])["name"].clone();
    assert_eq!(name("modelzoo/digits-cnn"), "modelzoo/digits-cnn@1.10");
    assert_eq!(
        name("modelzoo/digits-cnn@2.0rc1"),
        "modelzoo/digits-cnn@2.0rc1"
    );
    assert_eq!(name("modelzoo/digits-cnn@1.9"), "modelzoo/digits-cnn@1.9");
}

#[test]
fn two_hundred_sources_are_listed() {
    let world = World::new();
    for n in 0..200 {
        let dir = world.path(&format!("s{n:03}"));
        std::fs::create_dir(&dir).unwrap();
        let manifest = json!({
            "name": format!("test/s{n:03}"),
            "models": [{ "base_name": format!("test/m{n:03}"), "tags": [if n % 2 == 0 { "even" } else { "odd" }] }],
        });
        std::fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
        world.ok(&["register-source", &format!("./s{n:03}")]);
    }
    let names = world.json(&["list", "-n"]);
    assert_eq!(names.as_array().unwrap().len(), 200);
    assert_eq!(names[7], "test/m007");
    assert_eq!(
        world
            .json(&["list", "-n", "-t", "even"])
            .as_array()
            .unwrap()
            .len(),
        100
    );
    world.ok(&["delete-source", "./s007", "-y"]);
    assert_eq!(world.json(&["list", "-n"]).as_array().unwrap().len(), 199);
    assert_eq!(world.json(&["list-sources"]).as_array().unwrap().len(), 199);
}

#[test]
fn directory_named_like_a_repository_is_explained() {
    let github = GitHub::start();
    let world = github.world();
    std::fs::create_dir_all(world.path("acme/local")).unwrap();
    let error = world.refused(1, &["register-source", "acme/local"]);
    assert!(error.contains("./acme/local"), "{error}");
}

/// FiftyOne's own manifests, which are downloaded for this test and never committed:
/// `pip download fiftyone --no-deps`, unpacked, and `MODELZOO_FIFTYONE` names the directory that
/// the package lies in.
#[test]
#[ignore = "needs MODELZOO_FIFTYONE"]
fn every_entry_of_fiftyones_manifests_is_read() {
    let package = std::env::var("MODELZOO_FIFTYONE").expect("MODELZOO_FIFTYONE names a directory");
    let dir = std::path::Path::new(&package).join("fiftyone/zoo/models");
    let world = World::new();
    let mut entries = 0;
    for file in std::fs::read_dir(dir).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        let Some(stem) = name
            .strip_suffix(".json")
            .filter(|s| s.starts_with("manifest"))
        else {
            continue;
        };
        let bytes = std::fs::read(file.path()).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        manifest["name"] = json!(format!("fiftyone/{stem}"));
        entries += manifest["models"].as_array().unwrap().len();
        std::fs::create_dir(world.path(stem)).unwrap();
        std::fs::write(world.path(stem).join("manifest.json"), manifest.to_string()).unwrap();
        let run = world.ok(&["register-source", &format!("./{stem}")]);
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    }
    let listed = world.json(&["list"]);
    assert_eq!(listed.as_array().unwrap().len(), entries);
    assert!(entries >= 336, "{entries}");
    let by_license = world.json(&["list", "-n", "-l", "BSD-3-Clause"]);
    eprintln!(
        "{entries} entries, {} under BSD-3-Clause",
        by_license.as_array().unwrap().len()
    );
    for model in listed.as_array().unwrap() {
        let source = model["source"].as_str().unwrap();
        world.ok(&["info", model["name"].as_str().unwrap(), "--source", source]);
    }
}
