//! From a reference to a snapshot in staging: fetched, its manifests read, its files picked.
//!
//! Only what a manifest declares is kept: the manifest itself, the component, the files that
//! hooks may read, the readme and the license. Everything is checked before anything is visible.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use modelzoo_net::policy::{redact, redact_text};
use modelzoo_net::{Access, Download, Grants, Request};

use super::github::{GitHub, Resolved};
use super::origin::{Collected, Origin};
use super::reachable::{Unreachable, commit_of_archive};
use super::registry::Registry;
use super::snapshot::Snapshot;
use crate::error::Error;
use crate::reference::{GitHubRepo, SourceRef};
use crate::store::audit::AuditLog;
use crate::store::files::tree_of;
use crate::store::{WorkDir, create_dir_all};

/// The most bytes of an archive that is fetched for a source.
const MAX_ARCHIVE: u64 = 4 << 30;

impl Registry<'_> {
    /// Fetches what a reference names now, and checks it. A commit that is `known` already is not
    /// looked for on the branches and tags of its repository.
    pub(crate) async fn acquire(
        &self,
        reference: &SourceRef,
        known: Option<&str>,
        unreachable: Unreachable,
    ) -> Result<Snapshot, Error> {
        self.acquire_at(reference, None, known, unreachable).await
    }

    /// As [`Registry::acquire`], for a snapshot that is looked at and not kept: also where the
    /// store may only be read.
    pub(crate) async fn acquire_to_inspect(
        &self,
        reference: &SourceRef,
    ) -> Result<Snapshot, Error> {
        let scratch = self.context.store.scratch()?;
        self.acquire_into(scratch, reference, None, None, Unreachable::Note)
            .await
    }

    /// As [`Registry::acquire`]; a repository at the commit and directory that are given.
    pub(crate) async fn acquire_at(
        &self,
        reference: &SourceRef,
        pin: Option<Resolved>,
        known: Option<&str>,
        unreachable: Unreachable,
    ) -> Result<Snapshot, Error> {
        let staging = self.context.store.stage()?;
        self.acquire_into(staging, reference, pin, known, unreachable)
            .await
    }

    async fn acquire_into(
        &self,
        staging: WorkDir,
        reference: &SourceRef,
        pin: Option<Resolved>,
        known: Option<&str>,
        unreachable: Unreachable,
    ) -> Result<Snapshot, Error> {
        let audit = self.context.store.audit_log(&reference.id(), None);
        let (mut at, mut reachable) = (None, true);
        let origin = match reference {
            SourceRef::Local(path) if path.is_dir() => Origin::Directory(path.clone()),
            SourceRef::Local(path) if path.is_file() => {
                Origin::archive(path, path, staging.path())?
            }
            SourceRef::Local(path) => return Err(no_source_at(path)),
            SourceRef::Archive(url) => {
                let access = self.user_access(&audit);
                let fetched = self
                    .fetch_archive(url.as_str(), &access, staging.path())
                    .await?;
                Origin::archive(&fetched, Path::new(&redact(url)), staging.path())?
            }
            SourceRef::GitHub(repo, git_ref) => {
                let github = self.github(repo, &audit)?;
                let resolved = match pin {
                    Some(pin) => pin,
                    None => github.resolve(git_ref.as_ref()).await?,
                };
                if known != Some(resolved.commit.as_str()) {
                    let checked = github.check_reachable(&resolved, reference, unreachable);
                    reachable = checked.await?;
                }
                let url = github.archive(&resolved.commit);
                let fetched = self
                    .fetch_archive(&url, &github.access(), staging.path())
                    .await?;
                match commit_of_archive(&fetched)? {
                    Some(answered) if answered != resolved.commit => {
                        return Err(Error::OtherCommit {
                            url,
                            asked: resolved.commit,
                            answered,
                        });
                    }
                    _ => {}
                }
                at = Some(resolved);
                Origin::archive(&fetched, Path::new(&redact_text(&url)), staging.path())?
            }
        };
        let (commit, subdir) = match at {
            Some(Resolved { commit, subdir, .. }) => (Some(commit), subdir),
            None => (None, String::new()),
        };
        let root = staging.path().join("snapshot");
        create_dir_all(&root)?;
        let Collected { manifests, files } = origin.collect(&subdir, &root, reference)?;
        Ok(Snapshot {
            root,
            commit,
            reachable,
            subdir,
            tree: tree_of(&files),
            manifests,
            files,
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

/// Why there is no source at a path.
fn no_source_at(path: &Path) -> Error {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let bad = |reason: &str| Error::BadPath {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    };
    match path.metadata() {
        Ok(_) => bad("neither a directory nor a regular file"),
        Err(error) if error.kind() == NotFound && path.is_symlink() => {
            bad("a link to what does not exist")
        }
        Err(error) if error.kind() == NotFound => Error::NoSuchPath(path.to_owned()),
        Err(error) if error.kind() == NotADirectory => bad("a part of the path is not a directory"),
        Err(error) => Error::io("read", path, error),
    }
}
