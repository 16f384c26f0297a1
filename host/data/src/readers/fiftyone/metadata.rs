//! `metadata.json`: which fields samples have, and where they came from.

use std::path::{Path, PathBuf};

use modelzoo_base::json::{self, Object, SetError, push, set};
use serde::Deserialize;
use serde_json::Value;

use crate::files::{Stamp, malformed, read_bounded};
use crate::label::LabelType;
use crate::{Error, FieldName, text};

/// A member of our own, which FiftyOne ignores and does not export: the samples
/// are the images of the directory that the dataset is in.
pub(crate) const OF_DIRECTORY: &str = "_modelzoo_directory";
/// Where provenance lies: `info.modelzoo.<field>`.
const INFO: [&str; 2] = ["info", "modelzoo"];

/// The file, as it was read.
#[derive(Clone)]
pub(crate) struct Metadata {
    pub(crate) path: PathBuf,
    pub(crate) text: Vec<u8>,
    stamp: Option<Stamp>,
    fields: Vec<Field>,
    /// Whether the samples are the images of the dataset's directory.
    pub(crate) of_directory: bool,
}

#[derive(Deserialize)]
struct Declared {
    #[serde(default)]
    sample_fields: Option<Vec<Field>>,
    #[serde(default, rename = "_modelzoo_directory")]
    of_directory: Option<bool>,
}

#[derive(Clone, Deserialize)]
struct Field {
    name: Option<String>,
    #[serde(default)]
    ftype: Option<String>,
    #[serde(default)]
    embedded_doc_type: Option<String>,
    #[serde(default)]
    db_field: Option<String>,
    #[serde(default)]
    read_only: Option<bool>,
}

impl Metadata {
    pub(crate) fn open(path: PathBuf) -> Result<Self, Error> {
        let stamp = Stamp::at(&path);
        let text = read_bounded(&path)?;
        let mut metadata = Self::parse(path, text)?;
        metadata.stamp = stamp;
        Ok(metadata)
    }

    pub(crate) fn parse(path: PathBuf, text: Vec<u8>) -> Result<Self, Error> {
        Object::parse(&text).map_err(|error| malformed(&path, error))?;
        let declared: Declared = text::parse(&text).map_err(|error| Error::Metadata {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            path,
            text,
            stamp: None,
            fields: declared.sample_fields.unwrap_or_default(),
            of_directory: declared.of_directory.unwrap_or(false),
        })
    }

    /// Whether what is at the path now is not what was opened.
    pub(crate) fn is_stale(&self) -> bool {
        Stamp::at(&self.path) != self.stamp
    }

    /// The member of sample documents that holds the field `name`.
    pub(crate) fn key<'a>(&'a self, name: &'a str) -> &'a str {
        self.fields
            .iter()
            .find(|field| field.name.as_deref() == Some(name))
            .and_then(|field| field.db_field.as_deref())
            .unwrap_or(name)
    }

    /// Whether the field `name` is declared already; an error if what is declared
    /// leaves no place for labels of type `kind`.
    pub(crate) fn declares(&self, name: &FieldName, kind: LabelType) -> Result<bool, Error> {
        let name = name.as_str();
        let taken = |existing: String| Error::FieldType {
            field: name.to_owned(),
            existing,
            wanted: kind.name(),
        };
        for field in &self.fields {
            let stored = field.db_field.as_deref();
            if field.name.as_deref() != Some(name) {
                if stored == Some(name) {
                    return Err(taken(format!("{} of another name", field.type_name())));
                }
                continue;
            }
            let class = match kind {
                LabelType::Vector => &field.ftype,
                _ => &field.embedded_doc_type,
            };
            if class.as_deref() != Some(&kind.class()) {
                return Err(taken(field.type_name()));
            }
            if stored.is_some_and(|stored| stored != name) {
                return Err(taken(format!("{} under another name", field.type_name())));
            }
            if field.read_only == Some(true) {
                return Err(Error::FieldReadOnly {
                    field: name.to_owned(),
                });
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// The same with the field described, if it is not, and without the
    /// provenance of what it held: the state in which samples may change.
    pub(crate) fn declaring(&self, name: &FieldName, kind: LabelType) -> Result<Self, Error> {
        let mut next = self.clone();
        if !self.declares(name, kind)? {
            let object = Object::parse(&self.text).map_err(|error| malformed(&self.path, error))?;
            let list = match object.get(&self.text, "sample_fields") {
                None | Some(b"null") => b"[]",
                Some(list) => list,
            };
            let element = json::to_vec(&kind.field(name.as_str()));
            let list = push(list, &element).map_err(|error| malformed(&self.path, error))?;
            next.text = object.edited(&self.text, &[("sample_fields", list)]);
        }
        if self.has_provenance(name)? {
            let path: Vec<&str> = INFO.into_iter().chain([name.as_str()]).collect();
            next.text = set(&next.text, &path, b"null").map_err(|error| self.unsettable(error))?;
        }
        Ok(next)
    }

    fn has_provenance(&self, name: &FieldName) -> Result<bool, Error> {
        let mut text = self.text.as_slice();
        for key in INFO.into_iter().chain([name.as_str()]) {
            if !text.starts_with(b"{") {
                return Ok(false);
            }
            let object = Object::parse(text).map_err(|error| malformed(&self.path, error))?;
            match object.get(text, key) {
                None => return Ok(false),
                Some(inner) => text = inner,
            }
        }
        Ok(text != b"null")
    }

    /// The same with `info.modelzoo.<field>` set, or as it is if there is nothing
    /// to say.
    pub(crate) fn with_provenance(
        &self,
        name: &FieldName,
        provenance: &Value,
    ) -> Result<Self, Error> {
        if provenance.is_null() {
            return Ok(self.clone());
        }
        let path: Vec<&str> = INFO.into_iter().chain([name.as_str()]).collect();
        let value = json::to_vec(&text::storable(provenance));
        let text = set(&self.text, &path, &value).map_err(|error| self.unsettable(error))?;
        Ok(Self {
            text,
            ..self.clone()
        })
    }

    /// The same for a dataset elsewhere, whose samples are the same files.
    pub(crate) fn copied_to(&self, path: PathBuf) -> Result<Self, Error> {
        let mut copy = self.clone();
        if self.of_directory {
            copy.text = set(&self.text, &[OF_DIRECTORY], b"false")
                .map_err(|error| self.unsettable(error))?;
        }
        copy.path = path;
        Ok(copy)
    }

    fn unsettable(&self, error: SetError) -> Error {
        match error {
            SetError::Scan(error) => malformed(&self.path, error),
            SetError::NotAnObject(member) => Error::Metadata {
                path: self.path.clone(),
                reason: format!("`{member}` is not an object, so provenance has no place"),
            },
        }
    }
}

impl Field {
    /// The last part of the class that says most about the field.
    fn type_name(&self) -> String {
        let class = self
            .embedded_doc_type
            .as_deref()
            .or(self.ftype.as_deref())
            .unwrap_or("field of unknown type");
        class.rsplit('.').next().unwrap_or(class).to_owned()
    }
}

/// Where a dataset's metadata is.
pub(crate) fn path(root: &Path) -> PathBuf {
    root.join("metadata.json")
}

/// Whether `path` is metadata of ours, for the images beside it: it may be
/// replaced, for a run that was cut short leaves it without samples.
pub(crate) fn is_of_directory(path: &Path) -> bool {
    Metadata::open(path.to_owned()).is_ok_and(|metadata| metadata.of_directory)
}
