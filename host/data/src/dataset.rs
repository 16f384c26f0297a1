use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::documents::Documents;
use crate::label::Label;
use crate::media::{self, Root};
use crate::metadata::{self, Metadata};
use crate::splice::Object;
use crate::table::Table;
use crate::{Error, MediaError, images, text};

/// A list of samples on disk, each with a file and perhaps labels.
///
/// Opening reads the list once and keeps only where each sample is, so a dataset
/// may be larger than memory. What was opened stays what is read, even if
/// another process replaces the list meanwhile. It may be shared between threads.
pub struct Dataset {
    pub(crate) root: Root,
    options: OpenOptions,
    pub(crate) form: Form,
    /// Images of the directory that `samples.json` does not have yet, relative
    /// to the root; for a directory of images, all of them.
    pub(crate) images: Vec<String>,
    warnings: Vec<String>,
}

#[allow(clippy::large_enum_variant, reason = "a dataset has only one")]
pub(crate) enum Form {
    FiftyOne {
        documents: Documents,
        metadata: Option<Metadata>,
    },
    Images,
    Texts(Table),
}

/// How a dataset is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The member of a line of JSON, or the column of a CSV file, that holds the texts; none:
    /// `text`.
    pub text_field: Option<String>,
    /// Whether samples may name files outside the dataset's directory, by an
    /// absolute path, by `..` or through links. Off: a dataset from somebody else
    /// must not choose which of the user's files are read.
    pub allow_outside: bool,
}

/// One sample: where its file is, or why it cannot be used.
#[derive(Debug)]
pub struct Sample {
    /// The number of the sample in its dataset, from 0.
    pub index: usize,
    /// The sample's `_id`, 24 hexadecimal digits; only datasets in FiftyOne's form
    /// have one.
    pub id: Option<String>,
    /// The path as the dataset stores it. It may hold anything; show
    /// [`display`](Self::display) instead.
    pub stored: String,
    /// The absolute path of a regular file, without links, or why there is none.
    pub path: Result<PathBuf, MediaError>,
    /// The sample itself, where it is a row of a file of texts, or why it holds none.
    pub text: Option<Result<String, MediaError>>,
}

impl Sample {
    /// The stored path as it may be shown in one line of a terminal.
    pub fn display(&self) -> Cow<'_, str> {
        if self.stored.is_empty() {
            return Cow::Owned(format!("sample {}", self.index));
        }
        text::escape(&self.stored)
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

impl Dataset {
    /// Opens the dataset in the directory `path` with nothing outside it allowed;
    /// see [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// The directory is no dataset, or its files are not what they should be.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, OpenOptions::default())
    }

    /// Opens the dataset at `path`. A directory is a FiftyOneDataset if it has
    /// `samples.json`, or `metadata.json` and `samples/`; else a directory of
    /// images, searched with all below it. A file that ends in `.txt`, `.jsonl`,
    /// `.ndjson` or `.csv` holds texts: one a line, or one a row.
    ///
    /// # Errors
    /// The directory is no dataset, or its files are not what they should be.
    pub fn open_with(path: &Path, options: OpenOptions) -> Result<Self, Error> {
        if path.is_file() && Table::is_one(path) {
            return Self::open_table(path, options);
        }
        if !path.is_dir() {
            return Err(Error::NotADirectory {
                path: path.to_owned(),
            });
        }
        let root = Root::open(path).map_err(Error::io("open", path))?;
        let form = Form::open(&root)?;
        let mut dataset = Self {
            root,
            options,
            form,
            images: Vec::new(),
            warnings: Vec::new(),
        };
        dataset.find_images()?;
        if dataset.is_empty() && matches!(dataset.form, Form::Images) {
            return Err(Error::NoImages {
                path: path.to_owned(),
            });
        }
        Ok(dataset)
    }

