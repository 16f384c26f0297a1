//! Running a model over a dataset: decode, preprocess, forward and write overlap.
//!
//! The work is cut into batches. While the network computes one batch, the samples of the next are
//! read and prepared on the same pool of threads; memory holds two batches, whatever the size of
//! the dataset.

use std::path::{Path, PathBuf};

use modelzoo_data::{
    Dataset, FieldName, Label, LabelType, Output, ResultSink, Sample, SampleKey, SinkOptions,
};
use modelzoo_runtime::{DecodeLimits, Input, decode_image_bytes};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::Error;
use crate::models::loaded::LoadedModel;

/// How many samples are computed at once when nothing else is said.
const BATCH_SIZE: usize = 16;

/// Is told how far a run is.
pub trait Watch: Sync {
    /// So many samples of so many are done, failed ones included.
    fn progress(&self, done: usize, total: usize);
    /// A sample failed.
    fn failed(&self, sample: &str, reason: &str);
}

/// Ignores the progress of a run.
impl Watch for () {
    fn progress(&self, _: usize, _: usize) {}
    fn failed(&self, _: &str, _: &str) {}
}

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct Applied {
    /// Samples in the dataset.
    pub samples: usize,
    /// Samples that got a result now.
    pub labelled: usize,
    /// Samples that an interrupted run had done before.
    pub resumed: usize,
    /// Samples that failed.
    pub failed: usize,
    /// Texts that were longer than the model takes and lost their end.
    pub cut: usize,
    /// The files that were written.
    pub written: Vec<PathBuf>,
}

/// Where results go, and how many samples are computed at once.
pub(crate) struct Place<'a> {
    pub(crate) field: &'a str,
    pub(crate) batch_size: Option<usize>,
    pub(crate) output: Option<&'a Path>,
    pub(crate) overwrite: bool,
}

/// What is done with each sample.
pub(crate) trait Work: Sync {
    /// What the network takes for a sample.
    type Input: Send + Sync;

    /// The type of the results.
    fn kind(&self) -> LabelType;

    /// What decides the results besides the model and the samples.
    fn fingerprint(&self) -> serde_json::Value;

    /// Brings a sample to the network's input, or says why it cannot be.
    fn prepare(&self, sample: Sample) -> Result<Self::Input, String>;

    /// One result an input, in their order; [`None`] where there is none.
    fn forward(&self, inputs: &[Self::Input]) -> Result<Vec<Option<Label>>, Error>;
}

/// Reads, decodes and preprocesses an image.
pub(crate) fn image(model: &LoadedModel, sample: Sample) -> Result<Input, String> {
    let limits = DecodeLimits::default();
    let bytes = sample.read(limits.max_bytes).map_err(|e| e.to_string())?;
    let image = decode_image_bytes(&bytes, &limits).map_err(|e| e.to_string())?;
    model.model.preprocess(&image).map_err(|e| e.to_string())
}

/// Does the work on every sample of a dataset and writes the results.
pub(crate) fn run<W: Work>(
    model: &LoadedModel,
    work: &W,
    dataset: &Dataset,
    place: &Place<'_>,
    watch: &dyn Watch,
) -> Result<Applied, Error> {
    let field: FieldName = place.field.parse()?;
    let provenance = model.provenance();
    // The plan says all that the hook, the manifest and the arguments decided.
    let fingerprint = serde_json::json!([provenance, model.plan(), work.fingerprint()]);
    let options = SinkOptions {
        output: place
            .output
            .map_or(Output::InPlace, |path| Output::Path(path.to_owned())),
        overwrite: place.overwrite,
        // Not beside the dataset: one from somebody else could bring results along.
        staging: Some(model.results_dir.clone()),
        fingerprint: fingerprint.to_string(),
        provenance,
    };
    let sink = ResultSink::open(dataset, &field, work.kind(), options)?;
    let mut run = Run {
        work,
        watch,
        applied: Applied {
            samples: dataset.len(),
            labelled: 0,
            resumed: 0,
            failed: 0,
            cut: 0,
            written: Vec::new(),
        },
        sink,
    };
    run.all(dataset, place.batch_size.unwrap_or(BATCH_SIZE).max(1))?;
    run.finish()
}

/// A sample, by the key of its result and by its name.
struct Named {
    key: SampleKey,
    name: String,
}

/// A batch on its way to the network.
struct Batch<I> {
    /// The samples, each with the reason why it is not among the inputs, if it is not.
    samples: Vec<(Named, Option<String>)>,
    inputs: Vec<I>,
}

struct Run<'a, W: Work> {
    work: &'a W,
    watch: &'a dyn Watch,
    sink: ResultSink<'a>,
    applied: Applied,
}

impl<W: Work> Run<'_, W> {
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
        let mut current = prepare(self.work, dataset, batches.next().unwrap_or(&[]))?;
        while !current.samples.is_empty() {
            let work = self.work;
            let next = batches.next().unwrap_or(&[]);
            // Once anything has a result, the samples are at fault and not the model.
            let blame = self.applied.labelled + self.applied.resumed == 0;
            let (results, prepared) = rayon::join(
                || forward(work, &current.inputs, blame),
                || prepare(work, dataset, next),
            );
            self.write(current, results?)?;
            current = prepared?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        batch: Batch<W::Input>,
        results: Vec<Result<Option<Label>, String>>,
    ) -> Result<(), Error> {
        let mut results = results.into_iter();
        for (sample, unreadable) in batch.samples {
            let result = match unreadable {
                Some(reason) => Err(reason),
                None => results.next().unwrap_or_else(no_answer),
            };
            match result {
                Ok(label) => {
                    self.sink.put(&sample.key, label.as_ref())?;
                    self.applied.labelled += 1;
                }
                Err(reason) => {
                    self.sink.fail(&sample.key, &reason)?;
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

fn no_answer<T>() -> Result<T, String> {
    Err("the model gave no answer".to_owned())
}

/// Reads and prepares samples, in parallel.
fn prepare<W: Work>(
    work: &W,
    dataset: &Dataset,
    indices: &[usize],
) -> Result<Batch<W::Input>, Error> {
    let prepared: Vec<(Named, Result<W::Input, String>)> = indices
        .par_iter()
        .filter_map(|&index| dataset.sample(index).transpose())
        .map(|sample| {
            let sample = sample?;
            let named = Named {
                key: sample.key(),
                name: sample.display().into_owned(),
            };
            Ok((named, work.prepare(sample)))
        })
        .collect::<Result<_, Error>>()?;
    let mut batch = Batch {
        samples: Vec::with_capacity(prepared.len()),
        inputs: Vec::with_capacity(prepared.len()),
    };
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

/// One result for each input, in order. When a batch fails, each of it is tried alone, so that
/// one sample does not take the others along; when every one fails, the model is at fault, where
/// it may be blamed.
fn forward<W: Work>(
    work: &W,
    inputs: &[W::Input],
    blame: bool,
) -> Result<Vec<Result<Option<Label>, String>>, Error> {
    let error = match work.forward(inputs) {
        Ok(labels) => return Ok(labels.into_iter().map(Ok).collect()),
        Err(error) => error,
    };
    let alone = |input| match work.forward(std::slice::from_ref(input)) {
        Ok(one) => one.into_iter().next().map_or_else(no_answer, Ok),
        Err(error) => Err(error.to_string()),
    };
    let results: Vec<_> = inputs.iter().map(alone).collect();
    // One alone may be at fault itself.
    if blame && results.len() > 1 && results.iter().all(Result::is_err) {
        return Err(error);
    }
    Ok(results)
}
