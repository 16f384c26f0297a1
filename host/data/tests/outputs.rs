//! Results elsewhere than in the dataset, and directories of images.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod common;

use std::fs;

use common::{Fixture, class, json_of, label, label_text, options, output, sink};
use modelzoo_base::Remedy;
use modelzoo_data::{Dataset, Error, OpenOptions, Sample, SinkOptions};
use serde_json::json;

fn stored(dataset: &Dataset) -> Vec<String> {
    dataset
        .samples()
        .map(|sample| sample.unwrap().stored)
        .collect()
}

#[test]
fn output_format_follows_the_extension() {
    let fixture = Fixture::images(1);
    let dataset = fixture.open();
    for (name, is_file) in [
        ("a.jsonl", true),
        ("a.NDJSON", true),
        ("a.Parquet", true),
        ("a.json", false),
        ("out", false),
    ] {
        let path = fixture.directory.path().join(name);
        let mut sink = sink(&dataset, "p", output(path.clone())).unwrap();
        sink.put(&dataset.key(0).unwrap(), Some(&label("a")))
            .unwrap();
        sink.commit().unwrap();
        assert_eq!(path.is_file(), is_file, "{name}");
        assert_eq!(path.join("samples.json").is_file(), !is_file, "{name}");
    }
}

#[test]
fn lines_have_the_path_and_the_label_or_the_error() {
    let fixture = Fixture::new(
        &[
            r#"{"filepath": "data/0.png"}"#,
            r#"{"filepath": "a\u001b\u009b.png"}"#,
            r#"{"filepath": "data/2.png"}"#,
            r#"{"filepath": "data/3.png"}"#,
        ],
        1,
    );
    // A list of samples without metadata is enough for lines.
    fs::remove_file(fixture.path("metadata.json")).unwrap();
    let before = fixture.names();
    let path = fixture.directory.path().join("out.jsonl");
    let dataset = fixture.open();
    let mut sink = sink(&dataset, "boxes", output(path.clone())).unwrap();
    sink.put(&dataset.key(3).unwrap(), None).unwrap();
    sink.put(&dataset.key(0).unwrap(), Some(&label("cat")))
        .unwrap();
    sink.fail(&dataset.key(1).unwrap(), "no such file\u{1b}\nx")
        .unwrap();
    let written = sink.commit().unwrap();
    assert_eq!((written.written, written.failed), (2, 1));
    assert_eq!(written.paths, std::slice::from_ref(&path));
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!(
            "{{\"filepath\": \"data/0.png\", \"boxes\": {}}}\n\
             {{\"filepath\": \"a\\u001b\\u009b.png\", \"error\": \"no such file\\u001b\\nx\"}}\n\
             {{\"filepath\": \"data/3.png\", \"boxes\": null}}\n",
            label_text("cat")
        ),
    );
    assert_eq!(fixture.names(), before);
    let left: Vec<_> = fs::read_dir(fixture.directory.path()).unwrap().collect();
    assert_eq!(left.len(), 2);
}

#[test]
fn outputs_are_replaced_only_on_request() {
    let fixture = Fixture::images(1);
    let dataset = fixture.open();
    let lines = fixture.directory.path().join("out.jsonl");
    let directory = fixture.directory.path().join("out");
    for path in [&lines, &directory] {
        for (class, overwrite) in [("a", false), ("b", true)] {
            let options = SinkOptions {
                overwrite,
                ..output(path.clone())
            };
            let mut sink = sink(&dataset, "p", options).unwrap();
            sink.put(&dataset.key(0).unwrap(), Some(&label(class)))
                .unwrap();
            sink.commit().unwrap();
            let refused = common::sink(&dataset, "p", output(path.clone()));
            assert!(matches!(refused, Err(Error::OutputExists { .. })));
        }
    }
    assert!(
        fs::read_to_string(&lines)
            .unwrap()
            .contains("\"label\": \"b\"")
    );
    assert!(
        fs::read_to_string(directory.join("samples.json"))
            .unwrap()
            .contains("\"label\": \"b\"")
    );
    let nowhere = fixture.directory.path().join("none/out.jsonl");
    assert!(matches!(
        sink(&dataset, "p", output(nowhere)),
        Err(Error::Io { .. })
    ));
}

