//! What a user types to name a source.
//!
//! | typed | meaning |
//! |---|---|
//! | `./dir`, `../dir`, `/dir`, `~/dir`, `C:\dir`, `file:/dir` | a local directory or archive |
//! | `name` (one part) | the local directory or archive of that name, if there is one |
//! | `user/repo`, `user/repo/ref`, `user/repo@ref` | a repository on GitHub, also where a directory of that name exists |
//! | `https://github.com/user/repo`, with `/tree/ref[/dir]`, `/commit/sha`, `/releases/tag/tag`, `/pull/n` | the same |
//! | `git@github.com:user/repo.git`, `ssh://git@github.com/user/repo`, `git+https://…` | the same |
//! | `gh:user/repo@ref` | the same: the canonical id |
//! | any other `https://…`, also GitHub's `/archive/…` and `/releases/download/…` | an archive |
//!
//! The host of a URL is compared as a whole: `https://notgithub.com/user/repo` and
//! `https://evil.example/github.com/user/repo` are archives on those hosts.
//!
//! Everything here is pure: no file is opened and no host is asked. Whether a file of a name
//! exists is asked of the [`ReferenceContext`].

mod error;
mod git_ref;
mod github;
mod id;
mod local;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use modelzoo_net::policy::parse_url;
use url::Url;

pub use self::error::ReferenceError;
pub use self::git_ref::{RefKind, RefSpec};
pub use self::github::GitHubRepo;
pub use self::id::SourceId;

/// The host of GitHub itself.
pub(crate) const GITHUB: &str = "github.com";
/// The longest reference, in bytes.
const MAX_REFERENCE: usize = 8 * 1024;

/// What parsing a reference needs to know of the world.
pub struct ReferenceContext<'a> {
    /// The hosts whose URLs are read as GitHub's, in lower case; see [`github_hosts`]. The first
    /// one is where `user/repo` is.
    pub github_hosts: Vec<String>,
    /// What relative paths are relative to; absolute.
    pub current_dir: PathBuf,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// Whether a path exists.
    pub path_exists: &'a dyn Fn(&Path) -> bool,
}

/// A source, as the user named it.
#[derive(Clone, PartialEq, Eq)]
pub enum SourceRef {
    /// A directory or an archive on this machine, by its absolute path (links not resolved).
    Local(PathBuf),
    /// An archive to download. The URL may hold credentials in its query; neither `Display` nor
    /// `Debug` nor the id shows them.
    Archive(Url),
    /// A repository on GitHub; without a ref, its default branch.
    GitHub(GitHubRepo, Option<RefSpec>),
}

impl SourceRef {
    /// Reads what a user typed.
    ///
    /// # Errors
    /// [`ReferenceError`], which says what is wrong and what could be typed instead.
    pub fn parse(text: &str, context: &ReferenceContext<'_>) -> Result<Self, ReferenceError> {
        let text = text.trim_matches([' ', '\t']);
        if text.is_empty() {
            return Err(ReferenceError::not_a_source(text, "it is empty", FORMS));
        }
        if text.len() > MAX_REFERENCE {
            return Err(ReferenceError::not_a_source(
                text,
                "it is longer than 8 KiB",
                FORMS,
            ));
        }
        if local::is_explicit(text) {
            return local::parse(text, context).map(Self::Local);
        }
        match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => {
                match scheme.to_ascii_lowercase().as_str() {
                    "file" => local::parse_file_url(rest, context).map(Self::Local),
                    "gh" => GitHubRepo::parse_id(rest)
                        .map(|(repo, git_ref)| Self::GitHub(repo, git_ref)),
                    "https" | "http" => context.parse_url(text),
                    "git+https" => context.parse_clone_url(text, rest),
                    "ssh" | "git" | "git+ssh" if rest.starts_with("//") => {
                        let (_, host) = rest
                            .split_once('@')
                            .unwrap_or(("", rest.trim_start_matches('/')));
                        context.parse_clone_url(text, &format!("//{host}"))
                    }
                    _ if rest.starts_with("//") => Err(refused(text)),
                    _ => context.parse_scp(text, scheme, rest),
                }
            }
            // `user@host:path`: a user's name is no scheme.
            Some((host, path)) if !host.contains('/') => {
                context.parse_scp(text, host.rsplit('@').next().unwrap_or(host), path)
            }
            _ => context.parse_bare(text),
        }
    }

    /// The canonical id. All spellings of one source have the same.
    #[must_use]
    pub fn id(&self) -> SourceId {
        match self {
            Self::Local(path) => SourceId::local(path),
            Self::Archive(url) => SourceId::archive(url),
            Self::GitHub(repo, git_ref) => SourceId::github(repo, git_ref.as_ref()),
        }
    }

    /// Whether a text can only be meant as a source, and not as the name of a model: it has a
    /// scheme or starts as a path does.
    #[must_use]
    pub fn is_explicit(text: &str) -> bool {
        let scp = text.starts_with("git@");
        let scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
            let known =
                ["gh", "file", "http", "https"].contains(&scheme.to_ascii_lowercase().as_str());
            is_scheme(scheme) && (known || rest.starts_with("//"))
        });
        scp || scheme || local::is_explicit(text)
    }
}

