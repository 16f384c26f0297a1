//! Bundles: a source with its models in one file, for a machine without a network.
//!
//! A bundle is a plain tar, since weights do not compress. One store and one choice of models
//! always make the same bytes.
//!
//! ```text
//! bundle.json                               the source's entry of the lock, and the models
//! snapshot/…                                the source's snapshot
//! models/<model>@<version>/receipt.json     what was downloaded
//! models/<model>@<version>/files/…
//! ```
//!
//! `bundle.json` holds the digest of the snapshot and of each receipt, and a receipt the digests of
//! its files: an import checks every byte against one of them. A bundle is not signed: it is
//! untrusted input like any source. So it does not carry the permissions of the store that it comes
//! from; the user who imports it is asked.

mod export;
mod import;
mod unpack;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use export::Exported;
pub use import::{ImportOptions, Imported, ImportedModel};

use crate::error::Error;
use crate::manifest::{Manifest, ModelEntry};
use crate::store::files::hash_file;
use crate::store::lock::LockedSource;
use crate::store::receipt::Receipt;
use crate::store::snapshot::component_file;

/// The version of the format.
const FORMAT: u32 = 1;
const INDEX: &str = "bundle.json";
const SNAPSHOT: &str = "snapshot";
const MODELS: &str = "models";

/// What `bundle.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    format: u32,
    /// With the pins of `models` only, and without permissions.
    source: LockedSource,
    /// The SHA-256 of each model's receipt, by the model's name.
    models: BTreeMap<String, String>,
}

/// A model that a snapshot declares.
struct Declared {
    entry: ModelEntry,
    /// The digest of the component beside its manifest.
    component: Option<String>,
}

impl Declared {
    /// The name of the model's directory.
    fn dir(&self) -> String {
        self.entry.name().directory()
    }

    /// Why a receipt does not match this model and the pins of the source; `None` if it does.
    ///
    /// Its `tree` may be an earlier one of the source: a pin survives an update that does not change
    /// the model, and then the pin ties the files to the present tree.
    fn mismatch(&self, receipt: &Receipt, source: &LockedSource) -> Option<&'static str> {
        if receipt.source != source.id {
            return Some("it was downloaded from another source");
        }
        if source.artifacts.get(&receipt.model) != Some(&receipt.digests()) {
            return Some("its files are not those that the source's entry of the lock pins");
        }
        if receipt.component.is_some() && receipt.component != self.component {
            return Some("another component downloaded it");
        }
        (!receipt.satisfies(&self.entry))
            .then_some("its files are not those that the manifest declares")
    }
}

/// The models of a snapshot, by name.
fn declared_models(
    snapshot: &Path,
    manifests: &[(String, Manifest)],
) -> Result<BTreeMap<String, Declared>, Error> {
    let mut models = BTreeMap::new();
    for (dir, manifest) in manifests {
        let component = match component_file(&snapshot.join(dir), manifest) {
            Some((_, path)) => Some(hash_file(&path)?.1),
            None => None,
        };
        for entry in &manifest.models {
            let declared = Declared {
                entry: entry.clone(),
                component: component.clone(),
            };
            models.insert(entry.name().to_string(), declared);
        }
    }
    Ok(models)
}
