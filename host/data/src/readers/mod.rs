//! Dataset formats, read: one file per format, one line of [`FORMATS`] each.

pub(crate) mod fiftyone;

mod csv;
mod image_directory;
mod image_kind;
mod json_lines;
mod plain_lines;
mod text_file;
mod walk;

use std::path::Path;

use crate::document::Document;
use crate::error::{Error, MediaError};
use crate::media::Root;
use crate::options::OpenOptions;
use fiftyone::FiftyOneDataset;

/// The formats, in the order in which they are tried.
const FORMATS: &[Format] = &[
    plain_lines::FORMAT,
    json_lines::FORMAT,
    csv::FORMAT,
    fiftyone::FORMAT,
    image_directory::FORMAT,
];

/// Opens a dataset of one format.
type Open = fn(&Path, &OpenOptions) -> Result<Box<dyn Reader>, Error>;

/// A format that can be read.
pub(crate) struct Format {
    /// Whether a path looks like a dataset of this format.
    matches: fn(&Path) -> bool,
    /// Opens the dataset at the path.
    open: Open,
}

/// A dataset of one format, opened.
///
/// What was opened stays what is read, even if another process replaces the list of samples
/// meanwhile.
pub(crate) trait Reader: Send + Sync {
    /// The format in words.
    fn kind(&self) -> &'static str;

    /// The dataset's directory.
    fn root(&self) -> &Root;

    /// The directory that paths of samples are relative to.
    fn media_root(&self) -> &Root {
        self.root()
    }

    /// The file or directory that lists the samples.
    fn list(&self) -> &Path;

    /// The number of samples.
    fn len(&self) -> usize;

    /// One sample; none beyond the last.
    ///
    /// # Errors
    /// The list of samples can no longer be read.
    fn entry(&self, index: usize) -> Result<Option<Entry>, Error>;

    /// What the samples are, for writers that put results beside them.
    fn samples(&self) -> Samples<'_>;

    /// A row of a file of texts as the text of a JSON object; none where samples are files.
    ///
    /// # Errors
    /// The file can no longer be read.
    fn row(&self, _index: usize) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    /// The member of sample documents that holds the field `name`.
    fn member<'a>(&'a self, name: &'a str) -> &'a str {
        name
    }

    /// Whether the list of samples on disk is not what was opened.
    fn is_stale(&self) -> bool;

    /// What was left out, one line each.
    fn warnings(&self) -> &[String] {
        &[]
    }
}

/// What the samples of a dataset are.
pub(crate) enum Samples<'a> {
    /// Files with documents, which can take a field.
    Documents(&'a FiftyOneDataset),
    /// Files alone; documents can be written beside them.
    Files,
    /// Rows of a file, which is never changed.
    Rows,
}

/// One sample as its list has it.
pub(crate) enum Entry {
    /// A file.
    File {
        /// The path as stored, or why there is none.
        stored: Result<String, String>,
        /// The sample's document.
        document: Option<Document>,
    },
    /// A row of a file of texts.
    Row {
        /// The file's name and the line.
        name: String,
        /// What tells the row's contents from others.
        digest: String,
        /// The text, or why there is none.
        text: Result<String, MediaError>,
    },
}

impl Entry {
    /// What tells the sample from others.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::File { stored, .. } => stored.as_ref().cloned().unwrap_or_default(),
            Self::Row { name, digest, .. } => format!("{name} {digest}"),
        }
    }
}

/// Opens the dataset at `path` in the format that it looks like.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Reader>, Error> {
    let format = FORMATS.iter().find(|format| (format.matches)(path));
    if let Some(format) = format {
        let reader = (format.open)(path, options)?;
        let unused = match reader.samples() {
            Samples::Documents(_) => options.text_field.is_some().then_some("text_field"),
            Samples::Files if options.rel_dir.is_some() => Some("rel_dir"),
            Samples::Files => options.text_field.is_some().then_some("text_field"),
            Samples::Rows => options.rel_dir.is_some().then_some("rel_dir"),
        };
        return match unused {
            None => Ok(reader),
            Some(option) => Err(Error::UnusedOption {
                path: path.to_owned(),
                option,
                kind: reader.kind(),
            }),
        };
    }
    let path = path.to_owned();
    Err(match std::fs::metadata(&path) {
        Ok(_) => Error::NotADirectory { path },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Error::NotFound { path },
        Err(error) => Error::io("open", path)(error),
    })
}
