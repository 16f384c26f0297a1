//! GitHub's REST API: from a ref to its commit, and from a commit to an archive.

use std::sync::atomic::{AtomicBool, Ordering};

use modelzoo_net::{Access, Client, Grants, Request};
use serde::Deserialize;
use url::Url;

use crate::error::Error;
use crate::reference::{GitHubRepo, RefKind, RefSpec};

/// The largest response that is read, in bytes.
const MAX_ANSWER: u64 = 4 << 20;

/// A commit, and the part of the reference after the ref.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// 40 hexadecimal digits.
    pub(crate) commit: String,
    /// The directory of the repository, which follows the ref; empty for its root.
    pub(crate) subdir: String,
    /// Whether a branch or a tag of the repository was named, so that the commit is on it.
    pub(crate) of_ref: bool,
}

/// What a ref names.
struct Found {
    commit: String,
    of_ref: bool,
}

impl Found {
    /// A commit by its own name, or of a pull request: anybody's.
    fn alone(commit: String) -> Self {
        let of_ref = false;
        Self { commit, of_ref }
    }

    /// The commit of a branch or a tag.
    fn of_ref(commit: String) -> Self {
        let of_ref = true;
        Self { commit, of_ref }
    }
}

/// One repository of a GitHub API.
pub(crate) struct GitHub<'a> {
    pub(crate) client: &'a Client,
    pub(crate) api: &'a Url,
    pub(crate) repo: &'a GitHubRepo,
    pub(crate) audit: &'a dyn modelzoo_net::Audit,
    pub(crate) progress: &'a dyn modelzoo_net::Progress,
    /// Cleared when the API refuses the token, so that a public repository is still reached.
    pub(crate) use_token: AtomicBool,
}

/// `GET /repos/{owner}/{repo}/git/ref/{ref}`.
#[derive(Deserialize)]
struct GitRef {
    #[serde(rename = "ref")]
    name: Option<String>,
    object: GitObject,
}

impl GitRef {
    /// Whether it is another ref than the one of this name. An older API does not say.
    fn is_other(&self, name: &str) -> bool {
        let own = self
            .name
            .as_deref()
            .and_then(|own| own.strip_prefix("refs/"));
        self.name.is_some() && own != Some(name)
    }
}

#[derive(Deserialize)]
struct GitObject {
    sha: String,
    #[serde(rename = "type")]
    kind: String,
}

