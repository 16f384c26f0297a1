//! `manifest.json`: FiftyOne's schema, read tolerantly, with optional keys of ours.
//!
//! ```json
//! {
//!   "name": "acme/digits",
//!   "url": "https://github.com/acme/digits",
//!   "component": { "path": "source.wasm", "sha256": "<64 hex>", "files": ["digits-cnn.safetensors"] },
//!   "permissions": { "network": ["https://huggingface.co"], "max_download_bytes": 700000000 },
//!   "models": [ { "base_name": "acme/digits-cnn", "base_filename": "digits-cnn.safetensors", "version": "1.0" } ]
//! }
//! ```
//!
//! Reading executes, opens and resolves nothing. A required field that is missing or malformed is
//! an error, with its line and column; an optional one of FiftyOne's is a [`Warning`] and counts
//! as absent. The keys of ours (`component`, `permissions`, and a model's `artifacts`) and paths
//! decide about safety: there, whatever is wrong is an error. Unknown fields are kept: the original
//! text is what is stored, and [`ModelEntry::raw`] has each model as it is written.

mod artifact;
mod date;
mod digest;
mod downloader;
mod error;
mod fields;
mod locate;
mod model;

use std::collections::BTreeMap;

use modelzoo_archive::RelPath;
use modelzoo_base::json::count_values;
use modelzoo_net::policy::{Permission, Permissions};
use serde_json::Value;

pub use self::artifact::ArtifactEntry;
pub(crate) use self::downloader::Downloader;
use self::error::{MAX_BYTES, MAX_VALUES, Warnings};
pub use self::error::{ManifestError, Warning};
use self::fields::Fields;
pub use self::model::{Deployment, Manager, ModelEntry, TrainingData};
use crate::name;

/// The mark that some editors put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
    /// Its models, in order; no two of the same name and version.
    pub models: Vec<ModelEntry>,
    /// Warnings about it.
    pub warnings: Vec<Warning>,
}

/// The component of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRef {
    /// Where it is, relative to the manifest.
    pub path: RelPath,
    /// The digest that it must have, as 64 hexadecimal digits in lower case.
    pub sha256: Option<String>,
    /// Further files and directories that hooks may read.
    pub files: Vec<RelPath>,
}

/// What the hooks of a source ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PermissionsAsked {
    /// The hosts that they ask to reach.
    pub network: Permissions,
    /// The most bytes that they download for a model.
    pub max_download_bytes: Option<u64>,
}

/// What the manifests of one source may still have, all together: what is made of a manifest takes
/// many times the bytes of its smallest values.
pub(crate) struct Allowance {
    bytes: usize,
    values: u64,
}

impl Default for Allowance {
    /// 16 MiB and 131,072 values.
    fn default() -> Self {
        Self {
            bytes: MAX_BYTES,
            values: MAX_VALUES,
        }
    }
}

impl Allowance {
    /// What is left without a manifest.
    fn without(&self, text: &[u8]) -> Result<Self, ManifestError> {
        let size = text.len();
        if size > MAX_BYTES {
            return Err(ManifestError::TooLarge { size });
        }
        let values = count_values(text);
        if values > MAX_VALUES {
            return Err(ManifestError::TooManyValues { values });
        }
        let left = self
            .bytes
            .checked_sub(size)
            .zip(self.values.checked_sub(values));
        let (bytes, values) = left.ok_or(ManifestError::TooManyManifests)?;
        Ok(Self { bytes, values })
    }
}

