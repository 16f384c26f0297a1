//! Puts the results of a run where they belong.
//!
//! Everything is written to files beside the targets first; only then are they
//! renamed, in an order in which each step leaves a dataset that can be read. A
//! field is declared before samples have it, and its provenance is there only
//! while all samples have what it speaks of.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::dataset::{Dataset, Document, Form};
use crate::documents::{Documents, Folder, write_list};
use crate::label::LabelType;
use crate::metadata::{self, Metadata, new_sample};
use crate::replace::{Guard, Staged, stage, sweep};
use crate::results::Reader;
use crate::sink::{Output, ResultSink, check_field};
use crate::splice::{self, Object};
use crate::{Error, FieldName, media, npy, parquet, text};

/// Writes the results of `sink`; returns what changed or is new.
pub(crate) fn commit(sink: &ResultSink<'_>) -> Result<Vec<PathBuf>, Error> {
    match &sink.target {
        Output::Jsonl(path) => jsonl(sink, path),
        Output::Npy(path) => npy::write(sink, path),
        Output::Parquet(path) => parquet::write(sink, path),
        Output::Dataset(directory) => new_dataset(sink, sink.dataset, directory),
        Output::InPlace => {
            let _guard = Guard::take(sink.dataset.root());
            match sink.dataset.refreshed()? {
                None => in_place(sink, sink.dataset),
                Some(fresh) => {
                    check_field(&fresh, &sink.field, sink.kind)?;
                    in_place(sink, &fresh)
                }
            }
        }
    }
}

fn jsonl(sink: &ResultSink<'_>, path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut reader = sink.results.reader()?;
    let staged = stage(path, sink.overwrite, |out| {
        for index in 0..sink.dataset.len() {
            let Some(record) = reader.get(index)? else {
                continue;
            };
            let (key, value) = match &record.error {
                Some(why) => ("error", text::to_json(why)),
                None => (sink.field.as_str(), record.label().as_bytes().to_vec()),
            };
            let mut about = match &sink.dataset.form {
                Form::Texts(table) => table.object(index)?,
                _ => [("filepath".to_owned(), record.filepath.clone().into())]
                    .into_iter()
                    .collect(),
            };
            about.remove(key);
            let mut line = text::to_json(&about);
            line.pop();
            if !about.is_empty() {
                line.extend_from_slice(b", ");
            }
            line.extend(text::to_json(key));
            line.extend_from_slice(b": ");
            line.extend(value);
            line.extend_from_slice(b"}\n");
            out.write_all(&line).map_err(Error::io("write", path))?;
        }
        Ok(())
    })?;
    Ok(vec![staged.finish()?])
}

/// Adds the field to `dataset`, which is the sink's as it is on disk now.
fn in_place(sink: &ResultSink<'_>, dataset: &Dataset) -> Result<Vec<PathBuf>, Error> {
    let Form::FiftyOne {
        documents,
        metadata,
    } = &dataset.form
    else {
        return new_dataset(sink, dataset, dataset.root());
    };
    let metadata = metadata.as_ref().ok_or_else(|| Error::NoMetadata {
        path: metadata::path(dataset.root()),
    })?;
    let mut editor = Editor::new(sink, dataset)?;
    let declared = metadata.declaring(&sink.field, sink.kind)?;
    let finished = declared.with_provenance(&sink.field, &sink.provenance)?;
    let before = (declared.text != metadata.text)
        .then(|| stage_metadata(&declared, true))
        .transpose()?;
    let samples = match documents {
        Documents::File(_) => vec![stage(documents.path(), true, |out| {
            documents.rewrite(out, dataset.images.len(), &mut |index, text| {
                editor.edit(index, text)
            })
        })?],
        Documents::Folder(folder) => stage_folder(&mut editor, documents, folder)?,
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
    Ok(vec![after.finish()?, documents.path().to_owned()])
}

/// The documents of a `samples/` that change.
fn stage_folder(
    editor: &mut Editor<'_>,
    documents: &Documents,
    folder: &Folder,
) -> Result<Vec<Staged>, Error> {
    sweep(&folder.path);
    let mut staged = Vec::new();
    for index in 0..documents.len() {
        let Some(name) = folder.name(index) else {
            continue;
        };
        if !editor.has_result(index)? {
            continue;
        }
        let text = editor.edit(index, documents.read(index)?)?;
        let path = folder.path.join(name);
        staged.push(stage(&path, true, |out| {
            out.write_all(&text).map_err(Error::io("write", &path))
        })?);
    }
    Ok(staged)
}

/// Writes a FiftyOneDataset with the samples of `dataset` to `directory`.
fn new_dataset(
    sink: &ResultSink<'_>,
    dataset: &Dataset,
    directory: &Path,
) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    let directory = fs::canonicalize(directory).map_err(Error::io("open", directory))?;
    let path = metadata::path(&directory);
    let overwrite = sink.overwrite || metadata::is_of_directory(&path);
    let old = match &dataset.form {
        Form::FiftyOne {
            metadata: Some(metadata),
            ..
        } => metadata.copied_to(path)?,
        _ => {
            let name = directory.file_name().unwrap_or_default().to_string_lossy();
            Metadata::new(path, &name, directory == dataset.root())?
        }
    };
    let metadata = stage_metadata(
        &old.declaring(&sink.field, sink.kind)?
            .with_provenance(&sink.field, &sink.provenance)?,
        overwrite,
    )?;
    let mut editor = Editor::new(sink, dataset)?;
    editor.moved_to = (directory != dataset.root()).then_some(directory.as_path());
    let path = directory.join("samples.json");
    let samples = stage(&path, sink.overwrite, |out| match dataset.documents() {
        Some(documents) => documents.rewrite(out, dataset.images.len(), &mut |index, text| {
            editor.edit(index, text)
        }),
        None => write_list(out, &path, dataset.len(), &mut |index| {
            editor.edit(index, None)
        }),
    })?;
    Ok(vec![metadata.finish()?, samples.finish()?])
}

