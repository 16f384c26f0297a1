//! Errors of bundles.

use std::path::PathBuf;

use modelzoo_base::Remedy;

use crate::reference::SourceId;
use crate::store::FileChange;
use crate::store::pin::listed;

/// Why a bundle cannot be made or imported.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are what the messages say they are")]
pub enum BundleError {
    #[error("{path} is there already", path = .0.display())]
    FileExists(PathBuf),
    #[error("{model} cannot go into a bundle: {reason}")]
    NotAsPinned { model: String, reason: &'static str },
    #[error("{file} of {model} is not what was downloaded")]
    ModelChanged { model: String, file: String },

    #[error("{path} is not a regular file", path = .0.display())]
    NotAFile(PathBuf),
    #[error(
        "{model} of the bundle is not what was downloaded before: {}",
        listed(changes)
    )]
    OtherFiles {
        model: String,
        changes: Vec<FileChange>,
    },
    #[error(
        "{source_id} came with a bundle that is not what its origin has at the commit {commit}: the tree is {origin} there, and {bundled} in the bundle"
    )]
    NotFromOrigin {
        source_id: SourceId,
        reference: String,
        commit: String,
        bundled: String,
        origin: String,
    },
    #[error("{path} is not a bundle: {reason}", path = path.display())]
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
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::FileExists(_) => Remedy::OtherBundlePath,
            Self::NotAsPinned { model, .. } => Remedy::RefreshOrOmit {
                model: model.clone(),
            },
            Self::ModelChanged { model, .. } => Remedy::Repair {
                model: model.clone(),
            },
            Self::NotABundle { .. } => Remedy::ExportBundle,
            Self::Damaged { .. } => Remedy::advice(
                "it was cut off or changed on its way: copy it again, or export it again",
            ),
            Self::OtherTree { .. } => Remedy::ReplaceByBundle,
            Self::NotAFile(_) => Remedy::advice(
                "a bundle is read more than once: write it to a file, and import that",
            ),
            Self::OtherFiles { .. } => Remedy::AcceptBundle,
            Self::NotFromOrigin { reference, .. } => Remedy::RegisterAgain {
                source_id: Some(reference.clone()),
            },
        }
    }
}
