use std::path::{Path, PathBuf};

use modelzoo_model::label::{Label, LabelType};
use serde_json::Value;

use crate::document::Document;
use crate::error::{Error, MediaError};
use crate::options::OpenOptions;
use crate::readers::{self, Entry, Reader, Samples};
use crate::sample::{Sample, SampleKey};
use crate::{media, text};

/// A field and the label that a sample has in it, or why it cannot be read.
pub type FieldLabel = (String, Result<Label, String>);

/// A list of samples on disk, each with a file and perhaps labels.
///
/// Opening reads the list once and keeps only where each sample is, so a dataset
/// may be larger than memory. What was opened stays what is read, even if
/// another process replaces the list meanwhile. It may be shared between threads.
pub struct Dataset {
    options: OpenOptions,
    pub(crate) reader: Box<dyn Reader>,
}

impl Dataset {
    /// Opens the dataset in the directory `path` with nothing outside it allowed;
    /// see [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// The directory is not a dataset, or its files are not what they should be.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, OpenOptions::default())
    }

    /// Opens the dataset at `path`. A directory is a FiftyOneDataset if it has
    /// `samples.json`, or `metadata.json` and `samples/`; else a directory of
    /// images, searched with all below it. A file that ends in `.txt`, `.jsonl`,
    /// `.ndjson` or `.csv` holds texts: one per line, or one per row.
    ///
    /// # Errors
    /// The directory is not a dataset, or its files are not what they should be.
    pub fn open_with(path: &Path, options: OpenOptions) -> Result<Self, Error> {
        Ok(Self {
            reader: readers::open(path, &options)?,
            options,
        })
    }

    /// Whether the samples are texts, not files.
    pub fn is_of_texts(&self) -> bool {
        matches!(self.reader.samples(), Samples::Rows)
    }

    /// What the dataset is, in words: "FiftyOneDataset", "directory of images" or "file of texts".
    pub fn kind(&self) -> &'static str {
        self.reader.kind()
    }

    /// The directory, absolute and without links; for a file of texts, the one that it is in.
    pub fn root(&self) -> &Path {
        &self.reader.root().real
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.reader.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the search for images left out, one line each.
    pub fn warnings(&self) -> &[String] {
        self.reader.warnings()
    }

    /// The samples in order.
    ///
    /// # Errors
    /// An item is an error where the list of samples itself can no longer be read.
    pub fn samples(&self) -> impl Iterator<Item = Result<Sample, Error>> + '_ {
        (0..self.len()).filter_map(|index| self.sample(index).transpose())
    }

    /// One sample; none beyond the last.
    ///
    /// # Errors
    /// The list of samples can no longer be read.
    pub fn sample(&self, index: usize) -> Result<Option<Sample>, Error> {
        let Some(entry) = self.reader.entry(index)? else {
            return Ok(None);
        };
        let key = entry.key();
        Ok(Some(match entry {
            Entry::File { stored, document } => {
                let media = document.as_ref().and_then(Document::other_media);
                let path = match (&stored, media) {
                    (Ok(filepath), Some(media)) => Err(MediaError::NotAnImage {
                        filepath: filepath.clone(),
                        media,
                    }),
                    (Ok(filepath), None) => {
                        let root = self.reader.media_root();
                        root.vet(filepath, self.options.allow_outside)
                    }
                    (Err(reason), _) => Err(MediaError::NoFilepath {
                        reason: reason.clone(),
                    }),
                };
                Sample {
                    index,
                    stored: stored.unwrap_or_default(),
                    path,
                    text: None,
                    document,
                    key,
                }
            }
            Entry::Row { name, text, .. } => Sample {
                index,
                path: Err(MediaError::Kind {
                    sample: name.clone(),
                    is: "a text, not a file",
                }),
                stored: name,
                text: Some(text),
                document: None,
                key,
            },
        }))
    }

    /// What the result of a sample is stored under. A [`Sample`] knows [its own](Sample::key).
    ///
    /// # Errors
    /// There is no such sample, or the list of samples can no longer be read.
    pub fn key(&self, index: usize) -> Result<SampleKey, Error> {
        match self.reader.entry(index)? {
            Some(entry) => Ok(SampleKey {
                index,
                key: entry.key(),
            }),
            None => Err(Error::NoSuchSample {
                index,
                len: self.len(),
            }),
        }
    }

    /// The label that a sample has in `field`; none if it has no such field or
    /// null in it.
    ///
    /// # Errors
    /// What is there is not a label of a type that is read, or the list of samples
    /// can no longer be read.
    pub fn label(&self, index: usize, field: &str) -> Result<Option<Label>, Error> {
        let failed = |reason| Error::Label {
            index,
            field: field.to_owned(),
            reason,
        };
        let document = match self.reader.entry(index)? {
            Some(Entry::File {
                document: Some(document),
                ..
            }) => document,
            Some(Entry::File {
                stored: Err(reason),
                ..
            }) => return Err(failed(reason)),
            Some(Entry::File { .. } | Entry::Row { .. }) | None => return Ok(None),
        };
        label(&document, self.reader.member(field)).map_err(failed)
    }

    /// The fields in which any sample has a label, in the order in which they first occur.
    ///
    /// # Errors
    /// The list of samples can no longer be read.
    pub fn label_fields(&self) -> Result<Vec<String>, Error> {
        let mut fields = Vec::new();
        for index in 0..self.len() {
            let document = match self.reader.entry(index)? {
                Some(Entry::File { document, .. }) => document,
                Some(Entry::Row { .. }) | None => self.row(index)?,
            };
            for (name, value) in document.iter().flat_map(Document::values) {
                let mut kinds = LabelType::ALL.iter().filter(|kind| kind.is_document());
                if !fields.contains(&name) && kinds.any(|kind| kind.is_of(&value)) {
                    fields.push(name);
                }
            }
        }
        Ok(fields)
    }

    /// The labels that a sample has in some fields, each with its field, or why one cannot be read.
    /// A field that the sample does not have, or that is null, is left out.
    ///
    /// # Errors
    /// The list of samples can no longer be read.
    pub fn labels(&self, sample: &Sample, fields: &[String]) -> Result<Vec<FieldLabel>, Error> {
        let row = match &sample.document {
            Some(_) => None,
            None => self.row(sample.index)?,
        };
        let Some(document) = sample.document.as_ref().or(row.as_ref()) else {
            return Ok(Vec::new());
        };
        let read = |field: &String| {
            let label = label(document, self.reader.member(field)).transpose()?;
            Some((field.clone(), label))
        };
        Ok(fields.iter().filter_map(read).collect())
    }

    /// A row of a file of texts as a document; none where samples are files.
    fn row(&self, index: usize) -> Result<Option<Document>, Error> {
        let row = self.reader.row(index)?;
        Ok(row.and_then(|row| Document::parse(row).ok()))
    }

    /// The path that a sample stores as `stored`, absolute where the root is.
    pub(crate) fn media_path(&self, stored: &str) -> PathBuf {
        let root = self.reader.media_root();
        let spelled = root.spelled(stored, self.options.allow_outside);
        media::normalize(&root.real.join(spelled))
    }

    /// The dataset as it is on disk now, if that is not what was opened.
    pub(crate) fn refreshed(&self) -> Result<Option<Self>, Error> {
        if !self.reader.is_stale() {
            return Ok(None);
        }
        Self::open_with(self.root(), self.options.clone()).map(Some)
    }
}

/// The label in a member of a document.
fn label(document: &Document, member: &str) -> Result<Option<Label>, String> {
    match document.raw(member) {
        None | Some(b"null") => Ok(None),
        Some(value) => {
            let value: Value = text::parse(value).map_err(|error| error.to_string())?;
            Label::from_json(&value)
                .map(Some)
                .map_err(|error| error.to_string())
        }
    }
}
