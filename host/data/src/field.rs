use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::error::Error;

/// The name of a sample field that may be written: a letter, then letters,
/// digits and underscores, and none of the names that a sample has already.
///
/// ```
/// use modelzoo_data::FieldName;
///
/// assert!("predictions".parse::<FieldName>().is_ok());
/// assert!("../predictions".parse::<FieldName>().is_err());
/// assert!("filepath".parse::<FieldName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldName(String);

/// What the parts of a field's labels are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldNames {
    /// The numbers in masks, and their names.
    pub mask_targets: Vec<(usize, String)>,
    /// The points of an object, in their order.
    pub points: Vec<String>,
    /// The lines between points, each the numbers of those that it connects.
    pub edges: Vec<Vec<u32>>,
}

impl FieldNames {
    /// FiftyOne's JSON of the names of numbers; none where there are none.
    pub(crate) fn mask_targets(&self) -> Option<Value> {
        let names = self.mask_targets.iter();
        let names = names.map(|(number, name)| (number.to_string(), name.as_str().into()));
        let names: Map<String, Value> = names.collect();
        (!names.is_empty()).then_some(Value::Object(names))
    }

    /// FiftyOne's JSON of a skeleton; none where there are no points.
    pub(crate) fn skeleton(&self) -> Option<Value> {
        let skeleton = json!({
            "_cls": "KeypointSkeleton",
            "labels": self.points,
            "edges": self.edges,
        });
        (!self.points.is_empty()).then_some(skeleton)
    }
}

const MAX_LENGTH: usize = 128;

/// What FiftyOne's samples and their MongoEngine documents have as fields or attributes, and what
/// a line of a JSONL result holds besides the label.
const RESERVED: &[&str] = &[
    "DoesNotExist",
    "MultipleObjectsReturned",
    "STRICT",
    "add_field",
    "add_implied_field",
    "add_labels",
    "cascade_save",
    "clean",
    "clear_field",
    "collection_name",
    "compare_indexes",
    "compute_metadata",
    "copy",
    "copy_with_new_id",
    "create_index",
    "created_at",
    "dataset",
    "dataset_id",
    "default_fields",
    "default_fields_ordered",
    "delete",
    "drop_collection",
    "ensure_indexes",
    "error",
    "excluded_field_names",
    "fancy_repr",
    "field_names",
    "field_to_mongo",
    "field_to_python",
    "filename",
    "filepath",
    "filtered_field_names",
    "frames",
    "from_dict",
    "from_doc",
    "from_frame",
    "from_json",
    "get_field",
    "get_field_schema",
    "get_media_key",
    "get_text_score",
    "groups",
    "has_field",
    "id",
    "in_dataset",
    "in_db",
    "iter_fields",
    "last_modified_at",
    "list_indexes",
    "media_reference",
    "media_type",
    "merge",
    "merge_field_schema",
    "meta",
    "metadata",
    "modify",
    "my_metaclass",
    "objects",
    "pk",
    "register_delete_rule",
    "reload",
    "save",
    "select_related",
    "selected_field_names",
    "set_field",
    "switch_collection",
    "switch_db",
    "tags",
    "to_dbref",
    "to_dict",
    "to_json",
    "to_mongo",
    "to_mongo_dict",
    "update",
    "update_fields",
    "validate",
];

impl FieldName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FieldName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let refuse = |reason| {
            Err(Error::FieldName {
                name: name.chars().take(MAX_LENGTH).collect(),
                reason,
            })
        };
        if name.is_empty() {
            return refuse("it is empty");
        }
        if name.len() > MAX_LENGTH {
            return refuse("it is longer than 128 characters");
        }
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return refuse("it begins with something else than a letter");
        }
        if !name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
        {
            return refuse("it has something else than letters, digits and underscores");
        }
        if RESERVED.contains(&name) {
            return refuse("samples have something else by this name");
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for name in ["predictions", "P", "a_1", "resnet18_imagenet"] {
            assert!(name.parse::<FieldName>().is_ok(), "{name}");
        }
        let long = "a".repeat(129);
        for name in [
            "", "_a", "1a", "a.b", "a/b", "a\\b", "../a", "a b", "$a", "é", "a\u{1b}", "a\0", "id",
            "filepath", "tags", "metadata", "error", "clean", "to_mongo", "STRICT", "validate",
            "objects", &long,
        ] {
            assert!(name.parse::<FieldName>().is_err(), "{name}");
        }
    }
}
