//! Manifests with bad names, excessive permissions and false declarations.

use std::path::Path;

use serde_json::{Value, json};

use super::testbed::{Testbed, assert_terminal_safe};
use crate::server::Server;
use crate::source::Source;
use crate::world::World;

/// Writes the digits source with a changed manifest to `./source`.
fn source(testbed: &Testbed, change: impl FnOnce(&mut Value)) {
    Source::digits()
        .manifest(change)
        .write(&testbed.world.path("source"));
}

const REGISTER: &[&str] = &["register-source", "./source"];

#[test]
fn bad_names_are_refused() {
    let testbed = Testbed::new();
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
            source(&testbed, |m| match field {
                "name" => m["name"] = json!(name),
                _ => m["models"][0]["base_name"] = json!(name),
            });
            let refused = testbed.refuses(1, REGISTER).recorded();
            refused
                .says(field)
                .says("manifest.json, line ")
                .says("is not a name");
        }
    }
    testbed.still_works();
}

#[test]
fn files_outside_the_source_are_refused() {
    let testbed = Testbed::new();
    for path in [
        "/etc/passwd",
        "../x",
        "../../../beside/outside",
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
            source(&testbed, |m| set(m, path));
            testbed
                .refuses(1, REGISTER)
                .says("is not a safe path")
                .recorded();
        }
    }
    testbed.still_works();
}

#[test]
fn model_files_do_not_replace_source_files() {
    for file in [
        "manifest.json",
        "source.wasm",
        "README.md",
        "a.zip",
        "receipt.json",
    ] {
        let testbed = Testbed::new();
        let world = &testbed.world;
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
        // A file beside the model with the name that an archive would be extracted to.
        let models = found
            .ancestors()
            .find(|dir| dir.parent().is_some_and(|p| p.ends_with("models")));
        let victim = models.unwrap().join("a/victim");
        std::fs::create_dir(victim.parent().unwrap()).unwrap();
        std::fs::write(&victim, "outside").unwrap();
        before.insert(victim.clone(), b"outside".to_vec());
        world.ok(&["delete", "test/model", "-y"]);
        let mut after = world.visible();
        // The first download stays pinned.
        let lock = world.home().join("modelzoo.lock");
        assert!(after.remove(&lock).is_some() && before.remove(&lock).is_some());
        assert_eq!(after, before, "{file}");
        testbed.still_works();
    }
}

#[test]
fn packages_are_shown_and_never_run() {
    let testbed = Testbed::new();
    // Opening it would wait for a writer for ever.
    let trap = testbed.world.path("trap");
    let made = std::process::Command::new("mkfifo").arg(&trap).status();
    assert!(made.unwrap().success());
    let trap = trap.to_str().unwrap();
    for packages in [
        json!({ "entrypoint_fcn": "os.system", "kwargs": { "command": "touch x" } }),
        json!({ "requirements_file": trap }),
        json!(trap),
        json!([format!("-r {trap}"), format!("x @ file://{trap}")]),
    ] {
        source(&testbed, |m| {
            m["models"][0]["requirements"] = json!({ "packages": packages });
        });
        let world = &testbed.world;
        world.ok(&["register-source", "./source", "--overwrite"]);
        for args in [
            &["requirements", "modelzoo/digits-cnn"][..],
            &["info", "modelzoo/digits-cnn"],
            &["download", "modelzoo/digits-cnn", "--overwrite"],
        ] {
            assert_terminal_safe(&world.ok(args).stdout);
        }
    }
    assert!(!testbed.canary.was_called());
    testbed.still_works();
}

#[test]
fn ambiguous_models_are_refused() {
    let testbed = Testbed::new();
    let versioned =
        |name: &str, version: Option<&str>| (name.to_owned(), version.map(str::to_owned));
    for models in [
        [versioned("a/m", None), versioned("a/m", None)],
        [versioned("a/m", None), versioned("A/M", None)],
        [versioned("a/m", Some("1")), versioned("a/m", Some("1"))],
        [versioned("a/m", Some("1a")), versioned("a/m", Some("1A"))],
        [versioned("a/m", Some("1")), versioned("a/m", None)],
    ] {
        let messages: Vec<_> = (0..3)
            .map(|_| {
                source(&testbed, |m| {
                    let entry = |(name, version): &(String, Option<String>)| {
                        json!({ "base_name": name, "version": version, "base_filename": "x" })
                    };
                    m["models"] = models.iter().map(entry).collect();
                });
                testbed
                    .refuses(1, REGISTER)
                    .says("cannot be told from")
                    .recorded()
                    .stderr
            })
            .collect();
        assert_eq!(messages[0], messages[1]);
        assert_eq!(messages[1], messages[2]);
    }
    testbed.still_works();
}

#[test]
fn versions_of_every_kind_are_ordered() {
    let testbed = Testbed::new();
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
            source(&testbed, |m| {
                let model = |version: &&str| {
                    json!({ "base_name": "a/m", "version": version, "base_filename": format!("f-{version}") })
                };
                let mut models: Vec<_> = versions.iter().filter(|v| !v.contains('!')).map(model).collect();
                if *turned {
                    models.reverse();
                }
                m["models"] = models.into();
            });
            let world = &testbed.world;
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
    testbed.still_works();
}

#[test]
fn excessive_permissions_are_refused() {
    let testbed = Testbed::new();
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
            .write(&testbed.world.path("source"));
        for grant in [&[][..], &["--grant", "all"]] {
            let refused = testbed.refuses(1, &[REGISTER, grant].concat()).recorded();
            assert!(
                refused.stderr.contains("permissions.network[0]"),
                "`{permission}`: {refused:#?}"
            );
        }
    }
    // Well formed, and not granted.
    Source::digits()
        .asking("https://evil.example")
        .write(&testbed.world.path("source"));
    testbed
        .refuses(4, REGISTER)
        .says("https://evil.example")
        .recorded();
    // The name of another source does not help.
    testbed
        .refuses(
            1,
            &[REGISTER, &["--grant", "https://good.example"]].concat(),
        )
        .recorded();
    testbed.still_works();
}

#[test]
fn no_command_applies_an_update_with_new_permissions() {
    let server = Server::files([("/x", b"x".to_vec())]);
    let testbed = Testbed::within(World::reaching(&[&server]), "");
    source(&testbed, |_| ());
    testbed.world.ok(REGISTER);
    Source::digits()
        .asking(&format!("http://{}", server.authority()))
        .write(&testbed.world.path("source"));
    for args in [
        &["update-source", "./source"][..],
        &["register-source", "./source", "--overwrite"],
    ] {
        let refused = testbed.refuses(4, args).recorded();
        let refused = refused.says(&server.authority());
        assert!(refused.stderr.contains("--grant"), "{refused:#?}");
    }
    assert_eq!(server.seen().len(), 0);
    testbed.still_works();
}

/// A directory from an untrusted archive or repository.
#[cfg(unix)]
#[test]
fn links_in_a_registered_directory_are_refused() {
    use std::os::unix::fs::symlink;

    let testbed = Testbed::new();
    let source = testbed.world.path("source");
    let treasure = testbed.world.path("beside/outside");
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
        let refused = testbed.refuses(1, REGISTER).recorded();
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
    symlink(testbed.world.path("beside"), source.join("data")).unwrap();
    testbed
        .refuses(1, REGISTER)
        .says("data/treasure")
        .recorded();
    for bytes in testbed.world.visible().values() {
        assert_ne!(bytes, b"outside");
    }
    testbed.still_works();
}
