//! What the tests of this crate share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test uses a part of it, and may fail by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use modelzoo_data::{
    Classification, Dataset, FieldName, Label, LabelType, Output, ResultSink, SinkOptions,
};
use serde_json::Value;

/// `metadata.json` as FiftyOne writes it, shortened, with what nobody should
/// write but a file may have.
pub(crate) const METADATA: &str = "{\"name\": \"2024.\\u00e9\", \"version\": \"1.0.0\",\n \"x\": 1e400, \"x\":  1.0000000000000000001, \"media_type\": \"image\", \"info\": {\"a\": NaN}, \"sample_fields\": [{\"name\": \"id\", \"ftype\": \"fiftyone.core.fields.ObjectIdField\", \"db_field\": \"_id\"}, {\"name\": \"boxes\", \"ftype\": \"fiftyone.core.fields.EmbeddedDocumentField\", \"embedded_doc_type\": \"fiftyone.core.labels.Detections\", \"db_field\": \"boxes\"}, {\"name\": \"ground_truth\", \"ftype\": \"fiftyone.core.fields.EmbeddedDocumentField\", \"embedded_doc_type\": \"fiftyone.core.labels.Classification\", \"db_field\": \"ground_truth\", \"mine\": 1.0e-999 } ], \"app_config\" :{ } }\n";

/// A directory that goes away, with a FiftyOneDataset `set` in it: the documents
/// as given, an image for each `data/<n>.png` up to `images`.
pub(crate) struct Fixture {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) root: PathBuf,
}

impl Fixture {
    pub(crate) fn new(documents: &[&str], images: usize) -> Self {
        let fixture = Self::images(0);
        fs::create_dir(fixture.root.join("data")).unwrap();
        for index in 0..images {
            fs::write(fixture.root.join(format!("data/{index}.png")), b"png").unwrap();
        }
        fixture.write("metadata.json", METADATA);
        fixture.write(
            "samples.json",
            &format!("{{\"samples\": [{}]}}", documents.join(", ")),
        );
        fixture
    }

    /// A directory of images instead.
    pub(crate) fn images(count: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("set");
        fs::create_dir(&root).unwrap();
        for index in 0..count {
            fs::write(root.join(format!("{index}.png")), b"png").unwrap();
        }
        Self { directory, root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        json_of(&self.path(name))
    }

    pub(crate) fn open(&self) -> Dataset {
        Dataset::open(&self.root).unwrap()
    }

    /// The names in the dataset's directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A file that has no numbers beyond JSON.
pub(crate) fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn field(name: &str) -> FieldName {
    name.parse().unwrap()
}

/// A label whose identity follows from its class, so that results are the same
/// in each run.
pub(crate) fn label(class: &str) -> Label {
    let digits: String = class.bytes().map(|byte| format!("{byte:02x}")).collect();
    Label::Classification(Classification {
        id: format!("{digits:0>24}").parse().unwrap(),
        label: Some(class.to_owned()),
        confidence: Some(0.5),
        ..Classification::default()
    })
}

/// The text of [`label`] in a file.
pub(crate) fn label_text(class: &str) -> String {
    let digits: String = class.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{{\"_id\": {{\"$oid\": \"{digits:0>24}\"}}, \"_cls\": \"Classification\", \"tags\": [], \"label\": \"{class}\", \"confidence\": 0.5}}"
    )
}

pub(crate) fn options() -> SinkOptions {
    SinkOptions {
        fingerprint: "model 1".to_owned(),
        ..SinkOptions::default()
    }
}

pub(crate) fn output(path: PathBuf) -> SinkOptions {
    SinkOptions {
        output: Output::Path(path),
        ..options()
    }
}

pub(crate) fn sink<'d>(
    dataset: &'d Dataset,
    name: &str,
    options: SinkOptions,
) -> Result<ResultSink<'d>, modelzoo_data::Error> {
    ResultSink::open(dataset, &field(name), LabelType::Classification, options)
}

/// The class of a sample's label.
pub(crate) fn class(dataset: &Dataset, index: usize, name: &str) -> Option<String> {
    match dataset.label(index, name).unwrap()? {
        Label::Classification(label) => label.label,
        _ => None,
    }
}
