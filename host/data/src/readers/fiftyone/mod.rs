//! A FiftyOneDataset: `metadata.json`, and documents in `samples.json` or `samples/`.

pub(crate) mod documents;
pub(crate) mod metadata;

mod document_file;
pub(crate) mod parts;

use std::io::Write;
use std::path::Path;

use modelzoo_model::label::LabelType;
use serde_json::Value;

use crate::document::Document;
use crate::error::Error;
use crate::field::FieldName;
use crate::media::Root;
use crate::options::OpenOptions;
use crate::readers::{Entry, Format, Reader, Samples, walk};
use crate::text;
use document_file::{DocumentFile, Edit};
use documents::Documents;
use metadata::Metadata;
use parts::Parts;

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
    /// The directory that paths are relative to, if it is another one.
    media_root: Option<Root>,
    pub(crate) documents: Documents,
    metadata: Option<Metadata>,
    /// Documents that are not samples, in order: their images were removed from the directory.
    gone: Vec<usize>,
    /// Images without a document, relative to the root.
    images: Vec<String>,
    warnings: Vec<String>,
}

impl FiftyOneDataset {
    fn open(path: &Path, options: &OpenOptions) -> Result<Self, Error> {
        let root = Root::open(path).map_err(Error::io("open", path))?;
        let file = root.real.join(SAMPLES);
        let documents = if file.exists() {
            root.check(&file, options.allow_outside)?;
            Documents::File(DocumentFile::open(file)?)
        } else {
            let directory = root.real.join(SAMPLES_DIRECTORY);
            Documents::Parts(Parts::open(&root, directory, options.allow_outside)?)
        };
        let metadata = metadata::path(&root.real);
        let metadata = if metadata.exists() {
            root.check(&metadata, options.allow_outside)?;
            Some(Metadata::open(metadata)?)
        } else {
            None
        };
        let media_root = options
            .rel_dir
            .as_deref()
            .map(|directory| Root::open(directory).map_err(Error::io("open", directory)));
        let mut dataset = Self {
            root,
            media_root: media_root.transpose()?,
            documents,
            metadata,
            gone: Vec::new(),
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

    /// Compares the documents with the images that there are.
    fn find_images(&mut self, options: &OpenOptions) -> Result<(), Error> {
        let mut found = walk::walk(&self.root, options.allow_outside)?;
        let mut listed = vec![false; found.images.len()];
        for index in 0..self.documents.len() {
            let Some(Entry::File {
                stored: Ok(stored), ..
            }) = self.document(index)?
            else {
                continue;
            };
            // Paths in the order of the search, so that most need no second look.
            match found.images.binary_search(&stored) {
                Ok(image) => {
                    if let Some(listed) = listed.get_mut(image) {
                        *listed = true;
                    }
                }
                Err(_) if self.root.lacks(&stored) => self.gone.push(index),
                Err(_) => {}
            }
        }
        let mut listed = listed.into_iter();
        found.images.retain(|_| !listed.next().unwrap_or_default());
        self.images = found.images;
        self.warnings = found.warnings;
        match self.gone.len() {
            0 => {}
            1 => self
                .warnings
                .push("left out 1 sample whose image was removed".to_owned()),
            count => self.warnings.push(format!(
                "left out {count} samples whose images were removed"
            )),
        }
        Ok(())
    }

    /// How many samples have documents.
    fn listed(&self) -> usize {
        self.documents.len() - self.gone.len()
    }

    /// The document of sample `index`; the one after the last for those that have none.
    fn position(&self, index: usize) -> usize {
        // As many documents before it are not samples as have at most `index` samples before them.
        let (mut before, mut end) = (0, self.gone.len());
        while before < end {
            let middle = before.midpoint(end);
            match self.gone.get(middle) {
                Some(gone) if gone - middle <= index => before = middle + 1,
                Some(_) | None => end = middle,
            }
        }
        index + before
    }

    /// The sample of a document, or of an image without one, which come after them; none if its
    /// image was removed.
    fn sample_of(&self, position: usize) -> Option<usize> {
        match self.gone.binary_search(&position) {
            Ok(_) => None,
            Err(before) => Some(position - before),
        }
    }

    /// The document at a position as an entry; none beyond the last.
    fn document(&self, position: usize) -> Result<Option<Entry>, Error> {
        let Some(text) = self.documents.read(position)? else {
            return Ok(None);
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

    /// Writes `samples.json` with documents as `edit` answers to a sample and its text, if it
    /// has one. Documents that are not samples stay as they are.
    pub(crate) fn rewrite(&self, out: &mut impl Write, edit: &mut Edit<'_>) -> Result<(), Error> {
        self.write(out, &[], edit)
    }

    /// As [`rewrite`](Self::rewrite), with the documents of samples alone.
    pub(crate) fn copy(&self, out: &mut impl Write, edit: &mut Edit<'_>) -> Result<(), Error> {
        self.write(out, &self.gone, edit)
    }

    fn write(
        &self,
        out: &mut impl Write,
        omitted: &[usize],
        edit: &mut Edit<'_>,
    ) -> Result<(), Error> {
        let mut edit = |position, text: Option<Vec<u8>>| match self.sample_of(position) {
            Some(sample) => edit(sample, text),
            None => Ok(text.unwrap_or_default()),
        };
        let added = self.images.len();
        self.documents.rewrite(out, omitted, added, &mut edit)
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
pub(crate) fn check_document(
    document: &Document,
    field: &FieldName,
    kind: LabelType,
) -> Result<(), Error> {
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

    fn media_root(&self) -> &Root {
        self.media_root.as_ref().unwrap_or(&self.root)
    }

    fn len(&self) -> usize {
        self.listed() + self.images.len()
    }

    fn entry(&self, index: usize) -> Result<Option<Entry>, Error> {
        match index.checked_sub(self.listed()) {
            None => self.document(self.position(index)),
            Some(image) => Ok(self.images.get(image).map(|image| Entry::File {
                stored: Ok(image.clone()),
                document: None,
            })),
        }
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
