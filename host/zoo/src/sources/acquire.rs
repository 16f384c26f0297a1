//! From a reference to a snapshot in staging: fetched, its manifests read, its files picked.
//!
//! Only what a manifest declares is kept: the manifest itself, the component, the files that
//! hooks may read, the readme and the licence. Everything is checked before anything is visible.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use modelzoo_archive::{Limits, Options, RelPath};
use modelzoo_net::{Access, Download, Grants, Request};

use super::Registry;
use super::github::{GitHub, Resolved};
use super::snapshot::{Snapshot, declared};
use crate::error::Error;
use crate::manifest::Manifest;
use crate::reference::{GitHubRepo, SourceRef};
use crate::store::audit::AuditLog;
use crate::store::create_dir_all;
use crate::store::files::{copy_plain, digest_of, entries, name_of, read_capped};
use crate::store::snapshot::{MANIFEST, MAX_MANIFEST};

/// How deep below its root a source's manifests are looked for.
const MANIFEST_DEPTH: usize = 5;
/// The most bytes of an archive that is fetched for a source.
const MAX_ARCHIVE: u64 = 4 << 30;

/// Where the files of a source are read from.
enum Origin {
    Directory(PathBuf),
    Archive {
        file: PathBuf,
        strip_root: bool,
        /// What it holds: listing a compressed tar means to unpack it.
        entries: Vec<RelPath>,
    },
}

impl Registry<'_> {
    /// Fetches what a reference names now, and checks it.
    pub(crate) async fn acquire(&self, reference: &SourceRef) -> Result<Snapshot, Error> {
        self.acquire_at(reference, None).await
    }

    /// As [`Registry::acquire`]; a repository at the commit and directory that are given.
    pub(crate) async fn acquire_at(
        &self,
        reference: &SourceRef,
        pin: Option<Resolved>,
    ) -> Result<Snapshot, Error> {
        let staging = self.context.store.stage()?;
        let audit = self.context.store.audit_log(&reference.id(), None);
        let mut at = None;
        let origin = match reference {
            SourceRef::Local(path) if path.is_dir() => Origin::Directory(path.clone()),
            SourceRef::Local(path) if path.is_file() => Origin::archive(path.clone())?,
            SourceRef::Local(path) => return Err(Error::NoSuchPath(path.clone())),
            SourceRef::Archive(url) => {
                let access = self.user_access(&audit);
                let fetched = self
                    .fetch_archive(url.as_str(), &access, staging.path())
                    .await?;
                Origin::archive(fetched)?
            }
            SourceRef::GitHub(repo, git_ref) => {
                let github = self.github(repo, &audit)?;
                let resolved = match pin {
                    Some(pin) => pin,
                    None => github.resolve(git_ref.as_ref()).await?,
                };
                let url = github.archive(&resolved.commit);
                let fetched = self
                    .fetch_archive(&url, &github.access(), staging.path())
                    .await?;
                at = Some(resolved);
                Origin::archive(fetched)?
            }
        };
        let (commit, subdir) = match at {
            Some(Resolved { commit, subdir }) => (Some(commit), subdir),
            None => (None, String::new()),
        };
        let root = staging.path().join("snapshot");
        create_dir_all(&root)?;
        let manifests = origin.take(&subdir, &root, reference)?;
        let tree = digest_of(&root)?;
        Ok(Snapshot {
            root,
            commit,
            subdir,
            tree,
            manifests,
            _staging: staging,
        })
    }

    /// GitHub's API for a repository.
    pub(crate) fn github<'a>(
        &'a self,
        repo: &'a GitHubRepo,
        audit: &'a AuditLog,
    ) -> Result<GitHub<'a>, Error> {
        Ok(GitHub {
            client: self.context.client()?,
            api: &self.context.config.github_api,
            repo,
            audit,
            progress: &*self.context.progress,
            use_token: AtomicBool::new(self.context.config.github_token.is_some()),
        })
    }

    async fn fetch_archive(
        &self,
        url: &str,
        access: &Access<'_>,
        dir: &Path,
    ) -> Result<PathBuf, Error> {
        let into = dir.join("archive");
        let request = Request {
            url: url.to_owned(),
            headers: Vec::new(),
        };
        let download = Download {
            into: &into,
            partials: None,
            label: "source",
            max_bytes: MAX_ARCHIVE,
            expect_sha256: None,
            expect_size: None,
            refuse_html: true,
        };
        self.context
            .client()?
            .download(&request, access, &download)
            .await?;
        Ok(into)
    }

    /// How a URL that the user gave is fetched.
    fn user_access<'a>(&'a self, audit: &'a AuditLog) -> Access<'a> {
        Access {
            grants: Grants::UserAsked,
            use_credentials: true,
            audit,
            progress: &*self.context.progress,
        }
    }
}

