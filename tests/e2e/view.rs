//! The page that `view` writes.

use std::process::Command;

use modelzoo::model::label::{
    Array, Classification, Detection, Detections, Heatmap, Keypoint, Label, Polyline, Segmentation,
};
use serde_json::{Value, json};

use crate::source::{DIGITS as MODEL, with_digits};
use crate::world::World;

const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>";

fn classification(label: &str, confidence: f64) -> Label {
    Label::Classification(Classification {
        label: Some(label.to_owned()),
        confidence: Some(confidence),
        ..Classification::default()
    })
}

fn detection(label: &str, bounding_box: [f64; 4]) -> Detection {
    Detection {
        label: Some(label.to_owned()),
        bounding_box: Some(bounding_box),
        confidence: Some(0.75),
        ..Detection::default()
    }
}

/// A FiftyOneDataset with the pictures of the digits, of which the first ones have these fields.
fn dataset(world: &World, fields: &[Vec<(&str, Label)>]) {
    let path = world.path("dataset/samples.json");
    let mut list: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (sample, fields) in list["samples"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .zip(fields)
    {
        for (field, label) in fields {
            sample[*field] = label.to_json();
        }
    }
    std::fs::write(path, list.to_string()).unwrap();
}

/// The JSON in the element with an `id`.
fn element(page: &str, id: &str) -> Value {
    let start = format!("<script type=\"application/json\" id=\"{id}\">");
    let (_, rest) = page.split_once(&start).unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

fn page(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.path(name)).unwrap()
}

#[test]
fn page_has_every_label_and_picture() {
    let world = with_digits();
    let mask = Array::from_bool(vec![2, 2], &[true, false, false, true]);
    let object = Detection {
        mask,
        ..detection("cat", [0.25, 0.5, 0.5, 0.25])
    };
    let line = Polyline {
        label: Some("way".into()),
        points: vec![vec![[0.0, 0.0], [1.0, 0.5]]],
        ..Polyline::default()
    };
    let pose = Keypoint {
        points: vec![[0.5, 0.25], [f64::NAN, f64::NAN]],
        ..Keypoint::default()
    };
    dataset(
        &world,
        &[vec![
            ("kind", classification("cat", 0.5)),
            (
                "objects",
                Label::Detections(Detections {
                    detections: vec![object],
                    ..Default::default()
                }),
            ),
            ("line", Label::Polyline(line)),
            ("pose", Label::Keypoint(pose)),
            (
                "classes",
                Label::Segmentation(Segmentation {
                    mask: Array::from_u8(vec![1, 2], vec![0, 9]),
                    ..Default::default()
                }),
            ),
            (
                "depth",
                Label::Heatmap(Heatmap {
                    map: Array::from_f32(vec![1, 2], &[0.0, 1.0]),
                    ..Default::default()
                }),
            ),
        ]],
    );
    world.ok(&["view", "dataset", "-o", "report.html"]);
    let page = page(&world, "report.html");
    let samples = element(&page, "samples");
    let about = element(&page, "about");
    let list = samples.as_array().unwrap();
    assert_eq!(about["samples"], list.len());
    assert_eq!(about["failed"], 0);
    for sample in list {
        let image = sample["image"].as_str().unwrap();
        assert!(
            image.starts_with("data:image/jpeg;base64,/9j/"),
            "{image:.40}"
        );
    }
    let labels = &list[0]["labels"];
    assert_eq!(
        labels["kind"],
        json!([{ "t": "class", "l": "cat", "c": 0.5 }])
    );
    assert_eq!(labels["objects"][0]["b"], json!([0.25, 0.5, 0.5, 0.25]));
    assert_eq!(
        labels["objects"][0]["r"],
        json!({ "w": 2, "h": 2, "d": "AQAAAQ==" })
    );
    assert_eq!(labels["line"][0]["p"], json!([[[0.0, 0.0], [1.0, 0.5]]]));
    assert_eq!(labels["pose"][0]["p"], json!([[0.5, 0.25], [null, null]]));
    assert_eq!(labels["classes"][0]["n"], json!([0, 9]));
    assert_eq!(labels["depth"][0]["r"]["d"], "AP8=");
    assert_eq!(about["statistics"]["kind"]["classes"], json!([["cat", 1]]));
    assert_eq!(about["statistics"]["kind"]["histogram"][10], 1);
}

#[test]
fn labels_of_a_dataset_are_never_markup() {
    let world = with_digits();
    dataset(&world, &[vec![("kind", classification(HOSTILE, 0.5))]]);
    world.ok(&["view", "dataset", "kind", "-o", "report.html"]);
    let page = page(&world, "report.html");
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x"));
    let samples = element(&page, "samples");
    assert_eq!(samples[0]["labels"]["kind"][0]["l"], HOSTILE);
    assert!(page.contains("default-src 'none'; img-src data:; style-src 'sha256-"));
    // Three elements of data and script, and no other that could run.
    assert_eq!(page.matches("<script").count(), 3);
    assert!(!page.contains("http://") && !page.contains("https://"));
}

#[test]
fn confusion_matrix_counts_pairs() {
    let world = with_digits();
    let whole = |label| {
        Label::Detections(Detections {
            detections: vec![detection(label, [0.0, 0.0, 1.0, 1.0])],
            ..Detections::default()
        })
    };
    dataset(
        &world,
        &[
            vec![
                ("truth", classification("a", 1.0)),
                ("guess", classification("a", 0.9)),
            ],
            vec![
                ("truth", classification("a", 1.0)),
                ("guess", classification("b", 0.8)),
            ],
            vec![
                ("truth", classification("b", 1.0)),
                ("guess", classification("b", 0.7)),
            ],
            vec![("objects", whole("a"))],
        ],
    );
    world.ok(&[
        "view",
        "dataset",
        "guess",
        "--truth",
        "truth",
        "-o",
        "report.html",
    ]);
    let about = element(&page(&world, "report.html"), "about");
    assert_eq!(about["fields"], json!(["truth", "guess"]));
    let confusion = &about["statistics"]["guess"]["confusion"];
    assert_eq!(confusion["names"], json!(["a", "b"]));
    assert_eq!(confusion["rows"], json!([[1, 1], [0, 1]]));
    assert_eq!([&confusion["correct"], &confusion["all"]], [2, 3]);
}

#[test]
fn unreadable_picture_is_shown_with_its_reason() {
    let world = with_digits();
    dataset(&world, &[vec![("kind", classification("cat", 0.5))]]);
    let list: Value =
        serde_json::from_slice(&std::fs::read(world.path("dataset/samples.json")).unwrap())
            .unwrap();
    let first = list["samples"][0]["filepath"].as_str().unwrap();
    std::fs::write(world.path("dataset").join(first), b"not an image").unwrap();
    let run = world.run(&["view", "dataset", "-o", "report.html", "--json"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let viewed: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(viewed["failed"], 1);
    let samples = element(&page(&world, "report.html"), "samples");
    assert!(
        samples[0]["failure"].as_str().unwrap().contains("format"),
        "{}",
        samples[0]
    );
    assert_eq!(samples[0]["labels"]["kind"][0]["l"], "cat");
}

#[test]
fn picture_outside_the_dataset_is_not_shown_unless_allowed() {
    let world = with_digits();
    dataset(&world, &[vec![("kind", classification("cat", 0.5))]]);
    world.ok(&["apply", MODEL, "dataset", "p", "--output", "other"]);
    let run = world.run(&["view", "other", "-o", "report.html"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert_eq!(run.stderr.matches("--allow-outside").count(), 1, "{run:?}");
    world.ok(&["view", "other", "-o", "all.html", "--allow-outside"]);
}

#[test]
fn page_is_replaced_only_on_request() {
    let world = with_digits();
    dataset(&world, &[vec![("kind", classification("cat", 0.5))]]);
    std::fs::write(world.path("report.html"), "mine").unwrap();
    let error = world.refused(1, &["view", "dataset", "-o", "report.html"]);
    assert!(
        error.contains("exists already") && error.contains("--overwrite"),
        "{error}"
    );
    assert_eq!(page(&world, "report.html"), "mine");
    world.ok(&[
        "view",
        "dataset",
        "-o",
        "report.html",
        "--overwrite",
        "--limit",
        "2",
    ]);
    assert_eq!(element(&page(&world, "report.html"), "about")["samples"], 2);
}

#[test]
fn field_without_labels_is_refused_with_those_that_have_some() {
    let world = with_digits();
    dataset(&world, &[vec![("kind", classification("cat", 0.5))]]);
    let error = world.refused(1, &["view", "dataset", "knid", "-o", "report.html"]);
    assert!(
        error.contains("'knid'") && error.contains("kind"),
        "{error}"
    );
    assert!(!world.path("report.html").exists());
}

/// The page's elements after its script ran in a real browser.
#[test]
fn page_draws_itself_in_a_browser() {
    let Some(browser) = ["chromium", "google-chrome", "chromium-browser"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
    else {
        eprintln!("skipped: there is no Chromium on this machine");
        return;
    };
    let world = with_digits();
    let object = detection(HOSTILE, [0.25, 0.25, 0.5, 0.5]);
    let objects = Detections {
        detections: vec![object],
        ..Detections::default()
    };
    dataset(
        &world,
        &[vec![
            ("kind", classification("cat", 0.5)),
            ("objects", Label::Detections(objects)),
        ]],
    );
    world.ok(&["view", "dataset", "-o", "report.html"]);
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=5000",
            "--window-size=1200,900",
        ])
        .arg(format!(
            "--user-data-dir={}",
            world.path("profile").display()
        ))
        .arg("--dump-dom")
        .arg(world.path("report.html"))
        .output()
        .unwrap();
    let dom = String::from_utf8(output.stdout).unwrap();
    let samples = element(&page(&world, "report.html"), "samples")
        .as_array()
        .unwrap()
        .len();
    assert_eq!(
        dom.matches("class=\"sample\"").count(),
        samples,
        "{dom:.2000}"
    );
    assert!(dom.contains(&format!("{samples} of {samples} samples")));
    assert!(dom.contains("kind: cat 0.500"), "the first sample is drawn");
    assert!(dom.contains("<canvas") && dom.contains("class=\"histogram\""));
    assert!(
        dom.contains("&lt;/script&gt;&lt;script&gt;alert(1)"),
        "a label is text"
    );
    assert!(!dom.contains("<img src=\"x\""));
}
