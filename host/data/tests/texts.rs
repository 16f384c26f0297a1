//! Files of texts, and the outputs that are one file.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use std::fs;
use std::path::{Path, PathBuf};

use modelzoo_data::{
    Classification, Classifications, Dataset, Error, FieldName, Label, LabelType, OpenOptions,
    Output, ResultSink, SinkOptions,
};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn texts(path: &Path, text_field: Option<&str>) -> Vec<Result<String, String>> {
    let options = OpenOptions {
        text_field: text_field.map(str::to_owned),
        ..OpenOptions::default()
    };
    let dataset = Dataset::open_with(path, options).unwrap();
    assert!(dataset.is_of_texts());
    let samples = dataset.samples().map(Result::unwrap);
    samples
        .map(|sample| sample.into_text().map_err(|error| error.to_string()))
        .collect()
}

fn options(output: Output) -> SinkOptions {
    SinkOptions {
        output,
        ..SinkOptions::default()
    }
}

fn field() -> FieldName {
    "embedding".parse().unwrap()
}

/// Puts a vector for each sample, and a failure where there is none.
fn embed(dataset: &Dataset, output: Output, vectors: &[Option<Vec<f32>>]) -> Result<(), Error> {
    let mut sink = ResultSink::open(dataset, &field(), LabelType::Vector, options(output))?;
    for (index, vector) in vectors.iter().enumerate() {
        match vector {
            Some(vector) => sink.put(
                &dataset.key(index).unwrap(),
                Some(&Label::Vector(vector.clone())),
            )?,
            None => sink.fail(&dataset.key(index).unwrap(), "no reason")?,
        }
    }
    sink.commit().map(|_| ())
}

#[test]
fn each_line_of_plain_text_is_a_sample() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(
        dir.path(),
        "a.txt",
        "\u{feff}eins\r\n\n  \nzwei und drei\nvier",
    );
    // A blank line is one too, so that row i of a result is line i.
    let want = ["eins", "", "  ", "zwei und drei", "vier"].map(|text| Ok(text.to_owned()));
    assert_eq!(texts(&path, None), want);
    let dataset = Dataset::open(&path).unwrap();
    let sample = dataset.sample(3).unwrap().unwrap();
    assert_eq!(sample.display(), "a.txt:4");
    assert!(
        sample
            .read(9)
            .unwrap_err()
            .to_string()
            .contains("a text, not a file")
    );
    fs::write(&path, b"gut\n\xff\n").unwrap();
    assert_eq!(
        texts(&path, None)[1],
        Err("a.txt:2: no text: not UTF-8".to_owned())
    );
}

#[test]
fn lines_of_json_and_rows_of_csv_name_their_text() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "{\"text\": \"a\", \"body\": \"b\"}\n[1]\n{\"text\": 1}\nx\n";
    let path = write(dir.path(), "a.jsonl", lines);
    let got = texts(&path, None);
    assert_eq!(got[0], Ok("a".to_owned()));
    for (got, reason) in got[1..]
        .iter()
        .zip(["not an object", "not a string", "not JSON"])
    {
        let got = got.as_ref().unwrap_err();
        assert!(got.contains(reason), "{got}");
    }
    assert_eq!(texts(&path, Some("body"))[0], Ok("b".to_owned()));

    let rows = "id,text\n1,\"two\nlines, \"\"quoted\"\"\"\n2,plain\n3\n";
    let path = write(dir.path(), "a.CSV", rows);
    let got = texts(&path, None);
    assert_eq!(got[0], Ok("two\nlines, \"quoted\"".to_owned()));
    assert_eq!(got[1], Ok("plain".to_owned()));
    assert!(
        got[2].as_ref().unwrap_err().contains("1 columns"),
        "{got:?}"
    );
    let Err(error) = Dataset::open_with(
        &path,
        OpenOptions {
            text_field: Some("body".to_owned()),
            ..OpenOptions::default()
        },
    ) else {
        panic!("there is no such column");
    };
    assert!(error.to_string().contains("no column 'body'"), "{error}");
    assert!(
        error.remedy().unwrap().to_string().contains("id, text"),
        "{error}"
    );
}

