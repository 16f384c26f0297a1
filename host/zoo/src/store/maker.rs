//! What made the files of a model. The files belong to it: a hook of another component, or another
//! entry of the manifest, does not get to see them.

use std::collections::BTreeMap;

use super::locked::LockedSource;
use super::snapshot::{component_name, join};
use crate::manifest::{Downloader, Manifest, ModelEntry};

/// The component and the entry of the manifest that made the files of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maker {
    /// The digest of the component whose hook downloads the model; `None` if the host does.
    pub(crate) component: Option<String>,
    /// The digest of the files that the component may read, if it has any.
    pub(crate) inputs: Option<String>,
    /// The digest of the model's entry.
    pub(crate) entry: String,
}

impl Maker {
    /// What makes the files of a model that the manifest in a directory of a source declares. The
    /// digests are those of the source, by name.
    pub(crate) fn of(
        entry: &ModelEntry,
        dir: &str,
        manifest: &Manifest,
        digests: &BTreeMap<String, String>,
    ) -> Self {
        let component = digests.get(&join(dir, component_name(manifest)));
        let component = component.filter(|_| Downloader::of(entry, true) == Downloader::Hook);
        let inputs = component.and_then(|_| digests.get(&inputs_name(dir)));
        Self {
            component: component.cloned(),
            inputs: inputs.cloned(),
            entry: entry.digest(),
        }
    }
}

/// The name under which the digest of the files that a component may read stands; no file has it.
pub(crate) fn inputs_name(dir: &str) -> String {
    format!("{dir}/")
}

impl LockedSource {
    /// What makes the files of each model that these manifests of the source declare.
    pub(crate) fn makers(&self, manifests: &[(String, Manifest)]) -> BTreeMap<String, Maker> {
        let mut makers = BTreeMap::new();
        for (dir, manifest) in manifests {
            for entry in &manifest.models {
                let maker = Maker::of(entry, dir, manifest, &self.digests);
                makers.insert(entry.name().to_string(), maker);
            }
        }
        makers
    }
}
