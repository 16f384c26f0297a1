//! Reading datasets: which samples there are, which files may be read, labels.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{Fixture, class};
use modelzoo_data::{Dataset, Error, Label, MediaError, OpenOptions, Sample};

fn samples(dataset: &Dataset) -> Vec<Sample> {
    dataset.samples().map(Result::unwrap).collect()
}

fn with_filepath(filepath: &str) -> Fixture {
    let filepath = serde_json::to_string(filepath).unwrap();
    Fixture::new(&[&format!("{{\"filepath\": {filepath}}}")], 1)
}

/// What happens to the only sample, which has this path.
fn vetted(fixture: &Fixture, allow_outside: bool) -> Result<std::path::PathBuf, MediaError> {
    let dataset = Dataset::open_with(
        &fixture.root,
        OpenOptions {
            allow_outside,
            ..OpenOptions::default()
        },
    )
    .unwrap();
    samples(&dataset).remove(0).path
}

#[test]
fn a_fiftyone_dataset_is_a_list_of_samples() {
    let fixture = Fixture::new(
        &[
            r#"{"_id": {"$oid": "0123456789abcdef01234567"}, "filepath": "data/0.png"}"#,
            r#"{"_id": 7, "file\u0070ath": "da\u0074a/1.png", "x": NaN}"#,
        ],
        2,
    );
    let dataset = fixture.open();
    assert_eq!(dataset.kind(), "FiftyOneDataset");
    assert_eq!(dataset.len(), 2);
    let samples = samples(&dataset);
    assert_eq!(samples[0].id().as_deref(), Some("0123456789abcdef01234567"));
    assert_eq!(samples[1].id(), None);
    assert_eq!(samples[1].stored, "data/1.png");
    let root = fs::canonicalize(&fixture.root).unwrap();
    assert_eq!(samples[1].path.as_ref().unwrap(), &root.join("data/1.png"));
    assert!(dataset.sample(2).unwrap().is_none());
    let first = dataset.sample(0).unwrap().unwrap();
    assert_eq!(first.read(3).unwrap(), b"png");
    let first = dataset.sample(0).unwrap().unwrap();
    assert!(matches!(
        first.read(2),
        Err(MediaError::TooLarge { limit: 2, .. })
    ));
}

#[test]
fn samples_may_be_files_of_a_directory() {
    let fixture = Fixture::new(&[], 2);
    fs::remove_file(fixture.path("samples.json")).unwrap();
    fs::create_dir(fixture.path("samples")).unwrap();
    fixture.write("samples/000002-b.json", "{\"filepath\": \"data/1.png\"}\n");
    fixture.write("samples/000001-a.json", "\n{\"filepath\": \"data/0.png\"}");
    fixture.write("samples/000003-c.json", "{\"filepath\": ");
    fixture.write("samples/.hidden.json", "{}");
    let dataset = fixture.open();
    let samples = samples(&dataset);
    assert_eq!(samples.len(), 3);
    assert_eq!(samples[0].stored, "data/0.png");
    assert!(samples[1].path.is_ok());
    assert!(matches!(
        samples[2].path,
        Err(MediaError::NoFilepath { .. })
    ));
    assert_eq!(samples[2].display(), "sample 2");
}

#[test]
fn a_directory_of_images_is_searched_in_order() {
    let fixture = Fixture::images(2);
    fs::create_dir_all(fixture.path("b/c")).unwrap();
    fs::create_dir(fixture.path(".git")).unwrap();
    for name in [
        "b/c/x.JPEG",
        "b/y.webp",
        "notes.txt",
        ".git/z.png",
        ".hidden.png",
        "a.tif",
    ] {
        fixture.write(name, "");
    }
    let dataset = fixture.open();
    assert_eq!(dataset.kind(), "directory of images");
    let names: Vec<String> = samples(&dataset)
        .into_iter()
        .map(|sample| sample.stored)
        .collect();
    assert_eq!(names, ["0.png", "1.png", "a.tif", "b/c/x.JPEG", "b/y.webp"]);
    assert_eq!(
        dataset.warnings(),
        ["left out 1 file without an image: 1 .txt"]
    );
}

