use std::path::PathBuf;

use crate::reference::SourceId;

/// Why a bundle cannot be made or imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what the messages say they are")]
pub enum BundleError {
    #[error("{path} is there already", path = .0.display())]
    FileExists(PathBuf),
    #[error("{model} cannot go into a bundle: {reason}")]
    NotAsPinned { model: String, reason: &'static str },
    #[error("{file} of {model} is not what was downloaded")]
    ModelChanged { model: String, file: String },

    #[error("{path} is no bundle: {reason}", path = path.display())]
    NotABundle { path: PathBuf, reason: String },
    #[error("{path} is not as it was exported: {reason}", path = path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{source_id} is registered with the tree {registered}, and the bundle has {bundled}")]
    OtherTree {
        source_id: SourceId,
        registered: String,
        bundled: String,
    },
}

impl BundleError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::FileExists(_) => "name another --output, or remove it first".into(),
            Self::NotAsPinned { model, .. } => format!(
                "`modelzoo download {model} --overwrite` downloads it as the source is now; -n leaves it out"
            ),
            Self::ModelChanged { model, .. } => {
                format!("`modelzoo verify {model} --repair` downloads it anew")
            }
            Self::NotABundle { .. } => {
                "`modelzoo bundle export SOURCE --output FILE` makes one".into()
            }
            Self::Damaged { .. } => {
                "it was cut off or changed on its way: copy it again, or export it anew".into()
            }
            Self::OtherTree { .. } => "--overwrite replaces it by the bundle's".into(),
        }
    }
}