impl Manifest {
    /// Reads a manifest of up to 16 MiB and 131,072 values, those inside of others included.
    ///
    /// # Errors
    /// [`ManifestError`], with the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        Self::parse_within(bytes, &mut Allowance::default())
    }

    /// Reads one of several manifests, within what is left for them.
    ///
    /// # Errors
    /// [`ManifestError`], with the place.
    pub(crate) fn parse_within(
        bytes: &[u8],
        allowance: &mut Allowance,
    ) -> Result<Self, ManifestError> {
        let left = allowance.without(bytes)?;
        let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let mut value: Value =
            serde_json::from_slice(text).map_err(|error| ManifestError::syntax(text, &error))?;
        let mut warnings = Warnings::default();
        let mut manifest = Self::read(&value, &mut warnings).map_err(|error| error.locate(text))?;
        manifest.warnings = warnings.into_vec();
        let entries = value.get_mut("models").and_then(Value::as_array_mut);
        let entries = entries.into_iter().flat_map(|entries| entries.drain(..));
        for (model, entry) in manifest.models.iter_mut().zip(entries) {
            model.keep(entry);
        }
        *allowance = left;
        Ok(manifest)
    }

    fn read(value: &Value, warnings: &mut Warnings) -> Result<Self, ManifestError> {
        let mut fields = Fields::new(value, String::new(), warnings)?;
        let name = fields.required_text("name")?;
        name::check(&name).map_err(|e| ManifestError::name("name".into(), e))?;
        let url = fields.text("url");
        let component = component(&mut fields)?;
        let permissions = permissions(&mut fields)?;
        let entries = fields.required_list("models")?;
        if entries.is_empty() {
            fields.warn("models", "is empty: the source declares no model");
        }
        let mut models = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            models.push(ModelEntry::read(fields.item("models", index, entry)?)?);
        }
        check_distinct(&models)?;
        warn_of_shared_files(&models, &mut fields);
        Ok(Self {
            name,
            url,
            component,
            permissions,
            models,
            warnings: Vec::new(),
        })
    }
}

fn component(fields: &mut Fields<'_, '_>) -> Result<Option<ComponentRef>, ManifestError> {
    let Some(mut fields) = fields.strict_object("component")? else {
        return Ok(None);
    };
    fields.only(&["path", "sha256", "files"]);
    let path = fields
        .strict_path("path")?
        .ok_or_else(|| fields.error("path", "is missing"))?;
    let files = fields
        .strict_texts("files")?
        .into_iter()
        .map(|(place, text)| fields.parse_path(&place, text))
        .collect::<Result<_, _>>()?;
    Ok(Some(ComponentRef {
        path,
        sha256: fields.strict_sha256("sha256")?,
        files,
    }))
}

fn permissions(fields: &mut Fields<'_, '_>) -> Result<PermissionsAsked, ManifestError> {
    let Some(mut fields) = fields.strict_object("permissions")? else {
        return Ok(PermissionsAsked::default());
    };
    fields.only(&["network", "max_download_bytes"]);
    let network = fields
        .strict_texts("network")?
        .into_iter()
        .map(|(place, text)| {
            let parsed = text.parse::<Permission>();
            parsed.map_err(|e| fields.error(&place, format!("is refused: {e}")))
        })
        .collect::<Result<_, _>>()?;
    Ok(PermissionsAsked {
        network,
        max_download_bytes: fields.strict_bytes("max_download_bytes")?,
    })
}

/// Two models of one name and version, in whatever case, would share a directory; and where one
/// has a version and another of the name has none, neither is the later one.
fn check_distinct(models: &[ModelEntry]) -> Result<(), ManifestError> {
    let mut whole: BTreeMap<String, usize> = BTreeMap::new();
    let mut bases: BTreeMap<String, usize> = BTreeMap::new();
    for (index, model) in models.iter().enumerate() {
        let name = model.name();
        let duplicate = |first: usize| {
            let first_name = models.get(first).map(|m| m.name().to_string());
            ManifestError::Duplicate {
                field: format!("models[{index}]"),
                line: 0,
                column: 0,
                name: name.to_string(),
                first: format!("models[{first}]"),
                first_name: first_name.unwrap_or_default(),
            }
        };
        if let Some(first) = whole.insert(name.to_string().to_ascii_lowercase(), index) {
            return Err(duplicate(first));
        }
        let first = *bases
            .entry(name.base().to_ascii_lowercase())
            .or_insert(index);
        let first_has_version = models.get(first).is_some_and(|m| m.version.is_some());
        if first_has_version != model.version.is_some() {
            return Err(duplicate(first));
        }
    }
    Ok(())
}

/// Here each model has a directory of its own; FiftyOne drops a model whose file another one has.
fn warn_of_shared_files(models: &[ModelEntry], fields: &mut Fields<'_, '_>) {
    let mut seen: BTreeMap<(String, Option<&str>), usize> = BTreeMap::new();
    for (index, model) in models.iter().enumerate() {
        let Some(file) = &model.base_filename else {
            continue;
        };
        let key = (file.fold_key(), model.version.as_deref());
        if let Some(first) = seen.get(&key) {
            fields.warn(
                &format!("models[{index}].base_filename"),
                format!("is that of models[{first}] too; FiftyOne leaves out the second"),
            );
        } else {
            seen.insert(key, index);
        }
    }
}

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
