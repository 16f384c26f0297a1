//! A source in staging: the files that its manifests declare.

use std::path::PathBuf;

use modelzoo_archive::RelPath;
use tempfile::TempDir;

use crate::error::Error;
use crate::manifest::Manifest;
use crate::store::snapshot::{COMPONENT, MANIFEST};

/// A source in staging, checked and ready to be published.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Holds `root`; removed with this value.
    pub(crate) _staging: TempDir,
    /// The directory to publish.
    pub(crate) root: PathBuf,
    /// The commit, if the reference has one.
    pub(crate) commit: Option<String>,
    /// The directory of the repository that is the source; empty for its root.
    pub(crate) subdir: String,
    /// The digest of the files.
    pub(crate) tree: String,
    /// The manifests, each with its directory (`.` for the root).
    pub(crate) manifests: Vec<(String, Manifest)>,
}

impl Snapshot {
    /// The warnings of all manifests, each with the manifest's path.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.manifests
            .iter()
            .flat_map(|(dir, m)| m.warnings.iter().map(move |w| (dir, w)))
            .map(|(dir, warning)| match dir.as_str() {
                "." => format!("{MANIFEST}: {warning}"),
                dir => format!("{dir}/{MANIFEST}: {warning}"),
            })
            .collect()
    }
}

/// The files of a source that the manifest in `dir` declares.
pub(crate) fn declared(
    dir: &str,
    manifest: &Manifest,
    files: &[RelPath],
) -> Result<Vec<RelPath>, Error> {
    let join = |name: &str| match dir {
        "." => name.to_owned(),
        _ => format!("{dir}/{name}"),
    };
    let mut known = vec![
        MANIFEST,
        "README.md",
        "LICENSE",
        "LICENSE.md",
        "LICENSE.txt",
    ];
    if manifest.component.is_none() {
        known.push(COMPONENT);
    }
    let known: Vec<String> = known.into_iter().map(join).collect();
    let is_known = |file: &&RelPath| known.iter().any(|name| file.as_ref() == name);
    let mut wanted: Vec<RelPath> = files.iter().filter(is_known).cloned().collect();
    let Some(component) = &manifest.component else {
        return Ok(wanted);
    };
    for name in std::iter::once(&component.path).chain(&component.files) {
        let name = join(name.as_ref());
        let below = format!("{name}/");
        let found: Vec<_> = files
            .iter()
            .filter(|f| f.as_ref() == name || f.as_ref().starts_with(&below))
            .cloned()
            .collect();
        if found.is_empty() {
            return Err(Error::MissingFile {
                manifest: join(MANIFEST),
                file: name,
            });
        }
        wanted.extend(found);
    }
    Ok(wanted)
}
