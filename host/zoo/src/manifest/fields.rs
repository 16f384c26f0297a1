//! The fields of one JSON object, read one by one.

use modelzoo_archive::RelPath;
use modelzoo_net::policy::Permission;
use serde_json::{Map, Value};

use super::{ArtifactEntry, ComponentRef, ManifestError, PermissionsAsked, TrainingData, Warning};
use crate::requirements::Requirements;

/// An object, where it is, and where to note what is left out.
pub(super) struct Fields<'a, 'w> {
    object: &'a Map<String, Value>,
    at: String,
    warnings: &'w mut Vec<Warning>,
}

impl<'a, 'w> Fields<'a, 'w> {
    pub(super) fn new(
        value: &'a Value,
        at: String,
        warnings: &'w mut Vec<Warning>,
    ) -> Result<Self, ManifestError> {
        match value {
            Value::Object(object) => Ok(Self {
                object,
                at,
                warnings,
            }),
            _ => Err(ManifestError::Field {
                field: if at.is_empty() {
                    "the whole".into()
                } else {
                    at
                },
                reason: "is no object".into(),
            }),
        }
    }

    /// Where a field is.
    pub(super) fn path(&self, name: &str) -> String {
        match self.at.as_str() {
            "" => name.to_owned(),
            at => format!("{at}.{name}"),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn error(&self, name: &str, reason: impl Into<String>) -> ManifestError {
        ManifestError::Field {
            field: self.path(name),
            reason: reason.into(),
        }
    }

    fn warn(&mut self, name: &str, reason: impl Into<String>) {
        let field = self.path(name);
        self.warnings.push(Warning {
            field,
            reason: reason.into(),
        });
    }

    pub(super) fn required_text(&self, name: &str) -> Result<String, ManifestError> {
        match self.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(self.error(name, "is no text")),
            None => Err(self.error(name, "is missing")),
        }
    }

    pub(super) fn required_list(&self, name: &str) -> Result<&'a [Value], ManifestError> {
        match self.get(name) {
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(self.error(name, "is no list")),
            None => Err(self.error(name, "is missing")),
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.warn(name, "is no text");
                None
            }
        }
    }

    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        let items = self.get(name).and_then(Value::as_array);
        let texts: Option<Vec<String>> = items
            .map(|items| {
                items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect()
            })
            .unwrap_or_default();
        if texts.is_none() && self.get(name).is_some() {
            self.warn(name, "is no list of texts");
        }
        texts.unwrap_or_default()
    }

    pub(super) fn bytes(&mut self, name: &str) -> Option<u64> {
        let value = self.get(name)?;
        let bytes = value.as_u64();
        if bytes.is_none() {
            self.warn(name, "is no number of bytes");
        }
        bytes
    }

    pub(super) fn object(&mut self, name: &str) -> Option<Value> {
        let value = self.get(name)?;
        if value.is_object() {
            return Some(value.clone());
        }
        self.warn(name, "is no object");
        None
    }

    /// A path that must be safe: it is an error if it is not.
    pub(super) fn rel_path(&self, name: &str) -> Result<Option<RelPath>, ManifestError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => self.parse_path(name, text).map(Some),
            Some(_) => Err(self.error(name, "is no text")),
        }
    }

    fn parse_path(&self, name: &str, text: &str) -> Result<RelPath, ManifestError> {
        RelPath::parse(text).map_err(|e| self.error(name, format!("is no safe path: {e}")))
    }

    pub(super) fn component(&mut self) -> Result<Option<ComponentRef>, ManifestError> {
        let Some(value) = self.get("component") else {
            return Ok(None);
        };
        let at = self.path("component");
        let fields = Fields::new(value, at, self.warnings)?;
        let path = fields
            .rel_path("path")?
            .ok_or_else(|| fields.error("path", "is missing"))?;
        let sha256 = fields.sha256()?;
        let files = match fields.get("files") {
            None => &[][..],
            Some(_) => fields.required_list("files")?,
        };
        let files = files
            .iter()
            .map(|file| match file.as_str() {
                Some(text) => fields.parse_path("files", text.trim_end_matches('/')),
                None => Err(fields.error("files", "holds something other than text")),
            })
            .collect::<Result<_, _>>()?;
        Ok(Some(ComponentRef {
            path,
            sha256,
            files,
        }))
    }

    /// A digest that must be one: it is an error if it is not.
    fn sha256(&self) -> Result<Option<String>, ManifestError> {
        match self.get("sha256") {
            None => Ok(None),
            Some(Value::String(text)) if is_sha256(text) => Ok(Some(text.to_ascii_lowercase())),
            Some(_) => Err(self.error("sha256", "is not 64 hexadecimal digits")),
        }
    }

    pub(super) fn artifacts(&mut self) -> Result<Vec<ArtifactEntry>, ManifestError> {
        let items = match self.get("artifacts") {
            None => return Ok(Vec::new()),
            Some(_) => self.required_list("artifacts")?,
        };
        let mut artifacts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = self.path(&format!("artifacts[{index}]"));
            let mut fields = Fields::new(item, at, self.warnings)?;
            let path = fields
                .rel_path("path")?
                .ok_or_else(|| fields.error("path", "is missing"))?;
            let urls = match fields.get("url") {
                Some(Value::String(url)) => vec![url.clone()],
                _ => fields.texts("url"),
            };
            if urls.is_empty() {
                return Err(fields.error("url", "names no address"));
            }
            let sha256 = fields.sha256()?;
            let size_bytes = fields.bytes("size_bytes");
            let unpack = fields
                .get("unpack")
                .and_then(Value::as_bool)
                .unwrap_or(false);
            artifacts.push(ArtifactEntry {
                path,
                urls,
                sha256,
                size_bytes,
                unpack,
            });
        }
        Ok(artifacts)
    }

    pub(super) fn permissions(&mut self) -> Result<PermissionsAsked, ManifestError> {
        let Some(value) = self.get("permissions") else {
            return Ok(PermissionsAsked::default());
        };
        let at = self.path("permissions");
        let mut fields = Fields::new(value, at, self.warnings)?;
        let network = match fields.get("network") {
            None => &[][..],
            Some(_) => fields.required_list("network")?,
        };
        let network = network
            .iter()
            .map(|item| {
                let text = item
                    .as_str()
                    .ok_or_else(|| fields.error("network", "holds something other than text"))?;
                text.parse::<Permission>()
                    .map_err(|e| fields.error("network", format!("holds `{text}`: {e}")))
            })
            .collect::<Result<_, _>>()?;
        Ok(PermissionsAsked {
            network,
            max_download_bytes: fields.bytes("max_download_bytes"),
        })
    }

    pub(super) fn requirements(&mut self) -> Requirements {
        let Some(value) = self.get("requirements") else {
            return Requirements::default();
        };
        let (requirements, problems) = Requirements::read(value);
        for problem in problems {
            self.warn("requirements", problem);
        }
        requirements
    }

    pub(super) fn training_data(&mut self) -> Vec<TrainingData> {
        let items = self.get("training_data").and_then(Value::as_array);
        let read: Option<Vec<TrainingData>> = items
            .map(|items| {
                items
                    .iter()
                    .map(|item| {
                        Some(TrainingData {
                            name: item.get("name")?.as_str()?.to_owned(),
                            url: item.get("url").and_then(Value::as_str).map(str::to_owned),
                        })
                    })
                    .collect()
            })
            .unwrap_or_default();
        if read.is_none() && self.get("training_data").is_some() {
            self.warn("training_data", "is no list of objects with a `name`");
        }
        read.unwrap_or_default()
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
