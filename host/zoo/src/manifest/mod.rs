//! `manifest.json`: FiftyOne's schema, read tolerantly, with two optional keys of ours.
//!
//! Reading executes, opens and resolves nothing. A required field that is missing or malformed is
//! an error; an optional one is a [`Warning`] and counts as absent. Unknown fields are kept: the
//! original text is what is stored, and [`ModelEntry::raw`] has each model as it is written.

mod fields;

use std::collections::BTreeMap;
use std::fmt;

use modelzoo_archive::RelPath;
use modelzoo_net::policy::Permissions;
use serde_json::Value;

use self::fields::Fields;
use crate::name::{self, ModelName, NameError};
use crate::requirements::Requirements;

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not JSON.
    #[error("manifest.json, line {line}, column {column}: {reason}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A field is missing or has a value that it cannot have.
    #[error("manifest.json: {field} {reason}")]
    Field {
        /// Where it is, for example `models[2].base_name`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name breaks the rules.
    #[error("manifest.json: {field}: {source}")]
    Name {
        /// Where it is.
        field: String,
        /// The rule.
        source: NameError,
    },
    /// Two models cannot be told apart.
    #[error("manifest.json: {first} and {second} are both called {name}")]
    Duplicate {
        /// Where the first is.
        first: String,
        /// Where the second is.
        second: String,
        /// Their name.
        name: String,
    },
}

impl ManifestError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { .. } => {
                Some("the publisher has to correct it; any JSON checker finds the place".into())
            }
            Self::Name { source, .. } => source.hint(),
            Self::Duplicate { .. } => Some("give them different versions or names".into()),
            Self::Field { .. } => None,
        }
    }
}

/// A field that is not as it should be, and that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it is.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; it is left out", self.field, self.reason)
    }
}

/// The manifest of a source.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The name that the source gives itself.
    pub name: String,
    /// Where it says that it comes from.
    pub url: Option<String>,
    /// Its component, if it names one.
    pub component: Option<ComponentRef>,
    /// What its hooks ask for.
    pub permissions: PermissionsAsked,
    /// Its models, in order.
    pub models: Vec<ModelEntry>,
    /// What was left out.
    pub warnings: Vec<Warning>,
}

/// The component of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRef {
    /// Where it is, relative to the manifest.
    pub path: RelPath,
    /// The digest that it must have, as 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// Further files and directories that hooks may read.
    pub files: Vec<RelPath>,
}

/// What the hooks of a source ask for.
#[derive(Debug, Clone, Default)]
pub struct PermissionsAsked {
    /// The hosts that they want to reach.
    pub network: Permissions,
    /// The most bytes that they mean to download for a model.
    pub max_download_bytes: Option<u64>,
}

/// A data set that a model was trained on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingData {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub url: Option<String>,
}

/// A file that the host fetches for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactEntry {
    /// Where it goes, relative to the model's directory.
    pub path: RelPath,
    /// Where it is fetched from: the first address that has the right bytes.
    pub urls: Vec<String>,
    /// The digest that it must have, as 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// The length that it must have.
    pub size_bytes: Option<u64>,
    /// Whether it is an archive, of which only the contents are kept.
    pub unpack: bool,
}

/// A model of a manifest.
#[derive(Debug, Clone)]
pub struct ModelEntry {
    name: ModelName,
    /// The file or directory that the model is, relative to its own directory.
    pub base_filename: Option<RelPath>,
    /// As written.
    pub version: Option<String>,
    /// As written.
    pub author: Option<String>,
    /// Where the model is hosted.
    pub url: Option<String>,
    /// As written; several are separated by commas.
    pub license: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// As written.
    pub tags: Vec<String>,
    /// Bytes to download.
    pub size_bytes: Option<u64>,
    /// As written.
    pub date_added: Option<String>,
    /// What it requires.
    pub requirements: Requirements,
    /// The reference system's download manager, uninterpreted.
    pub manager: Option<Value>,
    /// The reference system's model configuration, uninterpreted.
    pub default_deployment_config_dict: Option<Value>,
    /// What it was trained on.
    pub training_data: Vec<TrainingData>,
    /// The files that the host fetches for it; empty when a hook or a manager does.
    pub artifacts: Vec<ArtifactEntry>,
    raw: Value,
}

impl ModelEntry {
    /// The name with its version.
    #[must_use]
    pub fn name(&self) -> ModelName {
        self.name.clone()
    }

    /// The entry as it is written, unknown fields included.
    #[must_use]
    pub fn raw(&self) -> &Value {
        &self.raw
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError`], with the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| ManifestError::Syntax {
                line: error.line(),
                column: error.column(),
                reason: reason_of(&error),
            })?;
        let mut warnings = Vec::new();
        let mut fields = Fields::new(&value, String::new(), &mut warnings)?;
        let source_name = fields.required_text("name")?;
        check_name(&source_name, "name")?;
        let url = fields.text("url");
        let component = fields.component()?;
        let permissions = fields.permissions()?;
        let entries = fields.required_list("models")?;
        let models = entries
            .iter()
            .enumerate()
            .map(|(index, model)| read_model(model, format!("models[{index}]"), &mut warnings))
            .collect::<Result<Vec<_>, _>>()?;
        check_distinct(&models)?;
        Ok(Self {
            name: source_name,
            url,
            component,
            permissions,
            models,
            warnings,
        })
    }
}

fn read_model(
    value: &Value,
    at: String,
    warnings: &mut Vec<Warning>,
) -> Result<ModelEntry, ManifestError> {
    let mut fields = Fields::new(value, at, warnings)?;
    let base_name = fields.required_text("base_name")?;
    let version = fields.text("version").filter(|version| !version.is_empty());
    let name =
        ModelName::new(&base_name, version.as_deref()).map_err(|source| ManifestError::Name {
            field: fields.path(if name::check(&base_name).is_ok() {
                "version"
            } else {
                "base_name"
            }),
            source,
        })?;
    Ok(ModelEntry {
        name,
        base_filename: fields.rel_path("base_filename")?,
        version,
        author: fields.text("author"),
        url: fields.text("url"),
        license: fields.text("license"),
        source: fields.text("source"),
        description: fields.text("description"),
        tags: fields.texts("tags"),
        size_bytes: fields.bytes("size_bytes"),
        date_added: fields.text("date_added"),
        requirements: fields.requirements(),
        manager: fields.object("manager"),
        default_deployment_config_dict: fields.object("default_deployment_config_dict"),
        training_data: fields.training_data(),
        artifacts: fields.artifacts()?,
        raw: value.clone(),
    })
}

fn check_name(text: &str, field: &str) -> Result<(), ManifestError> {
    name::check(text).map_err(|source| ManifestError::Name {
        field: field.to_owned(),
        source,
    })
}

/// Two models of one name and version, in whatever case, would share a directory.
fn check_distinct(models: &[ModelEntry]) -> Result<(), ManifestError> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, model) in models.iter().enumerate() {
        let name = model.name.to_string();
        if let Some(first) = seen.insert(name.to_lowercase(), index) {
            return Err(ManifestError::Duplicate {
                first: format!("models[{first}]"),
                second: format!("models[{index}]"),
                name,
            });
        }
    }
    Ok(())
}

/// serde_json's message without the place, which is said already.
fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
