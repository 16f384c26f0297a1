//! What is in a bundle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::{Manifest, ModelEntry};
use crate::store::maker::Maker;
use crate::store::{LockedSource, Receipt};

/// The version of the format.
pub(super) const FORMAT: u32 = 1;
pub(super) const INDEX: &str = "bundle.json";
pub(super) const SNAPSHOT: &str = "snapshot";
pub(super) const MODELS: &str = "models";

/// What `bundle.json` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) format: u32,
    /// With the pins of `models` only, and without permissions.
    pub(super) source: LockedSource,
    /// The SHA-256 of each model's receipt, by the model's name.
    pub(super) models: BTreeMap<String, String>,
}

/// A model that a snapshot declares.
pub(super) struct Declared {
    pub(super) entry: ModelEntry,
    /// What makes its files.
    maker: Maker,
}

impl Declared {
    /// The name of the model's directory.
    pub(super) fn dir(&self) -> String {
        self.entry.name().directory()
    }

    /// Why a receipt does not match this model and the pins of the source; `None` if it does.
    pub(super) fn mismatch(
        &self,
        receipt: &Receipt,
        source: &LockedSource,
    ) -> Option<&'static str> {
        if receipt.source != source.id {
            return Some("it was downloaded from another source");
        }
        if source.artifacts.get(&receipt.model) != Some(&receipt.digests()) {
            return Some("its files are not those that the source's entry of the lock pins");
        }
        if receipt.component != self.maker.component {
            return Some("another component downloaded it");
        }
        if receipt.maker() != self.maker {
            return Some(
                "what the manifest says of it, or what its hook may read, was another then",
            );
        }
        (!receipt.satisfies(&self.entry))
            .then_some("its files are not those that the manifest declares")
    }
}

/// The models that the manifests of a source declare, by name; the digests are those of the source.
pub(super) fn declared_models(
    manifests: &[(String, Manifest)],
    digests: &BTreeMap<String, String>,
) -> BTreeMap<String, Declared> {
    let mut models = BTreeMap::new();
    for (dir, manifest) in manifests {
        for entry in &manifest.models {
            let declared = Declared {
                entry: entry.clone(),
                maker: Maker::of(entry, dir, manifest, digests),
            };
            models.insert(entry.name().to_string(), declared);
        }
    }
    models
}
