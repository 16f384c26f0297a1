//! Guests that work as intended.

use std::io::Write as _;

use modelzoo_model::label::Label;
use modelzoo_model::sample::Origin;
use modelzoo_model::task::PredictOptions;
use modelzoo_runtime::{Color, Image};
use modelzoo_sandbox::{GuestErrorKind, HookError, Level, Loaded};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::world::{MODEL_FILE, Run, guest, tar};
use crate::server::Server;

fn json_of(run: &Run<Loaded>) -> Value {
    serde_json::to_value(run.plan()).unwrap()
}

/// The plan that most guests return.
fn tiny_plan() -> Value {
    json!({
        "architecture": { "name": "sequential", "config": { "layers": [
            { "type": "flatten" },
            { "type": "linear", "name": "fc", "in_features": 4, "out_features": 2 },
        ] } },
        "weights": [MODEL_FILE],
        "preprocessing": {
            "color": "gray",
            "steps": [{ "resize": { "to": { "height": 2, "width": 2 }, "resampling": "bilinear" } }],
        },
        "head": { "classification": { "classes": ["dark", "light"] } },
    })
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[test]
pub(crate) fn ok_copy() {
    let guest = guest(test_artifacts::OK_COPY);
    let run = guest.download();
    assert_eq!(run.names(), [MODEL_FILE]);
    assert_eq!(
        run.log,
        [
            (Level::Info, "copying test/model@1.0".to_owned()),
            (Level::Debug, format!("to {MODEL_FILE}")),
        ]
    );
    let weights = std::fs::read(run.model_dir.path().join(MODEL_FILE)).unwrap();
    assert_eq!(weights, test_artifacts::tiny_weights());
    let artifact = &run.result.unwrap()[0];
    assert_eq!(artifact.size, weights.len() as u64);
    assert_eq!(artifact.sha256, sha256(&weights));

    let loaded = guest.load_from(run.model_dir);
    assert_eq!(json_of(&loaded), tiny_plan());
    let model = loaded.build().unwrap();
    let inputs = [10, 240].map(|gray| {
        let image = Image::from_pixels(5, 4, Color::Gray, vec![gray; 20]).unwrap();
        model.preprocess(&image).unwrap()
    });
    let task = model.plan().head.as_ref().unwrap();
    let decoder = task.decoder(&PredictOptions::default()).unwrap();
    let outputs = model.predict_images(&inputs).unwrap();
    let labels: Vec<_> = outputs
        .into_iter()
        .map(|output| match decoder.decode(output, &Origin::default()) {
            Ok(Some(Label::Classification(label))) => label.label.unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(labels, ["dark", "light"]);
}

#[test]
pub(crate) fn ok_fetch() {
    let weights = test_artifacts::tiny_weights();
    let server = Server::serving(weights.clone());
    let url = server.url("/weights?v=1");
    let fetch = |text: String| {
        guest(test_artifacts::OK_FETCH)
            .granting(server.origin())
            .file("url.txt", text)
            .download()
    };
    let digest = sha256(&weights);
    for text in [
        url.clone(),
        format!("{url} {digest}"),
        format!("{url} {digest} {}", weights.len()),
    ] {
        let run = fetch(text);
        assert_eq!(run.names(), [MODEL_FILE]);
        let got = std::fs::read(run.model_dir.path().join(MODEL_FILE)).unwrap();
        assert_eq!(got, weights);
        let said = format!("{} bytes, sha256 {digest}", weights.len());
        assert_eq!(run.log, [(Level::Info, said)]);
    }
    for text in [
        format!("{url} {}", sha256(b"other")),
        format!("{url} {digest} 7"),
    ] {
        let (kind, message) = fetch(text).guest_error();
        assert_eq!(kind, GuestErrorKind::Mismatch, "{message}");
    }
}

#[test]
pub(crate) fn ok_get() {
    let server = Server::start(|request| {
        if request.path == "/gone" {
            return ("410 Gone", String::new(), Vec::new());
        }
        if request.path == "/busy" {
            return ("503 Service Unavailable", String::new(), Vec::new());
        }
        assert!(request.head.contains("x-guest: ok_get"), "{}", request.head);
        (
            "200 OK",
            "ETag: \"e\"\r\nset-cookie: c=1\r\n".to_owned(),
            b"an index".to_vec(),
        )
    });
    let get = |path: &str| {
        guest(test_artifacts::OK_GET)
            .granting(server.origin())
            .file("url.txt", server.url(path))
            .download()
    };
    let run = get("/index");
    assert_eq!(run.names(), [MODEL_FILE]);
    let seen = std::fs::read(run.model_dir.path().join(MODEL_FILE)).unwrap();
    let seen: Value = serde_json::from_slice(&seen).unwrap();
    assert_eq!(seen["status"], 200);
    assert_eq!(seen["body"], "an index");
    let headers = seen["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["etag", "\"e\""])), "{headers:?}");
    assert!(!headers.iter().any(|h| h[0] == "set-cookie"), "{headers:?}");

    let (kind, _) = get("/gone").guest_error();
    assert_eq!(kind, GuestErrorKind::NotFound);
    let (kind, message) = get("/busy").guest_error();
    assert_eq!(kind, GuestErrorKind::Status);
    assert!(message.contains("503"), "{message}");
}

