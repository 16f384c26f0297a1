//! Running a model over a dataset: decode, preprocess, forward and write overlap.
//!
//! The work is cut into batches. While the network computes one batch, the samples of the next are
//! read and prepared on the same pool of threads; memory holds two batches, whatever the size of
//! the dataset.

use std::ops::Range;
use std::path::{Path, PathBuf};

use modelzoo_base::Remedy;
use modelzoo_base::budget::Budget;
use modelzoo_data::{
    Dataset, FieldName, FieldNames, Label, LabelType, MediaError, Output, ResultSink, Sample,
    SampleKey, SinkOptions,
};
use modelzoo_model::Model;
use modelzoo_model::sample::{self, Fields, Input, MAX_IMAGE_BYTES, Media, MediaKind, Prepared};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;

/// The memory that image files may take that are read at the same time, in bytes.
pub(crate) static FILES: Budget = Budget::new(1 << 30);

/// How many samples are computed at once when nothing else is said.
const BATCH_SIZE: usize = 16;
/// How many things that would help failed samples are kept.
const MAX_REMEDIES: usize = 4;

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
    /// Texts that were longer than the model allows and lost their end.
    pub cut: usize,
    /// The files that were written.
    pub written: Vec<PathBuf>,
    /// What would help samples that failed, each once.
    #[serde(rename = "hints", skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
}

/// Where results go, and how many samples are computed at once.
pub(crate) struct Place<'a> {
    pub(crate) field: &'a str,
    pub(crate) batch_size: Option<usize>,
    pub(crate) output: Option<&'a Path>,
    pub(crate) overwrite: bool,
}

/// A model, and what a run over a dataset has to know of it.
pub struct Runner<'a> {
    pub(crate) model: &'a dyn Model,
    pub(crate) name: String,
    /// What decides the results besides the samples and the user's options.
    fingerprint: Value,
    provenance: Value,
    staging: PathBuf,
}

impl<'a> Runner<'a> {
    /// A model under the name that messages give it. What decides its results goes into
    /// `fingerprint`: an interrupted run is resumed by one of the same. Results are kept in
    /// `staging`, a directory of the caller's, until they are complete.
    pub fn new(
        model: &'a dyn Model,
        name: impl Into<String>,
        fingerprint: Value,
        staging: impl Into<PathBuf>,
    ) -> Self {
        Self {
            model,
            name: name.into(),
            fingerprint,
            provenance: Value::Null,
            staging: staging.into(),
        }
    }

    /// Records beside the labels where they come from.
    #[must_use]
    pub fn with_provenance(self, provenance: Value) -> Self {
        Self { provenance, ..self }
    }

    /// Checks that the model takes the kind of samples that a dataset has.
    pub(crate) fn check_samples(
        &self,
        dataset: &Dataset,
        takes: impl Fn(MediaKind) -> bool,
    ) -> Result<(), Error> {
        let (given, other) = match dataset.is_of_texts() {
            true => (MediaKind::Texts, MediaKind::Images),
            false => (MediaKind::Images, MediaKind::Texts),
        };
        if takes(given) {
            return Ok(());
        }
        Err(Error::WrongSamples {
            model: self.name.clone(),
            takes: other.name(),
            gives: dataset.kind(),
        })
    }

    /// Does the work on every sample of a dataset and writes the results.
    pub(crate) fn run(
        &self,
        work: &dyn Work,
        dataset: &Dataset,
        place: &Place<'_>,
        watch: &dyn Watch,
    ) -> Result<Applied, Error> {
        let field: FieldName = place.field.parse()?;
        let fingerprint =
            serde_json::json!([self.provenance, self.fingerprint, work.fingerprint()]);
        let options = SinkOptions {
            output: place
                .output
                .map_or(Output::InPlace, |path| Output::Path(path.to_owned())),
            overwrite: place.overwrite,
            // Not beside the dataset: an untrusted one could bring results along.
            staging: Some(self.staging.clone()),
            fingerprint: fingerprint.to_string(),
            provenance: self.provenance.clone(),
            names: work.names(),
        };
        let sink = ResultSink::open(dataset, &field, work.kind(), options)?;
        let mut run = Run {
            model: self.model,
            work,
            watch,
            applied: Applied {
                samples: dataset.len(),
                labelled: 0,
                resumed: 0,
                failed: 0,
                cut: 0,
                written: Vec::new(),
                remedies: Vec::new(),
            },
            sink,
        };
        run.all(dataset, place.batch_size.unwrap_or(BATCH_SIZE).max(1))?;
        run.finish()
    }
}

/// What is done with the samples.
pub(crate) trait Work: Sync {
    /// The type of the results.
    fn kind(&self) -> LabelType;

    /// What the parts of the results are called.
    fn names(&self) -> FieldNames {
        FieldNames::default()
    }

    /// What decides the results besides the model and the samples.
    fn fingerprint(&self) -> Value;

    /// One result per sample, in their order; [`None`] where there is none.
    fn forward(&self, samples: &[Prepared]) -> Result<Vec<Option<Label>>, Error>;
}

/// Adds what would make a sample usable to what is suggested at the end, once.
pub(crate) fn suggest(known: &mut Vec<Remedy>, remedy: Option<Remedy>) {
    known.extend(remedy.filter(|new| known.len() < MAX_REMEDIES && !known.contains(new)));
}

/// A sample, by the key of its result and by its name.
struct Named {
    key: SampleKey,
    name: String,
}

