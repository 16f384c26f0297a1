//! The names of sources and models.
//!
//! A name is one to four parts of `[A-Za-z0-9][A-Za-z0-9._-]*`, at most 64 bytes each, with `/`
//! between them: `acme/digits-cnn`. A model's may have a version after the last `@`; together they
//! have at most 255 bytes.

use std::fmt;

use modelzoo_archive::RelPath;
use modelzoo_base::Remedy;
use modelzoo_base::text::excerpt;

const MAX_PARTS: usize = 4;
const MAX_PART: usize = 64;
const MAX_VERSION: usize = 64;
/// The longest name with its version, in bytes: it becomes the name of one directory.
const MAX_NAME: usize = 255;

/// The most bytes of a text that an error repeats.
const SHOWN: usize = 80;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a name: {reason}", excerpt(.text, SHOWN))]
pub struct NameError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl NameError {
    /// What a name looks like.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        Some(Remedy::advice(
            "a name is like `acme/digits-cnn`, with `@version` after it if need be",
        ))
    }
}

/// Checks a name without a version.
///
/// # Errors
/// [`NameError`] with the rule that is broken.
pub fn check(text: &str) -> Result<(), NameError> {
    let bad = |reason| NameError {
        text: text.to_owned(),
        reason,
    };
    if text.is_empty() {
        return Err(bad("it is empty"));
    }
    if text.split('/').count() > MAX_PARTS {
        return Err(bad("it has more than four parts"));
    }
    for part in text.split('/') {
        if part.is_empty() {
            return Err(bad("one of its parts is empty"));
        }
        if part.len() > MAX_PART {
            return Err(bad("one of its parts is longer than 64 bytes"));
        }
        if !part.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(bad("each part starts with a letter or a digit"));
        }
        if !part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            return Err(bad("it may hold letters, digits and `._-` only"));
        }
        if RelPath::parse(part).is_err() {
            return Err(bad("one of its parts is a reserved file name"));
        }
    }
    Ok(())
}

/// Checks a version.
///
/// # Errors
/// What is wrong with it.
pub fn check_version(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > MAX_VERSION {
        return Err("a version has 1 to 64 characters");
    }
    if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".+_-".contains(&b))
    {
        return Err("a version holds letters, digits and `.+_-` only");
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("a version starts with a letter or a digit");
    }
    if text.ends_with('.') {
        return Err("a version does not end with a dot");
    }
    Ok(())
}

/// Checks a name with its version; `text` is what an error shows.
fn check_pair(base: &str, version: Option<&str>, text: &str) -> Result<(), NameError> {
    let bad = |reason| NameError {
        text: text.to_owned(),
        reason,
    };
    check(base).map_err(|error| bad(error.reason))?;
    let Some(version) = version else {
        return Ok(());
    };
    check_version(version).map_err(bad)?;
    if base.len() + 1 + version.len() > MAX_NAME {
        return Err(bad("with its version it is longer than 255 bytes"));
    }
    Ok(())
}

/// The name of a model, with its version if it has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName {
    base: String,
    version: Option<String>,
}

impl ModelName {
    /// # Errors
    /// [`NameError`] when either part breaks a rule.
    pub fn new(base: &str, version: Option<&str>) -> Result<Self, NameError> {
        let text = version.map_or_else(|| base.to_owned(), |version| format!("{base}@{version}"));
        check_pair(base, version, &text)?;
        Ok(Self {
            base: base.to_owned(),
            version: version.map(str::to_owned),
        })
    }

    /// The name without its version.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// A directory name that no other model of the source has: `~`, which names do not contain,
    /// replaces the slashes.
    pub(crate) fn directory(&self) -> String {
        self.to_string().replace('/', "~")
    }

    /// The name of the model's file when the manifest gives none: the last part of its name.
    pub(crate) fn file_stem(&self) -> String {
        self.base.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// The spelling that FiftyOne uses: the version before what looks like an
    /// extension of the name.
    fn legacy(&self) -> Option<String> {
        let version = self.version.as_deref()?;
        let stem_at = self.base.rfind('/').map_or(0, |at| at + 1);
        let dot = self.base.rfind('.').filter(|at| *at > stem_at)?;
        let (stem, extension) = self.base.split_at(dot);
        Some(format!("{stem}@{version}{extension}"))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.base),
            None => f.write_str(&self.base),
        }
    }
}

