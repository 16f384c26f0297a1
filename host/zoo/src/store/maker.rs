//! What made the files of a model. The files belong to it: a hook of another component, or another
//! entry of the manifest, does not get to see them.

use std::collections::BTreeMap;

use super::locked::LockedSource;
use super::snapshot::component_digest;
use crate::manifest::{Downloader, Manifest, ModelEntry};

/// The component and the entry of the manifest that made the files of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maker {
    /// The digest of the component whose hook downloads the model; `None` if the host does.
    pub(crate) component: Option<String>,
    /// The digest of the model's entry.
    pub(crate) entry: String,
}

impl Maker {
    /// What makes the files of a model, in a source whose component has this digest.
    pub(crate) fn of(entry: &ModelEntry, component: Option<&str>) -> Self {
        let component = component.filter(|_| Downloader::of(entry, true) == Downloader::Hook);
        Self {
            component: component.map(str::to_owned),
            entry: entry.digest(),
        }
    }
}

impl LockedSource {
    /// What makes the files of each model that these manifests of the source declare.
    pub(crate) fn makers(&self, manifests: &[(String, Manifest)]) -> BTreeMap<String, Maker> {
        let mut makers = BTreeMap::new();
        for (dir, manifest) in manifests {
            let component = component_digest(self, dir, manifest);
            for entry in &manifest.models {
                let maker = Maker::of(entry, component.as_deref());
                makers.insert(entry.name().to_string(), maker);
            }
        }
        makers
    }
}