#[test]
fn lines_of_json_keep_what_no_parser_holds() {
    let dir = tempfile::tempdir().unwrap();
    let line = "{\"text\": \"a cat\", \"score\": NaN, \"id\": 123456789012345678901234567890, \"x\": -Infinity, \"x\": 1.0e-999}";
    let path = write(dir.path(), "a.jsonl", &format!("{line}\r\n"));
    assert_eq!(texts(&path, None), [Ok("a cat".to_owned())]);
    let dataset = Dataset::open(&path).unwrap();
    let output = dir.path().join("out.jsonl");
    embed(&dataset, Output::Path(output.clone()), &[None]).unwrap();
    let want = line.replace("999}", "999, \"error\": \"no reason\"}\n");
    assert_eq!(fs::read_to_string(&output).unwrap(), want);
}

#[test]
fn csv_columns_of_one_name_are_kept_apart_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a.csv", "text,id,id,id.1,\nhello,1,2,3,4\n");
    let dataset = Dataset::open(&path).unwrap();
    let output = dir.path().join("out.jsonl");
    embed(&dataset, Output::Path(output.clone()), &[None]).unwrap();
    let line: Value = serde_json::from_str(&fs::read_to_string(&output).unwrap()).unwrap();
    assert_eq!(
        line,
        json!({"text": "hello", "id": "1", "id.2": "2", "id.1": "3", "": "4", "error": "no reason"})
    );

    let path = write(dir.path(), "b.csv", "text,id,text\none,1,two\n");
    let Err(error) = Dataset::open(&path) else {
        panic!("it is not known which column is meant");
    };
    assert!(matches!(error, Error::AmbiguousColumn { .. }), "{error}");
    assert!(error.remedy().is_some());
}

#[test]
fn a_file_without_texts_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.txt", "a.jsonl"] {
        let path = write(dir.path(), name, "\n \n");
        let Err(error) = Dataset::open(&path) else {
            panic!("{name} is empty");
        };
        assert!(error.to_string().contains("no texts"), "{error}");
    }
}

#[test]
fn results_of_texts_are_lines_that_keep_what_the_rows_had() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a.csv", "id,text\n7,hello\n8,\"a, b\"\n");
    let output = dir.path().join("out.jsonl");
    let dataset = Dataset::open(&path).unwrap();
    let vectors = [Some(vec![1.0, 2.0]), None];
    embed(&dataset, Output::Path(output.clone()), &vectors).unwrap();
    let lines = fs::read_to_string(&output).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["id"], "7");
    assert_eq!(lines[0]["text"], "hello");
    assert!(lines[0]["embedding"]["$binary"]["base64"].is_string());
    assert_eq!(
        lines[1],
        json!({"id": "8", "text": "a, b", "error": "no reason"})
    );

    // The file itself, or a dataset of files, cannot take them.
    for output in [Output::InPlace, Output::Path(dir.path().join("new"))] {
        let error = embed(&dataset, output, &vectors).unwrap_err();
        assert!(matches!(error, Error::TableInPlace { .. }), "{error}");
    }
}

#[test]
fn interrupted_run_keeps_the_rows_that_are_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a.txt", "one\ntwo\n");
    let output = || options(Output::Path(dir.path().join("out.jsonl")));
    let open = |path: &Path| Dataset::open(path).unwrap();
    let dataset = open(&path);
    let mut sink = ResultSink::open(&dataset, &field(), LabelType::Vector, output()).unwrap();
    for index in 0..2 {
        sink.put(
            &dataset.key(index).unwrap(),
            Some(&Label::Vector(vec![0.5])),
        )
        .unwrap();
    }
    drop(sink);
    fs::write(&path, "one\nTWO\n").unwrap();
    let dataset = open(&path);
    let sink = ResultSink::open(&dataset, &field(), LabelType::Vector, output()).unwrap();
    assert!(sink.is_done(0) && !sink.is_done(1));
}