impl GitHub<'_> {
    /// Finds the commit that a ref names now; without a ref, the default branch's.
    pub(crate) async fn resolve(&self, wanted: Option<&RefSpec>) -> Result<Resolved, Error> {
        let Some(wanted) = wanted else {
            return match self.commit("HEAD").await? {
                Some(commit) => Ok(Resolved {
                    commit,
                    subdir: String::new(),
                    of_ref: true,
                }),
                None => Err(self.no_repository()),
            };
        };
        for (git_ref, subdir) in wanted.candidates() {
            if let Some(Found { commit, of_ref }) = self.find(wanted.kind(), &git_ref).await? {
                return Ok(Resolved {
                    commit,
                    subdir,
                    of_ref,
                });
            }
        }
        if self.commit("HEAD").await?.is_none() {
            return Err(self.no_repository());
        }
        Err(Error::NoSuchRef {
            repo: self.name(),
            git_ref: wanted.as_str().to_owned(),
        })
    }

    /// The address of the archive of a commit.
    pub(crate) fn archive(&self, commit: &str) -> String {
        self.address(&format!("zipball/{commit}"))
    }

    async fn find(&self, kind: RefKind, name: &str) -> Result<Option<Found>, Error> {
        let head = format!("heads/{name}");
        Ok(match kind {
            RefKind::Commit => self.commit(name).await?.map(Found::alone),
            RefKind::Branch => self.git_ref(&head).await?.map(|o| Found::of_ref(o.sha)),
            RefKind::Pull => self.git_ref(name).await?.map(|o| Found::alone(o.sha)),
            RefKind::Tag => self.tag(name).await?.map(Found::of_ref),
            RefKind::Any if is_commit(name) => self.commit(name).await?.map(Found::alone),
            RefKind::Any => {
                let branch = self.git_ref(&head).await?;
                let tag = self.tag(name).await?;
                match (branch, tag) {
                    (Some(branch), Some(tag)) if branch.sha != tag => {
                        return Err(Error::AmbiguousRef {
                            repo: self.name(),
                            git_ref: name.to_owned(),
                            branch: branch.sha,
                            tag,
                        });
                    }
                    (Some(branch), _) => Some(Found::of_ref(branch.sha)),
                    (None, Some(tag)) => Some(Found::of_ref(tag)),
                    (None, None) if may_abbreviate_commit(name) => {
                        self.commit(name).await?.map(Found::alone)
                    }
                    (None, None) => None,
                }
            }
        })
    }

    /// The commit of a tag. An annotated tag is an object of its own that points to it.
    async fn tag(&self, name: &str) -> Result<Option<String>, Error> {
        match self.git_ref(&format!("tags/{name}")).await? {
            Some(object) if object.kind == "tag" => self.commit(&format!("tags/{name}")).await,
            Some(object) => Ok(Some(object.sha)),
            None => Ok(None),
        }
    }

    async fn git_ref(&self, name: &str) -> Result<Option<GitObject>, Error> {
        let url = self.address(&format!("git/ref/{name}"));
        let Some(body) = self.get(&url, "application/vnd.github+json").await? else {
            return Ok(None);
        };
        match serde_json::from_slice::<GitRef>(&body) {
            // The API may answer with another ref than the one asked for.
            Ok(found) if found.is_other(name) => Err(Error::BadApiAnswer { url }),
            Ok(found) if is_commit(&found.object.sha) => Ok(Some(found.object)),
            _ => Err(Error::BadApiAnswer { url }),
        }
    }

    pub(super) async fn commit(&self, name: &str) -> Result<Option<String>, Error> {
        let url = self.address(&format!("commits/{name}"));
        let Some(body) = self.get(&url, "application/vnd.github.sha").await? else {
            return Ok(None);
        };
        match std::str::from_utf8(&body).map(str::trim) {
            Ok(sha) if is_commit(sha) => {
                let sha = sha.to_ascii_lowercase();
                let asked = name.to_ascii_lowercase();
                let by_digits = is_commit(&asked) || may_abbreviate_commit(&asked);
                match by_digits && !sha.starts_with(&asked) {
                    true => Err(Error::OtherCommit {
                        url,
                        asked,
                        answered: sha,
                    }),
                    false => Ok(Some(sha)),
                }
            }
            _ => Err(Error::BadApiAnswer { url }),
        }
    }

    /// The body of a response; `None` if the API has no such object.
    pub(super) async fn get(&self, url: &str, accept: &str) -> Result<Option<Vec<u8>>, Error> {
        let request = Request {
            url: url.to_owned(),
            headers: vec![
                ("accept".into(), accept.into()),
                ("x-github-api-version".into(), "2022-11-28".into()),
            ],
        };
        loop {
            let with_token = self.use_token.load(Ordering::Relaxed);
            match self.client.get(&request, &self.access(), MAX_ANSWER).await {
                Ok(answer) => return Ok(Some(answer.body.to_vec())),
                Err(modelzoo_net::Error::Status { status: 401, .. }) if with_token => {
                    tracing::warn!("GitHub refuses the GITHUB_TOKEN (401); trying without it");
                    self.use_token.store(false, Ordering::Relaxed);
                }
                // 409: a repository without a commit. 422: nothing of that name.
                Err(modelzoo_net::Error::Status {
                    status: 404 | 409 | 422,
                    ..
                }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How requests to this API are made: on the user's behalf, with the token.
    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            grants: Grants::UserAsked,
            use_credentials: self.use_token.load(Ordering::Relaxed),
            audit: self.audit,
            progress: self.progress,
        }
    }

    /// `owner/repo`
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.repo.owner, self.repo.repo)
    }

    pub(super) fn address(&self, rest: &str) -> String {
        let GitHubRepo { owner, repo, .. } = self.repo;
        let mut url = self.api.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["repos", owner, repo]);
            path.extend(rest.split('/'));
        }
        url.into()
    }

    fn no_repository(&self) -> Error {
        Error::NoSuchRepository {
            repo: self.name(),
            with_token: self.use_token.load(Ordering::Relaxed),
            namesake: None,
        }
    }
}

pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn may_abbreviate_commit(text: &str) -> bool {
    (7..40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}