#[test]
fn malformed_datasets_are_refused() {
    let fixture = Fixture::images(0);
    assert!(matches!(
        Dataset::open(&fixture.root),
        Err(Error::NoImages { .. })
    ));
    fixture.write("file", "");
    let open = |name: &str| Dataset::open(&fixture.path(name));
    assert!(matches!(open("file"), Err(Error::NotADirectory { .. })));
    assert!(matches!(open("file/below"), Err(Error::Io { .. })));
    for name in ["missing", "missing.txt", "missing.jsonl", "missing.csv"] {
        assert!(matches!(open(name), Err(Error::NotFound { .. })), "{name}");
    }
    for (text, at, why) in [
        (
            "{\"samples\": [{}, 1]}",
            17,
            "a sample that is not an object",
        ),
        (
            "{\"samples\": [{}], \"samples\": []}",
            29,
            "a second list of samples",
        ),
        ("{\"samples\": {}}", 12, "expected '[', found '{'"),
        ("{\"frames\": []}", 0, "no list of samples"),
        ("{\"samples\": [{]}", 14, "expected a string, found ']'"),
        ("{\"samples\": [{}]} x", 18, "'x' after the end"),
        ("", 0, "the end of the text"),
    ] {
        fixture.write("samples.json", text);
        match Dataset::open(&fixture.root) {
            Err(Error::Malformed { offset, reason, .. }) => {
                assert!(
                    offset == at && reason.contains(why),
                    "{text}: {offset}: {reason}"
                );
            }
            _ => panic!("{text}: opened"),
        }
    }
    fixture.write("samples.json", "{\"samples\": []}");
    for text in [
        "{\"sample_fields\": 1}",
        "[]",
        "{\"sample_fields\": [{\"name\": 1}]}",
    ] {
        fixture.write("metadata.json", text);
        assert!(Dataset::open(&fixture.root).is_err(), "{text}");
    }
    fixture.write("metadata.json", "{}");
    assert!(fixture.open().is_empty());
}

#[test]
fn paths_that_lead_outside_are_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("secret.png");
    fs::write(&secret, b"secret").unwrap();
    for filepath in [
        "../outside.png",
        "data/../../outside.png",
        secret.to_str().unwrap(),
        "/etc/passwd",
    ] {
        let fixture = with_filepath(filepath);
        fs::write(fixture.directory.path().join("outside.png"), b"").unwrap();
        assert!(
            matches!(vetted(&fixture, false), Err(MediaError::Outside { .. })),
            "{filepath}"
        );
        assert!(vetted(&fixture, true).is_ok(), "{filepath}");
    }
}

#[test]
fn paths_that_stay_inside_are_read() {
    let fixture = with_filepath("data/../data/./0.png");
    assert!(vetted(&fixture, false).is_ok());
    for root in [
        fixture.root.clone(),
        fs::canonicalize(&fixture.root).unwrap(),
    ] {
        let absolute = root.join("data/0.png");
        fixture.write(
            "samples.json",
            &format!(
                "{{\"samples\": [{{\"filepath\": \"{}\"}}]}}",
                absolute.display()
            ),
        );
        assert!(vetted(&fixture, false).is_ok());
    }
}

#[test]
fn urls_and_samples_without_a_path_are_refused() {
    for url in [
        "https://host/a.png",
        "s3://bucket/a.png",
        "file:///etc/passwd",
    ] {
        for allow in [false, true] {
            let refused = vetted(&with_filepath(url), allow);
            assert!(matches!(refused, Err(MediaError::Remote { .. })), "{url}");
        }
    }
    for document in [
        "{}",
        r#"{"filepath": null}"#,
        r#"{"filepath": 1}"#,
        r#"{"filepath": ""}"#,
        r#"{"filepath": "a\u0000b"}"#,
        r#"{"filepath": "\ud800"}"#,
    ] {
        let refused = vetted(&Fixture::new(&[document], 0), true);
        assert!(
            matches!(refused, Err(MediaError::NoFilepath { .. })),
            "{document}"
        );
    }
    let missing = vetted(&with_filepath("data/none.png"), false);
    assert!(matches!(missing, Err(MediaError::Io { .. })));
}

#[test]
fn shown_paths_have_no_control_characters() {
    let fixture = with_filepath("a\u{1b}[2J\n\u{202e}.png");
    let sample = samples(&fixture.open()).remove(0);
    assert_eq!(sample.display(), "a\\u{1b}[2J\\n\\u{202e}.png");
    assert!(
        !sample
            .path
            .unwrap_err()
            .to_string()
            .contains(['\u{1b}', '\n', '\u{202e}'])
    );
}

#[cfg(unix)]
#[test]
fn links_are_followed_only_inside() {
    use std::os::unix::fs::symlink;
    let fixture = Fixture::new(
        &[
            r#"{"filepath": "data/inside.png"}"#,
            r#"{"filepath": "data/outside.png"}"#,
            r#"{"filepath": "away/0.png"}"#,
            r#"{"filepath": "data/loop.png"}"#,
        ],
        1,
    );
    let outside = fixture.directory.path().join("elsewhere");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("0.png"), b"").unwrap();
    symlink("0.png", fixture.path("data/inside.png")).unwrap();
    symlink(outside.join("0.png"), fixture.path("data/outside.png")).unwrap();
    symlink(&outside, fixture.path("away")).unwrap();
    symlink("loop.png", fixture.path("data/loop.png")).unwrap();
    let paths: Vec<_> = samples(&fixture.open())
        .into_iter()
        .map(|sample| sample.path)
        .collect();
    assert!(paths[0].as_ref().unwrap().ends_with("data/0.png"));
    assert!(matches!(paths[1], Err(MediaError::Outside { .. })));
    assert!(matches!(paths[2], Err(MediaError::Outside { .. })));
    assert!(matches!(paths[3], Err(MediaError::Io { .. })));
    let allowed = Dataset::open_with(
        &fixture.root,
        OpenOptions {
            allow_outside: true,
            ..OpenOptions::default()
        },
    )
    .unwrap();
    assert_eq!(
        samples(&allowed)
            .iter()
            .filter(|sample| sample.path.is_ok())
            .count(),
        3
    );
}

