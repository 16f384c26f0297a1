//! What of a repository is meant: a branch, a tag, a commit, a pull request.

use std::borrow::Cow;
use std::fmt;

use modelzoo_archive::RelPath;
use modelzoo_base::text::escape;

use super::error::ReferenceError;

/// The longest ref, in bytes.
const MAX_REF: usize = 1024;

/// What kind of thing a [`RefSpec`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefKind {
    /// A branch, a tag or the beginning of a commit: the host has to be asked.
    Any,
    /// A commit.
    Commit,
    /// A branch.
    Branch,
    /// A tag.
    Tag,
    /// The head of a pull request.
    Pull,
}

/// The part of a reference that says which version of a repository is meant, as far as the text
/// tells.
///
/// A branch name may have slashes, and in a URL the path of a directory may follow it, so that
/// `feature/x/models` has several readings. [`RefSpec::candidates`] lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefSpec {
    /// The canonical text, as it stands in a source's id.
    text: String,
    kind: RefKind,
    /// Whether the whole text is the ref, with no directory after it.
    whole: bool,
}

impl RefSpec {
    /// Reads what follows the repository: a ref, or a ref and a directory.
    ///
    /// `refs/heads/…` and `refs/tags/…` say that a branch or a tag is meant, `refs/pull/<n>/head`
    /// names a pull request, and 40 (or 64) hexadecimal digits name a commit.
    ///
    /// # Errors
    /// [`ReferenceError::BadRef`] when no reading of the text is one that git allows.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > MAX_REF {
            return Err(ReferenceError::bad_ref(
                text,
                "it is longer than 1024 bytes",
            ));
        }
        if has_percent_escape(text) {
            return Err(ReferenceError::bad_ref(
                text,
                "it holds a percent-encoded character",
            ));
        }
        if let Some(number) = text
            .strip_prefix("refs/pull/")
            .and_then(|t| t.strip_suffix("/head"))
        {
            return Self::pull(number);
        }
        let first = text.split('/').next().unwrap_or_default();
        let (kind, text) = if is_commit(first) {
            let rest = text.get(first.len()..).unwrap_or_default();
            (RefKind::Commit, first.to_ascii_lowercase() + rest)
        } else if text.starts_with("refs/heads/") {
            (RefKind::Branch, text.to_owned())
        } else if text.starts_with("refs/tags/") {
            (RefKind::Tag, text.to_owned())
        } else if text == "refs" || text.starts_with("refs/") {
            return Err(ReferenceError::bad_ref(
                text,
                "of the full names, refs/heads/…, refs/tags/… and refs/pull/<n>/head are understood",
            ));
        } else {
            (RefKind::Any, text.to_owned())
        };
        let parsed = Self {
            text,
            kind,
            whole: false,
        };
        if parsed.candidates().is_empty() {
            let reason = check_ref(parsed.name())
                .err()
                .unwrap_or("it leads to no directory".into());
            return Err(ReferenceError::bad_ref(&parsed.text, reason));
        }
        Ok(parsed)
    }

    /// A tag whose whole name is known.
    ///
    /// # Errors
    /// [`ReferenceError::BadRef`] when git does not allow the name.
    pub fn tag(name: &str) -> Result<Self, ReferenceError> {
        if has_percent_escape(name) {
            return Err(ReferenceError::bad_ref(
                name,
                "it holds a percent-encoded character",
            ));
        }
        check_ref(name).map_err(|reason| ReferenceError::bad_ref(name, reason))?;
        Ok(Self {
            text: name.to_owned(),
            kind: RefKind::Tag,
            whole: true,
        })
    }

    /// A commit, whole or abbreviated.
    ///
    /// # Errors
    /// [`ReferenceError::BadRef`] unless the text is 7 to 64 hexadecimal digits.
    pub fn commit(sha: &str) -> Result<Self, ReferenceError> {
        if !(7..=64).contains(&sha.len()) || !is_hex(sha) {
            return Err(ReferenceError::bad_ref(
                sha,
                "a commit is written with 7 to 64 hexadecimal digits",
            ));
        }
        Ok(Self {
            text: sha.to_ascii_lowercase(),
            kind: RefKind::Commit,
            whole: true,
        })
    }

    /// The head of a pull request.
    ///
    /// # Errors
    /// [`ReferenceError::BadRef`] unless the text is a positive decimal number.
    pub fn pull(number: &str) -> Result<Self, ReferenceError> {
        match number.parse::<u64>() {
            Ok(n @ 1..) if number.bytes().all(|b| b.is_ascii_digit()) => Ok(Self {
                text: format!("refs/pull/{n}/head"),
                kind: RefKind::Pull,
                whole: true,
            }),
            _ => Err(ReferenceError::bad_ref(
                number,
                "a pull request has a number",
            )),
        }
    }

    /// What kind of thing is named.
    #[must_use]
    pub fn kind(&self) -> RefKind {
        self.kind
    }

    /// The readings of the text, the longest ref first: the ref without its `refs/heads/` or
    /// `refs/tags/` (for a pull request `pull/<n>/head`), and the directory below the
    /// repository's root, empty for the root itself. There is always at least one.
    #[must_use]
    pub fn candidates(&self) -> Vec<(String, String)> {
        let name = self.name();
        let whole = (name.to_owned(), String::new());
        if self.whole {
            return vec![whole];
        }
        let mut readings = Vec::new();
        if check_ref(name).is_ok() && (self.kind != RefKind::Commit || is_commit(name)) {
            readings.push(whole);
        }
        for (at, _) in name.rmatch_indices('/') {
            let (head, dir) = name.split_at(at);
            let dir = dir.strip_prefix('/').unwrap_or(dir);
            let is_head = match self.kind {
                RefKind::Commit => is_commit(head),
                _ => check_ref(head).is_ok(),
            };
            if is_head && RelPath::parse(dir).is_ok() {
                readings.push((head.to_owned(), dir.to_owned()));
            }
        }
        readings
    }

    /// The text as it stands in a source's id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole text is the name, so that no directory can follow it.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    fn name(&self) -> &str {
        let prefix = match self.kind {
            RefKind::Branch => "refs/heads/",
            RefKind::Tag => "refs/tags/",
            RefKind::Pull => "refs/",
            RefKind::Any | RefKind::Commit => "",
        };
        self.text.strip_prefix(prefix).unwrap_or(&self.text)
    }
}

