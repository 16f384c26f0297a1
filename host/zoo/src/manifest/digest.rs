//! The digest of a model's entry, as far as it decides about the model's files.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::model::ModelEntry;

/// The fields that say something about a model and nothing about its files. An update that changes
/// only these leaves what was downloaded as it is.
const DESCRIPTIVE: [&str; 11] = [
    "author",
    "comment",
    "date_added",
    "description",
    "license",
    "requirements",
    "size_bytes",
    "source",
    "tags",
    "training_data",
    "url",
];

impl ModelEntry {
    /// SHA-256 over the entry without its descriptive fields, with sorted keys, as 64 hexadecimal
    /// digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let fields = self.raw().as_object().into_iter().flatten();
        let fields = fields.filter(|(key, _)| !DESCRIPTIVE.contains(&key.as_str()));
        let fields = fields.map(|(key, value)| (key.clone(), value.clone()));
        let canonical = sorted(Value::Object(fields.collect())).to_string();
        hex::encode(Sha256::digest(canonical))
    }
}

/// The value with the keys of all objects in order. The parser bounds how deep it is.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut pairs: Vec<_> = fields.into_iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            let pairs = pairs.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::manifest::Manifest;

    fn digest(model: Value) -> String {
        let text = json!({"name": "a", "models": [model]}).to_string();
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        manifest.models[0].digest()
    }

    #[test]
    fn only_what_decides_about_the_files_counts() {
        let digest_of = |more: Value| {
            let mut model = json!({"base_name": "a/b", "version": "1", "base_filename": "w.pt"});
            let fields = model.as_object_mut().unwrap();
            fields.extend(more.as_object().unwrap().clone());
            digest(model)
        };
        let plain = digest_of(json!({}));
        for same in [
            json!({"description": "x", "tags": ["y"], "license": "MIT", "url": "https://a.org"}),
            json!({"author": "x", "date_added": "2026-01-01", "size_bytes": 7}),
        ] {
            assert_eq!(digest_of(same), plain);
        }
        for other in [
            json!({"base_filename": "v.pt"}),
            json!({"version": "2"}),
            json!({"default_deployment_config_dict": {"type": "x"}}),
            json!({"unknown": 1}),
        ] {
            assert_ne!(digest_of(other.clone()), plain, "{other}");
        }
    }

    #[test]
    fn order_of_keys_does_not_count() {
        assert_eq!(
            digest(json!({"base_name": "a/b", "x": {"c": 1, "d": [{"e": 1, "f": 2}]}})),
            digest(json!({"x": {"d": [{"f": 2, "e": 1}], "c": 1}, "base_name": "a/b"})),
        );
        assert_ne!(
            digest(json!({"base_name": "a/b", "x": [1, 2]})),
            digest(json!({"base_name": "a/b", "x": [2, 1]})),
        );
    }
}
