//! What each verb prints on success and on failure.

use serde_json::{Value, json};

use crate::source::Source;
use crate::world::World;

const MODEL: &str = "modelzoo/digits-cnn";

/// Compares the output of a command with its snapshot, without what varies between runs.
macro_rules! snapshot {
    ($name:expr, $world:expr, $args:expr) => {{
        let args: &[&str] = $args;
        let run = $world.run(args);
        let text = format!("$ modelzoo {}\n{}", args.join(" "), $world.transcript(&run));
        insta::with_settings!({
            omit_expression => true,
            filters => vec![
                (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[TIME]"),
                (r"[0-9a-f]{64}", "[SHA256]"),
                (r"(sources|models)/[^/\s]+/", "$1/[KEY]/"),
                // The widths of columns follow the length of paths.
                (r" {2,}", "  "),
                (r"-{4,}", "----"),
            ],
        }, { insta::assert_snapshot!($name, text) });
    }};
}

fn with_digits() -> World {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    world
}

#[test]
fn help_is_printed() {
    let world = World::new();
    for verb in [
        "list",
        "find",
        "info",
        "download",
        "apply",
        "delete",
        "list-sources",
        "register-source",
        "delete-source",
        "bundle",
        "completions",
    ] {
        snapshot!(format!("help-{verb}"), world, &[verb, "--help"]);
    }
    for verb in ["export", "import"] {
        let args = ["bundle", verb, "--help"];
        snapshot!(format!("help-bundle-{verb}"), world, &args);
    }
    snapshot!("help", world, &["--help"]);
}

#[test]
fn empty_zoo() {
    let world = World::new();
    snapshot!("empty-list", world, &["list"]);
    snapshot!("empty-list-json", world, &["list", "--json"]);
    snapshot!("empty-list-sources", world, &["list-sources"]);
    snapshot!("empty-unknown-model", world, &["download", "acme/model"]);
    assert!(!world.home().exists(), "looking makes no store");
}

#[test]
fn model_is_downloaded_found_and_deleted() {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    snapshot!("register", world, &["register-source", "./source"]);
    snapshot!("register-again", world, &["register-source", "./source"]);
    snapshot!(
        "register-overwrite",
        world,
        &["register-source", "./source", "--overwrite"]
    );
    snapshot!("list-sources", world, &["list-sources"]);
    snapshot!("list", world, &["list"]);
    snapshot!("info", world, &["info", MODEL]);
    snapshot!("find-not-downloaded", world, &["find", MODEL]);
    snapshot!("delete-not-downloaded", world, &["delete", MODEL]);
    snapshot!("download", world, &["download", MODEL]);
    snapshot!("download-again", world, &["download", MODEL]);
    snapshot!("list-downloaded", world, &["list", "-d"]);
    snapshot!("info-downloaded", world, &["info", MODEL]);
    snapshot!("find", world, &["find", MODEL]);
    snapshot!("delete", world, &["delete", MODEL, "-y"]);
    snapshot!("delete-source", world, &["delete-source", "./source", "-y"]);
    assert_eq!(world.json(&["list-sources"]), json!([]));
}

#[test]
fn unknown_names_are_explained() {
    let world = with_digits();
    snapshot!("unknown-model", world, &["download", "modelzoo/digit-cnn"]);
    snapshot!(
        "unknown-version",
        world,
        &["find", "modelzoo/digits-cnn@2.0"]
    );
    snapshot!("unknown-source", world, &["delete-source", "./sauce"]);
    snapshot!(
        "unknown-path",
        world,
        &["register-source", "./nothing-here"]
    );
    snapshot!("unknown-verb", world, &["lst"]);
}

#[test]
fn bad_references_are_explained() {
    let world = World::new();
    for (name, reference) in [
        ("userinfo", "https://user:secret@example.org/x.zip"),
        ("blob", "https://github.com/acme/digits/blob/main/README.md"),
        ("bad-ref", "acme/digits/../../other"),
        ("ftp", "ftp://example.org/x.zip"),
        ("loopback", "https://127.0.0.1:1/x.zip"),
        ("plain-http", "http://example.org/x.zip"),
    ] {
        snapshot!(
            format!("reference-{name}"),
            world,
            &["register-source", reference]
        );
    }
    assert_eq!(world.visible().len(), 0);
}

#[test]
fn bad_manifests_are_explained() {
    let world = World::new();
    for (name, manifest) in [
        ("syntax", "{\n  \"name\": \"a/b\",\n  \"models\": [}\n"),
        ("no-name", r#"{"models": []}"#),
        ("bad-name", r#"{"name": "../escape", "models": []}"#),
        (
            "no-base-name",
            r#"{"name": "a/b", "models": [{"version": "1"}]}"#,
        ),
        (
            "bad-path",
            r#"{"name": "a/b", "models": [{"base_name": "a/m", "base_filename": "../x"}]}"#,
        ),
        (
            "twice",
            r#"{"name": "a/b", "models": [{"base_name": "a/m"}, {"base_name": "a/m"}]}"#,
        ),
    ] {
        let dir = world.path(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("manifest.json"), manifest).unwrap();
        snapshot!(
            format!("manifest-{name}"),
            world,
            &["register-source", &format!("./{name}")]
        );
    }
    std::fs::create_dir(world.path("empty")).unwrap();
    snapshot!("manifest-none", world, &["register-source", "./empty"]);
    assert_eq!(world.visible().len(), 0);
}

#[test]
fn bad_optional_field_is_a_warning() {
    let world = World::new();
    Source::digits()
        .manifest(|m| m["models"][0]["size_bytes"] = json!("many"))
        .write(&world.path("source"));
    let run = world.ok(&["register-source", "./source"]);
    assert!(
        run.stderr.contains("warning:") && run.stderr.contains("models[0].size_bytes"),
        "{}",
        run.stderr
    );
}

#[test]
fn bad_components_are_explained() {
    let world = World::new();
    let cases: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("garbage", b"not wasm at all".to_vec()),
        ("core-module", wat::parse_str("(module)").unwrap()),
        (
            "foreign-import",
            wat::parse_str(r#"(component (import "evil:host/exec@1.0.0" (instance)))"#).unwrap(),
        ),
    ];
    for (name, bytes) in cases {
        let dir = world.path(name);
        Source::digits().write(&dir);
        std::fs::write(dir.join("source.wasm"), bytes).unwrap();
        snapshot!(
            format!("component-{name}"),
            world,
            &["register-source", &format!("./{name}")]
        );
    }
    Source::digits()
        .manifest(|m| m["component"]["sha256"] = json!("0".repeat(64)))
        .write(&world.path("digest"));
    snapshot!("component-digest", world, &["register-source", "./digest"]);
    Source::digits()
        .manifest(|m| m["component"]["files"] = json!(["missing.bin"]))
        .write(&world.path("missing"));
    snapshot!(
        "component-missing-file",
        world,
        &["register-source", "./missing"]
    );
    assert_eq!(world.visible().len(), 0);
}

#[test]
fn permissions_are_requested() {
    let world = World::new();
    Source::digits()
        .asking("https://huggingface.co")
        .asking("https://*.hf.co")
        .write(&world.path("source"));
    snapshot!("permission-needed", world, &["register-source", "./source"]);
    assert_eq!(world.visible().len(), 0);
    let grant = |permission| ["register-source", "./source", "--grant", permission];
    snapshot!(
        "permission-not-asked",
        world,
        &grant("https://evil.example")
    );
    snapshot!("permission-malformed", world, &grant("*"));
    assert_eq!(world.visible().len(), 0);
    // A part of the requested permissions can be granted.
    snapshot!(
        "permission-narrowed",
        world,
        &grant("https://huggingface.co")
    );
    assert_eq!(
        world.json(&["list-sources"])[0]["granted"],
        json!(["https://huggingface.co"])
    );
    let events: Vec<Value> = world
        .audit()
        .into_iter()
        .map(|r| r["event"].clone())
        .collect();
    assert_eq!(
        events,
        ["withheld", "refused", "refused", "granted", "registered"]
    );
}

#[test]
fn update_with_new_permissions_stops() {
    let world = World::new();
    let source = world.path("source");
    Source::digits()
        .asking("https://huggingface.co")
        .write(&source);
    world.ok(&["register-source", "./source", "--grant", "all"]);
    let bytes = world.visible();
    Source::digits()
        .asking("https://huggingface.co")
        .asking("https://evil.example")
        .write(&source);
    let error = world.refused(4, &["register-source", "./source", "--overwrite"]);
    assert!(
        error.contains("https://evil.example") && !error.contains("huggingface"),
        "{error}"
    );
    assert_eq!(world.visible(), bytes);
    snapshot!(
        "update-granted",
        world,
        &["register-source", "./source", "-o", "--grant", "all"]
    );
}

#[test]
fn replaced_source_lists_changes_and_keeps_models() {
    let world = with_digits();
    world.ok(&["download", MODEL]);
    Source::digits()
        .manifest(|m| {
            let mut second = m["models"][0].clone();
            second["base_name"] = json!("modelzoo/digits-large");
            second["base_filename"] = json!("digits-large.safetensors");
            m["models"].as_array_mut().unwrap().push(second);
        })
        .write(&world.path("source"));
    snapshot!(
        "replaced",
        world,
        &["register-source", "./source", "--overwrite"]
    );
    assert_eq!(
        world.json(&["list", "-d", "-n"]),
        json!(["modelzoo/digits-cnn@1.0"])
    );
    // The old snapshot stays for its readers until it is collected.
    world.ok(&["gc"]);
    let snapshots = std::fs::read_dir(world.home().join("sources"))
        .unwrap()
        .flatten();
    let trees: usize = snapshots
        .map(|e| std::fs::read_dir(e.path()).unwrap().count())
        .sum();
    assert_eq!(trees, 1, "the old snapshot is gone");
}

#[test]
fn list_filters() {
    let world = with_digits();
    Source::digits()
        .manifest(|m| {
            m["name"] = json!("other/digits");
            m["models"][0]["base_name"] = json!("other/digits");
            m["models"][0]["license"] = json!("Apache 2.0");
            m["models"][0]["tags"] = json!(["special"]);
        })
        .write(&world.path("other"));
    world.ok(&["register-source", "./other"]);
    let names = |args: &[&str]| world.json(&[&["list", "--names-only"], args].concat());
    assert_eq!(names(&[]).as_array().unwrap().len(), 2);
    assert_eq!(names(&["--tags", "special"]), json!(["other/digits@1.0"]));
    assert_eq!(names(&["--tags", "special", "digits"]), json!([]));
    assert_eq!(
        names(&["--license", "apache-2.0"])
            .as_array()
            .unwrap()
            .last(),
        Some(&json!("other/digits@1.0"))
    );
    assert_eq!(names(&["--source", "./other"]), json!(["other/digits@1.0"]));
    assert_eq!(names(&["--downloaded-only"]), json!([]));
}

#[test]
fn name_in_two_sources_is_ambiguous() {
    let world = with_digits();
    Source::digits()
        .manifest(|m| m["models"][0]["version"] = json!("999"))
        .write(&world.path("other"));
    world.ok(&["register-source", "./other"]);
    let error = world.refused(1, &["download", MODEL]);
    assert!(
        error.contains("/source") && error.contains("hint: name the source too, as in `file:"),
        "{error}"
    );
    world.ok(&["download", MODEL, "--source", "./source"]);
    assert_eq!(
        world.json(&["list", "-d", "-n"]),
        json!(["modelzoo/digits-cnn@1.0"])
    );
}

#[test]
fn control_characters_are_escaped() {
    let world = World::new();
    let evil = "\u{1b}]52;c;aGk=\u{7}\u{202e}txt";
    Source::digits()
        .manifest(|m| m["models"][0]["description"] = json!(evil))
        .write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    let shown = world.ok(&["info", MODEL]).stdout;
    assert!(
        !shown.contains('\u{1b}') && !shown.contains('\u{202e}'),
        "{shown}"
    );
    assert_eq!(
        world.json(&["info", MODEL])["manifest"]["description"],
        evil
    );
}

#[test]
fn offline_opens_no_socket() {
    let server = crate::server::Server::files([("/digits.zip", Source::digits().zip(""))]);
    let world = World::reaching(&[&server]);
    let error = world.refused(
        1,
        &["register-source", &server.url("/digits.zip"), "--offline"],
    );
    assert!(error.contains("offline"), "{error}");
    assert_eq!(server.seen().len(), 0);
    Source::digits().write(&world.path("source"));
    for args in [
        &["register-source", "./source", "--offline"][..],
        &["list", "--offline"],
        &["download", MODEL, "--offline"],
        &["delete", MODEL, "-y", "--offline"],
    ] {
        world.ok(args);
    }
}