impl fmt::Display for RefSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a text is a whole object name: SHA-1, or SHA-256 in newer repositories.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether the text has something like `%2e` in it. Git would allow it, but whoever decodes it
/// once too often reads another ref.
fn has_percent_escape(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .any(|after| after.get(..2).is_some_and(is_hex))
}

/// The rules of `git check-ref-format --branch`, and no invisible characters.
fn check_ref(name: &str) -> Result<(), Cow<'static, str>> {
    if name.starts_with('-') {
        return Err("it starts with `-`".into());
    }
    if escape(name) != name {
        return Err("it holds a control character or an invisible one".into());
    }
    match gix_validate::reference::name_partial(name.into()) {
        Ok(_) => Ok(()),
        Err(error) => {
            // The library's reasons are sentences of their own.
            let reason = error.to_string();
            let mut rest = reason.chars();
            let first = rest.next().map(|letter| letter.to_ascii_lowercase());
            Err(first.into_iter().chain(rest).collect::<String>().into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RefKind, RefSpec};

    fn readings(text: &str) -> Vec<(String, String)> {
        RefSpec::parse(text).expect(text).candidates()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(a, b)| ((*a).into(), (*b).into()))
            .collect()
    }

    #[test]
    fn ref_is_followed_by_a_directory() {
        assert_eq!(readings("main"), pairs(&[("main", "")]));
        assert_eq!(
            readings("feature/x/models"),
            pairs(&[
                ("feature/x/models", ""),
                ("feature/x", "models"),
                ("feature", "x/models")
            ])
        );
        assert_eq!(
            readings("refs/heads/a/b"),
            pairs(&[("a/b", ""), ("a", "b")])
        );
        // Only the readings that git allows.
        assert_eq!(
            readings("main/.hidden/dir"),
            pairs(&[("main", ".hidden/dir")])
        );
        assert_eq!(readings("main/my models"), pairs(&[("main", "my models")]));
    }

    #[test]
    fn kind_of_ref_comes_from_the_text() {
        let sha = "0123456789ABCDEF0123456789abcdef01234567";
        for (text, kind, canonical) in [
            ("v1.0", RefKind::Any, "v1.0"),
            ("deadbeef", RefKind::Any, "deadbeef"),
            (
                sha,
                RefKind::Commit,
                "0123456789abcdef0123456789abcdef01234567",
            ),
            ("refs/heads/v1", RefKind::Branch, "refs/heads/v1"),
            ("refs/tags/v1", RefKind::Tag, "refs/tags/v1"),
            ("refs/pull/7/head", RefKind::Pull, "refs/pull/7/head"),
        ] {
            let parsed = RefSpec::parse(text).unwrap();
            assert_eq!(
                (parsed.kind(), parsed.as_str()),
                (kind, canonical),
                "{text}"
            );
        }
        assert_eq!(
            RefSpec::parse(&format!("{sha}/sub/dir"))
                .unwrap()
                .candidates(),
            pairs(&[(&sha.to_ascii_lowercase(), "sub/dir")])
        );
        assert_eq!(
            RefSpec::pull("12").unwrap().candidates(),
            pairs(&[("pull/12/head", "")])
        );
        assert_eq!(
            RefSpec::tag("rel/1").unwrap().candidates(),
            pairs(&[("rel/1", "")])
        );
    }

    #[test]
    fn refs_that_git_refuses_are_refused() {
        for text in [
            "",
            "../../other",
            "..",
            "a..b",
            "-x",
            "@",
            "@{",
            "a@{1}",
            "%2e%2e",
            "a/%2E%2e/b",
            "a%2fb",
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[b",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            "a.lock",
            "x.",
            ".x",
            "refs/notes/x",
            "refs",
            "refs/heads/",
            "refs/pull/0/head",
            "refs/pull/x/head",
            "a\u{202e}b",
            "main/..",
            "main/../x",
        ] {
            assert!(RefSpec::parse(text).is_err(), "{text:?}");
        }
        assert!(RefSpec::parse(&"x".repeat(1025)).is_err());
        for sha in ["", "abc", "xyz1234", &"a".repeat(65)] {
            assert!(RefSpec::commit(sha).is_err(), "{sha}");
        }
        for number in ["", "0", "-1", "+1", "1a", "99999999999999999999"] {
            assert!(RefSpec::pull(number).is_err(), "{number}");
        }
        assert!(RefSpec::tag("a%2eb").is_err() && RefSpec::tag("../x").is_err());
    }

    #[test]
    fn refs_that_git_allows_are_allowed() {
        for text in [
            "main",
            "release-1.x",
            "feature/a/b",
            "100%",
            "v1.0+cu121",
            "größe",
            "a@b",
            "a.b",
            "{x}",
            "HEAD",
            "a#b",
        ] {
            assert_eq!(RefSpec::parse(text).unwrap().candidates()[0].0, text);
        }
    }
}
