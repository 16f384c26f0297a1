//! Why a reference is refused.

use std::borrow::Cow;

use modelzoo_base::Remedy;
use modelzoo_base::text::excerpt;
use modelzoo_net::policy::Refusal;

/// Why a text names no source.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReferenceError {
    /// The text has none of the forms that a source is named in.
    #[error("`{text}` does not name a source: {reason}")]
    NotASource {
        /// What was typed, escaped.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
        /// What could be typed instead.
        instead: String,
    },
    /// The user or the repository breaks GitHub's rules for names.
    #[error("`{text}` is not a repository on GitHub: {reason}")]
    BadRepository {
        /// What was typed, escaped.
        text: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The branch, tag or commit breaks git's rules for names.
    #[error("`{git_ref}` cannot be a branch, tag or commit: {reason}")]
    BadRef {
        /// The ref, escaped.
        git_ref: String,
        /// The rule that it breaks.
        reason: Cow<'static, str>,
    },
    /// A page of a repository that shows something else than its files.
    #[error("{url} is a page to look at, not a source")]
    WebPage {
        /// The page, without its query.
        url: String,
        /// What names the source that was probably meant.
        instead: String,
    },
    /// The URL is refused by the rules for all URLs.
    #[error(transparent)]
    Url(#[from] Refusal),
    /// A local path that cannot be meant.
    #[error("`{text}` is not a usable path: {reason}")]
    BadPath {
        /// What was typed, escaped.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A text that should be a canonical id, and is not in that form.
    #[error("`{text}` is not the canonical id of a source")]
    BadId {
        /// The text, escaped.
        text: String,
    },
}

impl ReferenceError {
    pub(super) fn not_a_source(
        text: &str,
        reason: &'static str,
        instead: impl Into<String>,
    ) -> Self {
        Self::NotASource {
            text: shown(text),
            reason,
            instead: instead.into(),
        }
    }

    pub(super) fn bad_repository(text: &str, reason: &'static str) -> Self {
        Self::BadRepository {
            text: shown(text),
            reason,
        }
    }

    pub(super) fn bad_ref(git_ref: &str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRef {
            git_ref: shown(git_ref),
            reason: reason.into(),
        }
    }

    pub(super) fn bad_path(text: &str, reason: &'static str) -> Self {
        Self::BadPath {
            text: shown(text),
            reason,
        }
    }

    pub(super) fn bad_id(text: &str) -> Self {
        Self::BadId { text: shown(text) }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::NotASource { instead, .. } => Some(Remedy::advice(instead.clone())),
            Self::BadRepository { .. } => Some(Remedy::advice(
                "a repository is <user>/<repo>; write ./<user>/<repo> for a directory of that name",
            )),
            Self::BadRef { .. } => Some(Remedy::advice(
                "a source on GitHub is <user>/<repo> or <user>/<repo>/<ref>",
            )),
            Self::WebPage { instead, .. } => Some(Remedy::advice(format!("use {instead}"))),
            Self::Url(refusal) => refusal.remedy(),
            Self::BadPath { .. } | Self::BadId { .. } => None,
        }
    }
}

/// A text as an error shows it: escaped, shortened, and without what may be a secret (whatever
/// comes before an `@` of a URL or after a `?`).
pub(super) fn shown(text: &str) -> String {
    const SHOWN: usize = 200;
    let public = text.split_once('?').map_or(text, |(before, _)| before);
    let public = match (public.find("://"), public.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => public.get(at + 1..).unwrap_or_default(),
        _ => public,
    };
    let mut shown = excerpt(public, SHOWN);
    if public.len() < text.len() && !shown.ends_with('…') {
        shown.push('…');
    }
    shown
}
