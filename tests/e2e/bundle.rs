//! Bundles: a source with its models in one file, imported completely or not at all.

mod origin;
mod parts;

use std::path::PathBuf;

use serde_json::{Value, json};

use self::parts::Parts;
use crate::downloads::sha256;
use crate::source::Source;
use crate::world::World;

const MODEL: &str = "modelzoo/digits-cnn";
const RECEIPT: &str = "models/modelzoo~digits-cnn@1.0/receipt.json";
const WEIGHTS: &str = "models/modelzoo~digits-cnn@1.0/files/digits-cnn.safetensors";
const WASM: &str = "snapshot/source.wasm";
const IMPORT: [&str; 3] = ["bundle", "import", "bundle.tar"];

/// A world in which a source is registered and, on request, its model is downloaded.
fn exporter(source: &Source, download: bool) -> World {
    let world = World::new();
    source.write(&world.path("source"));
    world.ok(&["register-source", "./source", "--grant", "all"]);
    if download {
        world.ok(&["download", MODEL]);
    }
    world
}

fn export(world: &World, name: &str) -> Value {
    world.json(&["bundle", "export", "./source", "--output", name])
}

/// The file that a source is exported to.
fn bundle_of(source: &Source, download: bool) -> Parts {
    let world = exporter(source, download);
    export(&world, "bundle.tar");
    Parts::read(world.path("bundle.tar"))
}

fn digits() -> Parts {
    bundle_of(&Source::digits(), true)
}

/// A world with a bundle and nothing else.
fn importer(bundle: &[u8]) -> World {
    let world = World::new();
    std::fs::write(world.path("bundle.tar"), bundle).unwrap();
    world
}

/// Imports a bundle that must be refused into an empty store. Returns standard error.
fn refused(code: i32, bundle: &[u8]) -> String {
    let world = importer(bundle);
    let error = world.refused(code, &IMPORT);
    assert!(error.contains("hint: "), "{error}");
    assert_eq!(world.visible().len(), 0);
    assert_eq!(world.unfinished(), Vec::<PathBuf>::new());
    error
}

#[test]
fn bundle_imports_a_source_and_its_models() {
    let from = exporter(&Source::digits(), true);
    let exported = export(&from, "bundle.tar");
    let bytes = std::fs::read(from.path("bundle.tar")).unwrap();
    assert_eq!(exported["sha256"], sha256(&bytes));
    assert_eq!(exported["models"], json!(["modelzoo/digits-cnn@1.0"]));
    export(&from, "again.tar");
    assert_eq!(std::fs::read(from.path("again.tar")).unwrap(), bytes);

    let to = importer(&bytes);
    let imported = to.json(&[&IMPORT[..], &["--offline"]].concat());
    assert_eq!(imported["outcome"]["outcome"], "new");
    assert_eq!(imported["models"][0]["fresh"], true);
    to.ok(&["verify"]);
    crate::source::digits_dataset(&to.path("dataset"));
    to.ok(&["apply", MODEL, "dataset", "predictions", "--offline"]);
    // Everything is the same but the time of registration.
    let of = |world: &World| {
        let mut source = world.json(&["list-sources"])[0].clone();
        source["registered"] = Value::Null;
        source["checked"] = Value::Null;
        for mark in ["imported", "imported_models"] {
            source.as_object_mut().unwrap().remove(mark);
        }
        source
    };
    assert_eq!(of(&to), of(&from));
    let events = to.audit();
    assert!(
        events.iter().any(|e| e["event"] == "imported"),
        "{events:?}"
    );

    // An imported source can be exported again.
    let id = of(&to)["id"].as_str().unwrap().to_owned();
    to.ok(&["bundle", "export", &id, "-n", MODEL, "--output", "on.tar"]);
    to.ok(&["bundle", "import", "on.tar"]);
}

