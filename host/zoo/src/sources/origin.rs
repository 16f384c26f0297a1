//! Where the files of a source come from: a directory, or an archive that is read once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use modelzoo_archive::{Archive, Limits, RelPath};

use super::snapshot::declared;
use crate::error::Error;
use crate::manifest::{Allowance, Manifest, ManifestError};
use crate::reference::SourceRef;
use crate::store::create_dir_all;
use crate::store::files::{FileDigests, copy_hashed, entries, name_of, read_capped};
use crate::store::snapshot::{MANIFEST, MAX_MANIFEST};

/// How deep below its root a source's manifests are looked for.
const MANIFEST_DEPTH: usize = 5;
/// The most files that are named because they are not manifests.
const MAX_REJECTED: usize = 8;

/// The files that a source is made of.
pub(super) enum Origin {
    Directory(PathBuf),
    Archive {
        archive: Archive,
        /// How the user named it, for errors.
        named: PathBuf,
        /// Whether the one directory that all files lie in is left out of their names.
        strip_root: bool,
    },
}

/// The files of a source that its manifests declare.
pub(super) struct Collected {
    /// The manifests, each with its directory (`.` for the root), sorted.
    pub(super) manifests: Vec<(String, Manifest)>,
    /// All files, the manifests among them.
    pub(super) files: FileDigests,
}

impl Origin {
    /// Opens an archive and checks every entry. `named` is how the user named it: its path or its
    /// address. `staging` is a directory on a disk that has room for the decompressed archive.
    pub(super) fn archive(file: &Path, named: &Path, staging: &Path) -> Result<Self, Error> {
        let spool = tempfile::tempfile_in(staging)
            .map_err(|e| Error::io("create a file in", staging, e))?;
        let archive =
            Archive::open(file, Limits::default(), spool).map_err(|error| error.named(named))?;
        Ok(Self::Archive {
            named: named.to_owned(),
            strip_root: archive.root().is_some(),
            archive,
        })
    }

    /// Puts the declared files of every manifest below `subdir` into `root`.
    pub(super) fn collect(
        &self,
        subdir: &str,
        root: &Path,
        reference: &SourceRef,
    ) -> Result<Collected, Error> {
        let base = match subdir {
            "" => None,
            text => Some(RelPath::parse(text).map_err(|e| Error::BadPath {
                path: text.to_owned(),
                reason: e.to_string(),
            })?),
        };
        let base = base.as_ref();
        let names = self.names(base)?;
        let candidates = names.iter().filter(|name| name.file_name() == MANIFEST);
        let staged = root.with_file_name("manifests");
        let found = self.copy_out(candidates.collect(), base, &staged)?;
        let manifests = parse_manifests(&found, &staged, reference)?;
        let mut wanted = BTreeSet::new();
        for (dir, manifest) in &manifests {
            wanted.extend(declared(dir, manifest, &names)?);
        }
        // A manifest that was parsed is kept as it was parsed.
        let (parsed, rest) = wanted.iter().partition(|name| found.contains_key(*name));
        let mut files = self.copy_out(rest, base, root)?;
        move_files(&parsed, &staged, root)?;
        files.extend(found.into_iter().filter(|(name, _)| parsed.contains(name)));
        Ok(Collected { manifests, files })
    }

