//! Relative paths that mean the same place on every file system.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use modelzoo_base::text::is_unsafe;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization;

/// Bytes that one part of a path may have.
const MAX_PART: usize = 255;
/// Parts that a path may have.
pub(crate) const MAX_PARTS: usize = 16;
/// Bytes that a path may have: the parts and the slashes between them.
pub(crate) const MAX_BYTES: usize = MAX_PARTS * (MAX_PART + 1) - 1;

/// A relative path with `/` between its parts, checked to be the same place everywhere.
///
/// It has 1 to 16 parts of 1 to 255 bytes each. No part is `.` or `..`, ends in a dot or a space,
/// or has a name that Windows keeps for a device (`NUL`, `com1.txt`, `COM¹`); no character is
/// `\`, `:`, a control character or an invisible formatting character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(String);

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing, or nothing between two slashes.
    #[error("a part of the path is empty")]
    Empty,
    /// A path that starts at a root.
    #[error("the path is absolute")]
    Absolute,
    /// `.` or `..`.
    #[error("the path has a `.` or `..` part")]
    Dots,
    /// `\`, which is a separator on Windows.
    #[error("the path has a backslash")]
    Backslash,
    /// `:`, which starts a drive or a stream on Windows.
    #[error("the path has a colon")]
    Colon,
    /// A control character, or one that is invisible or changes the direction of text.
    #[error("the path has a control or invisible character")]
    Control,
    /// The name of a device on Windows.
    #[error("a part of the path is a reserved device name")]
    Reserved,
    /// A dot or space that Windows drops.
    #[error("a part of the path ends in a dot or a space")]
    TrailingDotOrSpace,
    /// Bytes that are not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// A part of more than 255 bytes.
    #[error("a part of the path is longer than {MAX_PART} bytes")]
    PartTooLong,
    /// More than 16 parts.
    #[error("the path has more than {MAX_PARTS} parts")]
    TooManyParts,
}

impl RelPath {
    /// Checks a path.
    ///
    /// # Errors
    /// The first rule of [`RelPath`] that the path breaks.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        if path.starts_with('/') {
            return Err(PathError::Absolute);
        }
        for (index, part) in path.split('/').enumerate() {
            if index >= MAX_PARTS {
                return Err(PathError::TooManyParts);
            }
            check_part(part)?;
        }
        Ok(Self(path.to_owned()))
    }

    /// The place of this path below a directory.
    pub fn under(&self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        path.extend(self.parts());
        path
    }

    /// The parts, from the first directory to the file name.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// A key that two paths share when a file system that ignores case, or the way in which
    /// accents are encoded, could take them for one.
    pub fn fold_key(&self) -> String {
        fold(&self.0)
    }

    /// The path without its first part; `None` when it has only one.
    pub fn without_first(&self) -> Option<Self> {
        let (_, rest) = self.0.split_once('/')?;
        Some(Self(rest.to_owned()))
    }
}

/// Decomposes, folds case and composes again. Upper case first, so that `ß`, `ſ` and `ς` meet
/// `ss`, `s` and `σ` as they do under full case folding.
pub(crate) fn fold(text: &str) -> String {
    text.nfd()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfc()
        .collect()
}

fn check_part(part: &str) -> Result<(), PathError> {
    if part.is_empty() {
        return Err(PathError::Empty);
    }
    if part.len() > MAX_PART {
        return Err(PathError::PartTooLong);
    }
    if part == "." || part == ".." {
        return Err(PathError::Dots);
    }
    for character in part.chars() {
        match character {
            '\\' => return Err(PathError::Backslash),
            ':' => return Err(PathError::Colon),
            // Some file systems ignore the invisible ones when they compare names.
            c if is_unsafe(c) => return Err(PathError::Control),
            _ => {}
        }
    }
    if part.ends_with(['.', ' ']) {
        return Err(PathError::TrailingDotOrSpace);
    }
    if is_reserved(part) {
        return Err(PathError::Reserved);
    }
    Ok(())
}

