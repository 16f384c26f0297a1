use serde_json::json;

use super::*;

fn to_text(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn from_text(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text)
}

#[test]
fn writes_fiftyones_json() {
    let label = Label::Classification(Classification {
        id: "0123456789abcdef01234567".parse().unwrap(),
        tags: vec!["a".to_owned()],
        label: Some("cat".to_owned()),
        confidence: Some(0.5),
        logits: None,
        ..Classification::default()
    });
    assert_eq!(
        String::from_utf8(to_text(&label.to_json())).unwrap(),
        r#"{"_id":{"$oid":"0123456789abcdef01234567"},"_cls":"Classification","tags":["a"],"label":"cat","confidence":0.5}"#,
    );
}

#[test]
fn reads_back_what_it_writes() {
    for (confidence, logits) in [
        (None, None),
        (Some(f64::from(0.9_f32)), Some(vec![1.0, f32::INFINITY])),
        (Some(f64::NEG_INFINITY), Some(vec![])),
    ] {
        let label = Label::Classification(Classification {
            label: confidence.map(|_| "x\u{1b}".to_owned()),
            confidence,
            logits,
            ..Classification::default()
        });
        let text = to_text(&label.to_json());
        assert_eq!(Label::from_json(&from_text(&text).unwrap()).unwrap(), label);
    }
}

#[test]
fn classifications_and_vectors_are_read_back() {
    let cat = Classification {
        label: Some("cat".to_owned()),
        ..Classification::default()
    };
    for label in [
        Label::Classifications(Classifications {
            classifications: vec![cat.clone(), cat],
            logits: Some(vec![0.5, -1.0]),
            ..Classifications::default()
        }),
        Label::Classifications(Classifications::default()),
        Label::Vector(vec![1.5, -2.0, 0.0]),
    ] {
        let text = to_text(&label.to_json());
        let read = Label::from_json(&from_text(&text).unwrap());
        assert_eq!(read.unwrap(), label);
    }
}

#[test]
fn nan_is_written_as_extended_json_and_read_in_both_forms() {
    let json = Label::Classification(Classification {
        confidence: Some(f64::NAN),
        ..Classification::default()
    })
    .to_json();
    assert_eq!(
        json.get("confidence"),
        Some(&json!({"$numberDouble": "NaN"}))
    );
    for text in [
        to_text(&json),
        br#"{"_cls": "Classification", "confidence": {"$numberDouble": "NaN"}}"#.to_vec(),
    ] {
        let Label::Classification(label) = Label::from_json(&from_text(&text).unwrap()).unwrap()
        else {
            panic!("not a Classification");
        };
        assert!(label.confidence.unwrap().is_nan());
    }
}

#[test]
fn says_what_is_wrong_with_a_label() {
    for (value, reason) in [
        (json!(true), "not a label"),
        (json!({"label": "cat"}), "no `_cls`"),
        (
            json!({"_cls": "Detectionz\u{1b}"}),
            "it is a Detectionz\\u{1b}, which",
        ),
        (
            json!({"_cls": "Classification", "_id": {"$oid": "12"}}),
            "`_id`",
        ),
        (json!({"_cls": "Classification", "label": 1}), "`label`"),
        (json!({"_cls": "Classification", "tags": [1]}), "`tags`"),
        (
            json!({"_cls": "Classification", "confidence": "high"}),
            "`confidence`",
        ),
        (
            json!({"_cls": "Classification", "logits": "%"}),
            "bad base64",
        ),
    ] {
        let error = Label::from_json(&value).unwrap_err().to_string();
        assert!(error.contains(reason), "{error} / {reason}");
    }
}

/// What FiftyOne 1.22 exported of a sample with every type of label.
fn exported() -> Value {
    serde_json::from_str(include_str!("../../tests/fiftyone/labels.json")).unwrap()
}

