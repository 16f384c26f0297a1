//! One sample of a dataset.

use std::fs;
use std::path::PathBuf;

use modelzoo_base::text::{MAX_NAME, shorten};

use crate::document::Document;
use crate::error::MediaError;
use crate::media;

/// What a result is stored under: a sample's place in its dataset, and what tells it from the
/// sample that may be in that place the next time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleKey {
    /// The number of the sample in its dataset, from 0.
    pub(crate) index: usize,
    /// The path as stored; for a row of a file of texts, its name and a digest of the row.
    pub(crate) key: String,
}

/// One sample: where its file is, or why it cannot be used.
#[derive(Debug)]
pub struct Sample {
    /// The number of the sample in its dataset, from 0.
    pub index: usize,
    /// The path as the dataset stores it. It may hold anything; show
    /// [`display`](Self::display) instead.
    pub stored: String,
    /// The absolute path of a regular file, without links, or why there is none.
    pub path: Result<PathBuf, MediaError>,
    /// The sample itself, where it is a row of a file of texts, or why it holds none.
    pub text: Option<Result<String, MediaError>>,
    /// The sample's document; only datasets in FiftyOne's format have one.
    pub document: Option<Document>,
    pub(crate) key: String,
}

impl Sample {
    /// What the sample's result is stored under.
    pub fn key(&self) -> SampleKey {
        SampleKey {
            index: self.index,
            key: self.key.clone(),
        }
    }

    /// The sample's `_id`, 24 hexadecimal digits.
    pub fn id(&self) -> Option<String> {
        self.document.as_ref()?.id()
    }

    /// The stored path as it may be shown in one line of a terminal, shortened if it is long.
    pub fn display(&self) -> String {
        match self.stored.is_empty() {
            true => format!("sample {}", self.index),
            false => shorten(&self.stored, MAX_NAME),
        }
    }

    /// The length of the file; 0 for a text, or a file that cannot be read.
    pub fn file_bytes(&self) -> u64 {
        let metadata = self
            .path
            .as_ref()
            .ok()
            .and_then(|path| fs::metadata(path).ok());
        metadata.map_or(0, |metadata| metadata.len())
    }

    /// The contents of the file, if it is a regular file of at most `limit` bytes.
    /// Prefer this to opening [`path`](Self::path): a pipe that has taken the
    /// file's place meanwhile is refused instead of waited for.
    ///
    /// # Errors
    /// Why the file is not used, or could not be read.
    pub fn read(self, limit: u64) -> Result<Vec<u8>, MediaError> {
        media::read(&self.path?, &self.stored, limit)
    }

    /// The text of a row in a file of texts.
    ///
    /// # Errors
    /// The row holds none, or the sample is a file.
    pub fn into_text(self) -> Result<String, MediaError> {
        self.text.unwrap_or(Err(MediaError::Kind {
            sample: self.stored,
            is: "a file, not a text",
        }))
    }
}
