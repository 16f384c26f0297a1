//! Snapshots: the files of a registered source, as the lock names them.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::files::{digest_of, read_capped};
use super::layout::Store;
use super::locked::LockedSource;
use crate::error::Error;
use crate::manifest::{Allowance, Manifest};

pub(crate) const MANIFEST: &str = "manifest.json";
/// The component of a manifest that names none, if the file exists.
pub(crate) const COMPONENT: &str = "source.wasm";
/// The largest manifest that is read, in bytes.
pub(crate) const MAX_MANIFEST: u64 = 16 << 20;

impl Store {
    /// The directory of a source's snapshot.
    pub(crate) fn snapshot_dir(&self, source: &LockedSource) -> PathBuf {
        let tree = source.tree.get(..32).unwrap_or(&source.tree);
        self.source_dir(&source.id.key()).join(tree)
    }

    /// Whether a source's snapshot has the files that the lock names. Reads all of them.
    pub(crate) fn is_intact(&self, source: &LockedSource) -> bool {
        digest_of(&self.snapshot_dir(source)).is_ok_and(|tree| tree == source.tree)
    }

    /// The manifests of a registered source, each with its directory within the snapshot. They
    /// must be those that were registered.
    pub(crate) fn manifests(
        &self,
        source: &LockedSource,
    ) -> Result<Vec<(String, Manifest)>, Error> {
        let snapshot = self.snapshot_dir(source);
        let mut allowance = Allowance::default();
        source
            .manifests
            .iter()
            .map(|dir| {
                let path = snapshot.join(dir).join(MANIFEST);
                let bytes = read_capped(&path, MAX_MANIFEST)?;
                let sha256 = hex::encode(Sha256::digest(&bytes));
                if source.digests.get(&join(dir, MANIFEST)) != Some(&sha256) {
                    return Err(Error::SnapshotChanged {
                        source_id: source.id.clone(),
                    });
                }
                Ok((dir.clone(), Manifest::parse_within(&bytes, &mut allowance)?))
            })
            .collect()
    }
}

/// The name and path of a manifest's component; `None` if it has none.
pub(crate) fn component_file(dir: &Path, manifest: &Manifest) -> Option<(String, PathBuf)> {
    let name = component_name(manifest).to_owned();
    let path = dir.join(&name);
    (manifest.component.is_some() || path.is_file()).then_some((name, path))
}

/// The name of a manifest's component, relative to the manifest.
pub(crate) fn component_name(manifest: &Manifest) -> &str {
    match &manifest.component {
        Some(component) => component.path.as_ref(),
        None => COMPONENT,
    }
}

/// The digest of the component beside the manifest in a directory of a registered source, as the
/// lock has it; `None` if there is none.
pub(crate) fn component_digest(
    source: &LockedSource,
    dir: &str,
    manifest: &Manifest,
) -> Option<String> {
    let name = join(dir, component_name(manifest));
    source.digests.get(&name).cloned()
}

/// The name of a file in a directory of a source.
pub(crate) fn join(dir: &str, name: &str) -> String {
    match dir {
        "." => name.to_owned(),
        dir => format!("{dir}/{name}"),
    }
}
