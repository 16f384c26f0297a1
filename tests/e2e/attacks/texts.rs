//! Untrusted texts with control sequences, direction overrides and separators.

use serde_json::{Value, json};

use super::testbed::{Testbed, assert_terminal_safe};
use crate::source::Source;

const EVIL: &str = "\u{1b}]52;c;aGk=\u{7}\u{1b}[2J\u{202e}txt\u{2066}\u{9b}31m\r\u{200b}end";

#[test]
fn manifest_texts_are_escaped() {
    let testbed = Testbed::new();
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
        .write(&testbed.world.path("source"));
    let world = &testbed.world;
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
        assert_terminal_safe(&run.stdout);
        assert_terminal_safe(&run.stderr);
    }
    // JSON holds the original text.
    let told = world.json(&["info", model]);
    for field in ["author", "description"] {
        assert_eq!(told["manifest"][field], EVIL, "{field}");
    }
    assert_eq!(told["manifest"]["tags"][0], EVIL);
    testbed.still_works();
}

#[test]
fn texts_in_errors_are_escaped() {
    let testbed = Testbed::new();
    let world = &testbed.world;
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
        // `refuses` checks standard error.
        testbed
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
        testbed.refuses(1, args);
    }
    testbed.still_works();
}

#[test]
fn bad_field_names_are_refused() {
    let testbed = Testbed::new();
    let dataset = testbed.world.path("dataset");
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
        // A leading dash would be an unknown option.
        let field = ["--", field];
        let dataset = "dataset";
        let args = [
            &["apply"][..],
            &field[..1],
            &["good/model", dataset, field[1]],
        ]
        .concat();
        testbed
            .refuses(1, &args)
            .says(" cannot be the name of a field");
    }
    testbed.still_works();
}