fn stage_metadata(metadata: &Metadata, overwrite: bool) -> Result<Staged, Error> {
    stage(&metadata.path, overwrite, |out| {
        out.write_all(&metadata.text)
            .map_err(Error::io("write", &metadata.path))
    })
}

/// Makes the documents of a dataset with their results.
struct Editor<'a> {
    dataset: &'a Dataset,
    field: &'a FieldName,
    reader: Reader<'a>,
    /// The directory that paths are to be relative to, if it is another one.
    moved_to: Option<&'a Path>,
}

impl<'a> Editor<'a> {
    fn new(sink: &'a ResultSink<'_>, dataset: &'a Dataset) -> Result<Self, Error> {
        Ok(Self {
            dataset,
            field: &sink.field,
            reader: sink.results.reader()?,
            moved_to: None,
        })
    }

    fn has_result(&mut self, index: usize) -> Result<bool, Error> {
        let record = self.reader.get(index)?;
        Ok(record.is_some_and(|record| record.error.is_none()))
    }

    /// The document of sample `index` with its result; without a text, that of a
    /// new sample.
    fn edit(&mut self, index: usize, text: Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
        let text = match text {
            Some(text) => text,
            None => new_sample(&self.dataset.stored(index)?.unwrap_or_default()),
        };
        let record = self.reader.get(index)?;
        let record = record.filter(|record| record.error.is_none());
        if record.is_none() && self.moved_to.is_none() {
            return Ok(text);
        }
        let changed = || Error::Changed {
            path: match self.dataset.documents() {
                Some(documents) => documents.path().to_owned(),
                None => self.dataset.root().to_owned(),
            },
        };
        let object = match Object::parse(&text) {
            Ok(object) => object,
            // Never readable, so it never had a result.
            Err(_) if record.is_none() => return Ok(text),
            Err(_) => return Err(changed()),
        };
        let mut document = Document { text, object };
        let filepath = document.filepath().ok();
        if let Some(record) = record {
            if filepath.as_deref().unwrap_or_default() != record.filepath {
                return Err(changed());
            }
            document.text = document.object.with(
                &document.text,
                self.field.as_str(),
                record.label().as_bytes(),
            );
        }
        let mut text = document.text;
        if let (Some(directory), Some(filepath)) = (self.moved_to, filepath) {
            let moved = moved(self.dataset.root(), directory, &filepath)?;
            text =
                splice::set(&text, &["filepath"], &text::to_json(&moved)).map_err(|_| changed())?;
        }
        Ok(text)
    }
}

/// How a dataset in `directory` stores the path that one in `root` has as `stored`.
fn moved(root: &Path, directory: &Path, stored: &str) -> Result<String, Error> {
    if media::is_url(stored) {
        return Ok(stored.to_owned());
    }
    let path = media::normalize(&root.join(stored));
    let path = path.strip_prefix(directory).unwrap_or(&path);
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let reason = io::Error::new(io::ErrorKind::InvalidData, "the path is not Unicode");
        Error::io("store", path)(reason)
    })
}

/// Whether a second dataset beside this one can have all that it has.
pub(crate) fn check_shareable(dataset: &Dataset) -> Result<(), Error> {
    if let Form::FiftyOne { metadata, .. } = &dataset.form {
        if metadata.is_none() {
            return Err(Error::NoMetadata {
                path: metadata::path(dataset.root()),
            });
        }
        for part in ["fields", "frames", "frames.json"] {
            let path = dataset.root().join(part);
            if path.exists() {
                return Err(Error::NotShared { path });
            }
        }
    }
    Ok(())
}

/// Checks that a sample has nothing but a label of type `kind` in `field`.
pub(crate) fn check_document(
    documents: &Documents,
    index: usize,
    field: &FieldName,
    kind: LabelType,
) -> Result<(), Error> {
    let Some(text) = documents.read(index)? else {
        return Ok(());
    };
    let Ok(document) = Document::parse(text) else {
        return Ok(());
    };
    let value: Value = match document.object.get(&document.text, field.as_str()) {
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