#[test]
fn import_keeps_what_is_there() {
    let world = importer(&digits().pack());
    world.ok(&IMPORT);
    let before = world.visible();
    let again = world.ok(&IMPORT);
    for said in ["is registered already", "is downloaded already"] {
        assert!(again.stderr.contains(said), "{}", again.stderr);
    }
    let again = world.json(&[&IMPORT[..], &["--locked", "--frozen"]].concat());
    assert_eq!(again["outcome"]["outcome"], "already_registered");
    assert_eq!(again["models"][0]["fresh"], false);
    assert_eq!(world.visible(), before);
}

#[test]
fn import_repairs_what_it_imported() {
    let world = importer(&digits().pack());
    world.ok(&IMPORT);
    let whole = world.visible();
    world.ok(&["delete", MODEL, "-y"]);
    world.ok(&IMPORT);
    assert_eq!(world.visible(), whole);
    let snapshot = whole.keys().find(|p| p.ends_with("README.md")).unwrap();
    std::fs::write(snapshot, "changed").unwrap();
    world.ok(&IMPORT);
    assert_eq!(world.visible(), whole);
    let model = PathBuf::from(world.ok(&["find", MODEL]).stdout.trim_end());
    let mut bytes = std::fs::read(&model).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    world.ok(&[&IMPORT[..], &["--overwrite"]].concat());
    assert_eq!(world.visible(), whole);
}

#[test]
fn other_tree_is_replaced_only_on_request() {
    let first = digits();
    let world = importer(&first.pack());
    world.ok(&IMPORT);
    let changed = first
        .without(WEIGHTS)
        .without(RECEIPT)
        .json("bundle.json", |i| i["models"] = json!({}))
        .json("snapshot/manifest.json", |m| {
            m["url"] = json!("https://example.org/x")
        })
        .forged();
    std::fs::write(world.path("bundle.tar"), changed.pack()).unwrap();
    let error = world.refused(1, &IMPORT);
    assert!(
        error.contains("is registered with the tree") && error.contains("--overwrite"),
        "{error}"
    );
    world.refused(1, &[&IMPORT[..], &["-o", "--locked"]].concat());
    let replaced = world.json(&[&IMPORT[..], &["--overwrite"]].concat());
    assert_eq!(replaced["outcome"]["outcome"], "replaced");
    // The model and its pin are unchanged.
    world.ok(&["find", MODEL]);
    world.ok(&["verify"]);
    let pins = &world.json(&["list-sources"])[0]["artifacts"];
    assert!(pins["modelzoo/digits-cnn@1.0"].is_object(), "{pins}");
}

#[test]
fn import_does_not_override_a_pin() {
    let first = digits();
    let world = importer(&first.pack());
    world.ok(&IMPORT);
    let weights = b"other weights".to_vec();
    let digest = sha256(&weights);
    let mut other = first.json(RECEIPT, |r| {
        r["files"][0]["size"] = json!(weights.len());
        r["files"][0]["sha256"] = json!(digest);
    });
    *other.get(WEIGHTS) = weights;
    let other = other
        .json("bundle.json", |i| {
            i["source"]["artifacts"]["modelzoo/digits-cnn@1.0"]["digits-cnn.safetensors"] =
                json!(digest);
        })
        .forged();
    std::fs::write(world.path("bundle.tar"), other.pack()).unwrap();
    for flags in [&[][..], &["--overwrite"]] {
        let error = world.refused(1, &[&IMPORT[..], flags].concat());
        assert!(error.contains("not what was downloaded before"), "{error}");
    }
    // Without a conflicting pin the import succeeds.
    importer(&other.pack()).ok(&IMPORT);
    let error = importer(&other.pack()).refused(1, &[&IMPORT[..], &["--frozen"]].concat());
    assert!(error.contains("--frozen"), "{error}");
}