    fn open_table(path: &Path, options: OpenOptions) -> Result<Self, Error> {
        let table = Table::open(path, options.text_field.as_deref())?;
        let directory = table.path().parent().unwrap_or(Path::new("/"));
        Ok(Self {
            root: Root::open(directory).map_err(Error::io("open", directory))?,
            options,
            form: Form::Texts(table),
            images: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Whether the samples are texts, not files.
    pub fn is_of_texts(&self) -> bool {
        matches!(self.form, Form::Texts(_))
    }

    /// Finds the images that the list of samples does not have, where the samples
    /// are the images of the directory.
    fn find_images(&mut self) -> Result<(), Error> {
        let (Form::Images
        | Form::FiftyOne {
            documents: Documents::File(_),
            metadata: Some(Metadata {
                of_directory: true, ..
            }),
        }) = self.form
        else {
            return Ok(());
        };
        let listed: HashSet<String> = (0..self.documents().map_or(0, Documents::len))
            .map(|index| Ok(self.stored(index)?.unwrap_or_default()))
            .collect::<Result<_, Error>>()?;
        let mut found = images::walk(&self.root, self.options.allow_outside)?;
        found.images.retain(|image| !listed.contains(image));
        self.images = found.images;
        self.warnings = found.warnings;
        Ok(())
    }

    /// What the dataset is, in words: "FiftyOneDataset", "directory of images" or "file of texts".
    pub fn kind(&self) -> &'static str {
        match self.form {
            Form::FiftyOne { .. } => "FiftyOneDataset",
            Form::Images => "directory of images",
            Form::Texts(_) => "file of texts",
        }
    }

    /// The directory, absolute and without links; for a file of texts, the one that it is in.
    pub fn root(&self) -> &Path {
        &self.root.real
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        if let Form::Texts(table) = &self.form {
            return table.len();
        }
        self.documents().map_or(0, Documents::len) + self.images.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the search for images left out, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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
        if let Form::Texts(table) = &self.form {
            return row(table, index);
        }
        let (id, stored) = match self.document(index)? {
            Some(Ok(document)) => (document.id(), document.filepath()),
            Some(Err(reason)) => (None, Err(reason)),
            None => match self.image(index) {
                Some(image) => (None, Ok(image.clone())),
                None => return Ok(None),
            },
        };
        let (stored, path) = match stored {
            Ok(stored) => {
                let path = self.root.vet(&stored, self.options.allow_outside);
                (stored, path)
            }
            Err(reason) => (String::new(), Err(MediaError::NoFilepath { reason })),
        };
        Ok(Some(Sample {
            index,
            id,
            stored,
            path,
            text: None,
        }))
    }

    /// The label that a sample has in `field`; none if it has no such field or
    /// null in it.
    ///
    /// # Errors
    /// What is there is no label of a type that is read, or the list of samples
    /// can no longer be read.
    pub fn label(&self, index: usize, field: &str) -> Result<Option<Label>, Error> {
        let failed = |reason| Error::Label {
            index,
            field: field.to_owned(),
            reason,
        };
        let Some(document) = self.document(index)? else {
            return Ok(None);
        };
        let document = document.map_err(failed)?;
        let key = match &self.form {
            Form::FiftyOne {
                metadata: Some(metadata),
                ..
            } => metadata.key(field),
            _ => field,
        };
        match document.object.get(&document.text, key) {
            None | Some(b"null") => Ok(None),
            Some(value) => {
                let value: Value = text::parse(value).map_err(|error| failed(error.to_string()))?;
                Label::from_json(&value)
                    .map(Some)
                    .map_err(|error| failed(error.to_string()))
            }
        }
    }

    /// The dataset as it is on disk now, if that is not what was opened.
    pub(crate) fn refreshed(&self) -> Result<Option<Self>, Error> {
        let stale = match &self.form {
            Form::Texts(_) => false,
            Form::Images => self.root.real.join("samples.json").exists(),
            Form::FiftyOne {
                documents,
                metadata,
            } => documents.is_stale() || metadata.as_ref().is_some_and(Metadata::is_stale),
        };
        if !stale {
            return Ok(None);
        }
        Self::open_with(&self.root.real, self.options.clone()).map(Some)
    }

    pub(crate) fn documents(&self) -> Option<&Documents> {
        match &self.form {
            Form::FiftyOne { documents, .. } => Some(documents),
            Form::Images | Form::Texts(_) => None,
        }
    }

    /// The image that is sample `index`, if that has no document.
    fn image(&self, index: usize) -> Option<&String> {
        let documents = self.documents().map_or(0, Documents::len);
        self.images.get(index.checked_sub(documents)?)
    }

    /// The document of a sample, or what is wrong with it; none if it has none.
    fn document(&self, index: usize) -> Result<Option<Result<Document, String>>, Error> {
        let text = match self.documents() {
            Some(documents) => documents.read(index)?,
            None => None,
        };
        Ok(text.map(Document::parse))
    }

    /// The path of a sample as stored, or what tells a row of texts from others; none where
    /// there is neither.
    pub(crate) fn stored(&self, index: usize) -> Result<Option<String>, Error> {
        if let Form::Texts(table) = &self.form {
            return table.key(index);
        }
        Ok(match self.document(index)? {
            Some(document) => document.and_then(|document| document.filepath()).ok(),
            None => self.image(index).cloned(),
        })
    }
}

/// A row of a file of texts, as a sample.
fn row(table: &Table, index: usize) -> Result<Option<Sample>, Error> {
    let Some(name) = table.name(index) else {
        return Ok(None);
    };
    Ok(Some(Sample {
        index,
        id: None,
        path: Err(MediaError::Kind {
            sample: name.clone(),
            is: "a text, not a file",
        }),
        stored: name,
        text: Some(table.text(index)?),
    }))
}

impl Form {
    fn open(root: &Root) -> Result<Self, Error> {
        let file = root.real.join("samples.json");
        let folder = root.real.join("samples");
        let metadata = metadata::path(&root.real);
        let documents = if file.exists() {
            Documents::open_file(file)?
        } else if metadata.exists() && folder.is_dir() {
            Documents::open_folder(folder)?
        } else {
            return Ok(Self::Images);
        };
        let metadata = metadata.exists().then(|| Metadata::open(metadata));
        Ok(Self::FiftyOne {
            documents,
            metadata: metadata.transpose()?,
        })
    }
}

/// The text of a sample's document and where its members are.
pub(crate) struct Document {
    pub(crate) text: Vec<u8>,
    pub(crate) object: Object,
}

impl Document {
    pub(crate) fn parse(text: Vec<u8>) -> Result<Self, String> {
        match Object::parse(&text) {
            Ok(object) => Ok(Self { text, object }),
            Err(crate::scan::ScanError::Syntax { offset, reason }) => {
                Err(format!("its document is not JSON: byte {offset}: {reason}"))
            }
            Err(crate::scan::ScanError::Io(error)) => Err(error.to_string()),
        }
    }

    fn value(&self, key: &str) -> Option<Value> {
        text::parse(self.object.get(&self.text, key)?).ok()
    }

    fn id(&self) -> Option<String> {
        let id = self.value("_id")?;
        let id = id.get("$oid").unwrap_or(&id).as_str()?;
        let plain = id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| id.to_owned())
    }

    pub(crate) fn filepath(&self) -> Result<String, String> {
        match self.value("filepath") {
            Some(Value::String(filepath)) => Ok(filepath),
            Some(_) => Err("`filepath` is not a string".to_owned()),
            None => Err("its document has none that can be read".to_owned()),
        }
    }
}