impl fmt::Display for SourceRef {
    /// A reference that means the same when it is read again, but without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => match path.to_str() {
                Some(text) if modelzoo_base::text::escape(text) == text => f.write_str(text),
                _ => self.id().fmt(f),
            },
            Self::Archive(_) => self.id().fmt(f),
            Self::GitHub(repo, git_ref) => f.write_str(&repo.page(git_ref.as_ref())),
        }
    }
}

impl fmt::Debug for SourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceRef({self})")
    }
}

/// The hosts whose URLs are repositories' pages, for the root of a GitHub API: github.com always,
/// and the server that the API belongs to (`https://host/api/v3` or `https://api.host`).
#[must_use]
pub fn github_hosts(api: &Url) -> Vec<String> {
    let mut hosts = vec![GITHUB.to_owned()];
    let host = github::host_of(api);
    let site = host.strip_prefix("api.").unwrap_or(&host);
    if !site.is_empty() && site != GITHUB {
        hosts.push(site.to_owned());
    }
    hosts
}

/// What a source can look like, for hints.
const FORMS: &str = "a source is a URL, <user>/<repo> on GitHub, or a path that starts with ./";

impl ReferenceContext<'_> {
    /// The path that a text of the form `user/repo` would have meant, had it started with `./`,
    /// if something is there: a hint for when there is no such repository.
    #[must_use]
    pub fn local_namesake(&self, text: &str) -> Option<String> {
        let path = self.current_dir.join(text);
        let exists = !SourceRef::is_explicit(text) && (self.path_exists)(&path);
        exists.then(|| format!("./{text}"))
    }

    fn is_github(&self, host: &str) -> bool {
        self.github_hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(host))
    }

    fn parse_url(&self, text: &str) -> Result<SourceRef, ReferenceError> {
        let url = parse_url(text)?;
        if self.is_github(&github::host_of(&url)) {
            github::parse_page(text, &url)
        } else {
            Ok(SourceRef::Archive(url))
        }
    }

    /// An address that git would clone: `typed` without its scheme and user is `rest`.
    fn parse_clone_url(&self, typed: &str, rest: &str) -> Result<SourceRef, ReferenceError> {
        let url = parse_url(&format!("https:{rest}"))?;
        let host = github::host_of(&url);
        // ssh has a port of its own, which says nothing about the site's.
        let host = host.strip_suffix(":22").unwrap_or(&host);
        if self.is_github(host) {
            github::parse_clone_path(host, url.path())
        } else {
            Err(refused(typed))
        }
    }

    /// `host:user/repo.git`, as ssh takes it.
    fn parse_scp(&self, typed: &str, host: &str, path: &str) -> Result<SourceRef, ReferenceError> {
        if self.is_github(host) {
            github::parse_clone_path(&host.to_ascii_lowercase(), path)
        } else {
            Err(refused(typed))
        }
    }

    /// A text with neither a scheme nor the beginning of a path.
    fn parse_bare(&self, text: &str) -> Result<SourceRef, ReferenceError> {
        let (first, rest) = text.split_once('/').unwrap_or((text, ""));
        let host = first.to_ascii_lowercase();
        if self.is_github(host.strip_prefix("www.").unwrap_or(&host)) {
            return self.parse_url(&format!("https://{text}"));
        }
        if !rest.is_empty() && !first.contains('\\') {
            let host = self.github_hosts.first().map_or(GITHUB, String::as_str);
            return github::parse_short(host, text);
        }
        let path = local::parse(text, self)?;
        if (self.path_exists)(&path) {
            return Ok(SourceRef::Local(path));
        }
        Err(ReferenceError::not_a_source(
            text,
            "there is no file or directory of that name here",
            FORMS,
        ))
    }
}

/// A letter, then letters, digits and `+-` (RFC 3986, 3.1, without the dot, which host names
/// have).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-')
}

fn refused(text: &str) -> ReferenceError {
    ReferenceError::not_a_source(
        text,
        "git repositories are fetched from GitHub only, and archives by https",
        FORMS,
    )
}