#[test]
fn a_matrix_has_a_row_for_each_sample() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a.txt", "one\ntwo\nthree\n");
    let dataset = Dataset::open(&path).unwrap();
    let output = dir.path().join("out.npy");
    let vectors = [None, Some(vec![1.0, -2.5]), Some(vec![0.0, 4.0])];
    embed(&dataset, Output::Path(output.clone()), &vectors).unwrap();
    let bytes = fs::read(&output).unwrap();
    let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    assert!(
        header.contains("'<f4'") && header.contains("(3, 2)"),
        "{header}"
    );
    assert_eq!(bytes.len(), 128 + 3 * 2 * 4);
    let number = |at: usize| f32::from_le_bytes(bytes[128 + at * 4..][..4].try_into().unwrap());
    assert!(number(0).is_nan() && number(1).is_nan());
    assert_eq!(
        [number(2), number(3), number(4), number(5)],
        [1.0, -2.5, 0.0, 4.0]
    );

    let uneven = [Some(vec![1.0]), Some(vec![1.0, 2.0])];
    let output = dir.path().join("uneven.npy");
    let error = embed(&dataset, Output::Path(output.clone()), &uneven).unwrap_err();
    assert!(
        matches!(error, Error::VectorLength { index: 1, .. }),
        "{error}"
    );
    assert!(!output.exists());
    let sink = ResultSink::open(
        &dataset,
        &field(),
        LabelType::Classification,
        options(Output::Path(dir.path().join("labels.npy"))),
    );
    assert!(matches!(sink, Err(Error::OutputType { .. })));
}

#[test]
fn a_table_of_parquet_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a.txt", "one\ntwo\nthree\n");
    let dataset = Dataset::open(&path).unwrap();
    let output = dir.path().join("out.parquet");
    let vectors = [Some(vec![1.0, -2.5]), None, Some(vec![3.0])];
    embed(&dataset, Output::Path(output.clone()), &vectors).unwrap();
    assert_eq!(
        rows(&output),
        [
            json!({"text": "one", "embedding": [1.0, -2.5], "error": null}),
            json!({"text": "two", "embedding": null, "error": "no reason"}),
            json!({"text": "three", "embedding": [3.0], "error": null}),
        ]
    );

    let output = dir.path().join("labels.parquet");
    let target = options(Output::Path(output.clone()));
    let mut sink = ResultSink::open(&dataset, &field(), LabelType::Classification, target).unwrap();
    let cat = Classification {
        label: Some("cat".to_owned()),
        confidence: Some(0.5),
        ..Classification::default()
    };
    sink.put(&dataset.key(0).unwrap(), Some(&Label::Classification(cat)))
        .unwrap();
    sink.put(&dataset.key(1).unwrap(), None).unwrap();
    sink.commit().unwrap();
    let rows = rows(&output);
    assert_eq!(rows[0]["embedding_label"], "cat");
    assert_eq!(rows[0]["embedding_confidence"], 0.5);
    assert_eq!(rows[1]["embedding_label"], Value::Null);
}

#[test]
fn labels_with_parts_are_json_in_a_table_of_parquet() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a.txt", "one\ntwo\n");
    let dataset = Dataset::open(&path).unwrap();
    let output = dir.path().join("labels.parquet");
    let target = options(Output::Path(output.clone()));
    let kind = LabelType::Classifications;
    let mut sink = ResultSink::open(&dataset, &field(), kind, target).unwrap();
    let label = Label::Classifications(Classifications {
        logits: Some(vec![0.5, -1.0]),
        ..Classifications::default()
    });
    sink.put(&dataset.key(0).unwrap(), Some(&label)).unwrap();
    sink.commit().unwrap();
    let rows = rows(&output);
    let json: Value = serde_json::from_str(rows[0]["embedding"].as_str().unwrap()).unwrap();
    assert_eq!(json, label.to_json());
    assert_eq!(rows[1]["embedding"], Value::Null);
}

