//! Datasets: no file outside is read, unknown content is kept, and memory is in proportion.
//!
//! The first byte of an input gives the kind of the rest:
//!
//! | byte | the rest |
//! |---|---|
//! | `s` | `samples.json`; after a NUL, `metadata.json` |
//! | `n` | a numpy array, packed into a label |
//! | `z` | the bytes of a label's array before base64 |
//! | `l` | a label's JSON |
//! | `j`, `c`, `t` | a table: lines of JSON, CSV, lines of text |

use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use modelzoo_data::{
    Classification, Dataset, FieldName, Label, LabelType, ResultSink, SinkOptions,
};

use crate::cost::{Bound, measure};
use crate::place::{Place, tree};
use crate::{Target, assert_one_line, seeds};

pub(crate) const TARGET: Target = Target {
    name: "datasets",
    run,
    seeds,
    words: &[
        "\"samples\"",
        "\"filepath\"",
        "\"_id\"",
        "\"$oid\"",
        "\"_cls\"",
        "\"Classification\"",
        "\"Classifications\"",
        "\"classifications\"",
        "\"label\"",
        "\"confidence\"",
        "\"logits\"",
        "\"tags\"",
        "\"$binary\"",
        "\"base64\"",
        "\"subType\"",
        "\"sample_fields\"",
        "\"db_field\"",
        "\"name\"",
        "\"info\"",
        "\"text\"",
        "NaN",
        "Infinity",
        "-Infinity",
        "null",
        "1e400",
        "\\ud800",
        "\\u0000",
        "../canary",
        "/etc/passwd",
        "data/0.png",
        "http://",
        "NUMPY",
        "'descr': '<f4'",
        "'descr': '<f8'",
        "'descr': '|b1'",
        "'shape': (",
        "'fortran_order'",
        "\"\"",
        ",",
        "\r\n",
        "\u{feff}",
    ],
};

/// What opening may cost: the index of a list, its buffers, and what is made of `metadata.json`.
const OPENING: Bound = Bound {
    peak: [256, 512 << 10],
    total: [1024, 2 << 20],
};
/// What a sample may cost: what is made of its document.
const SAMPLE: Bound = Bound {
    peak: [256, 64 << 10],
    total: [1024, 256 << 10],
};
/// What a label may cost: zlib's data may be a thousand times as long, base64 or not.
const LABEL: Bound = Bound {
    peak: [4096, 256 << 10],
    total: [16_384, 1 << 20],
};

/// How many samples of an input are read.
const LOOKED_AT: usize = 16;
const FIELD: &str = "predictions";

fn run(data: &[u8]) -> bool {
    let Some((kind, rest)) = data.split_first() else {
        return false;
    };
    match kind {
        b's' => {
            let nul = rest.iter().position(|byte| *byte == 0);
            let (samples, metadata) = match nul.and_then(|at| rest.split_at_checked(at)) {
                Some((samples, metadata)) => (samples, metadata.get(1..)),
                None => (rest, None),
            };
            documents(samples, metadata)
        }
        b'n' => array(&zlib(rest)),
        b'z' => array(rest),
        b'l' => label(rest),
        b'j' => table("texts.jsonl", rest),
        b'c' => table("texts.csv", rest),
        b't' => table("texts.txt", rest),
        _ => false,
    }
}

/// A FiftyOneDataset with an image is read and, where possible, written to.
fn documents(samples: &[u8], metadata: Option<&[u8]>) -> bool {
    let place = Place::new();
    std::fs::create_dir(place.inside.join("data")).expect("a directory is made");
    place.write("data/0.png", b"png");
    place.write("samples.json", samples);
    if let Some(metadata) = metadata {
        place.write("metadata.json", metadata);
    }
    let length = samples.len() + metadata.map_or(0, <[u8]>::len);
    let fields = ["ground_truth", FIELD];
    let accepted = look(&place.inside, &place.inside, &fields, length);
    if accepted {
        write(&place);
    }
    place.assert_untouched();
    accepted
}

