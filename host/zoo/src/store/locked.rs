//! One registered source, as the lock describes it.

use std::collections::{BTreeMap, BTreeSet};

use modelzoo_archive::RelPath;
use modelzoo_net::policy::Permissions;
use serde::{Deserialize, Serialize};

use crate::reference::SourceId;

/// One registered source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedSource {
    /// The canonical id.
    pub id: SourceId,
    /// What the user typed; a local path is absolute.
    pub reference: String,
    /// The commit that a branch, tag or default branch was resolved to (40 hexadecimal digits);
    /// none for a directory or an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The directory of the repository that is the source; empty for its root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subdir: String,
    /// SHA-256 over the names, sizes and digests of the snapshot's files.
    pub tree: String,
    /// The directories of the snapshot that hold a manifest; `.` is its root.
    pub manifests: Vec<String>,
    /// The hosts that the user lets the source's hooks reach.
    pub granted: Permissions,
    /// When the source was registered or last updated (RFC 3339, UTC).
    pub registered: String,
    /// Whether it came with a bundle and was not compared with its origin since.
    #[serde(default, skip_serializing_if = "is_false")]
    pub imported: bool,
    /// The models whose files came with a bundle and were not fetched since.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub imported_models: BTreeSet<String>,
    /// The SHA-256 of its manifests and components, by their names in the snapshot; by the name of a
    /// directory and a slash, that over the files that the component there may read.
    #[serde(default)]
    pub digests: BTreeMap<String, String>,
    /// The SHA-256 of the receipt of each model that was downloaded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub receipts: BTreeMap<String, String>,
    /// The SHA-256 of the files of each model that was downloaded, by model and file. A later
    /// download must have the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: BTreeMap<String, BTreeMap<String, String>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl LockedSource {
    /// The commit, if it is the origin that said it, and not a bundle.
    pub(crate) fn known_commit(&self) -> Option<&str> {
        self.commit.as_deref().filter(|_| !self.imported)
    }

    /// Checks the fields that become paths: a lock may come from another machine.
    ///
    /// # Errors
    /// The field that is wrong.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if self.tree.len() != 64 || !hex(&self.tree) {
            return Err("`tree`");
        }
        let inside = |dir: &String| RelPath::parse(dir).is_ok();
        if !self.manifests.iter().all(|dir| dir == "." || inside(dir)) {
            return Err("`manifests`");
        }
        if !self.subdir.is_empty() && !inside(&self.subdir) {
            return Err("`subdir`");
        }
        Ok(())
    }
}
