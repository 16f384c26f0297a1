//! One model of a manifest.

use jiff::civil::DateTime;
use modelzoo_archive::RelPath;
use modelzoo_base::nearest;
use serde_json::{Map, Value};

use super::artifact::{self, ArtifactEntry};
use super::date;
use super::error::ManifestError;
use super::fields::Fields;
use crate::name::{self, ModelName};
use crate::requirements::Requirements;

/// The managers that the host replaces: they download one file by its address.
const MANAGERS: [&str; 3] = [
    "fiftyone.core.models.ModelManager",
    "eta.core.models.ETAModelManager",
    "ModelManager",
];

/// A model of a manifest. Strings are as written: escape them before printing.
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
    /// As written; [`license::split`](crate::license::split) makes a list of it.
    pub license: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// As written.
    pub tags: Vec<String>,
    /// Bytes to download.
    pub size_bytes: Option<u64>,
    /// When it was published; in UTC where a zone was given.
    pub date_added: Option<DateTime>,
    /// What it requires.
    pub requirements: Requirements,
    /// How FiftyOne downloads it without a hook.
    pub manager: Option<Manager>,
    /// How FiftyOne loads it without a hook.
    pub default_deployment_config_dict: Option<Deployment>,
    /// What it was trained on.
    pub training_data: Vec<TrainingData>,
    /// The files that the host fetches for it; empty when a hook or a manager does.
    pub artifacts: Vec<ArtifactEntry>,
    raw: Value,
}

/// A manager of FiftyOne: one file, by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// The class that it names, as written; never resolved.
    pub kind: String,
    /// Where the file is.
    pub url: Option<String>,
    /// What the file is called on Google Drive.
    pub google_drive_id: Option<String>,
    /// Whether the file is an archive to unpack.
    pub extract_archive: bool,
    /// Whether the archive is removed after that.
    pub delete_archive: bool,
}

/// A model's configuration in FiftyOne.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The class that it names, as written; never resolved here.
    pub kind: String,
    /// Its configuration, as written.
    pub config: Map<String, Value>,
}

/// A data set that a model was trained on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingData {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub url: Option<String>,
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

    /// Keeps the entry as it is written.
    pub(super) fn keep(&mut self, raw: Value) {
        self.raw = raw;
    }

    /// Reads all but the entry as it is written.
    pub(super) fn read(mut fields: Fields<'_, '_>) -> Result<Self, ManifestError> {
        let base_name = fields.required_text("base_name")?;
        name::check(&base_name).map_err(|e| ManifestError::name(fields.path("base_name"), e))?;
        let version = fields.version();
        let name = ModelName::new(&base_name, version.as_deref())
            .map_err(|e| ManifestError::name(fields.path("version"), e))?;
        Ok(Self {
            name,
            base_filename: fields.strict_path("base_filename")?,
            version,
            author: fields.text("author"),
            url: fields.text("url"),
            license: fields.text("license"),
            source: fields.text("source"),
            description: fields.text("description"),
            tags: fields.texts("tags"),
            size_bytes: fields.bytes("size_bytes"),
            date_added: date_added(&mut fields),
            requirements: requirements(&mut fields),
            manager: manager(&mut fields),
            default_deployment_config_dict: deployment(&mut fields),
            training_data: training_data(&mut fields),
            artifacts: artifact::read(&mut fields)?,
            raw: Value::Null,
        })
    }
}

fn date_added(fields: &mut Fields<'_, '_>) -> Option<DateTime> {
    let date = date::parse(&fields.text("date_added")?);
    if date.is_none() {
        fields.left_out(
            "date_added",
            "is not a date such as 2026-01-31 or 2026-01-31 12:00:00",
        );
    }
    date
}

fn requirements(fields: &mut Fields<'_, '_>) -> Requirements {
    let Some(value) = fields.get("requirements") else {
        return Requirements::default();
    };
    let (requirements, problems) = Requirements::read(value);
    for (at, reason) in problems {
        let place = match at.as_str() {
            "" => "requirements".to_owned(),
            at => format!("requirements.{at}"),
        };
        fields.left_out(&place, &reason);
    }
    requirements
}

fn manager(fields: &mut Fields<'_, '_>) -> Option<Manager> {
    let mut manager = fields.object("manager")?;
    let kind = kind(&mut manager)?;
    if !MANAGERS.contains(&kind.as_str()) {
        let nearest = nearest(&kind, MANAGERS);
        let nearest = nearest.first().map_or(MANAGERS[0], String::as_str);
        let reason = format!(
            "`{}` is not known, only such as {nearest}",
            super::error::shown(&kind)
        );
        manager.left_out("type", &reason);
        return None;
    }
    let mut config = manager.object("config")?;
    Some(Manager {
        kind,
        url: config.text("url"),
        google_drive_id: config.text("google_drive_id"),
        extract_archive: config.flag("extract_archive"),
        delete_archive: config.flag("delete_archive"),
    })
}

fn deployment(fields: &mut Fields<'_, '_>) -> Option<Deployment> {
    let mut deployment = fields.object("default_deployment_config_dict")?;
    let kind = kind(&mut deployment)?;
    let config = deployment
        .object("config")
        .map(|config| config.all().clone());
    Some(Deployment {
        kind,
        config: config.unwrap_or_default(),
    })
}

/// The `type` of a configuration; without it the whole is left out.
fn kind(fields: &mut Fields<'_, '_>) -> Option<String> {
    let kind = fields
        .get("type")
        .and_then(Value::as_str)
        .filter(|kind| !kind.is_empty());
    if kind.is_none() {
        fields.warn(
            "type",
            "is missing or no text; the object around it is left out",
        );
    }
    kind.map(str::to_owned)
}

fn training_data(fields: &mut Fields<'_, '_>) -> Vec<TrainingData> {
    let mut sets = Vec::new();
    for (index, item) in fields.items("training_data").iter().enumerate() {
        let place = format!("training_data[{index}]");
        let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
        match text("name") {
            Some(name) => sets.push(TrainingData {
                name,
                url: text("url"),
            }),
            None => fields.left_out(&place, "is not an object with a `name`"),
        }
    }
    sets
}
