use std::fmt;
use std::str::FromStr;

use crate::Error;

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

const MAX_LENGTH: usize = 128;

/// What FiftyOne's samples have as fields or attributes, and what a line of a
/// JSONL result holds besides the label.
const RESERVED: &[&str] = &[
    "add_labels",
    "clear_field",
    "compute_metadata",
    "copy",
    "created_at",
    "dataset",
    "dataset_id",
    "error",
    "field_names",
    "filename",
    "filepath",
    "frames",
    "from_dict",
    "from_doc",
    "from_frame",
    "from_json",
    "get_field",
    "get_media_key",
    "groups",
    "has_field",
    "id",
    "in_dataset",
    "iter_fields",
    "last_modified_at",
    "media_reference",
    "media_type",
    "merge",
    "metadata",
    "pk",
    "reload",
    "save",
    "set_field",
    "tags",
    "to_dict",
    "to_json",
    "to_mongo_dict",
    "update_fields",
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
            "filepath", "tags", "metadata", "error", &long,
        ] {
            assert!(name.parse::<FieldName>().is_err(), "{name}");
        }
    }
}
