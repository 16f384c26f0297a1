//! Writing labels into FiftyOneDatasets: what changes, and that nothing else does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod common;

use std::fs;

use common::{Fixture, class, field, label, label_text, options, output, sink};
use modelzoo_data::{Classification, Dataset, Error, FieldNames, Label, OpenOptions, SinkOptions};
use serde_json::json;

/// Documents with all that a parser and a printer would lose.
const DOCUMENTS: [&str; 4] = [
    r#"{ "_id":{"$oid": "0123456789abcdef01234567"},"filepath" : "data/0.png", "n": 1e400, "m": -1.0000000000000000001 }"#,
    "{\"x\": NaN, \"x\": [Infinity, -Infinity],\n\t\"filepath\": \"data/1.png\", \"predictions\": null, \"u\": \"\\u00e9\\/\\ud800\"}",
    r#"{"filepath":"data\/2.png","predictions":{"_cls":"Classification","label":"old"},"z":12345678901234567890123,"a":0.10}"#,
    r#"{"filepath": "data/3.png", "predictions": {"_cls": "Classification", "label": "kept", "mine": 1e-400}}"#,
];

fn provenance() -> SinkOptions {
    SinkOptions {
        provenance: json!({"model": "m", "kwargs": {"a.b": {"$oid": "x"}}}),
        ..options()
    }
}

