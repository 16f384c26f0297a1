//! What downloads the files of a model.

use super::model::ModelEntry;

/// What downloads the files of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Downloader {
    /// The host, as `artifacts` says.
    Artifacts,
    /// The host, as `manager` says, with the files that the configuration needs.
    Manager,
    /// The host, as `default_deployment_config_dict` implies.
    Configuration,
    /// A hook.
    Hook,
    /// Nothing: there is no hook either.
    Nobody,
}

impl Downloader {
    /// The downloader of a model; `has_component` says whether its source has a component.
    /// Whether the host knows a configuration is not looked at.
    pub(crate) fn of(entry: &ModelEntry, has_component: bool) -> Self {
        let manager = entry.manager.as_ref();
        if !entry.artifacts.is_empty() {
            Self::Artifacts
        } else if manager.is_some_and(|m| m.url.is_some() || m.google_drive_id.is_some()) {
            Self::Manager
        } else if has_component {
            Self::Hook
        } else if entry.default_deployment_config_dict.is_some() {
            Self::Configuration
        } else {
            Self::Nobody
        }
    }
}