fn array(packed: &[u8]) -> bool {
    label(
        format!(
            "{{\"$binary\": {{\"base64\": \"{}\"}}}}",
            STANDARD.encode(packed)
        )
        .as_bytes(),
    )
}

fn label(json: &[u8]) -> bool {
    let document = br#"{"samples": [{"filepath": "data/0.png", "predictions": "#;
    let place = Place::new();
    let path = place.write("samples.json", &[document, json, b"}]}"].concat());
    let Ok(dataset) = Dataset::open(path.parent().expect("it is in a directory")) else {
        return false;
    };
    let (label, cost) = measure(|| dataset.label(0, FIELD));
    cost.assert_within(LABEL, json.len());
    match label {
        Ok(label) => label.is_some(),
        Err(error) => {
            assert_one_line(&error.to_string());
            false
        }
    }
}

fn table(name: &str, bytes: &[u8]) -> bool {
    let place = Place::new();
    let path = place.write(name, bytes);
    let accepted = look(&path, &place.inside, &[], bytes.len());
    assert_eq!(tree(&place.inside), [(name.to_owned(), bytes.to_vec())]);
    place.assert_untouched();
    accepted
}

/// Reads a dataset of so many bytes. No file of it may lie outside of `root`.
fn look(path: &Path, root: &Path, fields: &[&str], length: usize) -> bool {
    let (dataset, cost) = measure(|| Dataset::open(path));
    cost.assert_within(OPENING, length);
    let dataset = match dataset {
        Ok(dataset) => dataset,
        Err(error) => {
            assert_one_line(&error.to_string());
            return false;
        }
    };
    let mut samples = dataset.samples().take(LOOKED_AT);
    loop {
        let (sample, cost) = measure(|| samples.next());
        cost.assert_within(SAMPLE, length);
        let Some(sample) = sample else {
            break;
        };
        let sample = match sample {
            Ok(sample) => sample,
            Err(error) => {
                assert_one_line(&error.to_string());
                continue;
            }
        };
        assert_one_line(&sample.display());
        for field in fields {
            if let Err(error) = dataset.label(sample.index, field) {
                assert_one_line(&error.to_string());
            }
        }
        match &sample.path {
            Ok(path) => assert!(path.starts_with(root) && path.is_file(), "{path:?}"),
            Err(error) => assert_one_line(&error.to_string()),
        }
        match sample.text {
            None => drop(sample.read(1 << 20)),
            Some(Ok(_)) => {}
            Some(Err(error)) => assert_one_line(&error.to_string()),
        }
    }
    true
}

/// Labels the samples and checks that nothing else changes.
fn write(place: &Place) {
    let open = || Dataset::open(&place.inside).expect("it could be opened before");
    let dataset = open();
    let field: FieldName = FIELD.parse().expect("a name");
    let staging = place.inside.join("staging");
    let options = SinkOptions {
        staging: Some(staging.clone()),
        ..SinkOptions::default()
    };
    let count = dataset.len();
    let before = kept(&dataset);
    let written = ResultSink::open(&dataset, &field, LabelType::Classification, options).and_then(
        |mut sink| {
            for index in 0..count.min(LOOKED_AT) {
                sink.put(&dataset.key(index)?, Some(&new_label()))?;
            }
            sink.commit()
        },
    );
    let after = open();
    assert_eq!(after.len(), count, "samples came or went");
    match written {
        Err(error) => assert_one_line(&error.to_string()),
        Ok(written) => {
            assert_eq!(kept(&after), before, "something else was changed");
            for index in 0..count.min(LOOKED_AT).min(written.written) {
                let got = after.label(index, FIELD).expect("the label can be read");
                let Some(Label::Classification(got)) = got else {
                    panic!("sample {index} of {count} has no label: {got:?}");
                };
                assert_eq!(got.label.as_deref(), Some("a \"new\" label"));
            }
        }
    }
}