/// Why a sample cannot be prepared, without its name.
struct Unusable {
    reason: String,
    remedy: Option<Remedy>,
}

impl From<MediaError> for Unusable {
    fn from(error: MediaError) -> Self {
        Self {
            reason: error.reason(),
            remedy: error.remedy(),
        }
    }
}

/// A batch on its way to the network.
struct Batch {
    /// The samples, each with the reason why it is not among those that are prepared, if it is
    /// not.
    samples: Vec<(Named, Option<Unusable>)>,
    prepared: Vec<Prepared>,
    /// Texts that lost their end.
    cut: usize,
}

struct Run<'a> {
    model: &'a dyn Model,
    work: &'a dyn Work,
    watch: &'a dyn Watch,
    sink: ResultSink<'a>,
    applied: Applied,
}

impl Run<'_> {
    fn all(&mut self, dataset: &Dataset, batch_size: usize) -> Result<(), Error> {
        let is_done = |index: &usize| self.sink.is_done(*index);
        self.applied.resumed = (0..dataset.len()).filter(is_done).count();
        let mut left = 0..dataset.len();
        let (model, work) = (self.model, self.work);
        let mut current = prepare(model, dataset, &self.next_batch(&mut left, batch_size))?;
        while !current.samples.is_empty() {
            let next = self.next_batch(&mut left, batch_size);
            // Once anything has a result, the samples are at fault and not the model.
            let blame = self.applied.labelled + self.applied.resumed == 0;
            let (results, prepared) = rayon::join(
                || forward(work, &current.prepared, blame),
                || prepare(model, dataset, &next),
            );
            self.write(current, results?)?;
            current = prepared?;
        }
        Ok(())
    }

    /// The next samples without a result.
    fn next_batch(&self, left: &mut Range<usize>, batch_size: usize) -> Vec<usize> {
        let waiting = left.filter(|index| !self.sink.is_done(*index));
        waiting.take(batch_size).collect()
    }

    fn write(
        &mut self,
        batch: Batch,
        results: Vec<Result<Option<Label>, String>>,
    ) -> Result<(), Error> {
        self.applied.cut += batch.cut;
        let mut results = results.into_iter();
        for (sample, unreadable) in batch.samples {
            let result = match unreadable {
                Some(Unusable { reason, remedy }) => {
                    self.suggest(remedy);
                    Err(reason)
                }
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

    /// Keeps what would help, once.
    fn suggest(&mut self, remedy: Option<Remedy>) {
        suggest(&mut self.applied.remedies, remedy);
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
fn prepare(model: &dyn Model, dataset: &Dataset, indices: &[usize]) -> Result<Batch, Error> {
    let samples: Vec<(Named, Result<Prepared, Unusable>)> = indices
        .par_iter()
        .filter_map(|&index| dataset.sample(index).transpose())
        .map(|sample| {
            let sample = sample?;
            let named = Named {
                key: sample.key(),
                name: sample.display(),
            };
            Ok((named, prepare_one(model, sample)))
        })
        .collect::<Result<_, Error>>()?;
    let mut batch = Batch {
        samples: Vec::with_capacity(samples.len()),
        prepared: Vec::with_capacity(samples.len()),
        cut: 0,
    };
    for (sample, prepared) in samples {
        match prepared {
            Ok(prepared) => {
                batch.cut += usize::from(is_cut(&prepared));
                batch.prepared.push(prepared);
                batch.samples.push((sample, None));
            }
            Err(reason) => batch.samples.push((sample, Some(reason))),
        }
    }
    Ok(batch)
}

/// Brings a sample to the network's input, or says why it cannot be.
fn prepare_one(model: &dyn Model, sample: Sample) -> Result<Prepared, Unusable> {
    let fields = match &sample.document {
        Some(document) if model.reads_fields() => document.values(),
        Some(_) | None => Fields::new(),
    };
    // Held until the network's input is there.
    let _share = FILES.take(sample.file_bytes().min(MAX_IMAGE_BYTES));
    let media = match &sample.text {
        Some(_) => Media::Text(sample.into_text()?),
        None => Media::Image(sample.read(MAX_IMAGE_BYTES)?),
    };
    let sample = sample::Sample { media, fields };
    model.prepare(sample).map_err(|error| Unusable {
        reason: error.to_string(),
        remedy: error.remedy(),
    })
}

fn is_cut(prepared: &Prepared) -> bool {
    match &prepared.input {
        Input::Image(_) => false,
        Input::Text(tokens) => tokens.is_cut(),
    }
}

/// One result per sample, in order. When a batch fails, each of it is tried alone, so that one
/// sample does not make the others fail; when every one fails, the model is at fault, where it may
/// be blamed.
fn forward(
    work: &dyn Work,
    samples: &[Prepared],
    blame: bool,
) -> Result<Vec<Result<Option<Label>, String>>, Error> {
    let error = match work.forward(samples) {
        Ok(labels) => return Ok(labels.into_iter().map(Ok).collect()),
        Err(error) => error,
    };
    let alone = |sample| match work.forward(std::slice::from_ref(sample)) {
        Ok(one) => one.into_iter().next().map_or_else(no_answer, Ok),
        Err(error) => Err(error.to_string()),
    };
    let results: Vec<_> = samples.iter().map(alone).collect();
    // One alone may be at fault itself.
    if blame && results.len() > 1 && results.iter().all(Result::is_err) {
        return Err(error);
    }
    Ok(results)
}