#[cfg(unix)]
#[test]
fn links_in_a_directory_of_images_are_followed_only_on_request() {
    use std::os::unix::fs::symlink;
    let fixture = Fixture::images(1);
    let outside = fixture.directory.path().join("elsewhere");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/x.png"), b"").unwrap();
    symlink(&outside, outside.join("deep/again")).unwrap();
    symlink(&outside, fixture.path("away")).unwrap();
    symlink("..", fixture.path("up")).unwrap();
    symlink(outside.join("deep/x.png"), fixture.path("x.png")).unwrap();

    let dataset = fixture.open();
    let found = samples(&dataset);
    assert_eq!(
        found
            .iter()
            .map(|sample| sample.stored.as_str())
            .collect::<Vec<_>>(),
        ["0.png", "x.png"]
    );
    assert!(matches!(found[1].path, Err(MediaError::Outside { .. })));
    assert_eq!(dataset.warnings().len(), 1);
    assert!(dataset.warnings()[0].contains("leads outside"));

    let allowed = Dataset::open_with(
        &fixture.root,
        OpenOptions {
            allow_outside: true,
            ..OpenOptions::default()
        },
    )
    .unwrap();
    let found: Vec<_> = samples(&allowed)
        .into_iter()
        .map(|sample| sample.stored)
        .collect();
    assert_eq!(found, ["0.png", "away/deep/x.png", "x.png"]);
}

#[cfg(unix)]
#[test]
fn pipes_devices_and_directories_are_refused_without_waiting() {
    let fixture = Fixture::new(
        &[
            r#"{"filepath": "data/pipe.png"}"#,
            r#"{"filepath": "data"}"#,
            r#"{"filepath": "/dev/zero"}"#,
        ],
        0,
    );
    let pipe = fixture.path("data/pipe.png");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let dataset = Dataset::open_with(
        &fixture.root,
        OpenOptions {
            allow_outside: true,
            ..OpenOptions::default()
        },
    )
    .unwrap();
    let kinds: Vec<_> = samples(&dataset)
        .into_iter()
        .map(|sample| match sample.path {
            Err(MediaError::NotAFile { kind, .. }) => kind,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["a pipe", "a directory", "a device"]);

    // A pipe that takes a file's place after it was vetted.
    fs::remove_file(&pipe).unwrap();
    fs::write(&pipe, b"png").unwrap();
    let sample = dataset.sample(0).unwrap().unwrap();
    fs::remove_file(&pipe).unwrap();
    std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(matches!(sample.read(10), Err(MediaError::Io { .. })));

    // A dataset whose own list is a pipe.
    let list = fixture.path("samples.json");
    fs::remove_file(&list).unwrap();
    std::process::Command::new("mkfifo")
        .arg(&list)
        .status()
        .unwrap();
    assert!(matches!(
        Dataset::open(&fixture.root),
        Err(Error::Io { .. })
    ));
}

#[test]
fn ground_truth_is_read() {
    let fixture = Fixture::new(
        &[
            r#"{"ground_truth": {"_id": {"$oid": "0123456789abcdef01234567"}, "_cls": "Classification", "tags": [], "label": "cat", "confidence": NaN, "x": 1e400}}"#,
            r#"{"ground_truth": null}"#,
            r#"{}"#,
            r#"{"ground_truth": {"_cls": "Detektion", "detections": []}}"#,
            r#"{"ground_truth": 1, "ground_truth": {"_cls": "Classification"}}"#,
        ],
        0,
    );
    let dataset = fixture.open();
    let Label::Classification(label) = dataset.label(0, "ground_truth").unwrap().unwrap() else {
        panic!("another type");
    };
    assert_eq!(label.label.as_deref(), Some("cat"));
    assert!(label.confidence.unwrap().is_nan());
    assert_eq!(label.id.to_string(), "0123456789abcdef01234567");
    assert_eq!(dataset.label(1, "ground_truth").unwrap(), None);
    assert_eq!(dataset.label(2, "ground_truth").unwrap(), None);
    let error = dataset.label(3, "ground_truth").unwrap_err().to_string();
    assert_eq!(
        error,
        "sample 3: field 'ground_truth' cannot be read: it is a Detektion, which is not a type of label that is read"
    );
    assert_eq!(class(&dataset, 4, "ground_truth"), None);
    assert!(dataset.label(4, "ground_truth").unwrap().is_some());
    assert_eq!(dataset.label(5, "ground_truth").unwrap(), None);
    assert_eq!(
        Dataset::open(Path::new("/nowhere"))
            .err()
            .unwrap()
            .to_string(),
        "/nowhere: no such file or directory"
    );
}
