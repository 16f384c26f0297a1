//! Results of a run, collected and written all at once.

use std::path::{Path, PathBuf};

use modelzoo_model::label::{Label, LabelType, vector};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::field::{FieldName, FieldNames};
use crate::results::{Results, Run};
use crate::sample::SampleKey;
use crate::writers::{self, Job, Output, Writer};

/// How results are kept and what is said about them.
#[derive(Clone, Debug, Default)]
pub struct SinkOptions {
    /// Where results go.
    pub output: Output,
    /// Whether an output other than the dataset may replace what is there.
    pub overwrite: bool,
    /// The directory for results until they are complete; none: beside the
    /// output. Name one that only the user writes to: an untrusted dataset
    /// could bring results along.
    pub staging: Option<PathBuf>,
    /// What decides the results besides the samples: the model's digest,
    /// arguments, thresholds. An interrupted run goes on where this is equal.
    pub fingerprint: String,
    /// What `metadata.json` says about the field's origin, under
    /// `info.modelzoo.<field>`.
    pub provenance: Value,
    /// What the parts of the labels are called, for `metadata.json`.
    pub names: FieldNames,
}

/// What a finished run wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The files and directories that changed or are new; none if no sample of a
    /// dataset that is written in place got a result.
    pub paths: Vec<PathBuf>,
    /// Samples with a result; a label that is null counts.
    pub written: usize,
    /// Samples that failed; they keep what they had.
    pub failed: usize,
}

/// Collects the results of one run for one field, on disk, and writes them all
/// at once at the end. Dropped before that, it leaves what there is for a later
/// run with the same fingerprint.
pub struct ResultSink<'d> {
    job: Job<'d>,
    writer: Box<dyn Writer>,
    results: Results,
}

impl<'d> ResultSink<'d> {
    /// Opens a sink for labels of type `kind` in `field` of `dataset`, and checks
    /// that the output can take them before any is computed.
    ///
    /// # Errors
    /// The dataset has something else in the field, the output exists already, is
    /// a link or cannot be written, or the staging directory cannot be.
    pub fn open(
        dataset: &'d Dataset,
        field: &FieldName,
        kind: LabelType,
        options: SinkOptions,
    ) -> Result<Self, Error> {
        let job = Job {
            dataset,
            field: field.clone(),
            kind,
            overwrite: options.overwrite,
            provenance: options.provenance,
            names: options.names,
        };
        let writer = writers::open(dataset, options.output)?;
        let directory = writer.prepare(&job)?;
        let results = Results::open(
            options.staging.as_deref().unwrap_or(&directory),
            &results_name(dataset, field, writer.name()),
            &Run {
                field: field.as_str(),
                label_type: kind.name(),
                fingerprint: &options.fingerprint,
            },
            dataset.len(),
            |index| dataset.key(index),
        )?;
        Ok(Self {
            job,
            writer,
            results,
        })
    }

    /// Whether an earlier run of the same fingerprint, or this one, has a result
    /// for a sample. Failed ones are not done: they are tried again.
    pub fn is_done(&self, index: usize) -> bool {
        self.results.is_done(index)
    }

    /// How many samples are done.
    pub fn done(&self) -> usize {
        self.results.done()
    }

    /// Records the label of a sample; none becomes null in the dataset.
    ///
    /// # Errors
    /// The label is of another type, there is no such sample, or the disk is full.
    pub fn put(&mut self, sample: &SampleKey, label: Option<&Label>) -> Result<(), Error> {
        if let Some(label) = label {
            self.check(sample.index, label)?;
        }
        self.results.put(sample, label)
    }

    /// Says at once what a label cannot be, not when everything is computed.
    fn check(&mut self, index: usize, label: &Label) -> Result<(), Error> {
        if label.kind() != self.job.kind {
            return Err(Error::LabelType {
                field: self.job.field.to_string(),
                wanted: self.job.kind.name(),
                found: label.kind().name(),
            });
        }
        match label {
            Label::Vector(vector) if vector.len() > vector::MAX_NUMBERS => Err(Error::VectorSize {
                index,
                found: vector.len(),
                limit: vector::MAX_NUMBERS,
            }),
            label => self.writer.check(index, label),
        }
    }

    /// Records why a sample has no result.
    ///
    /// # Errors
    /// There is no such sample, or the disk is full.
    pub fn fail(&mut self, sample: &SampleKey, why: &str) -> Result<(), Error> {
        self.results.fail(sample, why)
    }

    /// Writes all results to the output. At any moment the output is readable:
    /// either as it was, or with the field in place. What another run wrote to
    /// the dataset meanwhile is kept.
    ///
    /// # Errors
    /// The output cannot be written, or the dataset's samples are others by now.
    /// The results stay, and a run with the same fingerprint finds them done.
    pub fn commit(self) -> Result<Written, Error> {
        let written = self.results.done();
        let failed = self.results.failed();
        let paths = self.writer.commit(&self.job, &self.results)?;
        self.results.finish();
        Ok(Written {
            paths,
            written,
            failed,
        })
    }
}

/// A name for the results of this field and output, the same in every run.
fn results_name(dataset: &Dataset, field: &FieldName, output: &Path) -> String {
    let mut hash = Sha256::new();
    for part in [dataset.root(), output] {
        let part = part.as_os_str().as_encoded_bytes();
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hex::encode(hash.finalize());
    let digest = digest.get(..16).unwrap_or(&digest);
    format!(".modelzoo-{field}-{digest}.results")
}