#[test]
fn output_that_appears_during_the_run_is_not_replaced() {
    let fixture = Fixture::images(1);
    let path = fixture.directory.path().join("out.jsonl");
    let dataset = fixture.open();
    let mut sink = sink(&dataset, "p", output(path.clone())).unwrap();
    sink.put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    fs::write(&path, "mine").unwrap();
    assert!(matches!(sink.commit(), Err(Error::OutputExists { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn a_directory_of_images_becomes_a_dataset() {
    let fixture = Fixture::images(2);
    fs::create_dir(fixture.path("é")).unwrap();
    fixture.write("é/\u{1f600}.png", "");
    let dataset = fixture.open();
    let options = SinkOptions {
        provenance: json!({"model": "m"}),
        ..options()
    };
    let mut sink = sink(&dataset, "p", options).unwrap();
    sink.put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    sink.fail(&dataset.key(1).unwrap(), "broken").unwrap();
    sink.put(&dataset.key(2).unwrap(), Some(&label("b")))
        .unwrap();
    sink.commit().unwrap();

    let metadata = fixture.json("metadata.json");
    assert_eq!(metadata["name"], "set");
    assert_eq!(metadata["media_type"], "image");
    assert_eq!(metadata["info"], json!({"modelzoo": {"p": {"model": "m"}}}));
    let names: Vec<_> = metadata["sample_fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "id",
            "filepath",
            "tags",
            "metadata",
            "created_at",
            "last_modified_at",
            "p"
        ]
    );
    let samples = fixture.json("samples.json");
    let first = &samples["samples"][0];
    assert_eq!(first["_id"]["$oid"].as_str().unwrap().len(), 24);
    assert_eq!(first["_media_type"], "image");
    assert!((0.0..1.0).contains(&first["_rand"].as_f64().unwrap()));
    assert!(samples["samples"][1].get("p").is_none());

    let dataset = fixture.open();
    assert_eq!(dataset.kind(), "FiftyOneDataset");
    assert_eq!(stored(&dataset), ["0.png", "1.png", "é/\u{1f600}.png"]);
    assert!(dataset.samples().all(|sample| sample.unwrap().path.is_ok()));
    assert_eq!(class(&dataset, 2, "p").as_deref(), Some("b"));
}

#[test]
fn images_that_come_later_become_samples() {
    let fixture = Fixture::images(1);
    for (field, class) in [("p", "a"), ("q", "b")] {
        let dataset = fixture.open();
        let mut sink = sink(&dataset, field, options()).unwrap();
        for index in 0..dataset.len() {
            sink.put(&dataset.key(index).unwrap(), Some(&label(class)))
                .unwrap();
        }
        sink.commit().unwrap();
        fixture.write("later.png", "");
        fixture.write("x.png", "");
    }
    let dataset = fixture.open();
    assert_eq!(stored(&dataset), ["0.png", "later.png", "x.png"]);
    assert_eq!(class(&dataset, 0, "p").as_deref(), Some("a"));
    assert_eq!(class(&dataset, 1, "p"), None);
    assert_eq!(class(&dataset, 2, "q").as_deref(), Some("b"));
    assert_eq!(
        fixture.json("samples.json")["samples"]
            .as_array()
            .unwrap()
            .len(),
        3
    );

    // A dataset that is FiftyOne's own list stays the list that it is.
    let other = Fixture::new(&[r#"{"filepath": "data/0.png"}"#], 3);
    assert_eq!(other.open().len(), 1);
}

#[test]
fn two_first_runs_on_a_directory_of_images_are_both_kept() {
    let fixture = Fixture::images(3);
    let dataset = fixture.open();
    let mut one = sink(&dataset, "one", options()).unwrap();
    let mut two = sink(&dataset, "two", options()).unwrap();
    one.put(&dataset.key(1).unwrap(), Some(&label("a")))
        .unwrap();
    two.put(&dataset.key(1).unwrap(), Some(&label("b")))
        .unwrap();
    one.commit().unwrap();
    two.commit().unwrap();
    let dataset = fixture.open();
    assert_eq!(class(&dataset, 1, "one").as_deref(), Some("a"));
    assert_eq!(class(&dataset, 1, "two").as_deref(), Some("b"));
}

#[test]
fn foreign_metadata_is_not_replaced() {
    let fixture = Fixture::images(1);
    fixture.write("metadata.json", "{\"camera\": 1}");
    let dataset = fixture.open();
    assert_eq!(dataset.kind(), "directory of images");
    let refused = sink(&dataset, "p", options()).err().unwrap();
    assert!(matches!(refused, Error::NotOurs { .. }), "{refused}");
    // Nothing replaces it, so the way out is another place.
    let remedy = refused.remedy().unwrap();
    assert!(
        matches!(remedy, Remedy::WriteElsewhere { .. }),
        "{remedy:?}"
    );
    let anyway = SinkOptions {
        overwrite: true,
        ..options()
    };
    assert!(matches!(
        sink(&dataset, "p", anyway),
        Err(Error::NotOurs { .. })
    ));
    assert_eq!(fixture.read("metadata.json"), "{\"camera\": 1}");

    // But what a first run of ours left when it was cut short between two files.
    fixture.write("metadata.json", "{\"_modelzoo_directory\": true}");
    let mut sink = sink(&dataset, "p", options()).unwrap();
    sink.put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    sink.commit().unwrap();
    assert_eq!(class(&fixture.open(), 0, "p").as_deref(), Some("a"));
}

#[test]
fn a_new_dataset_names_the_images_where_they_are() {
    let fixture = Fixture::images(2);
    let dataset = fixture.open();
    let outside = fixture.directory.path().join("a/b/out");
    let mut one = sink(&dataset, "p", output(outside.clone())).unwrap();
    one.put(&dataset.key(1).unwrap(), Some(&label("a")))
        .unwrap();
    one.commit().unwrap();
    assert_eq!(fixture.names(), ["0.png", "1.png"]);
    let root = fs::canonicalize(&fixture.root).unwrap();
    let written = Dataset::open_with(
        &outside,
        OpenOptions {
            allow_outside: true,
            ..OpenOptions::default()
        },
    )
    .unwrap();
    let samples: Vec<Sample> = written.samples().map(Result::unwrap).collect();
    assert_eq!(samples[1].stored, root.join("1.png").to_str().unwrap());
    assert!(samples.iter().all(|sample| sample.path.is_ok()));
    assert_eq!(class(&written, 1, "p").as_deref(), Some("a"));
    assert!(
        json_of(&outside.join("metadata.json"))
            .get("_modelzoo_directory")
            .is_none()
    );

    // In a directory above the images, paths are relative.
    let above = fixture.directory.path().to_owned();
    let mut two = sink(&dataset, "p", output(above.clone())).unwrap();
    two.put(&dataset.key(1).unwrap(), Some(&label("a")))
        .unwrap();
    two.commit().unwrap();
    let written = Dataset::open(&above).unwrap();
    assert_eq!(stored(&written), ["set/0.png", "set/1.png"]);
    assert!(written.samples().all(|sample| sample.unwrap().path.is_ok()));

    // The directory itself is the dataset itself.
    let mut three = sink(&dataset, "p", output(fixture.root.join("."))).unwrap();
    three
        .put(&dataset.key(1).unwrap(), Some(&label("a")))
        .unwrap();
    three.commit().unwrap();
    let grown = fixture.open();
    assert_eq!(stored(&grown), ["0.png", "1.png"]);

    // A copy elsewhere is a list of its own, that later images do not join.
    let copy = fixture.directory.path().join("copy");
    let mut four = sink(&grown, "q", output(copy.clone())).unwrap();
    four.put(&grown.key(0).unwrap(), Some(&label("b"))).unwrap();
    four.commit().unwrap();
    let marker = |path: &std::path::Path| json_of(path)["_modelzoo_directory"].clone();
    assert_eq!(marker(&fixture.path("metadata.json")), true);
    assert_eq!(marker(&copy.join("metadata.json")), false);
}

#[test]
fn a_new_dataset_keeps_what_the_old_one_has() {
    let documents = [
        r#"{"filepath": "data/../data/0.png", "n": 1e400, "ground_truth": {"_cls": "Classification", "label": "x"}}"#,
        r#"{"filepath": "https://host/1.png"}"#,
        r#"{"filepath": "/absolute/./2.png"}"#,
        r#"{"a": NaN}"#,
    ];
    let fixture = Fixture::new(&documents, 1);
    let before = (fixture.read("samples.json"), fixture.read("metadata.json"));
    let out = fixture.directory.path().join("out");
    let dataset = fixture.open();
    let mut first = sink(&dataset, "p", output(out.clone())).unwrap();
    first
        .put(&dataset.key(0).unwrap(), Some(&label("a")))
        .unwrap();
    first.commit().unwrap();
    assert_eq!(
        (fixture.read("samples.json"), fixture.read("metadata.json")),
        before
    );
    let root = fs::canonicalize(&fixture.root).unwrap();
    let want = before
        .0
        .replace(
            "data/../data/0.png",
            root.join("data/0.png").to_str().unwrap(),
        )
        .replace(
            "\"label\": \"x\"}",
            &format!("\"label\": \"x\"}}, \"p\": {}", label_text("a")),
        )
        .replace("/absolute/./", "/absolute/");
    assert_eq!(fs::read_to_string(out.join("samples.json")).unwrap(), want);
    let metadata = fs::read_to_string(out.join("metadata.json")).unwrap();
    assert!(metadata.starts_with(before.1.split_once(" ], \"app_config\"").unwrap().0));
    assert!(metadata.contains("\"name\": \"p\""));

    // The documents of frames lie beside the old dataset, so there is no second one.
    fs::create_dir(fixture.path("frames")).unwrap();
    let other = fixture.directory.path().join("other");
    assert!(sink(&dataset, "p", output(other.clone())).is_ok());
    fixture.write("frames/1.json", "{}");
    assert!(matches!(
        sink(&dataset, "p", output(other)),
        Err(Error::NotShared { .. })
    ));
    assert!(sink(&dataset, "p", options()).is_ok());
}

#[test]
fn a_new_dataset_is_one_file_even_if_the_old_one_was_many() {
    let fixture = Fixture::new(&[], 2);
    fs::remove_file(fixture.path("samples.json")).unwrap();
    fs::create_dir(fixture.path("samples")).unwrap();
    fixture.write("samples/1.json", "{\"filepath\": \"data/0.png\"}\n");
    fixture.write("samples/2.json", "{\"filepath\": \"data/1.png\"}\n");
    let dataset = fixture.open();
    let mut sink = sink(&dataset, "p", output(fixture.directory.path().to_owned())).unwrap();
    sink.put(&dataset.key(1).unwrap(), Some(&label("a")))
        .unwrap();
    sink.commit().unwrap();
    assert_eq!(
        fs::read_to_string(fixture.directory.path().join("samples.json")).unwrap(),
        format!(
            "{{\"samples\": [{{\"filepath\": \"set/data/0.png\"}}, {{\"filepath\": \"set/data/1.png\", \"p\": {}}}]}}",
            label_text("a")
        ),
    );
}