/// What a user typed to name a model: `[source:]name[@version]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelQuery {
    /// The source, in whatever spelling.
    pub source: Option<String>,
    /// The name and the version, as typed.
    name: String,
}

impl ModelQuery {
    /// # Errors
    /// [`NameError`] if the text cannot be the name of a model.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // A name contains no colon: a source precedes the last one.
        let (source, name) = match text.rsplit_once(':') {
            Some((source, name)) if !source.is_empty() && !name.starts_with("//") => {
                (Some(source.to_owned()), name)
            }
            _ => (None, text),
        };
        let (base, version) = split_version(name);
        check_pair(base, version, text)?;
        Ok(Self {
            source,
            name: name.to_owned(),
        })
    }

    /// Whether a model is one that is asked for: of this version, or of any if none was given.
    #[must_use]
    pub fn matches(&self, name: &ModelName) -> bool {
        match split_version(&self.name) {
            (base, None) => name.base == base,
            (base, Some(version)) => {
                name.base == base && name.version() == Some(version)
                    || name.legacy().is_some_and(|legacy| legacy == self.name)
            }
        }
    }
}

/// Splits `base@version`; the `@` counts after the last slash only.
fn split_version(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('@') {
        Some((base, version)) if !version.contains('/') => (base, Some(version)),
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_are_refused() {
        let long = "a".repeat(65);
        let deep = "a/b/c/d/e";
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/../b",
            "a//b",
            "/a",
            "a/",
            "CON",
            "a/NUL.txt",
            "a b",
            "a@b",
            "\u{1f600}",
            "a\0b",
            "-x",
            "_x",
            ".x",
            "a\\b",
            "C:x",
            &long,
            deep,
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "acme/m", "acme/m-1.5_b", "a/b/c/d", "0/1"] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn version_follows_the_last_slash() {
        assert!(ModelQuery::parse("a@b/c@1").is_err());
        let query = ModelQuery::parse("gh:acme/digits:acme/m@1.0").unwrap();
        assert_eq!(query.source.as_deref(), Some("gh:acme/digits"));
        assert!(query.matches(&ModelName::new("acme/m", Some("1.0")).unwrap()));
        assert!(!query.matches(&ModelName::new("acme/m", Some("1.0.0")).unwrap()));
        assert!(!query.matches(&ModelName::new("acme/m", None).unwrap()));
    }

    #[test]
    fn spelling_of_fiftyone_is_understood() {
        let name = ModelName::new("a/clip-v1.5", Some("2")).unwrap();
        assert_eq!(name.to_string(), "a/clip-v1.5@2");
        assert!(ModelQuery::parse("a/clip-v1.5@2").unwrap().matches(&name));
        assert!(ModelQuery::parse("a/clip-v1@2.5").unwrap().matches(&name));
        assert!(!ModelQuery::parse("a/clip-v1@2.6").unwrap().matches(&name));
    }

    #[test]
    fn directories_of_models_are_distinct() {
        let names = [
            ("a/b", None),
            ("a", Some("b")),
            ("a.b", None),
            ("a/b", Some("1")),
        ];
        let dirs: std::collections::BTreeSet<_> = names
            .iter()
            .map(|(b, v)| ModelName::new(b, *v).unwrap().directory())
            .collect();
        assert_eq!(dirs.len(), names.len());
    }

    #[test]
    fn bad_versions_are_refused() {
        for bad in [
            "",
            ".",
            "1.",
            ".1",
            "-1",
            "+1",
            "1/2",
            "1 0",
            "1:0",
            "1!2",
            "é",
            "a\0",
            &"1".repeat(65),
        ] {
            assert!(check_version(bad).is_err(), "{bad:?}");
        }
        for good in ["1", "v1.0", "1.0+cu121", "2024-01-05", "1.0_b", "large"] {
            assert_eq!(check_version(good), Ok(()), "{good:?}");
        }
        // The whole becomes the name of one directory.
        let base = [
            "a".repeat(64),
            "b".repeat(64),
            "c".repeat(64),
            "d".repeat(40),
        ]
        .join("/");
        assert!(ModelName::new(&base, Some(&"1".repeat(19))).is_ok());
        assert!(ModelName::new(&base, Some(&"1".repeat(20))).is_err());
    }
}
