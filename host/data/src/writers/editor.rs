//! The documents of a dataset with their results.

use std::io;
use std::path::Path;

use modelzoo_base::json;
use modelzoo_model::label::LabelType;

use crate::dataset::Dataset;
use crate::document::Document;
use crate::error::Error;
use crate::field::FieldName;
use crate::media;
use crate::readers::fiftyone::check_document;
use crate::results::{ResultReader, Results};
use crate::writers::{Job, new_documents};

/// Puts results into the documents of samples.
pub(crate) struct Editor<'a> {
    dataset: &'a Dataset,
    field: &'a FieldName,
    kind: LabelType,
    results: ResultReader<'a>,
    /// The directory that paths are to be relative to, if it is another one.
    moved_to: Option<&'a Path>,
}

impl<'a> Editor<'a> {
    /// For the documents of `dataset`, which is the job's as it is on disk now.
    pub(crate) fn new(
        job: &'a Job<'_>,
        dataset: &'a Dataset,
        results: &'a Results,
    ) -> Result<Self, Error> {
        Ok(Self {
            dataset,
            field: &job.field,
            kind: job.kind,
            results: results.reader()?,
            moved_to: None,
        })
    }

    /// The same for documents that come to be in `directory`.
    pub(crate) fn moved_to(self, directory: &'a Path) -> Self {
        let elsewhere = directory != self.dataset.root();
        Self {
            moved_to: elsewhere.then_some(directory),
            ..self
        }
    }

    /// The document of sample `index` with its result; without a text, that of a
    /// new sample.
    pub(crate) fn edit(&mut self, index: usize, text: Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
        let text = match text {
            Some(text) => text,
            None => new_documents::sample(&self.dataset.key(index)?.key),
        };
        let changed = || Error::Changed {
            path: self.dataset.reader.list().to_owned(),
        };
        let record = self.results.get(index)?;
        let record = record.filter(|record| record.outcome.is_result());
        if record.is_none() && self.moved_to.is_none() {
            return Ok(text);
        }
        let document = match Document::parse(text) {
            Ok(document) => document,
            // Never readable, so it never had a result.
            Err((text, _)) if record.is_none() => return Ok(text),
            Err(_) => return Err(changed()),
        };
        let filepath = document.filepath().ok();
        let mut edits = Vec::new();
        if let Some(record) = record {
            if filepath.as_deref().unwrap_or_default() != record.key {
                return Err(changed());
            }
            check_document(&document, self.field, self.kind)?;
            edits.push((self.field.as_str(), record.outcome.render()));
        }
        if let (Some(directory), Some(filepath)) = (self.moved_to, filepath) {
            let moved = self.moved(directory, &filepath)?;
            edits.push(("filepath", json::to_vec(&moved)));
        }
        Ok(document.edited(&edits))
    }

    /// How a dataset in `directory` stores the path that this one has as `stored`.
    fn moved(&self, directory: &Path, stored: &str) -> Result<String, Error> {
        if media::is_url(stored) || (cfg!(not(windows)) && media::is_on_a_drive(stored)) {
            return Ok(stored.to_owned());
        }
        let path = self.dataset.media_path(stored);
        let path = path.strip_prefix(directory).unwrap_or(&path);
        path.to_str().map(str::to_owned).ok_or_else(|| {
            let reason = io::Error::new(io::ErrorKind::InvalidData, "the path is not Unicode");
            Error::io("store", path)(reason)
        })
    }
}