#[test]
pub(crate) fn ok_files() {
    // One top-level directory, as in archives of releases.
    let archive = tar(&[
        ("release-1.0/a.txt", b"first"),
        ("release-1.0/sub/b.txt", b"second"),
    ]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive).unwrap();
    let archive = gzip.finish().unwrap();
    let server = Server::serving(archive);
    let guest = guest(test_artifacts::OK_FILES)
        .granting(server.origin())
        .file("url.txt", server.url("/release.tar.gz"));
    let run = guest.download();
    assert_eq!(
        run.names(),
        [
            "labels.txt",
            "unpacked/a.txt",
            "unpacked/sub/b.txt",
            MODEL_FILE
        ]
    );
    let read = |name: &str| std::fs::read_to_string(run.model_dir.path().join(name)).unwrap();
    assert_eq!(read("labels.txt"), "dark\nlight\n");
    assert_eq!(read("unpacked/a.txt"), "first");
    assert_eq!(read("unpacked/sub/b.txt"), "second");
    assert_eq!(json_of(&guest.load_from(run.model_dir)), tiny_plan());
}

#[test]
pub(crate) fn ok_resnet() {
    let load = |kwargs: Value| guest(test_artifacts::OK_RESNET).kwargs(kwargs).load();
    let usual = json_of(&load(json!({})));
    assert_eq!(
        usual["architecture"],
        json!({"name": "resnet", "config": {"depth": 18, "num_classes": 2}})
    );
    assert_eq!(
        usual["preprocessing"],
        json!({
            "color": "rgb",
            "steps": [
                { "resize_shortest": { "to": 256, "resampling": "bilinear" } },
                { "center_crop": { "height": 224, "width": 224 } },
            ],
            "normalize": {
                "mean": [0.485_f32, 0.456_f32, 0.406_f32],
                "std": [0.229_f32, 0.224_f32, 0.225_f32],
            },
        })
    );

    let asked = json!({"depth": 50, "classes": ["a", "b", "c"], "confidence_thresh": 0.5});
    let asked = json_of(&load(asked));
    assert_eq!(
        asked["architecture"]["config"],
        json!({"depth": 50, "num_classes": 3})
    );
    assert_eq!(
        asked["head"],
        json!({"classification": {"classes": ["a", "b", "c"], "confidence_thresh": 0.5}})
    );

    let (kind, message) = load(json!({"dept": 50})).guest_error();
    assert_eq!(kind, GuestErrorKind::InvalidInput);
    assert!(
        message.starts_with("unknown kwarg `dept`; known are `depth`, "),
        "{message}"
    );
    let (kind, message) = load(json!({"depth": "deep"})).guest_error();
    assert_eq!(kind, GuestErrorKind::InvalidInput);
    assert!(
        message.starts_with("kwarg `depth`: invalid type"),
        "{message}"
    );
}

#[test]
pub(crate) fn ok_download_only() {
    let guest = guest(test_artifacts::OK_DOWNLOAD_ONLY);
    assert_eq!(guest.download().names(), [MODEL_FILE]);
    let error = guest.load().error();
    assert!(matches!(error, HookError::Component { .. }), "{error:?}");
}

#[test]
pub(crate) fn ok_load_only() {
    let guest = guest(test_artifacts::OK_LOAD_ONLY);
    assert_eq!(json_of(&guest.load()), tiny_plan());
    let error = guest.download().error();
    assert!(matches!(error, HookError::Component { .. }), "{error:?}");
}
