//! A source in staging: the files that its manifests declare.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use modelzoo_archive::RelPath;

use crate::error::Error;
use crate::manifest::Manifest;
use crate::reference::SourceRef;
use crate::store::files::{FileDigests, tree_of};
use crate::store::maker::inputs_name;
use crate::store::snapshot::{COMPONENT, MANIFEST, component_name, join};
use crate::store::{WorkDir, sync_tree};

/// A source in staging, checked and ready to be published.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Holds `root`; removed with this value.
    pub(crate) _staging: WorkDir,
    /// The directory to publish.
    pub(crate) root: PathBuf,
    /// The commit, if the reference has one.
    pub(crate) commit: Option<String>,
    /// Whether the commit, if there is one, is on a branch or tag of the repository, as far as that
    /// was asked for.
    pub(crate) reachable: bool,
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
    /// Makes sure that all files are on the disk, before they become visible.
    pub(super) fn settle(&self) -> Result<(), Error> {
        sync_tree(&self.root)
    }

    /// Fails if a file is not there any more. The digests are those of what was fetched, whatever
    /// became of it.
    pub(super) fn check_whole(&self) -> Result<(), Error> {
        let there = |(name, (size, _)): (&RelPath, &(u64, String))| {
            fs::symlink_metadata(name.under(&self.root))
                .is_ok_and(|meta| meta.is_file() && meta.len() == *size)
        };
        match self.files.iter().all(there) {
            true => Ok(()),
            false => Err(Error::WorkLost {
                what: "the source".into(),
            }),
        }
    }

    /// The component of a manifest, if it has one: its name relative to the manifest, its path, its
    /// size and its digest.
    pub(crate) fn component(
        &self,
        dir: &str,
        manifest: &Manifest,
    ) -> Option<(String, PathBuf, &(u64, String))> {
        let name = component_name(manifest);
        let at = RelPath::parse(&join(dir, name)).ok()?;
        let digest = self.files.get(&at)?;
        Some((name.to_owned(), at.under(&self.root), digest))
    }

    /// As [`digests_of`].
    pub(crate) fn digests(&self) -> BTreeMap<String, String> {
        digests_of(&self.manifests, &self.files)
    }

    /// Fails if the commit was looked for on the branches and tags of its repository, and is on
    /// none.
    pub(crate) fn check_reachable(&self, reference: &SourceRef) -> Result<(), Error> {
        match (reference, &self.commit) {
            (SourceRef::GitHub(repo, _), Some(commit)) if !self.reachable => {
                Err(Error::UnreachableCommit {
                    repo: format!("{}/{}", repo.owner, repo.repo),
                    commit: commit.clone(),
                    reference: reference.to_string(),
                })
            }
            _ => Ok(()),
        }
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

/// The digests of the manifests of a source, of their components, and of the files that these may
/// read, by name.
pub(crate) fn digests_of(
    manifests: &[(String, Manifest)],
    files: &FileDigests,
) -> BTreeMap<String, String> {
    let mut digests = BTreeMap::new();
    for (dir, manifest) in manifests {
        for name in [MANIFEST, component_name(manifest)] {
            let name = join(dir, name);
            let file = RelPath::parse(&name).ok();
            if let Some((_, sha256)) = file.and_then(|file| files.get(&file)) {
                digests.insert(name, sha256.clone());
            }
        }
        let readable = readable(dir, manifest, files);
        if !readable.is_empty() {
            digests.insert(inputs_name(dir), tree_of(&readable));
        }
    }
    digests
}

/// The files that a manifest lets its component read.
fn readable(dir: &str, manifest: &Manifest, files: &FileDigests) -> FileDigests {
    let declared = manifest.component.iter().flat_map(|c| &c.files);
    let named: BTreeSet<String> = declared.map(|name| join(dir, name.as_ref())).collect();
    let is_readable = |file: &RelPath| {
        let mut ends = file.as_ref().match_indices('/').map(|(at, _)| at);
        named.contains(file.as_ref())
            || ends.any(|at| file.as_ref().get(..at).is_some_and(|d| named.contains(d)))
    };
    let found = files.iter().filter(|(name, _)| is_readable(name));
    found
        .map(|(name, row)| (name.clone(), row.clone()))
        .collect()
}

/// The files of a source that the manifest in `dir` declares, of `files`, which are sorted.
pub(crate) fn declared(
    dir: &str,
    manifest: &Manifest,
    files: &[RelPath],
) -> Result<BTreeSet<RelPath>, Error> {
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
    let known = known
        .into_iter()
        .filter_map(|name| find(files, &join(name)));
    let mut wanted: BTreeSet<RelPath> = known.cloned().collect();
    let Some(component) = &manifest.component else {
        return Ok(wanted);
    };
    let missing = |file: String| Error::MissingFile {
        manifest: join(MANIFEST),
        file,
    };
    let path = join(component.path.as_ref());
    if find(files, &path).is_none() {
        return Err(missing(path));
    }
    // However often a manifest names something, it is looked for once.
    let names: BTreeSet<&RelPath> = component.files.iter().chain([&component.path]).collect();
    for name in names {
        let name = join(name.as_ref());
        let (file, below) = (find(files, &name), below(files, &name));
        if file.is_none() && below.is_empty() {
            return Err(missing(name));
        }
        wanted.extend(file.into_iter().chain(below).cloned());
    }
    Ok(wanted)
}

/// A file by its name, of sorted ones.
pub(crate) fn find<'f>(files: &'f [RelPath], name: &str) -> Option<&'f RelPath> {
    let found = files.binary_search_by(|file| file.as_ref().cmp(name));
    files.get(found.ok()?)
}

/// The files in a directory and below it, of sorted ones.
fn below<'f>(files: &'f [RelPath], directory: &str) -> &'f [RelPath] {
    let start = format!("{directory}/");
    let from = files.partition_point(|file| file.as_ref() < start.as_str());
    let rest = files.get(from..).unwrap_or_default();
    let count = rest.partition_point(|file| file.as_ref().starts_with(&start));
    rest.get(..count).unwrap_or_default()
}