/// The names that Windows keeps for devices, with or without an extension.
fn is_reserved(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end_matches(' ');
    let stem = stem.to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) {
        return true;
    }
    let Some(number) = stem.strip_prefix("COM").or(stem.strip_prefix("LPT")) else {
        return false;
    };
    let mut digits = number.chars();
    matches!(digits.next(), Some('0'..='9' | '¹' | '²' | '³')) && digits.next().is_none()
}

impl FromStr for RelPath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        Self::parse(path)
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for RelPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        Self::parse(&path)
            .map_err(|reason| serde::de::Error::custom(format_args!("{path:?}: {reason}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for path in [
            "a",
            "weights.safetensors",
            "onnx/model.onnx",
            ".hidden",
            "..a",
            "a..b",
            "console.txt",
            "COM10",
            "com",
            "nulls/lpt",
            "日本語/é.bin",
            "a b/c d",
            "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16",
        ] {
            assert_eq!(
                RelPath::parse(path).map(|p| p.to_string()).as_deref(),
                Ok(path)
            );
        }
        assert!(RelPath::parse(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn names_outside_the_root_are_refused() {
        use PathError::*;
        let long = "x".repeat(256);
        for (path, reason) in [
            ("", Empty),
            ("a//b", Empty),
            ("a/", Empty),
            ("/etc/passwd", Absolute),
            ("//server/share", Absolute),
            ("../../x", Dots),
            ("a/../b", Dots),
            (".", Dots),
            ("./a", Dots),
            (r"C:\x", Colon),
            ("C:x", Colon),
            ("a:stream", Colon),
            (r"\\server\share", Backslash),
            (r"a\..\b", Backslash),
            ("a\0b", Control),
            ("a\nb", Control),
            ("a\u{1b}[2Jb", Control),
            ("a\u{85}b", Control),
            ("gpj.\u{202e}exe", Control),
            ("mani\u{200c}fest.json", Control),
            ("CON", Reserved),
            ("nul.txt", Reserved),
            ("a/Aux.tar.gz", Reserved),
            ("COM1", Reserved),
            ("COM¹", Reserved),
            ("lpt9.x", Reserved),
            ("NUL .txt", Reserved),
            ("conin$", Reserved),
            ("a./b", TrailingDotOrSpace),
            ("a ", TrailingDotOrSpace),
            ("...", TrailingDotOrSpace),
            (long.as_str(), PartTooLong),
            ("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", TooManyParts),
        ] {
            assert_eq!(RelPath::parse(path), Err(reason), "{path:?}");
        }
    }

    #[test]
    fn fold_keys_collide_where_file_systems_would() {
        let key = |path: &str| RelPath::parse(path).unwrap().fold_key();
        assert_eq!(key("Readme.MD"), key("README.md"));
        assert_eq!(key("caf\u{e9}"), key("cafe\u{301}"));
        assert_eq!(key("CAFE\u{301}"), key("caf\u{e9}"));
        assert_eq!(key("straße"), key("STRASSE"));
        assert_eq!(key("\u{212a}"), key("k"));
        assert_ne!(key("a"), key("b"));
    }

    #[test]
    fn parts_file_name_and_joined_path() {
        let path: RelPath = "a/b/c.bin".parse().unwrap();
        assert_eq!(path.parts().collect::<Vec<_>>(), ["a", "b", "c.bin"]);
        assert_eq!(path.file_name(), "c.bin");
        assert_eq!(
            path.under(Path::new("r")),
            Path::new("r").join("a").join("b").join("c.bin")
        );
        assert_eq!(path.without_first().unwrap().as_ref(), "b/c.bin");
        assert_eq!(format!("{path:>11}"), "  a/b/c.bin");
    }

    #[test]
    fn json_is_validated_while_deserializing() {
        let path: RelPath = serde_json::from_str(r#""a/b""#).unwrap();
        assert_eq!(serde_json::to_string(&path).unwrap(), r#""a/b""#);
        let error = serde_json::from_str::<RelPath>(r#""../b""#).unwrap_err();
        assert!(error.to_string().contains("`..`"), "{error}");
    }
}