#[test]
fn only_the_field_changes() {
    let fixture = Fixture::new(&DOCUMENTS, 3);
    let before = (fixture.read("samples.json"), fixture.read("metadata.json"));
    let dataset = fixture.open();
    let mut sink = sink(&dataset, "predictions", provenance()).unwrap();
    for index in 0..3 {
        sink.put(&dataset.key(index).unwrap(), Some(&label("new")))
            .unwrap();
    }
    sink.fail(&dataset.key(3).unwrap(), "unreadable").unwrap();
    let written = sink.commit().unwrap();
    assert_eq!((written.written, written.failed), (3, 1));
    let root = fs::canonicalize(&fixture.root).unwrap();
    assert_eq!(
        written.paths,
        [root.join("metadata.json"), root.join("samples.json")]
    );

    let text = label_text("new");
    let want = before
        .0
        .replace(
            "1.0000000000000000001 }",
            &format!("1.0000000000000000001, \"predictions\": {text} }}"),
        )
        .replace("\"predictions\": null", &format!("\"predictions\": {text}"))
        .replace(r#"{"_cls":"Classification","label":"old"}"#, &text);
    assert_eq!(fixture.read("samples.json"), want);

    let metadata = fixture.read("metadata.json");
    let (head, tail) = before.1.split_once("{\"a\": NaN}").unwrap();
    let (fields, rest) = tail.split_once(" ], \"app_config\"").unwrap();
    let info = r#"{"a": NaN, "modelzoo": {"predictions": {"model": "m", "kwargs": {"a．b": {"＄oid": "x"}}}}}"#;
    let start = format!("{head}{info}{fields}, {{\"name\": \"predictions\", \"ftype\": ");
    assert!(metadata.starts_with(&start), "{metadata}");
    assert!(
        metadata.ends_with(&format!("}} ], \"app_config\"{rest}")),
        "{metadata}"
    );
    assert_eq!(fixture.names(), ["data", "metadata.json", "samples.json"]);
}

#[test]
fn the_field_is_described_as_fiftyone_does() {
    let fixture = Fixture::new(&DOCUMENTS[..1], 1);
    fixture.write("metadata.json", "{}");
    let dataset = fixture.open();
    let mut sink = sink(&dataset, "p", options()).unwrap();
    sink.put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    sink.commit().unwrap();
    let plain = |name: &str, db_field: &str, kind: &str, subfield: Option<&str>| {
        json!({
            "name": name, "ftype": format!("fiftyone.core.fields.{kind}"), "embedded_doc_type": null,
            "subfield": subfield, "fields": [], "db_field": db_field, "description": null,
            "info": null, "read_only": false, "created_at": null,
        })
    };
    let want = json!([{
        "name": "p",
        "ftype": "fiftyone.core.fields.EmbeddedDocumentField",
        "embedded_doc_type": "fiftyone.core.labels.Classification",
        "subfield": null,
        "fields": [
            plain("id", "_id", "ObjectIdField", None),
            plain("tags", "tags", "ListField", Some("fiftyone.core.fields.StringField")),
            plain("label", "label", "StringField", None),
            plain("confidence", "confidence", "FloatField", None),
            plain("logits", "logits", "VectorField", None),
        ],
        "db_field": "p",
        "description": null,
        "info": null,
        "read_only": false,
        "created_at": null,
    }]);
    assert_eq!(fixture.json("metadata.json")["sample_fields"], want);
    assert!(fixture.json("metadata.json").get("info").is_none());
}

#[test]
fn labels_read_back_as_written() {
    let fixture = Fixture::new(&DOCUMENTS[..2], 2);
    let dataset = fixture.open();
    let written = Label::Classification(Classification {
        tags: vec!["t\u{1b}\"".to_owned()],
        label: Some("=1+1\u{9b}\n\u{1f600}".to_owned()),
        confidence: Some(f64::from(0.3_f32)),
        logits: Some(vec![0.25, f32::NEG_INFINITY, -7.0]),
        ..Classification::default()
    });
    let mut sink = sink(&dataset, "predictions", options()).unwrap();
    sink.put(&dataset.key(0).unwrap(), Some(&written)).unwrap();
    sink.put(&dataset.key(1).unwrap(), None).unwrap();
    assert!(matches!(
        dataset.key(2),
        Err(Error::NoSuchSample { index: 2, len: 2 })
    ));
    let longer = Fixture::new(&DOCUMENTS[..3], 3).open();
    let key = longer.key(2).unwrap();
    assert!(matches!(
        sink.put(&key, None),
        Err(Error::NoSuchSample { index: 2, len: 2 })
    ));
    assert!(matches!(
        sink.fail(&key, ""),
        Err(Error::NoSuchSample { .. })
    ));
    sink.commit().unwrap();
    let dataset = fixture.open();
    assert_eq!(dataset.label(0, "predictions").unwrap(), Some(written));
    assert_eq!(dataset.label(1, "predictions").unwrap(), None);
    assert!(!fixture.read("samples.json").contains(['\u{1b}', '\u{9b}']));
}

#[test]
fn a_second_run_replaces_the_field_and_its_provenance() {
    let fixture = Fixture::new(&DOCUMENTS[..1], 1);
    for (class, model) in [("a", 1), ("b", 2)] {
        let dataset = fixture.open();
        let options = SinkOptions {
            provenance: json!({"model": model}),
            ..options()
        };
        let mut sink = sink(&dataset, "p", options).unwrap();
        sink.put(&dataset.key(0).unwrap(), Some(&label(class)))
            .unwrap();
        sink.commit().unwrap();
    }
    assert_eq!(class(&fixture.open(), 0, "p").as_deref(), Some("b"));
    let metadata = fixture.read("metadata.json");
    assert_eq!(metadata.matches("\"name\": \"p\"").count(), 1);
    assert!(
        metadata.contains("\"modelzoo\": {\"p\": {\"model\": 2}}"),
        "{metadata}"
    );

    // Without provenance of its own, a run leaves none of an earlier one.
    let dataset = fixture.open();
    let mut sink = sink(&dataset, "p", options()).unwrap();
    sink.put(&dataset.key(0).unwrap(), Some(&label("c")))
        .unwrap();
    sink.commit().unwrap();
    assert!(
        fixture
            .read("metadata.json")
            .contains("\"modelzoo\": {\"p\": null}")
    );
}

#[test]
fn field_of_another_type_is_refused() {
    let documents = [
        DOCUMENTS[0],
        r#"{"filepath": "data/1.png", "undeclared": "text", "other": {"_cls": "Regression\u001b"}}"#,
    ];
    let fixture = Fixture::new(&documents, 2);
    let dataset = fixture.open();
    let refused = |name: &str| sink(&dataset, name, options()).err().unwrap().to_string();
    assert_eq!(
        refused("boxes"),
        "field 'boxes' is a Detections already, and cannot become a Classification"
    );
    assert_eq!(
        refused("undeclared"),
        "field 'undeclared' is a value without a type already, and cannot become a Classification"
    );
    assert_eq!(
        refused("other"),
        "field 'other' is a Regression\\u{1b} already, and cannot become a Classification"
    );
    assert!(sink(&dataset, "ground_truth", options()).is_ok());

    for (entry, want) in [
        (
            r#"{"name": "p", "ftype": "fiftyone.core.fields.FloatField"}"#,
            "is a FloatField already",
        ),
        (
            r#"{"name": "p", "ftype": "f", "embedded_doc_type": "fiftyone.core.labels.Classification", "db_field": "filepath"}"#,
            "Classification under another name",
        ),
        (
            r#"{"name": "q", "ftype": "x.StringField", "db_field": "p"}"#,
            "StringField of another name",
        ),
        (
            r#"{"name": "p", "embedded_doc_type": "fiftyone.core.labels.Classification", "read_only": true}"#,
            "read-only",
        ),
    ] {
        fixture.write(
            "metadata.json",
            &format!("{{\"sample_fields\": [{entry}]}}"),
        );
        let dataset = fixture.open();
        let error = sink(&dataset, "p", options()).err().unwrap().to_string();
        assert!(error.contains(want), "{error}");
    }
    fixture.write("metadata.json", r#"{"info": {"modelzoo": 1}}"#);
    let error = sink(&fixture.open(), "p", options())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("`info.modelzoo` is not an object"),
        "{error}"
    );
    fs::remove_file(fixture.path("metadata.json")).unwrap();
    assert!(matches!(
        sink(&fixture.open(), "p", options()),
        Err(Error::NoMetadata { .. })
    ));
}

#[test]
fn value_that_its_declaration_denies_is_not_overwritten() {
    let documents = [r#"{"filepath": "data/0.png", "ground_truth": "a text"}"#];
    let fixture = Fixture::new(&documents, 1);
    let before = fixture.read("samples.json");
    let dataset = fixture.open();
    let mut sink = sink(&dataset, "ground_truth", options()).unwrap();
    sink.put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    let refused = sink.commit().unwrap_err();
    assert!(matches!(refused, Error::FieldType { .. }), "{refused}");
    assert_eq!(fixture.read("samples.json"), before);
}

#[test]
fn run_without_results_changes_nothing() {
    let fixture = Fixture::new(&DOCUMENTS, 4);
    let before = (fixture.read("samples.json"), fixture.read("metadata.json"));
    let dataset = fixture.open();
    let mut sink = sink(&dataset, "p", options()).unwrap();
    sink.fail(&dataset.key(0).unwrap(), "unreadable").unwrap();
    let written = sink.commit().unwrap();
    assert_eq!(
        (written.written, written.failed, written.paths.len()),
        (0, 1, 0)
    );
    assert_eq!(
        (fixture.read("samples.json"), fixture.read("metadata.json")),
        before
    );
    assert_eq!(fixture.names(), ["data", "metadata.json", "samples.json"]);
}

#[test]
fn documents_in_a_directory_change_separately() {
    let fixture = Fixture::new(&[], 3);
    fs::remove_file(fixture.path("samples.json")).unwrap();
    fs::create_dir(fixture.path("samples")).unwrap();
    let names = [
        "samples/000001-a.json",
        "samples/000002-b.json",
        "samples/000003-c.json",
    ];
    for (name, document) in names.iter().zip(DOCUMENTS) {
        fixture.write(name, &format!(" {document}\n"));
    }
    fixture.write("samples/broken.json", "{");
    let dataset = fixture.open();
    let mut sink = sink(&dataset, "predictions", provenance()).unwrap();
    sink.put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    sink.put(&dataset.key(2).unwrap(), Some(&label("b")))
        .unwrap();
    let written = sink.commit().unwrap();
    assert!(written.paths[1].ends_with("samples"));
    let first = DOCUMENTS[0].replace(
        "0001 }",
        &format!("0001, \"predictions\": {} }}", label_text("a")),
    );
    assert_eq!(fixture.read(names[0]), format!(" {first}\n"));
    assert_eq!(fixture.read(names[1]), format!(" {}\n", DOCUMENTS[1]));
    let third = DOCUMENTS[2].replace(
        r#"{"_cls":"Classification","label":"old"}"#,
        &label_text("b"),
    );
    assert_eq!(fixture.read(names[2]), format!(" {third}\n"));
    assert_eq!(fs::read_dir(fixture.path("samples")).unwrap().count(), 4);
    assert!(
        fixture
            .read("metadata.json")
            .contains("\"name\": \"predictions\"")
    );
}

#[test]
fn fields_written_during_the_run_are_kept() {
    let fixture = Fixture::new(&DOCUMENTS[..2], 2);
    let dataset = fixture.open();
    let mut one = sink(&dataset, "one", options()).unwrap();
    let mut two = sink(&dataset, "two", options()).unwrap();
    for index in 0..2 {
        one.put(&dataset.key(index).unwrap(), Some(&label("a")))
            .unwrap();
        two.put(&dataset.key(index).unwrap(), Some(&label("b")))
            .unwrap();
    }
    one.commit().unwrap();
    two.commit().unwrap();
    let dataset = fixture.open();
    for index in 0..2 {
        assert_eq!(class(&dataset, index, "one").as_deref(), Some("a"));
        assert_eq!(class(&dataset, index, "two").as_deref(), Some("b"));
    }
    let metadata = fixture.read("metadata.json");
    assert!(metadata.contains("\"name\": \"one\"") && metadata.contains("\"name\": \"two\""));
}

#[test]
fn samples_that_changed_during_the_run_are_refused() {
    let fixture = Fixture::new(&DOCUMENTS[..2], 2);
    let dataset = fixture.open();
    let mut first = sink(&dataset, "p", options()).unwrap();
    first
        .put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    let swapped = format!("{{\"samples\": [{}, {}]}}", DOCUMENTS[1], DOCUMENTS[0]);
    fixture.write("samples.json", &swapped);
    let metadata = fixture.read("metadata.json");
    assert!(matches!(first.commit(), Err(Error::Changed { .. })));
    assert_eq!(fixture.read("samples.json"), swapped);
    assert_eq!(fixture.read("metadata.json"), metadata);

    // The results are still there, but for a sample that is another now.
    let dataset = fixture.open();
    let sink = sink(&dataset, "p", options()).unwrap();
    assert!(!sink.is_done(0));
}

#[cfg(unix)]
#[test]
fn links_are_not_replaced_and_permissions_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let fixture = Fixture::new(&DOCUMENTS[..1], 1);
    let mode = |name| {
        fs::metadata(fixture.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    fs::set_permissions(
        fixture.path("samples.json"),
        fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    let dataset = fixture.open();
    let mut first = sink(&dataset, "p", options()).unwrap();
    first
        .put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    first.commit().unwrap();
    assert_eq!(mode("samples.json"), 0o640);

    let elsewhere = fixture.directory.path().join("elsewhere.json");
    fs::rename(fixture.path("samples.json"), &elsewhere).unwrap();
    symlink(&elsewhere, fixture.path("samples.json")).unwrap();
    let allowed = OpenOptions {
        allow_outside: true,
        ..OpenOptions::default()
    };
    let dataset = Dataset::open_with(&fixture.root, allowed).unwrap();
    let refused = sink(&dataset, "p", options()).err().unwrap();
    assert!(matches!(refused, Error::Linked { .. }), "{refused}");
    assert!(refused.remedy().is_some());
}

#[cfg(unix)]
#[test]
fn results_are_not_written_through_a_link_in_the_dataset() {
    use std::os::unix::fs::symlink;
    let fixture = Fixture::new(&DOCUMENTS[..1], 1);
    let dataset = fixture.open();
    let mut first = sink(&dataset, "p", options()).unwrap();
    first
        .put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    drop(first);
    let results = fixture
        .names()
        .into_iter()
        .find(|name| name.ends_with(".results"))
        .unwrap();
    let victim = fixture.directory.path().join("victim");
    fs::write(&victim, b"precious").unwrap();
    fs::remove_file(fixture.path(&results)).unwrap();
    symlink(&victim, fixture.path(&results)).unwrap();
    assert!(matches!(
        sink(&dataset, "p", options()),
        Err(Error::Io { .. })
    ));
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn sample_without_a_path_does_not_fail_the_others() {
    let fixture = Fixture::new(&["{}", DOCUMENTS[0]], 1);
    let dataset = fixture.open();
    let mut first = sink(&dataset, "p", options()).unwrap();
    first
        .put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    first
        .put(&dataset.key(1).unwrap(), Some(&label("b")))
        .unwrap();
    drop(first);
    let first = sink(&dataset, "p", options()).unwrap();
    assert_eq!(first.done(), 2);
    assert_eq!(first.commit().unwrap().written, 2);
    assert_eq!(class(&fixture.open(), 0, "p").as_deref(), Some("a"));
}

#[test]
fn field_errors_name_the_field() {
    let error = "a/b\u{1b}".parse::<modelzoo_data::FieldName>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "'a/b\\u{1b}' cannot be the name of a field: it has something else than letters, digits and underscores"
    );
    assert!(error.remedy().is_some());
    assert_eq!(field("a_1").to_string(), "a_1");
}

#[test]
fn names_of_numbers_and_points_are_in_the_metadata() {
    let fixture = Fixture::new(&DOCUMENTS[..1], 1);
    let dataset = fixture.open();
    let names = FieldNames {
        mask_targets: vec![(0, "sky".to_owned()), (1, "sea".to_owned())],
        points: vec!["eye".to_owned(), "ear".to_owned()],
        edges: vec![vec![0, 1]],
    };
    let named = SinkOptions {
        names: names.clone(),
        ..options()
    };
    let put = |options: SinkOptions, field: &str| {
        let mut sink = sink(&dataset, field, options).unwrap();
        let key = dataset.key(0).unwrap();
        sink.put(&key, Some(&label("a"))).unwrap();
        sink.commit().unwrap();
    };
    put(named, "p");
    // `1e400` and `NaN` of the fixture are beyond JSON.
    let text = fixture.read("metadata.json");
    let targets = r#""mask_targets": {"p": {"0": "sky", "1": "sea"}}"#;
    assert!(text.contains(targets), "{text}");
    let skeleton = r#""labels": ["eye", "ear"], "edges": [[0, 1]]"#;
    assert!(text.contains(skeleton), "{text}");
    // Another field's names are added, and this one's stay.
    let more = SinkOptions {
        names: FieldNames {
            mask_targets: vec![(7, "land".to_owned())],
            ..FieldNames::default()
        },
        ..options()
    };
    put(more, "q");
    let text = fixture.read("metadata.json");
    assert!(
        text.contains(r#""0": "sky""#) && text.contains(r#""7": "land""#),
        "{text}"
    );
    // A new dataset has them too.
    let out = fixture.directory.path().join("new");
    let elsewhere = SinkOptions {
        names,
        ..output(out.clone())
    };
    put(elsewhere, "r");
    let text = fs::read_to_string(out.join("metadata.json")).unwrap();
    assert!(text.contains(r#""r": {"0": "sky""#), "{text}");
}
