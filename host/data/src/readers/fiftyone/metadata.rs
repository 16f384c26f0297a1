//! `metadata.json`: which fields samples have, and where they came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use modelzoo_base::json::{self, Object, SetError, push, set};
use modelzoo_model::label::LabelType;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::field::{FieldName, FieldNames};
use crate::files::{Stamp, malformed, read_bounded};
use crate::text;

/// A member of our own, which FiftyOne ignores and does not export: the samples
/// are the images of the directory that the dataset is in.
pub(crate) const OF_DIRECTORY: &str = "_modelzoo_directory";
const SAMPLE_FIELDS: &str = "sample_fields";
/// Where provenance is: `info.modelzoo.<field>`.
const INFO: [&str; 2] = ["info", "modelzoo"];

/// The file, as it was read.
#[derive(Clone)]
pub(crate) struct Metadata {
    pub(crate) path: PathBuf,
    pub(crate) text: Vec<u8>,
    stamp: Option<Stamp>,
    /// Whether it is of a LegacyFiftyOneDataset.
    is_legacy: bool,
    fields: Vec<Field>,
    /// Whether the samples are the images of the dataset's directory.
    pub(crate) of_directory: bool,
}

#[derive(Deserialize)]
struct Declared {
    #[serde(default)]
    sample_fields: Option<Fields>,
    #[serde(default, rename = "_modelzoo_directory")]
    of_directory: Option<bool>,
}

/// `sample_fields` as FiftyOne has written it.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`sample_fields` is neither a list of fields nor types by their names"
)]
enum Fields {
    /// FiftyOneDataset: a description per field.
    Described(Vec<Field>),
    /// LegacyFiftyOneDataset: the type of each field by its name, as
    /// `fiftyone.core.fields.EmbeddedDocumentField(fiftyone.core.labels.Classification)`.
    Named(BTreeMap<String, String>),
}

impl Fields {
    fn into_described(self) -> Vec<Field> {
        match self {
            Self::Described(fields) => fields,
            Self::Named(types) => types.into_iter().map(Field::named).collect(),
        }
    }
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
        let is_legacy = matches!(declared.sample_fields, Some(Fields::Named(_)));
        let fields = declared.sample_fields.map(Fields::into_described);
        Ok(Self {
            path,
            text,
            stamp: None,
            is_legacy,
            fields: fields.unwrap_or_default(),
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
            let class = if kind.is_document() {
                &field.embedded_doc_type
            } else {
                &field.ftype
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
            next.text = self.with_field(name, kind)?;
        }
        if self.has_provenance(name)? {
            let path: Vec<&str> = INFO.into_iter().chain([name.as_str()]).collect();
            next.text = set(&next.text, &path, b"null").map_err(|error| self.unsettable(error))?;
        }
        Ok(next)
    }

    /// The text with the field described, in the form that the others have.
    fn with_field(&self, name: &FieldName, kind: LabelType) -> Result<Vec<u8>, Error> {
        let failed = |error| malformed(&self.path, error);
        let object = Object::parse(&self.text).map_err(failed)?;
        let fields = object.get(&self.text, SAMPLE_FIELDS);
        let fields = match fields {
            Some(fields) if self.is_legacy => {
                let types = Object::parse(fields).map_err(failed)?;
                let class = json::to_vec(&legacy_class(kind));
                types.edited(fields, &[(name.as_str(), class)])
            }
            fields => {
                let list = fields.filter(|list| *list != b"null").unwrap_or(b"[]");
                let description = json::to_vec(&kind.field(name.as_str()));
                push(list, &description).map_err(failed)?
            }
        };
        Ok(object.edited(&self.text, &[(SAMPLE_FIELDS, fields)]))
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

    /// The same with what the numbers in the field's masks and its points are called, where there
    /// is something to say: members of `mask_targets` and `skeletons`.
    pub(crate) fn with_names(&self, name: &FieldName, names: &FieldNames) -> Result<Self, Error> {
        let mut next = self.clone();
        let parts = [
            ("mask_targets", names.mask_targets()),
            ("skeletons", names.skeleton()),
        ];
        for (member, value) in parts {
            if let Some(value) = value {
                let path = [member, name.as_str()];
                let text = set(&next.text, &path, &json::to_vec(&value));
                next.text = text.map_err(|error| self.unsettable(error))?;
            }
        }
        Ok(next)
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
                reason: format!("`{member}` is not an object, so what belongs there has no place"),
            },
        }
    }
}

/// The type of a field of labels as a LegacyFiftyOneDataset writes it.
fn legacy_class(kind: LabelType) -> String {
    let class = kind.class();
    if kind.is_document() {
        format!("fiftyone.core.fields.EmbeddedDocumentField({class})")
    } else {
        class
    }
}

impl Field {
    /// A field of a LegacyFiftyOneDataset.
    fn named((name, class): (String, String)) -> Self {
        let (ftype, inner) = match class.trim().split_once('(') {
            None => (class.trim(), None),
            Some((ftype, inner)) => (ftype, inner.strip_suffix(')')),
        };
        let embeds = ftype.ends_with(".EmbeddedDocumentField");
        Self {
            ftype: Some(ftype.to_owned()),
            embedded_doc_type: inner.filter(|_| embeds).map(str::to_owned),
            // A document's `id` is its `_id`; all others have their own names.
            db_field: (name == "id").then(|| "_id".to_owned()),
            name: Some(name),
            read_only: None,
        }
    }

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
