//! Errors and warnings about a manifest.

use std::fmt;

use modelzoo_base::Remedy;
use modelzoo_base::text::excerpt;

use super::locate::{Place, field_at, place_of};
use crate::name::NameError;

/// The largest manifest, in bytes.
pub(super) const MAX_BYTES: usize = 16 << 20;
/// The most values of a manifest, those inside of others included. FiftyOne's own, with 283
/// models, has 12,000.
pub(super) const MAX_VALUES: u64 = 1 << 17;
/// How many warnings are kept.
const MAX_WARNINGS: usize = 200;

/// Why a manifest cannot be used. Lines and columns count from 1.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is too long.
    #[error("manifest.json is {size} bytes, and at most {MAX_BYTES} are read")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
    },
    /// It has too many values.
    #[error("manifest.json has {values} values, and at most {MAX_VALUES} are read")]
    TooManyValues {
        /// How many it has, those inside of others included.
        values: u64,
    },
    /// The manifests of a source are too much together.
    #[error(
        "the manifests of the source have more than {MAX_BYTES} bytes or {MAX_VALUES} values together"
    )]
    TooManyManifests,
    /// It is not JSON.
    #[error(
        "manifest.json, line {line}, column {column}{}: {reason}",
        within(field)
    )]
    Syntax {
        /// The line.
        line: usize,
        /// The column, in bytes.
        column: usize,
        /// The field around it, escaped; empty outside of all fields.
        field: String,
        /// What is wrong there.
        reason: String,
    },
    /// A field is missing or has a value that it cannot have.
    #[error("manifest.json, line {line}, column {column}: {field} {reason}")]
    Field {
        /// Where it is, for example `models[2].base_name`.
        field: String,
        /// The line where it is, or where what it is missing from starts.
        line: usize,
        /// The column, in characters.
        column: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A name breaks the rules.
    #[error("manifest.json, line {line}, column {column}: {field}: {source}")]
    Name {
        /// Where it is.
        field: String,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
        /// The rule.
        source: NameError,
    },
    /// A path leads out of its directory, or is not the same on every system.
    #[error(
        "manifest.json, line {line}, column {column}: {field}: `{path}` is not a safe path: {source}"
    )]
    BadPath {
        /// Where it is.
        field: String,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
        /// The path, escaped.
        path: String,
        /// The rule.
        source: modelzoo_archive::PathError,
    },
    /// Two models cannot be told apart.
    #[error(
        "manifest.json, line {line}, column {column}: {field} ({name}) cannot be told from {first} ({first_name})"
    )]
    Duplicate {
        /// Where the second is.
        field: String,
        /// The line of the second.
        line: usize,
        /// The column of the second, in characters.
        column: usize,
        /// The name of the second.
        name: String,
        /// Where the first is.
        first: String,
        /// The name of the first.
        first_name: String,
    },
}

impl ManifestError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Syntax { .. } => Some(Remedy::advice(
                "the publisher has to correct it; any JSON checker finds the place",
            )),
            Self::Name { source, .. } => source.remedy(),
            Self::Duplicate {
                name, first_name, ..
            } if name.contains('@') == first_name.contains('@') => Some(Remedy::advice(
                "give them different versions or names; letter case does not count",
            )),
            Self::Duplicate { .. } => Some(Remedy::advice("give both a version, or neither")),
            Self::BadPath { .. } => Some(Remedy::advice(
                "a path is relative, with `/` between its parts and no `..` among them",
            )),
            Self::Field { .. } => Some(Remedy::advice("the publisher has to correct the manifest")),
            Self::TooManyManifests => Some(Remedy::advice(
                "name the directory of one of the sources in the repository",
            )),
            Self::TooLarge { .. } | Self::TooManyValues { .. } => None,
        }
    }

    /// From the JSON parser's error, with the field that it is in.
    pub(super) fn syntax(text: &[u8], error: &serde_json::Error) -> Self {
        let message = error.to_string();
        // The place is said already.
        let reason = message
            .rfind(" at line ")
            .and_then(|end| message.get(..end));
        Self::Syntax {
            line: error.line(),
            column: error.column(),
            field: shown(&field_at(text, error.line(), error.column())),
            reason: reason.unwrap_or(&message).to_owned(),
        }
    }

    pub(super) fn field(field: String, reason: impl Into<String>) -> Self {
        Self::Field {
            field,
            line: 0,
            column: 0,
            reason: reason.into(),
        }
    }

    pub(super) fn name(field: String, source: NameError) -> Self {
        Self::Name {
            field,
            line: 0,
            column: 0,
            source,
        }
    }

    pub(super) fn bad_path(field: String, path: &str, source: modelzoo_archive::PathError) -> Self {
        Self::BadPath {
            field,
            line: 0,
            column: 0,
            path: shown(path),
            source,
        }
    }

    /// Fills in the place of the field that the error names.
    pub(super) fn locate(mut self, text: &[u8]) -> Self {
        match &mut self {
            Self::TooLarge { .. }
            | Self::TooManyValues { .. }
            | Self::TooManyManifests
            | Self::Syntax { .. } => {}
            Self::Field {
                field,
                line,
                column,
                ..
            }
            | Self::Name {
                field,
                line,
                column,
                ..
            }
            | Self::BadPath {
                field,
                line,
                column,
                ..
            }
            | Self::Duplicate {
                field,
                line,
                column,
                ..
            } => {
                let place: Place = place_of(text, field);
                (*line, *column) = (place.line, place.column);
            }
        }
        self
    }
}

fn within(field: &str) -> String {
    match field {
        "" => String::new(),
        field => format!(", in {field}"),
    }
}

/// A text from the manifest as a message shows it.
pub(super) fn shown(text: &str) -> String {
    excerpt(text, 100)
}

/// A bad field that does not make the manifest unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it is, for example `models[2].size_bytes`.
    pub field: String,
    /// What is wrong with it, and how it was read.
    pub reason: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.reason)
    }
}

/// Collects warnings, up to a maximum.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    kept: Vec<Warning>,
    dropped: usize,
}

impl Warnings {
    pub(super) fn push(&mut self, field: String, reason: impl Into<String>) {
        if self.kept.len() < MAX_WARNINGS {
            self.kept.push(Warning {
                field,
                reason: reason.into(),
            });
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn into_vec(mut self) -> Vec<Warning> {
        if self.dropped > 0 {
            self.kept.push(Warning {
                field: "the manifest".into(),
                reason: format!("has {} more oddities", self.dropped),
            });
        }
        self.kept
    }
}
