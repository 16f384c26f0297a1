//! What is known about a registered source.

use modelzoo_net::policy::Permissions;
use serde::Serialize;

use crate::manifest::Manifest;
use crate::store::LockedSource;

/// A registered source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceInfo {
    /// Everything that the lock says.
    #[serde(flatten)]
    pub locked: LockedSource,
    /// When its origin was last checked for changes, by registering, updating or checking it
    /// (RFC 3339, UTC); `None` if it never was, because it came with a bundle.
    pub checked: Option<String>,
    /// The permissions that its manifests declare.
    pub asked: Permissions,
    /// The names of its models, sorted.
    pub models: Vec<String>,
    /// Why its manifests cannot be read, if they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl SourceInfo {
    pub(crate) fn new(locked: LockedSource, manifests: &[(String, Manifest)]) -> Self {
        let mut models: Vec<String> = manifests
            .iter()
            .flat_map(|(_, manifest)| &manifest.models)
            .map(|model| model.name().to_string())
            .collect();
        models.sort();
        Self {
            checked: (!locked.imported).then(|| locked.registered.clone()),
            locked,
            asked: asked(manifests),
            models,
            problem: None,
        }
    }
}

/// All hosts that the manifests of a source ask for.
pub(crate) fn asked(manifests: &[(String, Manifest)]) -> Permissions {
    manifests
        .iter()
        .flat_map(|(_, manifest)| manifest.permissions.network.iter().cloned())
        .collect()
}
