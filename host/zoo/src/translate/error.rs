//! Why a configuration of FiftyOne cannot be translated.

use std::path::PathBuf;

use modelzoo_base::Remedy;
use modelzoo_base::text;

/// Why a `default_deployment_config_dict` describes no model that this version runs.
///
/// Names come from a manifest; the messages show them escaped.
#[derive(Debug, thiserror::Error)]
pub enum TranslateError {
    /// The class is not one that is known.
    #[error("type `{}` is not known", text::escape(.name))]
    UnknownType {
        /// The class.
        name: String,
        /// The nearest known ones, best first; may be empty.
        nearest: Vec<String>,
    },
    /// The class is known, and what it does is not built.
    #[error("type `{}` {reason}", text::escape(.name))]
    NotYet {
        /// The class.
        name: String,
        /// What is missing.
        reason: &'static str,
    },
    /// The function that builds the network is not one that is known.
    #[error("`entrypoint_fcn`: `{}` is not known", text::escape(.name))]
    UnknownEntrypoint {
        /// The function.
        name: String,
        /// The nearest known ones, best first; may be empty.
        nearest: Vec<String>,
    },
    /// A repository's configuration names a kind of network that is not known.
    #[error("`model_type`: `{}` is not known", text::escape(.name))]
    UnknownModelType {
        /// The kind.
        name: String,
        /// The nearest known ones, best first; may be empty.
        nearest: Vec<String>,
    },
    /// A field has a value that cannot be translated.
    #[error("`{}`: {}", text::escape(.field), text::escape(.reason))]
    BadField {
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One text with commas in it, where a list is wanted: it could be meant as either.
    #[error("`{field}`: `{}` is one text, and a list is wanted", text::excerpt(.value, 80))]
    OneText {
        /// The field.
        field: &'static str,
        /// The text.
        value: String,
    },
    /// A field has a value that this version does not support.
    #[error("`{}`: {}", text::escape(.field), text::escape(.reason))]
    UnknownValue {
        /// The field.
        field: String,
        /// What it is, and what is known.
        reason: String,
    },
    /// A field, of the manifest or a keyword argument, is not one that is known.
    #[error("`{}` is not an argument of this model", text::escape(.name))]
    UnknownField {
        /// The field.
        name: String,
        /// The nearest known ones, best first; may be empty.
        nearest: Vec<String>,
    },
    /// A file of the model is missing, or not what it should be.
    #[error("{}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The remedy if this version does not support a configuration.
const HOOK: &str = "a source can bring a component whose `load_model` describes the model";

impl TranslateError {
    /// What would fix it, if known.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::UnknownType { nearest, .. }
            | Self::UnknownEntrypoint { nearest, .. }
            | Self::UnknownModelType { nearest, .. }
            | Self::UnknownField { nearest, .. } => {
                Some(Remedy::did_you_mean(nearest, Remedy::advice(HOOK)))
            }
            Self::File { .. } => Some(Remedy::DownloadAgain { model: None }),
            // The names of the classes can be given instead.
            Self::BadField { field, .. } if field == "labels_path" => Some(Remedy::GiveArgument {
                name: "classes",
                value: r#"["cat","dog"]"#,
            }),
            Self::OneText { field, .. } => Some(Remedy::GiveArgument {
                name: field,
                value: r#"["cat","dog"]"#,
            }),
            Self::BadField { .. } => Some(Remedy::CorrectArgument),
            Self::UnknownValue { .. } | Self::NotYet { .. } => Some(Remedy::advice(HOOK)),
        }
    }

    /// Whether this version does not support the configuration.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::UnknownType { .. }
                | Self::NotYet { .. }
                | Self::UnknownEntrypoint { .. }
                | Self::UnknownModelType { .. }
                | Self::UnknownValue { .. }
        )
    }

    pub(super) fn unknown(field: &str, reason: impl Into<String>) -> Self {
        Self::UnknownValue {
            field: field.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn bad(field: &str, reason: impl Into<String>) -> Self {
        Self::BadField {
            field: field.to_owned(),
            reason: reason.into(),
        }
    }
}
