//! Runs driven by a model without weights.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use modelzoo_data::Dataset;
use modelzoo_model::output::{Output, Scores};
use modelzoo_model::plan::{Embeddings, Size};
use modelzoo_model::sample::{
    ImageInput, Input, Media, MediaKind, Origin, Prepared, Sample, Tokens,
};
use modelzoo_model::task::{Classification, Task};
use modelzoo_model::{Model, ModelError};
use serde_json::{Value, json};

use crate::error::Error;
use crate::runs::apply::ApplyOptions;
use crate::runs::embed::EmbedOptions;
use crate::runs::run::{Applied, Runner, Watch};

const CLASSES: [&str; 3] = ["zero", "one", "two"];
/// The content of a file that the network fails on, whatever is computed with it.
const POISON: u8 = 255;

/// A model whose class for an image is the file's only byte.
struct Fake {
    task: Option<Task>,
    embeddings: Embeddings,
    reads_fields: bool,
    /// How many samples each call of the network had.
    batches: Mutex<Vec<usize>>,
}

impl Fake {
    fn new() -> Self {
        Self {
            task: Some(Task::Classification(Classification {
                classes: CLASSES.map(str::to_owned).to_vec(),
                ..Classification::default()
            })),
            embeddings: Embeddings::default(),
            reads_fields: false,
            batches: Mutex::default(),
        }
    }
}

/// The byte of an image, or the length of a text.
fn value(sample: &Prepared) -> usize {
    match &sample.input {
        Input::Image(image) => image.values()[0] as usize,
        Input::Text(tokens) => tokens.ids().len(),
    }
}

impl Model for Fake {
    fn takes(&self, _: MediaKind) -> bool {
        true
    }

    fn predicts(&self, kind: MediaKind) -> bool {
        kind == MediaKind::Images
    }

    fn task(&self) -> Option<&Task> {
        self.task.as_ref()
    }

    fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    fn set_embeddings_layer(&mut self, layer: &str) -> Result<(), ModelError> {
        Err(ModelError::new(format!("no layer `{layer}`"), None))
    }

    fn reads_fields(&self) -> bool {
        self.reads_fields
    }

    fn prepare(&self, sample: Sample) -> Result<Prepared, ModelError> {
        let input = match sample.media {
            Media::Image(bytes) => {
                let [byte] = bytes[..] else {
                    return Err(ModelError::new("not an image", None));
                };
                let (height, width) = (1, 1);
                let values = vec![f32::from(byte)];
                Input::Image(ImageInput::new(Size { height, width }, 1, values).unwrap())
            }
            Media::Text(text) => {
                let ids: Vec<u32> = text.chars().take(4).map(u32::from).collect();
                Input::Text(Tokens::new(ids, text.chars().count() > 4))
            }
        };
        let origin = Origin {
            transform: None,
            fields: sample.fields,
        };
        Ok(Prepared { input, origin })
    }

    fn predict(&self, samples: &[Prepared]) -> Result<Vec<Output>, ModelError> {
        self.batches.lock().unwrap().push(samples.len());
        let scores = |sample| {
            let value = value(sample);
            if value == usize::from(POISON) {
                return Err(ModelError::new("it does not fit", None));
            }
            let scores = (0..CLASSES.len()).map(|class| f32::from(u8::from(class == value)));
            Ok(Output::Scores(Scores::new(scores.collect()).unwrap()))
        };
        samples.iter().map(scores).collect()
    }

    fn embed(&self, samples: &[Prepared]) -> Result<Vec<Vec<f32>>, ModelError> {
        let vector = |sample: &Prepared| {
            let weight = sample.origin.fields.get("weight").and_then(Value::as_f64);
            vec![value(sample) as f32, weight.unwrap_or_default() as f32]
        };
        Ok(samples.iter().map(vector).collect())
    }
}

#[derive(Default)]
struct Seen {
    failed: Mutex<Vec<(String, String)>>,
    progress: Mutex<Vec<(usize, usize)>>,
}

impl Watch for Seen {
    fn progress(&self, done: usize, total: usize) {
        self.progress.lock().unwrap().push((done, total));
    }

    fn failed(&self, sample: &str, reason: &str) {
        let failure = (sample.to_owned(), reason.to_owned());
        self.failed.lock().unwrap().push(failure);
    }
}

struct World {
    dir: tempfile::TempDir,
    seen: Seen,
}

impl World {
    /// A FiftyOneDataset with a file per content; the field `weight` is ten times its number.
    fn with_files(contents: &[&[u8]]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("dataset/data");
        std::fs::create_dir_all(&data).unwrap();
        let mut samples = Vec::new();
        for (index, content) in contents.iter().enumerate() {
            std::fs::write(data.join(format!("{index}.png")), content).unwrap();
            samples.push(json!({
                "_id": { "$oid": format!("{index:024x}") },
                "filepath": format!("data/{index}.png"),
                "weight": 10 * index,
            }));
        }
        let write = |name: &str, value: Value| {
            std::fs::write(dir.path().join("dataset").join(name), value.to_string()).unwrap();
        };
        write("samples.json", json!({ "samples": samples }));
        write("metadata.json", json!({ "sample_fields": [] }));
        Self {
            dir,
            seen: Seen::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn dataset(&self) -> Dataset {
        Dataset::open(&self.path("dataset")).unwrap()
    }

    fn runner<'a>(&self, model: &'a dyn Model) -> Runner<'a> {
        Runner::new(model, "fake", json!("fake"), self.path("staging"))
            .with_provenance(json!({ "model": "fake" }))
    }