fn new_label() -> Label {
    Label::Classification(Classification {
        label: Some("a \"new\" label".to_owned()),
        confidence: Some(0.5),
        ..Classification::default()
    })
}

/// What labels in another field must not change.
fn kept(dataset: &Dataset) -> Vec<String> {
    let samples = dataset.samples().take(LOOKED_AT);
    samples
        .map(|sample| {
            let sample = sample.expect("the list can be read");
            let label = dataset.label(sample.index, "ground_truth");
            let label = label.map_err(|error| error.to_string());
            format!("{:?} {:?} {label:?}", sample.id(), sample.stored)
        })
        .collect()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let (_, metadata) = seeds::file("examples/digits/dataset/metadata.json");
    let (_, samples) = seeds::file("examples/digits/dataset/samples.json");
    let first = String::from_utf8(samples).unwrap();
    let first = first.split_inclusive("}}").next().unwrap_or_default();
    let array = |kind: &str, shape: &str, data: &[u8]| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let start = [
            b"\x93NUMPY\x01\x00",
            &(header.len() as u16).to_le_bytes()[..],
        ]
        .concat();
        [&start, header.as_bytes(), data].concat()
    };
    let floats = array("<f4", "(2,)", &[0, 0, 128, 63, 0, 0, 0, 64]);
    let doubles = array("<f8", "(1, 1)", &[0, 0, 0, 0, 0, 0, 240, 63]);
    let mut seeds = vec![
        ("numpy".to_owned(), [b"n", &floats[..]].concat()),
        ("numpy-double".to_owned(), [b"n", &doubles[..]].concat()),
        ("zlib".to_owned(), [b"z", &zlib(&floats)[..]].concat()),
        (
            "metadata".to_owned(),
            [b"s", SAMPLES.as_bytes(), b"\0", &metadata].concat(),
        ),
        ("digits".to_owned(), format!("s{first}]}}").into_bytes()),
    ];
    seeds.extend(seeds::texts(&[
        &format!("s{SAMPLES}"),
        &format!("s{SAMPLES}\0{METADATA}"),
        r#"l{"_cls": "Classification", "_id": {"$oid": "0123456789abcdef01234567"}, "tags": ["a"], "label": "b", "confidence": 0.5, "logits": null}"#,
        r#"l{"_cls": "Classifications", "classifications": [{"_cls": "Classification", "label": "x", "confidence": NaN}], "logits": {"$binary": {"base64": "eJw=", "subType": "00"}}}"#,
        "l[1, 2.5, -1e3]",
        "j{\"text\": \"a\", \"id\": 1}\n{\"text\": \"b\\u00e9\"}\n\n{\"other\": 1}\nnot json\n",
        "ctext,id\n\"a \"\"quoted\"\" text\",1\nb,2\n\"two\nlines\",3\n",
        "tfirst line\nsecond line\r\n\n\u{feff}third",
    ]));
    seeds
}

const SAMPLES: &str = r#"{"samples": [
 {"_id": {"$oid": "0123456789abcdef01234567"}, "filepath": "data/0.png", "tags": [], "ground_truth": {"_cls": "Classification", "label": "cat"}, "x": 1e400},
 {"filepath": "../canary", "predictions": null}, {"filepath": "/etc/passwd"}, {"filepath": 3}, 7]}"#;

const METADATA: &str = r#"{"name": "n", "media_type": "image", "info": {"a": NaN}, "sample_fields": [
 {"name": "id", "ftype": "fiftyone.core.fields.ObjectIdField", "db_field": "_id"},
 {"name": "ground_truth", "ftype": "fiftyone.core.fields.EmbeddedDocumentField", "embedded_doc_type": "fiftyone.core.labels.Classification", "db_field": "ground_truth"}]}"#;
