//! Datasets as FiftyOne, other systems and other programs leave them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{Fixture, class, json_of, label, label_text, options, output, sink};
use modelzoo_data::{Dataset, Error, MediaError, OpenOptions, SinkOptions};
use serde_json::json;

/// Labels sample `index` of a dataset in its field `p`.
fn apply(dataset: &Dataset, index: usize, options: SinkOptions) -> Result<(), Error> {
    let mut sink = sink(dataset, "p", options)?;
    sink.put(&dataset.key(index)?, Some(&label("new")))?;
    sink.commit().map(drop)
}

fn stored(dataset: &Dataset) -> Vec<String> {
    let samples = dataset.samples();
    samples.map(|sample| sample.unwrap().stored).collect()
}

#[test]
fn a_dataset_from_windows_has_backslashes_in_its_paths() {
    let documents = [
        r#"{"filepath": "data\\0.png"}"#,
        r#"{"filepath": "data\\..\\..\\secret.png"}"#,
        r#"{"filepath": "C:\\data\\0.png"}"#,
    ];
    let fixture = Fixture::new(&documents, 1);
    fs::write(fixture.directory.path().join("secret.png"), b"").unwrap();
    let dataset = fixture.open();
    let paths: Vec<_> = dataset
        .samples()
        .map(|sample| sample.unwrap().path)
        .collect();
    assert!(paths[0].as_ref().unwrap().ends_with("data/0.png"));
    assert!(matches!(paths[1], Err(MediaError::Outside { .. })));
    assert!(matches!(paths[2], Err(MediaError::Io { .. })));

    // In place the path stays as it is; elsewhere it is written as this system spells it.
    apply(&dataset, 0, options()).unwrap();
    assert!(fixture.read("samples.json").contains(r"data\\0.png"));
    let above = fixture.directory.path();
    apply(&fixture.open(), 0, output(above.to_owned())).unwrap();
    let moved = stored(&Dataset::open(above).unwrap());
    assert_eq!(moved, ["set/data/0.png", "secret.png", "C:\\data\\0.png"]);

    #[cfg(unix)]
    {
        fixture.write("data\\0.png", "a name of this system");
        let sample = fixture.open().sample(0).unwrap().unwrap();
        assert_eq!(sample.read(99).unwrap(), b"a name of this system");
    }
}

