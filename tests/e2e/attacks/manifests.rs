//! Manifests that name, ask for and declare what they must not.

use std::path::Path;

use serde_json::{Value, json};

use crate::hostile::arena::{Arena, assert_tame};
use crate::server::Server;
use crate::source::Source;
use crate::world::World;

/// Writes the digits' source with another manifest at `./source`.
fn source(arena: &Arena, change: impl FnOnce(&mut Value)) {
    Source::digits()
        .manifest(change)
        .write(&arena.world.path("source"));
}

const REGISTER: &[&str] = &["register-source", "./source"];

#[test]
fn names_that_are_none() {
    let arena = Arena::new();
    let long = "n".repeat(4096);
    for name in [
        "..",
        ".",
        "",
        " ",
        "/",
        "a/",
        "/a",
        "a//b",
        "a/../../b",
        "CON",
        "a/nul.txt",
        "\u{1f600}",
        "a\0b",
        "a\nb",
        "a\\b",
        "a:b",
        "-a",
        ".a",
        "a/b/c/d/e",
        "caf\u{e9}",
        &long,
    ] {
        for field in ["name", "base_name"] {
            source(&arena, |m| match field {
                "name" => m["name"] = json!(name),
                _ => m["models"][0]["base_name"] = json!(name),
            });
            let refused = arena.refuses(1, REGISTER).recorded();
            refused
                .says(field)
                .says("manifest.json, line ")
                .says("is not a name");
        }
    }
    arena.is_well();
}

#[test]
fn files_that_lead_elsewhere() {
    let arena = Arena::new();
    for path in [
        "/etc/passwd",
        "../x",
        "../../../beside/treasure",
        "a/../../x",
        "..\\x",
        "C:\\x",
        "\\\\server\\share\\x",
        "a\0b",
        "NUL",
        "a//b",
        "x.",
        "x ",
        "a/./b",
        "a:stream",
        "~/\u{202e}x",
    ] {
        let fields: [fn(&mut Value, &str); 4] = [
            |m, path| m["models"][0]["base_filename"] = json!(path),
            |m, path| m["component"]["path"] = json!(path),
            |m, path| m["component"]["files"] = json!([path]),
            |m, path| {
                m["models"][0]["artifacts"] =
                    json!([{ "path": path, "url": "https://example.org/x" }]);
            },
        ];
        for set in fields {
            source(&arena, |m| set(m, path));
            arena
                .refuses(1, REGISTER)
                .says("is not a safe path")
                .recorded();
        }
    }
    arena.is_well();
}

#[test]
fn files_that_are_named_as_the_sources_own() {
    for file in [
        "manifest.json",
        "source.wasm",
        "README.md",
        "a.zip",
        "receipt.json",
    ] {
        let arena = Arena::new();
        let world = &arena.world;
        Source::new(test_artifacts::OK_COPY)
            .file("weights.safetensors", test_artifacts::tiny_weights())
            .manifest(|m| m["models"][0]["base_filename"] = json!(file))
            .write(&world.path("source"));
        world.ok(REGISTER);
        let mut before = world.visible();
        world.ok(&["download", "test/model"]);
        let found = world.ok(&["find", "test/model"]).stdout;
        let found = Path::new(found.trim_end());
        assert!(found.ends_with(file), "{found:?}");
        assert_eq!(
            std::fs::read(found).unwrap(),
            test_artifacts::tiny_weights()
        );
        // A victim beside the model, of the name that an archive would be unpacked to.
        let models = found
            .ancestors()
            .find(|dir| dir.parent().is_some_and(|p| p.ends_with("models")));
        let victim = models.unwrap().join("a/victim");
        std::fs::create_dir(victim.parent().unwrap()).unwrap();
        std::fs::write(&victim, "treasure").unwrap();
        before.insert(victim.clone(), b"treasure".to_vec());
        world.ok(&["delete", "test/model"]);
        let mut after = world.visible();
        // What was downloaded once stays pinned.
        let lock = world.home().join("modelzoo.lock");
        assert!(after.remove(&lock).is_some() && before.remove(&lock).is_some());
        assert_eq!(after, before, "{file}");
        arena.is_well();
    }
}

#[test]
fn functions_and_files_among_the_packages() {
    let arena = Arena::new();
    // Whoever opens it waits for a writer for ever.
    let trap = arena.world.path("trap");
    let made = std::process::Command::new("mkfifo").arg(&trap).status();
    assert!(made.unwrap().success());
    let trap = trap.to_str().unwrap();
    for packages in [
        json!({ "entrypoint_fcn": "os.system", "kwargs": { "command": "touch x" } }),
        json!({ "requirements_file": trap }),
        json!(trap),
        json!([format!("-r {trap}"), format!("x @ file://{trap}")]),
    ] {
        source(&arena, |m| {
            m["models"][0]["requirements"] = json!({ "packages": packages });
        });
        let world = &arena.world;
        world.ok(&["register-source", "./source", "--overwrite"]);
        for args in [
            &["requirements", "modelzoo/digits-cnn"][..],
            &["info", "modelzoo/digits-cnn"],
            &["download", "modelzoo/digits-cnn", "--overwrite"],
        ] {
            assert_tame(&world.ok(args).stdout);
        }
    }
    assert!(!arena.canary.was_called());
    arena.is_well();
}