/// The same JSON with the content of each array in the place of its compressed bytes, which
/// depend on the compressor.
fn inflated(value: &Value) -> Value {
    match value {
        Value::Object(object) if object.contains_key("$binary") => {
            let array = binary::from_value(value).unwrap();
            let bytes = array.bytes();
            json!([array.element().descr(), array.shape(), bytes])
        }
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.clone(), inflated(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(inflated).collect::<Vec<_>>().into(),
        value => value.clone(),
    }
}

#[test]
fn every_type_is_written_as_fiftyone_writes_it() {
    let mut seen = Vec::new();
    for (name, value) in exported().as_object().unwrap() {
        // Integers and flags are no labels of ours; a vector is of `f32`.
        if ["integer", "flag", "vector64"].contains(&name.as_str()) {
            continue;
        }
        let label = Label::from_json(value).unwrap();
        // As text, for the order of the members counts too.
        let (got, want) = (inflated(&label.to_json()), inflated(value));
        assert_eq!(got.to_string(), want.to_string(), "{name}");
        assert!(label.kind().is_of(value), "{name}");
        let packed = postcard::to_allocvec(&label).unwrap();
        let unpacked: Label = postcard::from_bytes(&packed).unwrap();
        assert_eq!(unpacked.to_json(), label.to_json(), "{name}");
        assert_eq!(
            Label::from_json(&label.to_json()).unwrap().to_json(),
            label.to_json()
        );
        seen.push(label.kind());
    }
    for kind in LabelType::ALL {
        assert!(seen.contains(kind), "{kind:?} is not among the examples");
    }
}

#[test]
fn every_type_is_described_as_fiftyone_describes_it() {
    let fields = include_str!("../../tests/fiftyone/sample_fields.json");
    let fields: Vec<Value> = serde_json::from_str(fields).unwrap();
    for (name, value) in exported().as_object().unwrap() {
        if ["integer", "flag", "vector64"].contains(&name.as_str()) {
            continue;
        }
        let kind = Label::from_json(value).unwrap().kind();
        let described = kind.field(name);
        let want = fields
            .iter()
            .find(|field| field.get("name") == Some(&json!(name)));
        let want = want.unwrap().to_string();
        assert_eq!(described.to_string(), want, "{name}");
        let class = if kind.is_document() {
            "embedded_doc_type"
        } else {
            "ftype"
        };
        assert_eq!(described.get(class), Some(&json!(kind.class())), "{name}");
    }
}

#[test]
fn members_hold_what_fiftyone_meant() {
    let exported = exported();
    let read = |name: &str| Label::from_json(exported.get(name).unwrap()).unwrap();
    let Label::Detection(detection) = read("detection") else {
        panic!("not a detection")
    };
    assert_eq!(detection.bounding_box, Some([0.1, 0.2, 0.5, 0.25]));
    let mask = detection.mask.unwrap();
    assert_eq!((mask.element(), mask.shape()), (Element::Bool, &[2, 3][..]));
    assert_eq!(mask.bytes(), [1, 0, 1, 0, 1, 0]);
    let Label::Detections(detections) = read("detections") else {
        panic!("no detections")
    };
    let [first, second, third] = &detections.detections[..] else {
        panic!("not three")
    };
    assert_eq!(first.extra.get("mood"), Some(&json!("good")));
    assert_eq!(second.mask_path.as_deref(), Some("/masks/y.png"));
    assert!(second.attributes.contains_key("age"));
    assert_eq!(third.extra.get("rotation"), Some(&json!([0.0, 0.0, 0.5])));
    // Written by numpy with the columns first.
    let Label::Heatmap(heatmap) = read("heatmap_range") else {
        panic!("not a heatmap")
    };
    let map = heatmap.map.unwrap();
    assert_eq!(map.numbers().collect::<Vec<_>>(), [0.0, 10.5, 20.0, 0.25]);
    assert_eq!(heatmap.range, Some([0.0, 20.0]));
    let Label::Keypoint(keypoint) = read("keypoint") else {
        panic!("not a keypoint")
    };
    assert!(keypoint.points.get(1).unwrap().iter().all(|at| at.is_nan()));
    let Label::GeoLocation(location) = read("geolocation") else {
        panic!("not a location")
    };
    assert_eq!(location.point, Some(GeoPoint([-73.99, 40.75])));
}

#[test]
fn damaged_members_are_named() {
    for (value, reason) in [
        (
            json!({"_cls": "Detection", "bounding_box": [0, 0, 1]}),
            "`bounding_box`: not four",
        ),
        (
            json!({"_cls": "Detection", "mask": {"$binary": "%"}}),
            "`mask`: bad base64",
        ),
        (
            json!({"_cls": "Detections", "detections": [1]}),
            "`detections`: one of them",
        ),
        (
            json!({"_cls": "Detections", "detections": [{"index": 0.5}]}),
            "`detections`: its `index`: not an integer",
        ),
        (
            json!({"_cls": "Polyline", "points": [[0, 1]]}),
            "`points`: not a list of lists",
        ),
        (
            json!({"_cls": "Keypoint", "points": [[0, 1, 2]]}),
            "`points`: not a list of points",
        ),
        (
            json!({"_cls": "Heatmap", "range": ["a", 1]}),
            "`range`: not two numbers",
        ),
        (
            json!({"_cls": "TemporalDetection", "support": [1]}),
            "`support`: not two integers",
        ),
        (
            json!({"_cls": "GeoLocation", "point": [1, 2]}),
            "`point`: not a Point",
        ),
        (
            json!({"_cls": "GeoLocation", "line": {"type": "LineString", "coordinates": [1]}}),
            "`line`: not the coordinates",
        ),
    ] {
        let error = Label::from_json(&value).unwrap_err().to_string();
        assert!(error.contains(reason), "{error} / {reason}");
    }
}

#[test]
fn labels_of_real_exports_are_read() {
    let detections = r#"{"_cls": "Detections", "detections": [{"_id": {"$oid": "6b0a97c1939b501ef2553a17"}, "_cls": "Detection", "attributes": {}, "tags": [], "label": "x", "bounding_box": [0.0, 0.0, 1.0, 1.0]}]}"#;
    let classification = r#"{"_id": {"$oid": "6b0a97c1939b501ef2553a1a"}, "_cls": "Classification", "tags": [], "label": "0"}"#;
    for text in [detections, classification] {
        let value: Value = serde_json::from_str(text).unwrap();
        let label = Label::from_json(&value).unwrap();
        assert_eq!(label.to_json().to_string(), value.to_string());
    }
}
