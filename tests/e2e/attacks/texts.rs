//! Texts that a terminal, a spreadsheet or a reader would take for more than text.

use serde_json::{Value, json};

use crate::hostile::arena::{Arena, assert_tame};
use crate::source::Source;

const EVIL: &str = "\u{1b}]52;c;aGk=\u{7}\u{1b}[2J\u{202e}txt\u{2066}\u{9b}31m\r\u{200b}end";

#[test]
fn every_text_of_a_manifest() {
    let arena = Arena::new();
    let fields = [
        "author",
        "license",
        "source",
        "description",
        "url",
        "date_added",
    ];
    Source::digits()
        .manifest(|m| {
            let model = &mut m["models"][0];
            for field in fields {
                model[field] = json!(EVIL);
            }
            model["tags"] = json!([EVIL, "b"]);
            model["training_data"] = json!(EVIL);
            model["requirements"] = json!({
                "packages": [EVIL],
                "cpu": { "support": true, "min_memory": EVIL },
                EVIL: EVIL,
            });
            for field in ["author", "license", "description", "url"] {
                m[field] = json!(EVIL);
            }
            m[EVIL] = json!({ EVIL: EVIL });
        })
        .write(&arena.world.path("source"));
    let world = &arena.world;
    let model = "modelzoo/digits-cnn";
    for args in [
        &["register-source", "./source"][..],
        &["list"],
        &["list", "-s", "./source"],
        &["list", "--license", EVIL],
        &["list-sources"],
        &["info", model],
        &["requirements", model],
        &["download", model, "--verbose"],
        &["find", model],
        &["verify"],
        &["du"],
        &["update-source", "--check"],
        &["register-source", "./source", "--overwrite"],
    ] {
        let run = world.ok(args);
        assert_tame(&run.stdout);
        assert_tame(&run.stderr);
    }
    // Programs get what the source wrote.
    let told = world.json(&["info", model]);
    for field in ["author", "description"] {
        assert_eq!(told["manifest"][field], EVIL, "{field}");
    }
    assert_eq!(told["manifest"]["tags"][0], EVIL);
    arena.is_well();
}

#[test]
fn errors_about_texts() {
    let arena = Arena::new();
    let world = &arena.world;
    for change in [
        (|m: &mut Value| m["models"][0]["base_name"] = json!(EVIL)) as fn(&mut Value),
        |m| m["models"][0]["base_filename"] = json!(format!("{EVIL}/../x")),
        |m| m["models"][0]["version"] = json!(EVIL),
        |m| m["component"]["sha256"] = json!(EVIL),
        |m| m["permissions"]["network"] = json!([EVIL]),
        |m| m["models"][0]["artifacts"] = json!([{ "path": "x", "url": EVIL }]),
    ] {
        Source::digits()
            .manifest(change)
            .write(&world.path("source"));
        // Looks at what is said, as it does for every refusal.
        arena
            .refuses(1, &["register-source", "./source"])
            .recorded();
    }
    // Typed by the user, or pasted.
    for args in [
        &["register-source", EVIL][..],
        &["download", EVIL],
        &["info", EVIL],
        &["find", EVIL],
        &["delete", EVIL],
        &["delete-source", EVIL],
        &["update-source", EVIL],
        &["apply", "good/model", EVIL, "p"],
        &["apply", "good/model", "images", EVIL],
    ] {
        arena.refuses(1, args);
    }
    arena.is_well();
}

#[test]
fn names_of_fields() {
    let arena = Arena::new();
    let dataset = arena.world.path("dataset");
    crate::source::digits_dataset(&dataset);
    for field in [
        "a/b",
        "../p",
        "a.b",
        "a\\b",
        "$where",
        "=cmd()",
        "+1",
        "@x",
        "-p",
        "",
        " ",
        "_id",
        "id",
        "filepath",
        "a\nb",
        "a\u{202e}b",
        "1a",
        "p,q",
        "\"p\"",
    ] {
        // A dash in front is an option that does not exist.
        let field = ["--", field];
        let dataset = "dataset";
        let args = [
            &["apply"][..],
            &field[..1],
            &["good/model", dataset, field[1]],
        ]
        .concat();
        arena
            .refuses(1, &args)
            .says(" cannot be the name of a field");
    }
    arena.is_well();
}

/// What a spreadsheet would compute stays a text in a JSON document, whoever wrote it.
#[test]
fn labels_that_are_formulas() {
    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_PLAN, "model");
    let run = attack.loads(&["case=class_formulas"]);
    assert_tame(&run.stdout);
    let text = std::fs::read_to_string(arena.world.path("labels.jsonl")).unwrap();
    assert!(!text.is_empty());
    for line in text.lines() {
        let label: Value = serde_json::from_str(line).unwrap();
        let class = label["p"]["label"].as_str().unwrap();
        assert!(class.starts_with(['=', '@']), "{class:?}");
    }
}