#[test]
fn models_that_cannot_be_told_apart() {
    let arena = Arena::new();
    let versioned =
        |name: &str, version: Option<&str>| (name.to_owned(), version.map(str::to_owned));
    for models in [
        [versioned("a/m", None), versioned("a/m", None)],
        [versioned("a/m", None), versioned("A/M", None)],
        [versioned("a/m", Some("1")), versioned("a/m", Some("1"))],
        [versioned("a/m", Some("1a")), versioned("a/m", Some("1A"))],
        [versioned("a/m", Some("1")), versioned("a/m", None)],
    ] {
        let said: Vec<_> = (0..3)
            .map(|_| {
                source(&arena, |m| {
                    let entry = |(name, version): &(String, Option<String>)| {
                        json!({ "base_name": name, "version": version, "base_filename": "x" })
                    };
                    m["models"] = models.iter().map(entry).collect();
                });
                arena
                    .refuses(1, REGISTER)
                    .says("cannot be told from")
                    .recorded()
                    .said
            })
            .collect();
        assert_eq!(said[0], said[1]);
        assert_eq!(said[1], said[2]);
    }
    arena.is_well();
}

#[test]
fn versions_of_every_kind_have_an_order() {
    let arena = Arena::new();
    let versions = [
        "1.0",
        "v1.0.1",
        "1.0a",
        "1.0.dev1",
        "1.0.post1",
        "1!0.5",
        "2024-01-01",
        "final",
        "0",
        "99999999999999999999999999",
        "1.0-rc.1",
        "1.0+local",
        "1_0_2",
    ];
    let latest: Vec<_> = [false, true]
        .iter()
        .map(|turned| {
            source(&arena, |m| {
                let model = |version: &&str| {
                    json!({ "base_name": "a/m", "version": version, "base_filename": format!("f-{version}") })
                };
                let mut models: Vec<_> = versions.iter().filter(|v| !v.contains('!')).map(model).collect();
                if *turned {
                    models.reverse();
                }
                m["models"] = models.into();
            });
            let world = &arena.world;
            world.ok(&["register-source", "./source", "--overwrite"]);
            let names = world.json(&["list", "-n", "--source", "./source"]);
            assert_eq!(names.as_array().unwrap().len(), versions.len() - 1);
            (names, world.json(&["info", "a/m"])["name"].clone())
        })
        .collect();
    assert_eq!(
        latest[0], latest[1],
        "the order of the manifest is no matter"
    );
    arena.is_well();
}

#[test]
fn permissions_beyond_reason() {
    let arena = Arena::new();
    for permission in [
        "*",
        "https://*",
        "https://*.com",
        "https://*.*.example",
        "*://example.org",
        "https://example.org/path",
        "https://example.org:*",
        "https://user@example.org",
        "file:///",
        "https://",
        "",
        "https://a.example https://b.example",
    ] {
        Source::digits()
            .asking(permission)
            .write(&arena.world.path("source"));
        for grant in [&[][..], &["--grant", "all"]] {
            let refused = arena.refuses(1, &[REGISTER, grant].concat()).recorded();
            assert!(
                refused.said.contains("permissions.network[0]"),
                "`{permission}`: {refused:#?}"
            );
        }
    }
    // Well formed, and not granted.
    Source::digits()
        .asking("https://evil.example")
        .write(&arena.world.path("source"));
    arena
        .refuses(4, REGISTER)
        .says("https://evil.example")
        .recorded();
    // Another's name does not help.
    arena
        .refuses(
            1,
            &[REGISTER, &["--grant", "https://good.example"]].concat(),
        )
        .recorded();
    arena.is_well();
}

#[test]
fn an_update_that_asks_for_more_is_not_made_by_any_command() {
    let server = Server::files([("/x", b"x".to_vec())]);
    let arena = Arena::within(World::reaching(&[&server]), "");
    source(&arena, |_| ());
    arena.world.ok(REGISTER);
    Source::digits()
        .asking(&format!("http://{}", server.authority()))
        .write(&arena.world.path("source"));
    for args in [
        &["update-source", "./source"][..],
        &["register-source", "./source", "--overwrite"],
    ] {
        let refused = arena.refuses(4, args).recorded();
        let refused = refused.says(&server.authority());
        assert!(refused.said.contains("--grant"), "{refused:#?}");
    }
    assert_eq!(server.seen().len(), 0);
    arena.is_well();
}

/// A directory that a stranger made, and the user unpacked or cloned.
#[cfg(unix)]
#[test]
fn links_in_a_directory_that_is_registered() {
    use std::os::unix::fs::symlink;

    let arena = Arena::new();
    let source = arena.world.path("source");
    let treasure = arena.world.path("beside/treasure");
    for name in [
        "manifest.json",
        "source.wasm",
        "weights.safetensors",
        "README.md",
    ] {
        Source::new(test_artifacts::OK_COPY)
            .file("weights.safetensors", "x")
            .file("README.md", "x")
            .write(&source);
        let path = source.join(name);
        std::fs::remove_file(&path).unwrap();
        symlink(&treasure, &path).unwrap();
        let refused = arena.refuses(1, REGISTER).recorded();
        assert!(
            !format!("{refused:?}").contains("`treasure"),
            "{refused:#?}"
        );
        std::fs::remove_file(&path).unwrap();
    }
    // A directory that is a link, and a file of it that is declared.
    Source::new(test_artifacts::OK_COPY)
        .file("weights.safetensors", "x")
        .manifest(|m| m["component"]["files"] = json!(["data/treasure"]))
        .write(&source);
    symlink(arena.world.path("beside"), source.join("data")).unwrap();
    arena.refuses(1, REGISTER).says("data/treasure").recorded();
    for bytes in arena.world.visible().values() {
        assert_ne!(bytes, b"treasure");
    }
    arena.is_well();
}