    fn apply(&self, model: &Fake, options: &ApplyOptions) -> Result<Applied, Error> {
        self.runner(model)
            .apply(&self.dataset(), options, &self.seen)
    }
}

fn options(output: &Path) -> ApplyOptions {
    ApplyOptions {
        label_field: "p".to_owned(),
        batch_size: Some(3),
        confidence_thresh: None,
        classes: None,
        store_logits: false,
        output: Some(output.to_owned()),
        overwrite_output: false,
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

#[test]
fn bad_samples_do_not_fail_their_batch() {
    let world = World::with_files(&[&[2], b"long", &[0], &[1], &[POISON], &[2], &[1]]);
    let model = Fake::new();
    let output = world.path("labels.jsonl");
    let applied = world.apply(&model, &options(&output)).unwrap();
    let counts = (applied.samples, applied.labelled, applied.failed);
    assert_eq!(counts, (7, 5, 2));
    let labels: Vec<_> = lines(&output)
        .iter()
        .map(|line| line["p"]["label"].as_str().map(str::to_owned))
        .collect();
    let want = ["two", "", "zero", "one", "", "two", "one"];
    let want = want.map(|class| (!class.is_empty()).then(|| class.to_owned()));
    assert_eq!(labels, want);
    let failed = world.seen.failed.lock().unwrap();
    let reasons: Vec<_> = failed.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["not an image", "it does not fit"]);
    // Of the second batch each sample is tried alone.
    assert_eq!(*model.batches.lock().unwrap(), [2, 3, 1, 1, 1, 1]);
    assert_eq!(world.seen.progress.lock().unwrap().last(), Some(&(7, 7)));
}

#[test]
fn labels_are_written_into_the_dataset() {
    let world = World::with_files(&[&[1], &[2]]);
    let options = ApplyOptions {
        output: None,
        ..options(Path::new(""))
    };
    world.apply(&Fake::new(), &options).unwrap();
    let dataset = world.dataset();
    let label = dataset.label(1, "p").unwrap().unwrap();
    assert_eq!(label.to_json()["label"], json!("two"));
    let metadata = std::fs::read_to_string(world.path("dataset/metadata.json")).unwrap();
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["info"]["modelzoo"]["p"]["model"], json!("fake"));
}

#[test]
fn model_that_fails_on_everything_is_at_fault() {
    let world = World::with_files(&[&[POISON], &[POISON]]);
    let output = world.path("labels.jsonl");
    let error = world.apply(&Fake::new(), &options(&output)).unwrap_err();
    assert!(matches!(error, Error::Model(_)), "{error}");
    assert!(!output.exists());
}

#[test]
fn what_a_task_does_not_allow_is_refused_before_anything_is_read() {
    let world = World::with_files(&[&[1]]);
    let output = world.path("labels.jsonl");
    let mut model = Fake::new();
    let classes = ApplyOptions {
        classes: Some(vec!["three".to_owned()]),
        ..options(&output)
    };
    let error = world.apply(&model, &classes).unwrap_err();
    assert!(matches!(error, Error::Options(_)), "{error}");
    model.task = None;
    let error = world.apply(&model, &options(&output)).unwrap_err();
    assert!(matches!(error, Error::NoLabels { .. }), "{error}");
    let texts = world.path("texts.txt");
    std::fs::write(&texts, "a\nb\n").unwrap();
    let texts = Dataset::open(&texts).unwrap();
    let model = Fake::new();
    let runner = world.runner(&model);
    let error = runner.apply(&texts, &options(&output), &world.seen);
    let error = error.unwrap_err();
    assert!(matches!(error, Error::WrongSamples { .. }), "{error}");
    assert!(model.batches.lock().unwrap().is_empty());
}

fn embed_options(output: &Path) -> EmbedOptions {
    EmbedOptions {
        field: "e".to_owned(),
        batch_size: Some(2),
        output: Some(output.to_owned()),
        overwrite_output: true,
    }
}

#[test]
fn fields_are_read_for_a_model_that_wants_them() {
    let world = World::with_files(&[&[7], &[8], &[9]]);
    let mut model = Fake::new();
    let output = world.path("vectors.npy");
    for (reads_fields, weights) in [(false, [0.0; 3]), (true, [0.0, 10.0, 20.0])] {
        model.reads_fields = reads_fields;
        let runner = Runner::new(&model, "fake", json!(reads_fields), world.path("staging"));
        let dataset = world.dataset();
        runner
            .embed(&dataset, &embed_options(&output), &world.seen)
            .unwrap();
        let bytes = std::fs::read(&output).unwrap();
        let array = modelzoo_model::label::npy::decode(&bytes).unwrap();
        assert_eq!(array.shape(), [3, 2]);
        let [a, b, c] = weights;
        let numbers: Vec<_> = array.numbers().collect();
        assert_eq!(numbers, [7.0, a, 8.0, b, 9.0, c]);
    }
}

#[test]
fn texts_that_lose_their_end_are_counted() {
    let world = World::with_files(&[]);
    let texts = world.path("texts.txt");
    std::fs::write(&texts, "abc\nabcdefg\nabcdefghi\n").unwrap();
    let dataset = Dataset::open(&texts).unwrap();
    let model = Fake::new();
    let output = world.path("vectors.jsonl");
    let runner = world.runner(&model);
    let applied = runner
        .embed(&dataset, &embed_options(&output), &world.seen)
        .unwrap();
    assert_eq!((applied.labelled, applied.cut), (3, 2));
    assert_eq!(lines(&output).len(), 3);
}
