//! Results in a new FiftyOneDataset.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::readers::Samples;
use crate::readers::fiftyone::SAMPLES;
use crate::readers::fiftyone::documents::write_list;
use crate::readers::fiftyone::metadata::{self, Metadata};
use crate::replace::{self, Staged, stage};
use crate::results::Results;
use crate::writers::companions::Companions;
use crate::writers::editor::Editor;
use crate::writers::{Job, Writer, companions, new_documents};

pub(crate) struct NewDataset {
    directory: PathBuf,
}

impl NewDataset {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }
}

impl Writer for NewDataset {
    fn name(&self) -> &Path {
        &self.directory
    }

    fn prepare(&self, job: &Job<'_>) -> Result<PathBuf, Error> {
        match job.dataset.reader.samples() {
            Samples::Rows => {
                return Err(Error::TableInPlace {
                    path: job.dataset.reader.list().to_owned(),
                });
            }
            Samples::Files => {}
            Samples::Documents(dataset) => {
                dataset.check_field(&job.field, job.kind)?;
                dataset.metadata()?;
                companions::check(job.dataset.root(), &self.directory, job.overwrite)?;
            }
        }
        for file in [
            metadata::path(&self.directory),
            self.directory.join(SAMPLES),
        ] {
            replace::check(&file, job.overwrite)?;
        }
        fs::create_dir_all(&self.directory).map_err(Error::io("create", &self.directory))?;
        replace::check_directory(&self.directory)?;
        Ok(self.directory.clone())
    }

    fn commit(&self, job: &Job<'_>, results: &Results) -> Result<Vec<PathBuf>, Error> {
        write_dataset(job, job.dataset, results, &self.directory)
    }
}

/// Writes a FiftyOneDataset with the samples of `dataset` to `directory`.
pub(crate) fn write_dataset(
    job: &Job<'_>,
    dataset: &Dataset,
    results: &Results,
    directory: &Path,
) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    let directory = fs::canonicalize(directory).map_err(Error::io("open", directory))?;
    let path = metadata::path(&directory);
    let overwrite = job.overwrite || metadata::is_of_directory(&path);
    let mut companions = None;
    let old = match dataset.reader.samples() {
        Samples::Documents(list) => {
            companions = Some(Companions::stage(dataset.root(), &directory)?);
            list.metadata()?.copied_to(path)?
        }
        Samples::Files | Samples::Rows => {
            let name = directory.file_name().unwrap_or_default().to_string_lossy();
            new_documents::metadata(path, &name, directory == dataset.root())?
        }
    };
    let metadata = stage_metadata(
        &old.declaring(&job.field, job.kind)?
            .with_names(&job.field, &job.names)?
            .with_provenance(&job.field, &job.provenance)?,
        overwrite,
    )?;
    let mut editor = Editor::new(job, dataset, results)?.moved_to(&directory);
    let path = directory.join(SAMPLES);
    let samples = stage(&path, job.overwrite, |out| match dataset.reader.samples() {
        Samples::Documents(list) => list.copy(out, &mut |index, text| editor.edit(index, text)),
        Samples::Files | Samples::Rows => write_list(out, &path, dataset.len(), &mut |index| {
            editor.edit(index, None)
        }),
    })?;
    let mut paths = match companions {
        Some(companions) => companions.finish(&directory, job.overwrite)?,
        None => Vec::new(),
    };
    paths.extend([metadata.finish()?, samples.finish()?]);
    Ok(paths)
}

/// Writes `metadata.json` beside its place.
pub(crate) fn stage_metadata(metadata: &Metadata, overwrite: bool) -> Result<Staged, Error> {
    stage(&metadata.path, overwrite, |out| {
        out.write_all(&metadata.text)
            .map_err(Error::io("write", &metadata.path))
    })
}