fn rows(path: &Path) -> Vec<Value> {
    let reader = SerializedFileReader::try_from(path).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    let json = |(name, field): (&String, &Field)| (name.clone(), value(field));
    rows.map(|row| row.unwrap().get_column_iter().map(json).collect())
        .collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Str(text) => json!(text),
        Field::Float(number) => json!(number),
        Field::Double(number) => json!(number),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dataset_of_images_takes_vectors_and_several_classes() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.png"), b"").unwrap();
    let dataset = Dataset::open(dir.path()).unwrap();
    embed(&dataset, Output::InPlace, &[Some(vec![1.0, 2.0])]).unwrap();
    let dataset = Dataset::open(dir.path()).unwrap();
    let label = dataset.label(0, "embedding").unwrap();
    assert_eq!(label, Some(Label::Vector(vec![1.0, 2.0])));
    let metadata = fs::read_to_string(dir.path().join("metadata.json")).unwrap();
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let fields = metadata["sample_fields"].as_array().unwrap();
    let declared = fields
        .iter()
        .find(|field| field["name"] == "embedding")
        .unwrap();
    assert_eq!(declared["ftype"], "fiftyone.core.fields.VectorField");
    // Again is fine; another type in its place is not.
    embed(&dataset, Output::InPlace, &[Some(vec![3.0])]).unwrap();
    let dataset = Dataset::open(dir.path()).unwrap();
    let sink = ResultSink::open(
        &dataset,
        &field(),
        LabelType::Classifications,
        options(Output::InPlace),
    );
    assert!(matches!(sink, Err(Error::FieldType { .. })));
}

#[test]
fn another_column_of_the_same_rows_is_another_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a.csv", "title,text\na,b\n");
    let open = |column: &str| {
        let text_field = Some(column.to_owned());
        Dataset::open_with(
            &path,
            OpenOptions {
                text_field,
                ..OpenOptions::default()
            },
        )
        .unwrap()
    };
    let output = || options(Output::Path(dir.path().join("out.jsonl")));
    let dataset = open("title");
    let mut sink = ResultSink::open(&dataset, &field(), LabelType::Vector, output()).unwrap();
    sink.put(&dataset.key(0).unwrap(), Some(&Label::Vector(vec![0.5])))
        .unwrap();
    drop(sink);
    let dataset = open("text");
    let sink = ResultSink::open(&dataset, &field(), LabelType::Vector, output()).unwrap();
    assert!(!sink.is_done(0));
}

#[test]
fn a_file_of_texts_is_not_its_own_output() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "{\"text\": \"a\"}\nnot json\n";
    let path = write(dir.path(), "a.jsonl", rows);
    let dataset = Dataset::open(&path).unwrap();
    let target = SinkOptions {
        overwrite: true,
        ..options(Output::Path(dir.path().join("./a.jsonl")))
    };
    let sink = ResultSink::open(&dataset, &field(), LabelType::Vector, target);
    assert!(matches!(sink, Err(Error::TableInPlace { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), rows);
    // A row that is no object is named by its place.
    let output = dir.path().join("out.jsonl");
    embed(
        &dataset,
        Output::Path(output.clone()),
        &[Some(vec![1.0]), None],
    )
    .unwrap();
    let lines = fs::read_to_string(&output).unwrap();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last, json!({"row": "a.jsonl:2", "error": "no reason"}));
}

#[test]
fn unclosed_quote_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let mut text = b"text\n\"".to_vec();
    text.resize(40 << 20, b'x');
    fs::write(&path, text).unwrap();
    let Err(error) = Dataset::open(&path) else {
        panic!("a row of 40 MiB");
    };
    assert!(
        error.to_string().contains("a quote without its end"),
        "{error}"
    );
}

#[test]
fn unsuitable_output_is_refused_when_the_sink_opens() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a.txt", "one\n");
    let dataset = Dataset::open(&path).unwrap();
    for name in ["text", "error", "filepath"] {
        let name: FieldName = name.parse().unwrap_or_else(|_| field());
        if name == field() {
            continue;
        }
        let target = options(Output::Path(dir.path().join("o.parquet")));
        let sink = ResultSink::open(&dataset, &name, LabelType::Vector, target);
        assert!(matches!(sink, Err(Error::FieldName { .. })));
    }
    let target = options(Output::Path(dir.path().join("o.jsonl")));
    let mut sink = ResultSink::open(&dataset, &field(), LabelType::Vector, target).unwrap();
    let vector = Label::Vector(vec![0.0; 5 << 20]);
    let error = sink
        .put(&dataset.key(0).unwrap(), Some(&vector))
        .unwrap_err();
    assert!(
        matches!(error, Error::VectorSize { index: 0, .. }),
        "{error}"
    );
}