#[test]
fn a_legacy_dataset_declares_its_fields_by_name() {
    let fixture = Fixture::new(&[r#"{"filepath": "data/0.png"}"#], 1);
    fixture.write(
        "metadata.json",
        r#"{"name": "old","sample_fields": {"id": "fiftyone.core.fields.ObjectIdField","tags": "fiftyone.core.fields.ListField(fiftyone.core.fields.StringField)","gt": "fiftyone.core.fields.EmbeddedDocumentField(fiftyone.core.labels.Classification)"},"info": {}}"#,
    );
    let dataset = fixture.open();
    let refused = sink(&dataset, "tags2", options());
    assert!(refused.is_ok());
    assert!(sink(&dataset, "gt", options()).is_ok());
    apply(&dataset, 0, options()).unwrap();
    let metadata = fixture.json("metadata.json");
    assert_eq!(
        metadata["sample_fields"]["p"],
        "fiftyone.core.fields.EmbeddedDocumentField(fiftyone.core.labels.Classification)"
    );
    assert_eq!(metadata["sample_fields"].as_object().unwrap().len(), 4);
    assert_eq!(class(&fixture.open(), 0, "p").as_deref(), Some("new"));

    fixture.write(
        "metadata.json",
        r#"{"sample_fields": {"p": "fiftyone.core.fields.EmbeddedDocumentField(fiftyone.core.labels.Detections)"}}"#,
    );
    let refused = apply(&fixture.open(), 0, options()).unwrap_err();
    assert!(matches!(refused, Error::FieldType { .. }), "{refused}");
    fixture.write("metadata.json", r#"{"sample_fields": "all"}"#);
    let refused = Dataset::open(&fixture.root).err().unwrap();
    assert!(refused.to_string().contains("neither a list of fields"));
}

#[test]
fn paths_can_be_relative_to_another_directory() {
    let fixture = Fixture::new(
        &[r#"{"filepath": "0.png"}"#, r#"{"filepath": "../x.png"}"#],
        0,
    );
    let media = fixture.directory.path().join("media");
    fs::create_dir(&media).unwrap();
    fs::write(media.join("0.png"), b"there").unwrap();
    assert!(fixture.open().sample(0).unwrap().unwrap().path.is_err());
    let dataset = Dataset::open_with(
        &fixture.root,
        OpenOptions {
            rel_dir: Some(media.clone()),
            ..OpenOptions::default()
        },
    )
    .unwrap();
    let sample = dataset.sample(0).unwrap().unwrap();
    assert_eq!(sample.read(99).unwrap(), b"there");
    let path = dataset.sample(1).unwrap().unwrap().path;
    assert!(matches!(path, Err(MediaError::Outside { .. })));
    let out = fixture.directory.path().join("out");
    apply(&dataset, 0, output(out.clone())).unwrap();
    let media = fs::canonicalize(&media).unwrap();
    let written = json_of(&out.join("samples.json"));
    assert_eq!(
        written["samples"][0]["filepath"],
        media.join("0.png").to_str().unwrap()
    );
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let fixture = Fixture::new(&[], 1);
    let samples = "\u{feff}{\"samples\": [{\"filepath\": \"data/0.png\"}]}";
    fixture.write("samples.json", samples);
    fixture.write("metadata.json", "\u{feff}{}");
    apply(&fixture.open(), 0, options()).unwrap();
    let labelled = format!("0.png\", \"p\": {}}}", label_text("new"));
    assert_eq!(
        fixture.read("samples.json"),
        samples.replace("0.png\"}", &labelled)
    );
    assert_eq!(class(&fixture.open(), 0, "p").as_deref(), Some("new"));
    fixture.write("samples.json", "\u{feff}{\"samples\": [{]}");
    let Err(Error::Malformed { offset, .. }) = Dataset::open(&fixture.root) else {
        panic!("it is not JSON");
    };
    assert_eq!(offset, 17);
}

#[test]
fn media_other_than_images_are_named_as_such() {
    let fixture = Fixture::new(
        &[
            r#"{"filepath": "data/0.png", "_media_type": "image"}"#,
            r#"{"filepath": "data/a.mp4", "_media_type": "video"}"#,
            r#"{"filepath": "data/a.pcd", "_media_type": "point-cloud"}"#,
        ],
        1,
    );
    let shown: Vec<String> = fixture
        .open()
        .samples()
        .map(|sample| match sample.unwrap().path {
            Ok(_) => "an image".to_owned(),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "an image",
            "data/a.mp4: a video, not an image",
            "data/a.pcd: a point cloud, not an image"
        ]
    );
}

#[test]
fn images_are_found_by_what_they_hold() {
    let fixture = Fixture::images(1);
    for (name, content) in [
        ("a.jfif", b"\xff\xd8\xff\xe0".as_slice()),
        ("b", b"\x89PNG\r\n\x1a\n"),
        ("c.avif", b"\0\0\0\x1cftypavif"),
        ("d.txt", b"a text"),
        ("e.txt", b""),
        ("README", b"GIF is a format"),
        ("f.jpg", b"a text that is called an image"),
    ] {
        fs::write(fixture.path(name), content).unwrap();
    }
    let dataset = fixture.open();
    assert_eq!(
        stored(&dataset),
        ["0.png", "a.jfif", "b", "c.avif", "f.jpg"]
    );
    assert_eq!(
        dataset.warnings(),
        ["left out 3 files without an image: 2 .txt, 1 without an extension"]
    );
    // The lists of a dataset are not files that were left out.
    apply(&dataset, 0, options()).unwrap();
    assert_eq!(fixture.open().warnings(), dataset.warnings());
}

#[cfg(unix)]
#[test]
fn files_that_lead_outside_are_not_looked_into() {
    let fixture = Fixture::images(1);
    let outside = fixture.directory.path().join("secret");
    fs::write(&outside, b"\x89PNG\r\n\x1a\n").unwrap();
    std::os::unix::fs::symlink(&outside, fixture.path("link")).unwrap();
    let dataset = fixture.open();
    assert_eq!(stored(&dataset), ["0.png"]);
    assert_eq!(
        dataset.warnings(),
        ["left out 1 file: unreadable, or links that lead outside"]
    );
    let options = OpenOptions {
        allow_outside: true,
        ..OpenOptions::default()
    };
    let dataset = Dataset::open_with(&fixture.root, options).unwrap();
    assert_eq!(stored(&dataset), ["0.png", "link"]);
}

#[test]
fn images_that_were_removed_are_left_out_and_their_documents_kept() {
    let fixture = Fixture::images(4);
    let dataset = fixture.open();
    let mut first = sink(&dataset, "q", options()).unwrap();
    for index in 0..4 {
        let label = label(&index.to_string());
        first
            .put(&dataset.key(index).unwrap(), Some(&label))
            .unwrap();
    }
    first.commit().unwrap();
    fs::remove_file(fixture.path("0.png")).unwrap();
    fs::remove_file(fixture.path("2.png")).unwrap();
    fixture.write("4.png", "");
    let dataset = fixture.open();
    assert_eq!(stored(&dataset), ["1.png", "3.png", "4.png"]);
    assert_eq!(
        dataset.warnings(),
        ["left out 2 samples whose images were removed"]
    );
    assert_eq!(class(&dataset, 1, "q").as_deref(), Some("3"));
    let mut second = sink(&dataset, "p", options()).unwrap();
    for index in 0..3 {
        let label = label(&format!("new{index}"));
        let key = dataset.key(index).unwrap();
        second.put(&key, Some(&label)).unwrap();
    }
    second.commit().unwrap();
    let samples = fixture.json("samples.json");
    let labels: Vec<_> = samples["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| {
            [
                &sample["filepath"],
                &sample["q"]["label"],
                &sample["p"]["label"],
            ]
        })
        .collect();
    assert_eq!(
        labels,
        [
            [&json!("0.png"), &json!("0"), &json!(null)],
            [&json!("1.png"), &json!("1"), &json!("new0")],
            [&json!("2.png"), &json!("2"), &json!(null)],
            [&json!("3.png"), &json!("3"), &json!("new1")],
            [&json!("4.png"), &json!(null), &json!("new2")],
        ]
    );
}

/// The dataset that is written elsewhere has the samples that were labelled, and no others.
#[test]
fn images_that_were_removed_are_not_in_a_new_dataset() {
    for removed in [&[0][..], &[1], &[3], &[0, 1, 3], &[0, 1, 2, 3]] {
        let fixture = Fixture::images(4);
        apply(&fixture.open(), 0, options()).unwrap();
        for number in removed {
            fs::remove_file(fixture.path(&format!("{number}.png"))).unwrap();
        }
        fixture.write("4.png", "");
        let dataset = fixture.open();
        let left = stored(&dataset);
        assert_eq!(left.len(), 5 - removed.len());
        let out = fixture.directory.path().join("out");
        apply(&dataset, 0, output(out.clone())).unwrap();
        let samples = json_of(&out.join("samples.json"));
        let samples = samples["samples"].as_array().unwrap();
        let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let names: Vec<String> = samples
            .iter()
            .map(|sample| name(sample["filepath"].as_str().unwrap()))
            .collect();
        assert_eq!(names, left, "without {removed:?}");
        assert_eq!(samples[0]["p"]["label"], "new");
        assert_eq!(
            Dataset::open(&out).map(|new| new.len()).unwrap(),
            left.len()
        );
    }
}

#[cfg(unix)]
#[test]
fn lists_that_are_links_out_of_the_dataset_are_refused() {
    use std::os::unix::fs::symlink;
    let document = r#"{"filepath": "data/0.png"}"#;
    for name in ["samples.json", "metadata.json", "samples", "samples/1.json"] {
        let fixture = Fixture::new(&[document], 1);
        if name.starts_with("samples/") || name == "samples" {
            fs::remove_file(fixture.path("samples.json")).unwrap();
            fs::create_dir(fixture.path("samples")).unwrap();
            fixture.write("samples/1.json", document);
        }
        let elsewhere = fixture.directory.path().join("elsewhere");
        fs::rename(fixture.path(name), &elsewhere).unwrap();
        symlink(&elsewhere, fixture.path(name)).unwrap();
        let refused = Dataset::open(&fixture.root).err().unwrap();
        assert!(
            matches!(refused, Error::ListOutside { .. }),
            "{name}: {refused}"
        );
        let options = OpenOptions {
            allow_outside: true,
            ..OpenOptions::default()
        };
        assert_eq!(Dataset::open_with(&fixture.root, options).unwrap().len(), 1);
        // A link that stays inside is nothing special.
        let inside = fixture.path("inside");
        fs::rename(&elsewhere, &inside).unwrap();
        fs::remove_file(fixture.path(name)).unwrap();
        symlink(&inside, fixture.path(name)).unwrap();
        assert_eq!(fixture.open().len(), 1, "{name}");
    }
}

/// The files below a directory, by their relative paths.
fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let below = path.strip_prefix(root).unwrap();
                found.push(below.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A dataset with runs, tags and masks, and empty directories as FiftyOne leaves them.
fn with_runs() -> Fixture {
    let fixture = Fixture::new(&[r#"{"filepath": "data/0.png"}"#], 1);
    for directory in [
        "brain",
        "evaluations",
        "fields/det.detections",
        "fields/mask/a",
        "runs",
    ] {
        fs::create_dir_all(fixture.path(directory)).unwrap();
    }
    for (name, content) in [
        ("brain/sim.json", "{\"a\": 1}"),
        ("evaluations/ev.json", "{}"),
        ("fields/mask/a/0.png", "mask"),
        ("tags.json", "[]"),
    ] {
        fixture.write(name, content);
    }
    fixture
}

#[test]
fn a_new_dataset_has_the_runs_tags_and_masks_of_the_old_one() {
    let fixture = with_runs();
    let dataset = fixture.open();
    let out = fixture.directory.path().join("out");
    apply(&dataset, 0, output(out.clone())).unwrap();
    let want = [
        "brain/sim.json",
        "evaluations/ev.json",
        "fields/mask/a/0.png",
        "metadata.json",
        "samples.json",
        "tags.json",
    ];
    assert_eq!(tree(&out), want);
    assert_eq!(fs::read(out.join("brain/sim.json")).unwrap(), b"{\"a\": 1}");

    // They are replaced on request only, and as a whole.
    fs::remove_file(out.join("metadata.json")).unwrap();
    fs::remove_file(out.join("samples.json")).unwrap();
    let refused = apply(&dataset, 0, output(out.clone())).unwrap_err();
    assert!(matches!(refused, Error::OutputExists { .. }), "{refused}");
    fs::write(out.join("brain/old.json"), "{}").unwrap();
    let overwrite = SinkOptions {
        overwrite: true,
        ..output(out.clone())
    };
    apply(&dataset, 0, overwrite).unwrap();
    assert_eq!(tree(&out), want);
}

/// What cannot be put into its place leaves all as it was.
#[cfg(unix)]
#[test]
fn runs_that_cannot_be_replaced_are_all_kept() {
    let fixture = with_runs();
    let dataset = fixture.open();
    let out = fixture.directory.path().join("out");
    fs::create_dir_all(out.join("brain")).unwrap();
    fs::write(out.join("brain/old.json"), "old").unwrap();
    let overwrite = || SinkOptions {
        overwrite: true,
        ..output(out.clone())
    };
    let mut blocked = sink(&dataset, "p", overwrite()).unwrap();
    blocked
        .put(&dataset.key(0).unwrap(), Some(&label("new")))
        .unwrap();
    // The last of what is copied meets a link that was not there at the beginning.
    std::os::unix::fs::symlink("elsewhere", out.join("tags.json")).unwrap();
    let error = blocked.commit().unwrap_err();
    assert!(matches!(error, Error::Linked { .. }), "{error}");
    fs::remove_file(out.join("tags.json")).unwrap();
    let visible = |name: &String| !name.starts_with('.');
    let left: Vec<_> = tree(&out).into_iter().filter(visible).collect();
    assert_eq!(left, ["brain/old.json"]);
    assert_eq!(fs::read(out.join("brain/old.json")).unwrap(), b"old");

    apply(&dataset, 0, overwrite()).unwrap();
    assert!(out.join("brain/sim.json").exists() && !out.join("brain/old.json").exists());
}

#[cfg(unix)]
#[test]
fn links_among_runs_are_not_followed_into_a_new_dataset() {
    let fixture = with_runs();
    let secret = fixture.directory.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    std::os::unix::fs::symlink(&secret, fixture.path("brain/link.json")).unwrap();
    let out = fixture.directory.path().join("out");
    let refused = apply(&fixture.open(), 0, output(out.clone())).unwrap_err();
    assert!(matches!(refused, Error::NotShared { .. }), "{refused}");
    assert!(!out.exists());
}
