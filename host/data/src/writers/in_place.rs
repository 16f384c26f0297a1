//! Results in the dataset itself.
//!
//! Everything is written to files beside the targets first; only then are they
//! renamed, in an order in which each step leaves a dataset that can be read. A
//! field is declared before samples have it, and its provenance is there only
//! while all samples have what it speaks of.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::readers::Samples;
use crate::readers::fiftyone::FiftyOneDataset;
use crate::readers::fiftyone::documents::Documents;
use crate::readers::fiftyone::metadata;
use crate::readers::fiftyone::parts::Parts;
use crate::replace::{self, Guard, Staged, stage, sweep};
use crate::results::Results;
use crate::writers::editor::Editor;
use crate::writers::new_dataset::{stage_metadata, write_dataset};
use crate::writers::{Job, Writer};

pub(crate) struct InPlace {
    root: PathBuf,
}

impl InPlace {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }
}

impl Writer for InPlace {
    fn name(&self) -> &Path {
        Path::new("")
    }

    fn prepare(&self, job: &Job<'_>) -> Result<PathBuf, Error> {
        match job.dataset.reader.samples() {
            Samples::Rows => {
                return Err(Error::TableInPlace {
                    path: job.dataset.reader.list().to_owned(),
                });
            }
            Samples::Files => {
                let path = metadata::path(&self.root);
                replace::check(&path, true)?;
                if path.exists() && !metadata::is_of_directory(&path) {
                    return Err(Error::NotOurs { path });
                }
            }
            Samples::Documents(dataset) => {
                dataset.check_field(&job.field, job.kind)?;
                let metadata = dataset.metadata()?;
                // Says early what would stand in the way at the end.
                metadata.with_provenance(&job.field, &Value::Bool(true))?;
                metadata.with_names(&job.field, &job.names)?;
                replace::check(&metadata.path, true)?;
                replace::check(dataset.documents.path(), true)?;
            }
        }
        replace::check_directory(&self.root)?;
        Ok(self.root.clone())
    }

    /// Adds the field. What another run wrote to the dataset meanwhile is kept.
    fn commit(&self, job: &Job<'_>, results: &Results) -> Result<Vec<PathBuf>, Error> {
        if results.done() == 0 {
            return Ok(Vec::new());
        }
        let _guard = Guard::take(&self.root);
        let refreshed = job.dataset.refreshed()?;
        let dataset = refreshed.as_ref().unwrap_or(job.dataset);
        match dataset.reader.samples() {
            Samples::Rows => Err(Error::TableInPlace {
                path: dataset.reader.list().to_owned(),
            }),
            Samples::Files => write_dataset(job, dataset, results, &self.root),
            Samples::Documents(documents) => {
                if refreshed.is_some() {
                    documents.check_field(&job.field, job.kind)?;
                }
                add_field(job, dataset, documents, results)
            }
        }
    }
}

/// Adds the field to the documents of `dataset`, which `list` has.
fn add_field(
    job: &Job<'_>,
    dataset: &Dataset,
    list: &FiftyOneDataset,
    results: &Results,
) -> Result<Vec<PathBuf>, Error> {
    let metadata = list.metadata()?;
    let mut editor = Editor::new(job, dataset, results)?;
    let declared = metadata
        .declaring(&job.field, job.kind)?
        .with_names(&job.field, &job.names)?;
    let finished = declared.with_provenance(&job.field, &job.provenance)?;
    let before = (declared.text != metadata.text)
        .then(|| stage_metadata(&declared, true))
        .transpose()?;
    let samples = match &list.documents {
        Documents::File(file) => vec![stage(&file.path, true, |out| {
            list.rewrite(out, &mut |index, text| editor.edit(index, text))
        })?],
        Documents::Parts(parts) => stage_parts(&mut editor, results, parts)?,
    };
    let after = stage_metadata(&finished, true)?;
    if let Some(before) = before {
        before.finish()?;
    }
    let mut samples = samples.into_iter();
    let last = samples.next_back();
    for file in samples {
        file.rename()?;
    }
    if let Some(last) = last {
        last.finish()?;
    }
    Ok(vec![after.finish()?, list.documents.path().to_owned()])
}

/// The documents of a `samples/` that change.
fn stage_parts(
    editor: &mut Editor<'_>,
    results: &Results,
    parts: &Parts,
) -> Result<Vec<Staged>, Error> {
    sweep(&parts.path);
    let mut staged = Vec::new();
    for index in 0..parts.len() {
        let Some(path) = parts.file(index) else {
            continue;
        };
        if !results.is_done(index) {
            continue;
        }
        let text = editor.edit(index, parts.read(index)?)?;
        staged.push(stage(&path, true, |out| {
            out.write_all(&text).map_err(Error::io("write", &path))
        })?);
    }
    Ok(staged)
}
