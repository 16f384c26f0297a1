//! References to repositories on GitHub: the pages of the site, the short form, git's own forms.

use std::fmt;

use modelzoo_net::policy::{parse_url, redact};
use url::Url;

use super::error::{ReferenceError, shown};
use super::git_ref::{RefKind, RefSpec};
use super::local::percent_decode;
use super::{GITHUB, SourceRef};

/// A repository on GitHub or on a GitHub Enterprise server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubRepo {
    /// The site's host, in lower case, with its port if that is not the usual one.
    pub host: String,
    /// The user or organisation, in the letters that were typed.
    pub owner: String,
    /// The repository's name, in the letters that were typed.
    pub repo: String,
}

impl GitHubRepo {
    /// Checks the names of a repository. One `.git` at the end is dropped.
    pub(super) fn new(host: &str, owner: &str, repo: &str) -> Result<Self, ReferenceError> {
        let bad = |reason| ReferenceError::bad_repository(&format!("{owner}/{repo}"), reason);
        let without_git = |name: &str| {
            let at = name.len().checked_sub(4)?;
            let (rest, end) = name.split_at_checked(at)?;
            end.eq_ignore_ascii_case(".git").then_some(rest.len())
        };
        let repo = match without_git(repo) {
            Some(length) => repo.get(..length).unwrap_or(repo),
            None => repo,
        };
        if without_git(repo).is_some() {
            return Err(bad("a repository's name does not end in `.git`"));
        }
        let of = |text: &str, more: &[u8]| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
        };
        if owner.is_empty() || repo.is_empty() {
            return Err(bad("the user or the repository is missing"));
        }
        if owner.len() > 39 || !of(owner, b"-_") || owner.starts_with(['-', '_']) {
            return Err(bad("a user's name is up to 39 letters, digits and `-`"));
        }
        if repo.len() > 100 || !of(repo, b"-_.") || repo == "." || repo == ".." {
            return Err(bad(
                "a repository's name is up to 100 letters, digits, `-`, `_` and `.`",
            ));
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            owner: owner.to_owned(),
            repo: repo.to_owned(),
        })
    }

    /// Reads what follows `gh:` in an id: `[host/]owner/repo[@ref]`.
    pub(super) fn parse_id(text: &str) -> Result<(Self, Option<RefSpec>), ReferenceError> {
        let (name, git_ref) = match text.split_once('@') {
            Some((name, git_ref)) => (name, Some(RefSpec::parse(git_ref)?)),
            None => (text, None),
        };
        let parts: Vec<&str> = name.split('/').collect();
        let repo = match *parts.as_slice() {
            [owner, repo] => Self::new(GITHUB, owner, repo)?,
            // Without a dot or a port, what stands first is no host but a part too many.
            [host, owner, repo] if host.contains(['.', ':']) => {
                let url = parse_url(&format!("https://{host}/"))?;
                let host = host_of(&url);
                // The dot may have been one at the end, which goes.
                if !host.contains(['.', ':']) {
                    return Err(ReferenceError::bad_id(&format!("gh:{text}")));
                }
                Self::new(&host, owner, repo)?
            }
            _ => return Err(ReferenceError::bad_id(&format!("gh:{text}"))),
        };
        Ok((repo, git_ref))
    }

    /// The address of the repository's page, or of one that shows the ref.
    pub(super) fn page(&self, git_ref: Option<&RefSpec>) -> String {
        let Self { host, owner, repo } = self;
        let root = format!("https://{host}/{owner}/{repo}");
        let Some(git_ref) = git_ref else {
            return root;
        };
        let text = git_ref.as_str();
        match git_ref.kind() {
            RefKind::Pull => {
                let number = text.split('/').nth(2).unwrap_or_default();
                format!("{root}/pull/{number}")
            }
            RefKind::Commit if git_ref.is_whole() => format!("{root}/commit/{text}"),
            RefKind::Tag if git_ref.is_whole() => format!("{root}/releases/tag/{}", encode(text)),
            _ => format!("{root}/tree/{}", encode(text)),
        }
    }
}

impl fmt::Display for GitHubRepo {
    /// `owner/repo`, with the host before it when that is not github.com.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host != GITHUB {
            write!(f, "{}/", self.host)?;
        }
        write!(f, "{}/{}", self.owner, self.repo)
    }
}

/// The host of a URL as references write it: without `www.`, with its port if it has one.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix("www.").unwrap_or(host);
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The characters that would end the path of a URL, or start an escape.
fn encode(path: &str) -> String {
    path.replace('%', "%25")
        .replace('#', "%23")
        .replace('?', "%3F")
}

/// Reads `<user>/<repo>[/<ref>]`, or with `@` before the ref.
pub(super) fn parse_short(host: &str, text: &str) -> Result<SourceRef, ReferenceError> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (owner, rest) = text.split_once('/').unwrap_or((text, ""));
    let (repo, git_ref) = match rest.find(['/', '@']) {
        Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..)),
        None => (rest, None),
    };
    if owner.contains('.') {
        return Err(ReferenceError::not_a_source(
            text,
            "the user's name has a dot, which GitHub does not allow",
            format!(
                "write https://{0} for a URL, or ./{0} for a path",
                shown(text)
            ),
        ));
    }
    let repo = GitHubRepo::new(host, owner, repo)?;
    Ok(SourceRef::GitHub(
        repo,
        git_ref.map(RefSpec::parse).transpose()?,
    ))
}