impl Origin {
    fn archive(file: PathBuf) -> Result<Self, Error> {
        let entries = modelzoo_archive::list(&file, &Limits::default())?;
        let entries: Vec<RelPath> = entries.into_iter().map(|entry| entry.path).collect();
        let first = entries.first().and_then(|path| path.parts().next());
        let strip_root = first.is_some()
            && entries
                .iter()
                .all(|path| path.parts().next() == first && path.parts().nth(1).is_some());
        Ok(Self::Archive {
            file,
            strip_root,
            entries,
        })
    }

    /// Puts the declared files of every manifest below `subdir` into `root`.
    fn take(
        &self,
        subdir: &str,
        root: &Path,
        reference: &SourceRef,
    ) -> Result<Vec<(String, Manifest)>, Error> {
        let base = match subdir {
            "" => None,
            text => Some(RelPath::parse(text).map_err(|e| Error::BadPath {
                path: text.to_owned(),
                reason: e.to_string(),
            })?),
        };
        let files = self.files(base.as_ref())?;
        let candidates: Vec<&RelPath> =
            files.iter().filter(|f| f.file_name() == MANIFEST).collect();
        let mut manifests = Vec::new();
        let mut rejected = Vec::new();
        let found = self.copy_out(
            &candidates,
            base.as_ref(),
            &root.with_file_name("manifests"),
        )?;
        for (at, file) in found {
            let dir = parent_of(&at);
            match read_capped(&file, MAX_MANIFEST).and_then(|bytes| Ok(Manifest::parse(&bytes)?)) {
                Ok(manifest) => manifests.push((dir, manifest)),
                // A file of that name in the depths of a repository may be anything; the one at
                // the root is meant.
                Err(error) if dir == "." => return Err(error),
                Err(error) => rejected.push(format!("{at} ({error})")),
            }
        }
        if manifests.is_empty() {
            return Err(Error::NoManifest {
                reference: reference.to_string(),
                rejected,
            });
        }
        manifests.sort_by(|a, b| a.0.cmp(&b.0));
        let mut wanted = Vec::new();
        for (dir, manifest) in &manifests {
            wanted.extend(declared(dir, manifest, &files)?);
        }
        wanted.sort();
        wanted.dedup();
        self.copy_out(&wanted.iter().collect::<Vec<_>>(), base.as_ref(), root)?;
        Ok(manifests)
    }

    /// The files below `base`, named relative to it; those of a directory only as far as
    /// manifests are looked for, or as a manifest declares them.
    fn files(&self, base: Option<&RelPath>) -> Result<Vec<RelPath>, Error> {
        match self {
            Self::Directory(dir) => {
                let mut files = Vec::new();
                let top = base.map_or(dir.clone(), |b| b.under(dir));
                walk(&top, &top, MANIFEST_DEPTH, &mut files)?;
                Ok(files)
            }
            Self::Archive {
                strip_root,
                entries,
                ..
            } => Ok(entries
                .iter()
                .filter_map(|path| relative(path, *strip_root, base))
                .collect()),
        }
    }

    /// Copies files (named relative to `base`) into a directory; answers with name and place.
    fn copy_out(
        &self,
        wanted: &[&RelPath],
        base: Option<&RelPath>,
        into: &Path,
    ) -> Result<Vec<(String, PathBuf)>, Error> {
        create_dir_all(into)?;
        match self {
            Self::Directory(dir) => {
                let top = base.map_or(dir.clone(), |b| b.under(dir));
                for file in wanted {
                    copy_plain(&file.under(&top), &file.under(into))?;
                }
            }
            Self::Archive {
                file, strip_root, ..
            } => {
                let wanted: BTreeSet<&RelPath> = wanted.iter().copied().collect();
                let select = |path: &RelPath| {
                    relative(path, false, base).is_some_and(|p| wanted.contains(&p))
                };
                let unpacked = match base {
                    None => into.to_owned(),
                    Some(_) => into.with_extension("whole"),
                };
                create_dir_all(&unpacked)?;
                let options = Options {
                    limits: Limits::default(),
                    strip_root: *strip_root,
                    select: &select,
                };
                modelzoo_archive::extract(file, &unpacked, &options)?;
                if let Some(base) = base {
                    let inner = base.under(&unpacked);
                    if inner.is_dir() {
                        fs::remove_dir(into).map_err(|e| Error::io("replace", into, e))?;
                        fs::rename(&inner, into).map_err(|e| Error::io("move", &inner, e))?;
                    }
                }
            }
        }
        Ok(wanted
            .iter()
            .map(|w| (w.to_string(), w.under(into)))
            .collect())
    }
}

/// The path of an archive's entry as a source names it: without the archive's one root directory
/// and relative to `base`; `None` for what lies elsewhere.
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

/// Lists the plain files that may belong to a source in a directory: as deep as manifests are
/// looked for, without hidden directories and without following links.
fn walk(top: &Path, dir: &Path, depth: usize, files: &mut Vec<RelPath>) -> Result<(), Error> {
    for (path, kind) in entries(dir)? {
        let hidden = path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if kind.is_dir() && !hidden && depth > 1 {
            walk(top, &path, depth - 1, files)?;
        } else if kind.is_file() {
            files.extend(name_of(top, &path));
        }
    }
    if files.len() as u64 > Limits::default().max_entries {
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