#[test]
fn import_grants_no_permissions() {
    let source = Source::digits().asking("https://huggingface.co");
    let mut parts = bundle_of(&source, true);
    let index = String::from_utf8(parts.get("bundle.json").clone()).unwrap();
    assert!(!index.contains("huggingface"), "{index}");
    let parts = parts.json("bundle.json", |i| {
        i["source"]["granted"] = json!(["https://huggingface.co", "https://evil.example"]);
    });
    let error = refused(4, &parts.pack());
    assert!(error.contains("https://huggingface.co"), "{error}");
    let world = importer(&parts.pack());
    let evil = [&IMPORT[..], &["--grant", "https://evil.example"]].concat();
    world.refused(1, &evil);
    let imported = world.json(&[&IMPORT[..], &["--grant", "all"]].concat());
    let granted = json!(["https://huggingface.co"]);
    assert_eq!(imported["source"]["granted"], granted);
    // Grants of the user are kept too.
    world.ok(&IMPORT);
    world.ok(&["delete", MODEL, "-y"]);
    world.ok(&IMPORT);
    assert_eq!(world.json(&["list-sources"])[0]["granted"], granted);
}

#[test]
fn changed_bytes_are_detected() {
    let digits = digits();
    for (part, says) in [
        (WEIGHTS, "than its receipt says"),
        (WASM, "the files of the source"),
        ("snapshot/digits-cnn.safetensors", "the files of the source"),
        (RECEIPT, "receipt.json"),
    ] {
        let middle = digits.clone().get(part).len() / 2;
        for at in [0, middle] {
            let error = refused(1, &digits.clone().flipped(part, at).pack());
            assert!(
                error.contains("is not as it was exported") && error.contains(says),
                "{part} {at}: {error}"
            );
        }
    }
}

#[test]
fn truncated_bundle_is_refused() {
    let whole = digits().pack();
    for length in (0..whole.len() - 1024).step_by(60_000) {
        refused(1, &whole[..length / 512 * 512]);
        refused(1, &whole[..length + 100]);
    }
}

