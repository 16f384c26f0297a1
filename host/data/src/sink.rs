use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::commit;
use crate::dataset::{Dataset, Form};
use crate::label::{Label, LabelType, vector};
use crate::results::{Results, Run};
use crate::{Error, FieldName, metadata, replace, text};

/// Where results go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Into the dataset: the field is added to each sample of a FiftyOneDataset.
    /// A directory of images becomes a FiftyOneDataset by a `samples.json` and a
    /// `metadata.json` beside the images, and stays a directory of images: those
    /// that are put there later become samples with the next run.
    #[default]
    InPlace,
    /// One line of JSON a sample: `{"filepath": …, "<field>": label}` or
    /// `{"filepath": …, "error": "why"}`.
    ///
    /// For a file of texts, the row as an object with the field added.
    Jsonl(PathBuf),
    /// A matrix of f32 in numpy's format, one row a sample in the order of the dataset; a sample
    /// that failed is a row of NaN. Embeddings alone.
    Npy(PathBuf),
    /// A table in Apache Parquet's format, one row a sample: `filepath` or `text`; the field, as
    /// a list of f32, or as `<field>_label` and `<field>_confidence`; and `error`.
    Parquet(PathBuf),
    /// A new FiftyOneDataset in this directory. Media are not copied: a path is
    /// relative if the file is in this directory, else absolute.
    Dataset(PathBuf),
}

impl Output {
    /// What a path on the command line means: lines of JSON if it ends in
    /// `.jsonl` or `.ndjson`, `.npy` and `.parquet` as they say, else a new dataset.
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let end = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        match end.as_deref().and_then(std::ffi::OsStr::to_str) {
            Some("jsonl" | "ndjson") => Self::Jsonl(path),
            Some("npy") => Self::Npy(path),
            Some("parquet") => Self::Parquet(path),
            _ => Self::Dataset(path),
        }
    }

    /// The path of an output that is one file.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Jsonl(path) | Self::Npy(path) | Self::Parquet(path) => Some(path),
            Self::InPlace | Self::Dataset(_) => None,
        }
    }
}

