//! A source in staging: the files that its manifests declare.

use std::path::PathBuf;

use modelzoo_archive::RelPath;
use tempfile::TempDir;

use crate::error::Error;
use crate::manifest::Manifest;
use crate::store::files::FileDigests;
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
    /// All files.
    pub(crate) files: FileDigests,
}

impl Snapshot {
    /// The component of a manifest, if it has one: its name relative to the manifest, its path, its
    /// size and its digest.
    pub(crate) fn component(
        &self,
        dir: &str,
        manifest: &Manifest,
    ) -> Option<(String, PathBuf, &(u64, String))> {
        let name = match &manifest.component {
            Some(component) => component.path.as_ref(),
            None => COMPONENT,
        };
        let at = RelPath::parse(&join(dir, name)).ok()?;
        let digest = self.files.get(&at)?;
        Some((name.to_owned(), at.under(&self.root), digest))
    }

    /// The warnings of all manifests, each with the manifest's path.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.manifests
            .iter()
            .flat_map(|(dir, m)| m.warnings.iter().map(move |w| (dir, w)))
            .map(|(dir, warning)| format!("{}: {warning}", join(dir, MANIFEST)))
            .collect()
    }
}

/// The files of a source that the manifest in `dir` declares.
pub(crate) fn declared(
    dir: &str,
    manifest: &Manifest,
    files: &[RelPath],
) -> Result<Vec<RelPath>, Error> {
    let join = |name: &str| join(dir, name);
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
    let path = join(component.path.as_ref());
    if !files.iter().any(|file| file.as_ref() == path) {
        return Err(Error::MissingFile {
            manifest: join(MANIFEST),
            file: path,
        });
    }
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

/// The name of a file in a directory of the source.
pub(crate) fn join(dir: &str, name: &str) -> String {
    match dir {
        "." => name.to_owned(),
        dir => format!("{dir}/{name}"),
    }
}
