//! Applying a model to a dataset: decode, preprocess, forward and write overlap.
//!
//! The work is cut into batches. While the network computes one batch, the images of the next are
//! decoded and preprocessed on the same pool of threads; memory holds two batches, whatever the
//! size of the dataset.

use std::path::PathBuf;

use modelzoo_data::{
    Classification, Dataset, FieldName, Label, LabelType, Output, ResultSink, Sample, SinkOptions,
};
use modelzoo_runtime::{DecodeLimits, Input, PredictOptions, Prediction, decode_image_bytes};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::Error;
use crate::load::LoadedModel;

/// How many samples are computed at once when nothing else is said.
const BATCH_SIZE: usize = 16;

/// How to apply a model.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// The field that the labels are written to.
    pub label_field: String,
    /// Samples a batch; [`None`] for the default.
    pub batch_size: Option<usize>,
    /// Below this confidence (0 to 1) a sample gets no label; [`None`] for the model's own.
    pub confidence_thresh: Option<f32>,
    /// Keep the logits with each label.
    pub store_logits: bool,
    /// Where the labels go: a `.jsonl` file, or a directory for a new dataset. [`None`] for the
    /// dataset itself.
    pub output: Option<PathBuf>,
    /// Replace an output that is there.
    pub overwrite_output: bool,
}

/// Is told how far an [`LoadedModel::apply`] is.
pub trait Watch: Sync {
    /// So many samples of so many are done, failed ones included.
    fn progress(&self, done: usize, total: usize);
    /// A sample failed.
    fn failed(&self, sample: &str, reason: &str);
}

/// What applying a model did.
#[derive(Debug, Clone, Serialize)]
pub struct Applied {
    /// Samples in the dataset.
    pub samples: usize,
    /// Samples that got a label now.
    pub labelled: usize,
    /// Samples that an interrupted run had done before.
    pub resumed: usize,
    /// Samples that failed.
    pub failed: usize,
    /// The files that were written.
    pub written: Vec<PathBuf>,
}

/// A sample, by its place in the dataset and by its name.
struct Named {
    index: usize,
    name: String,
}

/// A batch on its way to the network.
#[derive(Default)]
struct Batch {
    /// The samples, each with the reason why it is not among the inputs, if it is not.
    samples: Vec<(Named, Option<String>)>,
    inputs: Vec<Input>,
}

impl LoadedModel {
    /// Applies the model to every sample of a dataset and writes the labels.
    ///
    /// A sample that cannot be read fails alone: it keeps what it had. Labels become visible all
    /// at once, at the end; a run that was interrupted goes on where it stopped.
    ///
    /// # Errors
    /// [`Error::Data`] when the dataset cannot be read or the labels written; [`Error::Runtime`] when the
    /// model fails on every sample of a batch.
    pub fn apply(
        &self,
        dataset: &Dataset,
        options: &ApplyOptions,
        watch: &dyn Watch,
    ) -> Result<Applied, Error> {
        let field: FieldName = options.label_field.parse()?;
        let provenance = self.provenance();
        let fingerprint =
            serde_json::json!([provenance, options.confidence_thresh, options.store_logits,]);
        let sink = SinkOptions {
            output: options
                .output
                .as_ref()
                .map_or(Output::InPlace, Output::from_path),
            overwrite: options.overwrite_output,
            // Not beside the dataset: one from somebody else could bring results along.
            staging: Some(self.results_dir.clone()),
            fingerprint: fingerprint.to_string(),
            provenance,
        };
        let sink = ResultSink::open(dataset, &field, LabelType::Classification, sink)?;
        let mut run = Run {
            model: self,
            predict: PredictOptions {
                confidence_thresh: options.confidence_thresh,
                classes: None,
                store_logits: options.store_logits,
            },
            watch,
            applied: Applied {
                samples: dataset.len(),
                labelled: 0,
                resumed: 0,
                failed: 0,
                written: Vec::new(),
            },
            sink,
        };
        run.all(dataset, options.batch_size.unwrap_or(BATCH_SIZE).max(1))?;
        run.finish()
    }
}

struct Run<'a> {
    model: &'a LoadedModel,
    predict: PredictOptions,
    watch: &'a dyn Watch,
    sink: ResultSink<'a>,
    applied: Applied,
}