/// How results are kept and what is said about them.
#[derive(Clone, Debug, Default)]
pub struct SinkOptions {
    /// Where results go.
    pub output: Output,
    /// Whether an output other than the dataset may replace what is there.
    pub overwrite: bool,
    /// The directory for results until they are complete; none: beside the
    /// output. Name one that only the user writes to: a dataset from somebody
    /// else could bring results along.
    pub staging: Option<PathBuf>,
    /// What decides the results besides the samples: the model's digest,
    /// arguments, thresholds. An interrupted run goes on where this is equal.
    pub fingerprint: String,
    /// What `metadata.json` says about the field's origin, under
    /// `info.modelzoo.<field>`.
    pub provenance: Value,
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
    pub(crate) dataset: &'d Dataset,
    pub(crate) field: FieldName,
    pub(crate) kind: LabelType,
    pub(crate) target: Output,
    pub(crate) overwrite: bool,
    pub(crate) provenance: Value,
    pub(crate) results: Results,
    /// How many numbers the vectors of a matrix have, once one is known.
    width: Option<usize>,
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
        let SinkOptions {
            output,
            overwrite,
            staging,
            fingerprint,
            provenance,
        } = options;
        let target = resolve(dataset, output)?;
        check_target(dataset, field, &target, kind)?;
        if target.file().is_none() {
            check_field(dataset, field, kind)?;
        }
        let directory = prepare(dataset, field, &target, overwrite)?;
        let results = Results::open(
            staging.as_deref().unwrap_or(&directory),
            &results_name(dataset, field, &target),
            &Run::new(field.as_str(), kind.name(), &fingerprint),
            dataset.len(),
            |index| dataset.stored(index),
        )?;
        Ok(Self {
            dataset,
            field: field.clone(),
            kind,
            target,
            overwrite,
            provenance,
            results,
            width: None,
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
    pub fn put(&mut self, index: usize, label: Option<&Label>) -> Result<(), Error> {
        let text = match label {
            None => b"null".to_vec(),
            Some(label) if label.kind() == self.kind => text::to_json(&label.to_json()),
            Some(label) => {
                return Err(Error::LabelType {
                    field: self.field.to_string(),
                    wanted: self.kind.name(),
                    found: label.kind().name(),
                });
            }
        };
        self.check_vector(index, label)?;
        let filepath = self.dataset.stored(index)?.unwrap_or_default();
        self.results.put(index, &filepath, &text)
    }

    /// Says at once what a vector cannot be, not when everything is computed.
    fn check_vector(&mut self, index: usize, label: Option<&Label>) -> Result<(), Error> {
        let Some(Label::Vector(vector)) = label else {
            return Ok(());
        };
        if vector.len() > vector::MAX_NUMBERS {
            return Err(Error::VectorSize {
                index,
                found: vector.len(),
                limit: vector::MAX_NUMBERS,
            });
        }
        let Output::Npy(path) = &self.target else {
            return Ok(());
        };
        let wanted = *self.width.get_or_insert(vector.len());
        if wanted == vector.len() {
            return Ok(());
        }
        Err(Error::VectorLength {
            path: path.clone(),
            index,
            wanted,
            found: vector.len(),
        })
    }

    /// Records why a sample has no result.
    ///
    /// # Errors
    /// There is no such sample, or the disk is full.
    pub fn fail(&mut self, index: usize, why: &str) -> Result<(), Error> {
        let filepath = self.dataset.stored(index)?.unwrap_or_default();
        self.results.fail(index, &filepath, why)
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
        let in_place = self.target == Output::InPlace;
        let paths = if in_place && written == 0 {
            Vec::new()
        } else {
            commit::commit(&self)?
        };
        self.results.finish();
        Ok(Written {
            paths,
            written,
            failed,
        })
    }
}

/// The output with an absolute path; a dataset in the dataset's own directory is
/// the dataset itself.
fn resolve(dataset: &Dataset, output: Output) -> Result<Output, Error> {
    let absolute = |path: PathBuf| std::path::absolute(&path).map_err(Error::io("find", path));
    Ok(match output {
        Output::InPlace => Output::InPlace,
        Output::Jsonl(path) => Output::Jsonl(absolute(path)?),
        Output::Npy(path) => Output::Npy(absolute(path)?),
        Output::Parquet(path) => Output::Parquet(absolute(path)?),
        Output::Dataset(path) => match fs::canonicalize(&path) {
            Ok(path) if path == dataset.root() => Output::InPlace,
            Ok(path) => Output::Dataset(path),
            Err(_) => Output::Dataset(absolute(path)?),
        },
    })
}

/// Checks that `target` has a place for results of such samples and of this type.
fn check_target(
    dataset: &Dataset,
    field: &FieldName,
    target: &Output,
    kind: LabelType,
) -> Result<(), Error> {
    if let Form::Texts(table) = &dataset.form {
        let itself = |path: &Path| match (fs::canonicalize(path), fs::canonicalize(table.path())) {
            (Ok(output), Ok(table)) => output == table,
            _ => false,
        };
        if target.file().is_none_or(itself) {
            return Err(Error::TableInPlace {
                path: table.path().to_owned(),
            });
        }
    }
    let takes = match target {
        Output::Npy(_) => kind == LabelType::Vector,
        Output::Parquet(_) => kind != LabelType::Classifications,
        _ => true,
    };
    let columns = ["text", "filepath", "error"];
    if target.file().is_some() && columns.contains(&field.as_str()) {
        return Err(Error::FieldName {
            name: field.to_string(),
            reason: "the output has something else under this name",
        });
    }
    match target.file() {
        Some(path) if !takes => Err(Error::OutputType {
            path: path.to_owned(),
            found: kind.name(),
        }),
        _ => Ok(()),
    }
}

/// Checks that `target` can be written; returns the directory that it is in.
fn prepare(
    dataset: &Dataset,
    field: &FieldName,
    target: &Output,
    overwrite: bool,
) -> Result<PathBuf, Error> {
    let directory = match target {
        Output::InPlace => {
            match &dataset.form {
                Form::Texts(_) => {}
                Form::Images => {
                    let path = metadata::path(dataset.root());
                    replace::check(&path, true)?;
                    if path.exists() && !metadata::is_of_directory(&path) {
                        return Err(Error::NotOurs { path });
                    }
                }
                Form::FiftyOne {
                    documents,
                    metadata,
                } => {
                    let Some(metadata) = metadata else {
                        return Err(Error::NoMetadata {
                            path: metadata::path(dataset.root()),
                        });
                    };
                    // Says early what would stand in the way at the end.
                    metadata.with_provenance(field, &Value::Bool(true))?;
                    replace::check(&metadata.path, true)?;
                    replace::check(documents.path(), true)?;
                }
            }
            dataset.root().to_owned()
        }
        Output::Jsonl(path) | Output::Npy(path) | Output::Parquet(path) => {
            replace::check(path, overwrite)?;
            path.parent().unwrap_or(Path::new("/")).to_owned()
        }
        Output::Dataset(path) => {
            commit::check_shareable(dataset)?;
            for file in [metadata::path(path), path.join("samples.json")] {
                replace::check(&file, overwrite)?;
            }
            fs::create_dir_all(path).map_err(Error::io("create", path))?;
            path.clone()
        }
    };
    replace::check_directory(&directory)?;
    Ok(directory)
}

/// Checks that the samples have nothing else in `field`. Fields that
/// `metadata.json` does not declare are looked for in the samples themselves.
pub(crate) fn check_field(
    dataset: &Dataset,
    field: &FieldName,
    kind: LabelType,
) -> Result<(), Error> {
    let Form::FiftyOne {
        documents,
        metadata,
    } = &dataset.form
    else {
        return Ok(());
    };
    if let Some(metadata) = metadata
        && metadata.declares(field, kind)?
    {
        return Ok(());
    }
    for index in 0..documents.len() {
        commit::check_document(documents, index, field, kind)?;
    }
    Ok(())
}

/// A name for the results of this field and output, the same in every run.
fn results_name(dataset: &Dataset, field: &FieldName, target: &Output) -> String {
    let mut hash = Sha256::new();
    for part in [
        dataset.root().as_os_str().as_encoded_bytes(),
        format!("{target:?}").as_bytes(),
    ] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hex::encode(hash.finalize());
    let digest = digest.get(..16).unwrap_or(&digest);
    format!(".modelzoo-{field}-{digest}.results")
}
