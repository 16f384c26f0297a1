//! Whether a commit is on a branch or a tag of the repository under whose name it is served.
//!
//! GitHub keeps the commits of all forks of a repository together, and serves each of them under
//! the name of every one: `acme/digits/<commit>` can be a stranger's commit that acme never saw. A
//! pull request is a stranger's branch too. What is on a branch or a tag, somebody put there who
//! may write to the repository.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use super::github::{GitHub, Resolved, is_commit};
use crate::error::Error;
use crate::reference::SourceRef;

/// How many branches and tags a commit is compared with, beside the default branch. Each is a
/// request, of which GitHub answers 60 an hour without a token.
const MAX_COMPARED: usize = 20;
/// How many pages of branches, and of tags, are listed.
const MAX_PAGES: usize = 3;
/// The entries of a page.
const PAGE: usize = 100;

/// What to do about a commit that is on no branch or tag of its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// Fail before anything of it is fetched.
    Refuse,
    /// Say it.
    Note,
    /// Take it like any other: the user wants it, or has it already.
    Allow,
}

/// `GET /repos/{owner}/{repo}/compare/{base}...{head}`, as far as it matters.
#[derive(Deserialize)]
struct Comparison {
    status: String,
}

/// An item of `GET /repos/{owner}/{repo}/branches` and of `…/tags`.
#[derive(Deserialize)]
struct Tip {
    commit: TipCommit,
}

#[derive(Deserialize)]
struct TipCommit {
    sha: String,
}

impl GitHub<'_> {
    /// Whether a resolved commit is on a branch or a tag, as far as the user wants to know. Returns
    /// false only where that is noted and not refused.
    pub(super) async fn check_reachable(
        &self,
        resolved: &Resolved,
        reference: &SourceRef,
        unreachable: Unreachable,
    ) -> Result<bool, Error> {
        if resolved.of_ref || unreachable == Unreachable::Allow {
            return Ok(true);
        }
        match (self.is_reachable(&resolved.commit).await?, unreachable) {
            (false, Unreachable::Refuse) => Err(Error::UnreachableCommit {
                repo: self.name(),
                commit: resolved.commit.clone(),
                reference: reference.to_string(),
            }),
            (reachable, _) => Ok(reachable),
        }
    }

    async fn is_reachable(&self, commit: &str) -> Result<bool, Error> {
        let head = self.commit("HEAD").await?;
        if let Some(head) = &head
            && self.contains(head, commit).await?
        {
            return Ok(true);
        }
        let mut tips = self.tips("branches").await?;
        tips.extend(self.tips("tags").await?);
        if tips.iter().any(|tip| tip == commit) {
            return Ok(true);
        }
        let mut compared: BTreeSet<&String> = head.iter().collect();
        let mut left = MAX_COMPARED;
        for tip in &tips {
            if left == 0 {
                break;
            }
            if compared.insert(tip) {
                left -= 1;
                if self.contains(tip, commit).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether a commit is `base` or one of its ancestors.
    async fn contains(&self, base: &str, commit: &str) -> Result<bool, Error> {
        if base == commit {
            return Ok(true);
        }
        // The second page has no list of files, which can be long.
        let compare = self.address(&format!("compare/{base}...{commit}"));
        let url = format!("{compare}?per_page=1&page=2");
        // Two commits without a common ancestor cannot be compared: 404.
        let Some(body) = self.get(&url, "application/vnd.github+json").await? else {
            return Ok(false);
        };
        match serde_json::from_slice(&body) {
            Ok(Comparison { status }) => Ok(matches!(status.as_str(), "behind" | "identical")),
            Err(_) => Err(Error::BadApiAnswer { url }),
        }
    }

    /// The commits that branches or tags name, the first ones of many.
    async fn tips(&self, kind: &str) -> Result<Vec<String>, Error> {
        let mut tips = Vec::new();
        for page in 1..=MAX_PAGES {
            let url = format!("{}?per_page={PAGE}&page={page}", self.address(kind));
            let Some(body) = self.get(&url, "application/vnd.github+json").await? else {
                break;
            };
            let Ok(found) = serde_json::from_slice::<Vec<Tip>>(&body) else {
                return Err(Error::BadApiAnswer { url });
            };
            let full = found.len() >= PAGE;
            let commits = found.into_iter().map(|tip| tip.commit.sha);
            tips.extend(commits.filter(|sha| is_commit(sha)));
            if !full {
                break;
            }
        }
        Ok(tips)
    }
}

/// The end of a zip: a record of 22 bytes, of which the last two are the length of the comment,
/// and the comment.
const ZIP_END: &[u8] = b"PK\x05\x06";
const ZIP_END_BYTES: usize = 22;
const COMMIT_DIGITS: usize = 40;

/// The commit that a zip says it was made of, in its comment, as `git archive` writes it.
///
/// # Errors
/// The file cannot be read.
pub(super) fn commit_of_archive(path: &Path) -> Result<Option<String>, Error> {
    let failed = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let wanted = ZIP_END_BYTES + COMMIT_DIGITS;
    let Some(start) = size.checked_sub(wanted as u64) else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    let mut end = Vec::new();
    file.take(wanted as u64)
        .read_to_end(&mut end)
        .map_err(failed)?;
    let comment = end.get(ZIP_END_BYTES..).unwrap_or_default();
    let comment = std::str::from_utf8(comment).unwrap_or_default();
    Ok((end.starts_with(ZIP_END) && is_commit(comment)).then(|| comment.to_ascii_lowercase()))
}