    /// The files below `base`, sorted and named relative to it; those of a directory as deep as
    /// manifests are looked for.
    fn names(&self, base: Option<&RelPath>) -> Result<Vec<RelPath>, Error> {
        let mut names = Vec::new();
        match self {
            Self::Directory(dir) => {
                let top = base.map_or(dir.clone(), |b| b.under(dir));
                walk(&top, &top, MANIFEST_DEPTH, &mut names)?;
            }
            Self::Archive {
                archive,
                strip_root,
                ..
            } => {
                let relative = |path| relative(path, *strip_root, base);
                let entries = archive.entries().iter();
                names.extend(entries.filter_map(|entry| relative(&entry.path)));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Copies files, named relative to `base`, into a directory, and hashes them.
    fn copy_out(
        &self,
        wanted: BTreeSet<&RelPath>,
        base: Option<&RelPath>,
        into: &Path,
    ) -> Result<FileDigests, Error> {
        create_dir_all(into)?;
        match self {
            Self::Directory(dir) => {
                let top = base.map_or(dir.clone(), |b| b.under(dir));
                let copy = |name: &RelPath| {
                    let digest = copy_hashed(&name.under(&top), &name.under(into))?;
                    Ok((name.clone(), digest))
                };
                wanted.into_iter().map(copy).collect()
            }
            Self::Archive {
                archive,
                named,
                strip_root,
            } => {
                let place = |path: &RelPath| {
                    relative(path, *strip_root, base).filter(|name| wanted.contains(name))
                };
                let extracted = archive
                    .extract(into, &place)
                    .map_err(|error| error.named(named))?;
                Ok(extracted
                    .into_iter()
                    .map(|file| (file.path, (file.size, hex::encode(file.sha256))))
                    .collect())
            }
        }
    }
}

/// Parses the files that are named as manifests are. One below the root may be something else, and
/// is then left out; there has to be at least one manifest.
fn parse_manifests(
    found: &FileDigests,
    dir: &Path,
    reference: &SourceRef,
) -> Result<Vec<(String, Manifest)>, Error> {
    let mut manifests = Vec::new();
    let (mut rejected, mut more) = (Vec::new(), 0_usize);
    let mut allowance = Allowance::default();
    for name in found.keys() {
        let at = parent_of(name.as_ref());
        let bytes = read_capped(&name.under(dir), MAX_MANIFEST);
        match bytes.and_then(|bytes| Ok(Manifest::parse_within(&bytes, &mut allowance)?)) {
            Ok(manifest) => manifests.push((at, manifest)),
            Err(error @ Error::Manifest(ManifestError::TooManyManifests)) => return Err(error),
            Err(error) if at == "." => return Err(error),
            Err(error) if rejected.len() < MAX_REJECTED => {
                rejected.push(format!("{name} ({error})"));
            }
            Err(_) => more += 1,
        }
    }
    if manifests.is_empty() {
        if more > 0 {
            rejected.push(format!("{more} more"));
        }
        return Err(Error::NoManifest {
            reference: reference.to_string(),
            rejected,
        });
    }
    manifests.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(manifests)
}

fn move_files(names: &BTreeSet<&RelPath>, from: &Path, to: &Path) -> Result<(), Error> {
    for name in names {
        let (from, to) = (name.under(from), name.under(to));
        if let Some(dir) = to.parent() {
            create_dir_all(dir)?;
        }
        fs::rename(&from, &to).map_err(|e| Error::io("move", &from, e))?;
    }
    Ok(())
}

/// The path of an archive's entry as a source names it: without the archive's one root directory
/// and relative to `base`; `None` for files elsewhere.
fn relative(path: &RelPath, strip_root: bool, base: Option<&RelPath>) -> Option<RelPath> {
    let mut parts = path.parts();
    if strip_root {
        parts.next();
    }
    for part in base.into_iter().flat_map(RelPath::parts) {
        if parts.next() != Some(part) {
            return None;
        }
    }
    RelPath::parse(&parts.collect::<Vec<_>>().join("/")).ok()
}

/// Lists the regular files that may belong to a source in a directory: as deep as manifests are
/// looked for, without hidden directories and without following links.
fn walk(top: &Path, dir: &Path, depth: usize, names: &mut Vec<RelPath>) -> Result<(), Error> {
    for (path, kind) in entries(dir)? {
        let hidden = path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if kind.is_dir() && !hidden && depth > 1 {
            walk(top, &path, depth - 1, names)?;
        } else if kind.is_file() {
            names.extend(name_of(top, &path));
        }
    }
    if names.len() as u64 > Limits::default().max_entries {
        return Err(Error::BadPath {
            path: top.display().to_string(),
            reason: "it holds more than 100,000 files; name the directory of the source itself"
                .into(),
        });
    }
    Ok(())
}

fn parent_of(path: &str) -> String {
    path.rsplit_once('/').map_or(".", |(dir, _)| dir).to_owned()
}