impl Run<'_> {
    fn all(&mut self, dataset: &Dataset, batch_size: usize) -> Result<(), Error> {
        let mut todo = Vec::with_capacity(dataset.len());
        for index in 0..dataset.len() {
            if self.sink.is_done(index) {
                self.applied.resumed += 1;
            } else {
                todo.push(index);
            }
        }
        let mut batches = todo.chunks(batch_size);
        let mut current = prepare(self.model, dataset, batches.next().unwrap_or(&[]))?;
        while !current.samples.is_empty() {
            let (model, options) = (self.model, &self.predict);
            let next = batches.next().unwrap_or(&[]);
            let (results, prepared) = rayon::join(
                || forward(model, options, &current.inputs),
                || prepare(model, dataset, next),
            );
            self.write(current, results?)?;
            current = prepared?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        batch: Batch,
        results: Vec<Result<Prediction, String>>,
    ) -> Result<(), Error> {
        let mut results = results.into_iter();
        for (sample, unreadable) in batch.samples {
            let result = match unreadable {
                Some(reason) => Err(reason),
                None => results
                    .next()
                    .unwrap_or_else(|| Err("the model gave no answer".to_owned())),
            };
            match result {
                Ok(prediction) => {
                    self.sink.put(sample.index, label_of(prediction).as_ref())?;
                    self.applied.labelled += 1;
                }
                Err(reason) => {
                    self.sink.fail(sample.index, &reason)?;
                    self.watch.failed(&sample.name, &reason);
                    self.applied.failed += 1;
                }
            }
        }
        let done = self.applied.resumed + self.applied.labelled + self.applied.failed;
        self.watch.progress(done, self.applied.samples);
        Ok(())
    }

    fn finish(self) -> Result<Applied, Error> {
        let mut applied = self.applied;
        applied.written = self.sink.commit()?.paths;
        Ok(applied)
    }
}

/// Reads and preprocesses samples, in parallel.
fn prepare(model: &LoadedModel, dataset: &Dataset, indices: &[usize]) -> Result<Batch, Error> {
    let limits = DecodeLimits::default();
    let read = |sample: Sample| -> Result<Input, String> {
        let bytes = sample.read(limits.max_bytes).map_err(|e| e.to_string())?;
        let image = decode_image_bytes(&bytes, &limits).map_err(|e| e.to_string())?;
        model.model.preprocess(&image).map_err(|e| e.to_string())
    };
    let prepared: Vec<(Named, Result<Input, String>)> = indices
        .par_iter()
        .filter_map(|&index| dataset.sample(index).transpose())
        .map(|sample| {
            let sample = sample?;
            let named = Named {
                index: sample.index,
                name: sample.display().into_owned(),
            };
            Ok((named, read(sample)))
        })
        .collect::<Result<_, Error>>()?;
    let mut batch = Batch::default();
    for (sample, input) in prepared {
        match input {
            Ok(input) => {
                batch.inputs.push(input);
                batch.samples.push((sample, None));
            }
            Err(reason) => batch.samples.push((sample, Some(reason))),
        }
    }
    Ok(batch)
}

/// The label of a prediction; none where the model was not confident enough of any class and
/// nothing else was asked for.
fn label_of(prediction: Prediction) -> Option<Label> {
    match prediction {
        Prediction::Classification {
            label: None,
            logits: None,
            ..
        } => None,
        Prediction::Classification {
            label,
            confidence,
            logits,
        } => Some(Label::Classification(Classification {
            label,
            confidence: confidence.map(f64::from),
            logits,
            ..Classification::default()
        })),
        _ => None,
    }
}

/// One result for each input, in order. When a batch fails, each of it is tried alone, so that
/// one sample does not take the others along; when every one fails, the model is at fault.
fn forward(
    model: &LoadedModel,
    options: &PredictOptions,
    inputs: &[Input],
) -> Result<Vec<Result<Prediction, String>>, Error> {
    let error = match model.model.predict(inputs, options) {
        Ok(predictions) => return Ok(predictions.into_iter().map(Ok).collect()),
        Err(error) => error,
    };
    let results: Vec<_> = inputs
        .iter()
        .map(
            |input| match model.model.predict(std::slice::from_ref(input), options) {
                Ok(one) => one
                    .into_iter()
                    .next()
                    .ok_or_else(|| "the model gave no answer".to_owned()),
                Err(error) => Err(error.to_string()),
            },
        )
        .collect();
    // One alone may be at fault itself.
    if results.len() > 1 && results.iter().all(Result::is_err) {
        return Err(error.into());
    }
    Ok(results)
}
