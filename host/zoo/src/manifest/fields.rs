//! The fields of one JSON object, read one by one.
//!
//! FiftyOne's fields are read tolerantly: a bad one is a warning and left out. Fields that decide
//! about safety are read strictly: paths, digests, addresses, permissions.

use modelzoo_archive::RelPath;
use modelzoo_base::nearest;
use serde_json::{Map, Value};

use super::error::{ManifestError, Warnings, shown};

/// An object, its place, and the warnings.
pub(super) struct Fields<'a, 'w> {
    object: &'a Map<String, Value>,
    at: String,
    warnings: &'w mut Warnings,
}

impl<'a, 'w> Fields<'a, 'w> {
    /// # Errors
    /// When the value is not an object.
    pub(super) fn new(
        value: &'a Value,
        at: String,
        warnings: &'w mut Warnings,
    ) -> Result<Self, ManifestError> {
        match value {
            Value::Object(object) => Ok(Self {
                object,
                at,
                warnings,
            }),
            _ if at.is_empty() => Err(ManifestError::field(
                "the manifest".into(),
                "is not an object",
            )),
            _ => Err(ManifestError::field(at, "is not an object")),
        }
    }

    /// The object in a field, to read strictly.
    pub(super) fn strict_object(
        &mut self,
        name: &str,
    ) -> Result<Option<Fields<'a, '_>>, ManifestError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => {
                let at = self.path(name);
                Fields::new(value, at, self.warnings).map(Some)
            }
        }
    }

    /// The object in a field; anything else is a warning.
    pub(super) fn object(&mut self, name: &str) -> Option<Fields<'a, '_>> {
        let value = self.get(name)?;
        if !value.is_object() {
            self.left_out(name, "is not an object");
        }
        let at = self.path(name);
        Fields::new(value, at, self.warnings).ok()
    }

    /// Where a field is.
    pub(super) fn path(&self, name: &str) -> String {
        match self.at.as_str() {
            "" => name.to_owned(),
            at => format!("{at}.{name}"),
        }
    }

    /// A field; `null` counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// All fields as they are written.
    pub(super) fn all(&self) -> &'a Map<String, Value> {
        self.object
    }

    pub(super) fn error(&self, name: &str, reason: impl Into<String>) -> ManifestError {
        ManifestError::field(self.path(name), reason)
    }

    pub(super) fn warn(&mut self, name: &str, reason: impl Into<String>) {
        let field = self.path(name);
        self.warnings.push(field, reason);
    }

    pub(super) fn left_out(&mut self, name: &str, reason: &str) {
        self.warn(name, format!("{reason}; it is left out"));
    }

    /// Warns of all fields but these: a misspelled one would be ignored silently.
    pub(super) fn only(&mut self, known: &[&str]) {
        for name in self
            .object
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
        {
            let nearest = nearest(name, known.iter().copied());
            let reason = match nearest.first() {
                Some(nearest) => format!("is not known; did you mean `{nearest}`?"),
                None => "is not known".to_owned(),
            };
            self.warn(&shown(name), reason);
        }
    }

    pub(super) fn required_text(&self, name: &str) -> Result<String, ManifestError> {
        match self.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(self.error(name, "is not a string")),
            None => Err(self.error(name, "is missing")),
        }
    }

    pub(super) fn required_list(&self, name: &str) -> Result<&'a [Value], ManifestError> {
        match self.get(name) {
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(self.error(name, "is not a list")),
            None => Err(self.error(name, "is missing")),
        }
    }

    /// A list that may be absent, but must be one.
    pub(super) fn strict_list(&self, name: &str) -> Result<&'a [Value], ManifestError> {
        match self.get(name) {
            None => Ok(&[]),
            Some(_) => self.required_list(name),
        }
    }

    /// A list of texts that may be absent; each with its place.
    pub(super) fn strict_texts(&self, name: &str) -> Result<Vec<(String, &'a str)>, ManifestError> {
        let items = self.strict_list(name)?.iter().enumerate();
        items
            .map(|(index, item)| {
                let place = format!("{name}[{index}]");
                match item.as_str() {
                    Some(text) => Ok((place, text)),
                    None => Err(self.error(&place, "is not a string")),
                }
            })
            .collect()
    }

    pub(super) fn strict_bytes(&self, name: &str) -> Result<Option<u64>, ManifestError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match whole_number(value) {
                Some(bytes) => Ok(Some(bytes)),
                None => Err(self.error(name, "is not a number of bytes")),
            },
        }
    }

    pub(super) fn strict_bool(&self, name: &str) -> Result<Option<bool>, ManifestError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(self.error(name, "is neither true nor false")),
        }
    }

    /// A digest: 64 hexadecimal digits, answered in lower case.
    pub(super) fn strict_sha256(&self, name: &str) -> Result<Option<String>, ManifestError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if is_sha256(text) => Ok(Some(text.to_ascii_lowercase())),
            Some(_) => Err(self.error(name, "is not 64 hexadecimal digits")),
        }
    }

    /// A path; a text without one counts as absent.
    pub(super) fn strict_path(&self, name: &str) -> Result<Option<RelPath>, ManifestError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => self.parse_path(name, text).map(Some),
            Some(_) => Err(self.error(name, "is not a string")),
        }
    }

    /// A path that may end in a slash, as those of directories do.
    pub(super) fn parse_path(&self, name: &str, text: &str) -> Result<RelPath, ManifestError> {
        let bare = text.strip_suffix('/').unwrap_or(text);
        RelPath::parse(bare).map_err(|e| ManifestError::bad_path(self.path(name), text, e))
    }

    /// A text; an empty one counts as absent.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            _ => {
                self.left_out(name, "is not a string");
                None
            }
        }
    }

    /// A version. A number is taken as it is written, as far as JSON keeps it.
    pub(super) fn version(&mut self) -> Option<String> {
        match self.get("version")? {
            Value::Number(number) => {
                let text = number.to_string();
                self.warn(
                    "version",
                    format!("is a number, and read as `{text}`; write it as a text"),
                );
                Some(text)
            }
            _ => self.text("version"),
        }
    }

    /// A list of strings; one string is a list of one. Members that are not strings are left out.
    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        let items = match self.get(name) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(Value::String(text)) => {
                self.warn(name, "is one text, and taken for a list of one");
                return vec![text.clone()];
            }
            Some(_) => {
                self.left_out(name, "is not a list of strings");
                return Vec::new();
            }
        };
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text.clone()),
                _ => self.left_out(&format!("{name}[{index}]"), "is not a string"),
            }
        }
        texts
    }

    pub(super) fn bytes(&mut self, name: &str) -> Option<u64> {
        let value = self.get(name)?;
        let bytes = whole_number(value);
        if bytes.is_none() {
            self.left_out(name, "is not a number of bytes");
        }
        bytes
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        match self.get(name) {
            None => false,
            Some(Value::Bool(value)) => *value,
            Some(_) => {
                self.left_out(name, "is neither true nor false");
                false
            }
        }
    }

    /// The members of a list, to be read one by one; what is not a list is noted.
    pub(super) fn items(&mut self, name: &str) -> &'a [Value] {
        match self.get(name) {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.left_out(name, "is not a list");
                &[]
            }
        }
    }

    /// One member of a list, as an object.
    pub(super) fn item<'s>(
        &'s mut self,
        name: &str,
        index: usize,
        value: &'a Value,
    ) -> Result<Fields<'a, 's>, ManifestError> {
        let at = self.path(&format!("{name}[{index}]"));
        Fields::new(value, at, self.warnings)
    }
}

/// A count, also where it is written as `1e6` or `7.0`.
fn whole_number(value: &Value) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        let whole = (0.0..=EXACT).contains(&number) && number.fract() == 0.0;
        // In range, and without a fraction.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "just checked"
        )]
        whole.then_some(number as u64)
    })
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