#[test]
fn bundle_that_export_does_not_write_is_refused() {
    let digits = || digits();
    let dir = "models/modelzoo~digits-cnn@1.0";
    let index = |change: fn(&mut Value)| digits().json("bundle.json", change).pack();
    let receipt = |change: fn(&mut Value)| digits().json(RECEIPT, change).forged().pack();
    let cases = [
        ("no place", digits().with("x.txt", "x").pack()),
        ("no place", digits().with("models/x", "x").pack()),
        ("no place", digits().with(&format!("{dir}/x"), "x").pack()),
        (
            "declares x",
            digits().with("snapshot/x", "x").forged().pack(),
        ),
        (
            "list x",
            digits().with(&format!("{dir}/files/x"), "x").pack(),
        ),
        ("no receipt", digits().with("models/a/files/x", "x").pack()),
        (
            "receipt",
            digits().with("models/a/receipt.json", "{}").pack(),
        ),
        ("safetensors", digits().without(WEIGHTS).pack()),
        ("the receipt of", digits().without(RECEIPT).pack()),
        ("bundle.json", digits().without("bundle.json").pack()),
        ("\"../x\"", digits().with("../x", "x").pack()),
        (
            "\"snapshot/../../x\"",
            digits().with("snapshot/../../x", "x").pack(),
        ),
        ("\"/x\"", digits().with("/x", "x").pack()),
        ("two entries", digits().with(WASM, "x").pack()),
        ("format is 2", index(|i| i["format"] = json!(2))),
        ("`tree`", index(|i| i["source"]["tree"] = json!("../../x"))),
        (
            "`manifests`",
            index(|i| i["source"]["manifests"] = json!(["../.."])),
        ),
        (
            "`manifests`",
            index(|i| i["source"]["manifests"] = json!([".", "."])),
        ),
        (
            "`manifests`",
            index(|i| i["source"]["manifests"] = json!([])),
        ),
        (
            "`commit`",
            index(|i| i["source"]["commit"] = json!("../../x")),
        ),
        (
            "x/manifest.json",
            index(|i| i["source"]["manifests"] = json!(["x"])),
        ),
        (
            "entry of the lock pins",
            index(|i| i["source"]["artifacts"] = json!({})),
        ),
        (
            "another source",
            index(|i| i["source"]["id"] = json!("gh:acme/digits")),
        ),
        (
            "another source",
            receipt(|r| r["source"] = json!("gh:acme/digits")),
        ),
        (
            "another component",
            receipt(|r| r["component"] = json!("0".repeat(64))),
        ),
        ("not a tar", Source::digits().tar_gz()),
        ("not a tar", Source::digits().zip("")),
        ("not a tar", Vec::new()),
    ];
    for (says, bundle) in cases {
        let error = refused(1, &bundle);
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn missing_file_is_reported() {
    let error = World::new().refused(1, &IMPORT);
    assert!(
        error.contains("no such file") && error.contains("hint: "),
        "{error}"
    );
}

#[test]
fn link_in_a_bundle_is_refused() {
    let mut tar = tar::Builder::new(digits().pack());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "snapshot/link", "/etc/passwd")
        .unwrap();
    let link = tar.into_inner().unwrap();
    // The link first, then a file through it.
    let at = digits().pack().len();
    let link_first = [&link[at..at + 512], &digits().pack()].concat();
    let error = refused(1, &link_first);
    assert!(error.contains("symbolic link"), "{error}");
}

#[test]
fn component_that_registration_refuses_is_refused() {
    let mut parts = bundle_of(&Source::digits(), false);
    *parts.get(WASM) = wat::parse_str("(module)").unwrap();
    let world = importer(&parts.forged().pack());
    let error = world.refused(1, &IMPORT);
    assert!(error.contains("source.wasm"), "{error}");
    assert_eq!(world.visible().len(), 0);
}

#[test]
fn imported_source_is_updated_from_its_id() {
    let parts = digits().json("bundle.json", |i| {
        i["source"]["reference"] = json!("https://evil.example/x.zip");
    });
    let world = importer(&parts.pack());
    world.ok(&IMPORT);
    let source = &world.json(&["list-sources"])[0];
    let path = source["reference"].as_str().unwrap();
    assert_eq!(source["id"], format!("file:{path}"));
}

#[test]
fn unexportable_sources_are_refused() {
    let world = exporter(&Source::digits(), false);
    let export = |args: &[&str]| {
        let all = [&["bundle", "export"], args, &["--output", "b.tar"]].concat();
        let error = world.refused(1, &all);
        assert!(error.contains("hint: "), "{error}");
        error
    };
    assert!(export(&["./source", "-n", MODEL]).contains("is not downloaded"));
    assert!(export(&["./source", "-n", "a/b"]).contains("a/b"));
    assert!(export(&["./other"]).contains("./other"));
    world.ok(&["download", MODEL]);
    let model = world.ok(&["find", MODEL]).stdout;
    let model = model.trim_end();
    let whole = std::fs::read(model).unwrap();
    let mut bytes = whole.clone();
    bytes[0] ^= 1;
    std::fs::write(model, bytes).unwrap();
    assert!(export(&["./source"]).contains("not what was downloaded"));
    std::fs::write(model, whole).unwrap();

    // The manifest described the model differently when it was downloaded.
    Source::digits()
        .manifest(|m| m["models"][0]["of_our_own"] = json!("another"))
        .write(&world.path("source"));
    world.ok(&["update-source"]);
    assert!(export(&["./source"]).contains("--overwrite"));
    world.ok(&["download", MODEL, "--overwrite"]);

    let left = |name: &str| name.contains("bundle") || name.ends_with(".tar");
    let names = std::fs::read_dir(world.path("")).unwrap().flatten();
    let names: Vec<_> = names
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|name| left(name)), "{names:?}");
    std::fs::write(world.path("b.tar"), "mine").unwrap();
    assert!(export(&["./source"]).contains("is there already"));
    assert_eq!(std::fs::read(world.path("b.tar")).unwrap(), b"mine");
}

#[test]
fn pin_from_before_an_update_is_exported() {
    let world = exporter(&Source::digits(), true);
    Source::digits()
        .manifest(|m| m["url"] = json!("https://example.org/x"))
        .write(&world.path("source"));
    world.ok(&["update-source"]);
    export(&world, "bundle.tar");
    let to = importer(&std::fs::read(world.path("bundle.tar")).unwrap());
    to.ok(&IMPORT);
    to.ok(&["find", MODEL]);
    to.ok(&["verify"]);
}
