//! Result formats, written: one file per format, one line of [`FILES`] for those that are one
//! file.

mod companions;
mod editor;
mod in_place;
mod jsonl;
mod new_dataset;
mod new_documents;
mod npy;
mod parquet;

use std::fs;
use std::path::{Path, PathBuf};

use modelzoo_model::label::{Label, LabelType};
use serde_json::Value;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::field::{FieldName, FieldNames};
use crate::replace;
use crate::results::Results;

/// The formats that are one file.
const FILES: &[FileFormat] = &[jsonl::FORMAT, npy::FORMAT, parquet::FORMAT];

/// Where results go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Into the dataset: the field is added to each sample of a FiftyOneDataset.
    /// A directory of images becomes a FiftyOneDataset by a `samples.json` and a
    /// `metadata.json` beside the images, and stays a directory of images: those
    /// that are put there later become samples with the next run.
    #[default]
    InPlace,
    /// To this path, in the format that its name says:
    ///
    /// - `.jsonl`, `.ndjson`: one line of JSON per sample, `{"filepath": …, "<field>": label}`
    ///   or `{"filepath": …, "error": "why"}`; for a file of texts, the row as an object with
    ///   the field added.
    /// - `.npy`: a matrix of f32 in numpy's format, one row per sample in the order of the
    ///   dataset; a sample that failed is a row of NaN. Embeddings alone.
    /// - `.parquet`: a table in Apache Parquet's format, one row per sample: `filepath` or
    ///   `text`; the field, as a list of f32, as `<field>_label` and `<field>_confidence`, or as
    ///   FiftyOne's JSON where a label has parts; and `error`.
    /// - any other: a new FiftyOneDataset in this directory. Media are not copied: a path is
    ///   relative if the file is in this directory, else absolute.
    Path(PathBuf),
}

/// A run, for the writer of its results.
pub(crate) struct Job<'d> {
    pub(crate) dataset: &'d Dataset,
    pub(crate) field: FieldName,
    /// The type of the field.
    pub(crate) kind: LabelType,
    /// Whether an output other than the dataset may replace what is there.
    pub(crate) overwrite: bool,
    /// What a dataset says about the field's origin.
    pub(crate) provenance: Value,
    /// What the parts of the labels are called.
    pub(crate) names: FieldNames,
}

/// Writes the results of a run to one place in one format.
pub(crate) trait Writer {
    /// What tells this output from others.
    fn name(&self) -> &Path;

    /// Checks, before anything is computed, that the output can be written and has a place for
    /// the field. Returns the directory that it is in.
    fn prepare(&self, job: &Job<'_>) -> Result<PathBuf, Error>;

    /// Checks that the output has a place for the label of sample `index`.
    fn check(&mut self, _index: usize, _label: &Label) -> Result<(), Error> {
        Ok(())
    }

    /// Writes all results at once; returns what changed or is new. At any moment the output is
    /// readable: either as it was, or with the field in place.
    fn commit(&self, job: &Job<'_>, results: &Results) -> Result<Vec<PathBuf>, Error>;
}

/// A format of one file.
struct FileFormat {
    /// What the file's name ends in, in lower case.
    extensions: &'static [&'static str],
    /// Writes to the path.
    writer: fn(PathBuf) -> Box<dyn Writer>,
}

/// The writer of an output. A directory that is the dataset's own is the dataset itself.
pub(crate) fn open(dataset: &Dataset, output: Output) -> Result<Box<dyn Writer>, Error> {
    let in_place = || Box::new(in_place::InPlace::new(dataset.root()));
    let path = match output {
        Output::InPlace => return Ok(in_place()),
        Output::Path(path) => std::path::absolute(&path).map_err(Error::io("find", path))?,
    };
    let end = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    let end = end.as_deref().and_then(std::ffi::OsStr::to_str);
    let file = FILES
        .iter()
        .find(|format| end.is_some_and(|end| format.extensions.contains(&end)));
    Ok(match (file, fs::canonicalize(&path)) {
        (Some(format), _) => (format.writer)(path),
        (None, Ok(path)) if path == dataset.root() => in_place(),
        (None, Ok(path)) => Box::new(new_dataset::NewDataset::new(path)),
        (None, Err(_)) => Box::new(new_dataset::NewDataset::new(path)),
    })
}

/// [`Writer::prepare`] of an output that is one file.
fn prepare_file(job: &Job<'_>, path: &Path) -> Result<PathBuf, Error> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let list = job.dataset.reader.list();
    if real(path).is_some_and(|path| real(list) == Some(path)) {
        return Err(Error::TableInPlace {
            path: list.to_owned(),
        });
    }
    if ["text", "filepath", "error"].contains(&job.field.as_str()) {
        return Err(Error::FieldName {
            name: job.field.to_string(),
            reason: "the output has something else under this name",
        });
    }
    replace::check(path, job.overwrite)?;
    let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
    replace::check_directory(&directory)?;
    Ok(directory)
}
