//! A FiftyOneDataset: `metadata.json`, and documents in `samples.json` or `samples/`.

pub(crate) mod documents;
pub(crate) mod metadata;

mod document_file;
pub(crate) mod parts;

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use crate::document::Document;
use crate::media::Root;
use crate::options::OpenOptions;
use crate::readers::{Entry, Format, Reader, Samples, walk};
use crate::{Error, FieldName, LabelType, text};
use documents::Documents;
use metadata::Metadata;

pub(crate) const FORMAT: Format = Format {
    matches: |path| {
        path.join(SAMPLES).exists()
            || metadata::path(path).exists() && path.join(SAMPLES_DIRECTORY).is_dir()
    },
    open: |path, options| Ok(Box::new(FiftyOneDataset::open(path, options)?)),
};

pub(crate) const SAMPLES: &str = "samples.json";
const SAMPLES_DIRECTORY: &str = "samples";

/// A FiftyOneDataset, and the images of its directory that it does not list yet where its
/// samples are those images.
pub(crate) struct FiftyOneDataset {
    root: Root,
    pub(crate) documents: Documents,
    metadata: Option<Metadata>,
    /// Images without a document, relative to the root.
    images: Vec<String>,
    warnings: Vec<String>,
}

impl FiftyOneDataset {
    fn open(path: &Path, options: &OpenOptions) -> Result<Self, Error> {
        let root = Root::open(path).map_err(Error::io("open", path))?;
        let file = root.real.join(SAMPLES);
        let documents = if file.exists() {
            Documents::open_file(file)?
        } else {
            Documents::open_parts(root.real.join(SAMPLES_DIRECTORY))?
        };
        let metadata = metadata::path(&root.real);
        let metadata = metadata.exists().then(|| Metadata::open(metadata));
        let mut dataset = Self {
            root,
            documents,
            metadata: metadata.transpose()?,
            images: Vec::new(),
            warnings: Vec::new(),
        };
        if dataset.is_of_directory() {
            dataset.find_images(options)?;
        }
        Ok(dataset)
    }

    /// Whether the samples are the images of the directory, those that come later included.
    fn is_of_directory(&self) -> bool {
        matches!(self.documents, Documents::File(_))
            && self.metadata.as_ref().is_some_and(|it| it.of_directory)
    }

    fn find_images(&mut self, options: &OpenOptions) -> Result<(), Error> {
        let mut listed = HashSet::with_capacity(self.documents.len());
        for index in 0..self.documents.len() {
            listed.extend(self.entry(index)?.map(|entry| entry.key()));
        }
        let mut found = walk::walk(&self.root, options.allow_outside)?;
        found.images.retain(|image| !listed.contains(image));
        self.images = found.images;
        self.warnings = found.warnings;
        Ok(())
    }

    /// How many images have no document yet.
    pub(crate) fn unlisted(&self) -> usize {
        self.images.len()
    }

    /// The metadata, without which the dataset cannot take a field.
    pub(crate) fn metadata(&self) -> Result<&Metadata, Error> {
        self.metadata.as_ref().ok_or_else(|| Error::NoMetadata {
            path: metadata::path(&self.root.real),
        })
    }

    /// Checks that the samples have nothing else in `field`. Fields that
    /// `metadata.json` does not declare are looked for in the samples themselves.
    pub(crate) fn check_field(&self, field: &FieldName, kind: LabelType) -> Result<(), Error> {
        if let Some(metadata) = &self.metadata
            && metadata.declares(field, kind)?
        {
            return Ok(());
        }
        for index in 0..self.documents.len() {
            let text = self.documents.read(index)?.unwrap_or_default();
            if let Ok(document) = Document::parse(text) {
                check_document(&document, field, kind)?;
            }
        }
        Ok(())
    }
}

/// Checks that a sample has nothing but a label of type `kind` in `field`.
fn check_document(document: &Document, field: &FieldName, kind: LabelType) -> Result<(), Error> {
    let value: Value = match document.raw(field.as_str()) {
        None | Some(b"null") => return Ok(()),
        Some(value) => text::parse(value).unwrap_or_default(),
    };
    if kind.is_of(&value) {
        return Ok(());
    }
    let class = value.get("_cls").and_then(Value::as_str);
    Err(Error::FieldType {
        field: field.to_string(),
        existing: class.unwrap_or("value without a type").to_owned(),
        wanted: kind.name(),
    })
}

impl Reader for FiftyOneDataset {
    fn kind(&self) -> &'static str {
        "FiftyOneDataset"
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn list(&self) -> &Path {
        self.documents.path()
    }

    fn len(&self) -> usize {
        self.documents.len() + self.images.len()
    }

    fn entry(&self, index: usize) -> Result<Option<Entry>, Error> {
        let Some(text) = self.documents.read(index)? else {
            let image = index.checked_sub(self.documents.len());
            let image = image.and_then(|index| self.images.get(index));
            return Ok(image.map(|image| Entry::File {
                stored: Ok(image.clone()),
                document: None,
            }));
        };
        Ok(Some(match Document::parse(text) {
            Ok(document) => Entry::File {
                stored: document.filepath(),
                document: Some(document),
            },
            Err((_, reason)) => Entry::File {
                stored: Err(reason),
                document: None,
            },
        }))
    }

    fn samples(&self) -> Samples<'_> {
        Samples::Documents(self)
    }

    fn member<'a>(&'a self, name: &'a str) -> &'a str {
        self.metadata
            .as_ref()
            .map_or(name, |metadata| metadata.key(name))
    }

    fn is_stale(&self) -> bool {
        self.documents.is_stale() || self.metadata.as_ref().is_some_and(Metadata::is_stale)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