/// Reads the path of git's own addresses: `<user>/<repo>[.git]` and nothing more.
pub(super) fn parse_clone_path(host: &str, path: &str) -> Result<SourceRef, ReferenceError> {
    let path = path.trim_matches('/');
    match path.split_once('/') {
        Some((owner, repo)) if !repo.contains('/') => {
            Ok(SourceRef::GitHub(GitHubRepo::new(host, owner, repo)?, None))
        }
        _ => Err(ReferenceError::bad_repository(
            path,
            "the address of a clone is <user>/<repo>.git",
        )),
    }
}

/// Reads the URL of a page on a GitHub host. `typed` is the same URL before dots were resolved.
pub(super) fn parse_page(typed: &str, url: &Url) -> Result<SourceRef, ReferenceError> {
    refuse_dots(typed)?;
    let mut segments = decoded_segments(url)?;
    while segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (owner, name, tail) = match parts.as_slice() {
        [owner, name, tail @ ..] => (*owner, *name, tail),
        _ => {
            return Err(ReferenceError::not_a_source(
                &redact(url),
                "it names no repository",
                format!("write https://{}/<user>/<repo>", host_of(url)),
            ));
        }
    };
    let repo = GitHubRepo::new(&host_of(url), owner, name)?;
    page_of(repo, tail, url)
}

fn page_of(repo: GitHubRepo, tail: &[&str], url: &Url) -> Result<SourceRef, ReferenceError> {
    let git_ref = match *tail {
        [] | ["tree" | "commits"] => None,
        ["tree" | "commits", ref path @ ..] => Some(RefSpec::parse(&path.join("/"))?),
        ["commit", sha] => Some(RefSpec::commit(sha)?),
        ["releases", "tag", ref tag @ ..] if !tag.is_empty() => Some(RefSpec::tag(&tag.join("/"))?),
        ["pull", number, ..] => Some(RefSpec::pull(number)?),
        // These are files, and files are archives or nothing.
        ["archive" | "zipball" | "tarball" | "raw", _, ..] | ["releases", "download", _, _, ..] => {
            return Ok(SourceRef::Archive(url.clone()));
        }
        ["blob" | "blame" | "edit", git_ref, ref path @ ..] => {
            let instead = match path.last() {
                Some(file) if is_archive_name(file) => url.as_str().replacen(
                    &format!("/{}/", tail.first().unwrap_or(&"blob")),
                    "/raw/",
                    1,
                ),
                _ => format!("{}/tree/{}", repo.page(None), encode(git_ref)),
            };
            return Err(ReferenceError::WebPage {
                url: redact(url),
                instead,
            });
        }
        [page, ..] if PAGES.contains(&page) => {
            return Err(ReferenceError::WebPage {
                url: redact(url),
                instead: repo.page(None),
            });
        }
        // FiftyOne takes `https://github.com/<user>/<repo>/<ref>` as well.
        ref path => Some(RefSpec::parse(&path.join("/"))?),
    };
    Ok(SourceRef::GitHub(repo, git_ref))
}

/// The pages of a repository that show no tree. A branch of such a name is reached by `/tree/`.
const PAGES: [&str; 35] = [
    "actions",
    "activity",
    "archive",
    "blame",
    "blob",
    "branches",
    "commit",
    "community",
    "compare",
    "contributors",
    "deployments",
    "discussions",
    "edit",
    "forks",
    "graphs",
    "issues",
    "labels",
    "milestones",
    "network",
    "packages",
    "projects",
    "pull",
    "pulls",
    "pulse",
    "raw",
    "releases",
    "search",
    "security",
    "settings",
    "stargazers",
    "tags",
    "tarball",
    "watchers",
    "wiki",
    "zipball",
];

fn is_archive_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst",
    ]
    .iter()
    .any(|ext| name.ends_with(ext))
}

/// Refuses `.` and `..` in what was typed. A URL parser resolves them, so that the repository
/// that is fetched would not be the one that is read.
fn refuse_dots(typed: &str) -> Result<(), ReferenceError> {
    let path = typed.split(['?', '#']).next().unwrap_or(typed);
    for part in path.split('/') {
        let part = percent_decode(part);
        if part == b"." || part == b".." {
            return Err(ReferenceError::bad_ref(path, "it holds a `.` or `..` part"));
        }
    }
    Ok(())
}

fn decoded_segments(url: &Url) -> Result<Vec<String>, ReferenceError> {
    url.path_segments()
        .into_iter()
        .flatten()
        .map(|segment| {
            String::from_utf8(percent_decode(segment))
                .map_err(|_| ReferenceError::bad_ref(url.path(), "it is not UTF-8"))
        })
        .collect()
}
