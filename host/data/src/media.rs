//! Which file a sample's `filepath` means, and whether it may be read.
//!
//! A dataset is untrusted input: its paths may point anywhere. A path is
//! first judged by its text, so that nothing outside the dataset is so much as
//! looked up, then by where it leads once links are followed. Only regular files
//! are opened, and never in a way that could wait for a pipe.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, MAIN_SEPARATOR, Path, PathBuf};

use modelzoo_base::file::open_regular;

use crate::error::{Error, MediaError};

/// The directory that paths are relative to.
pub(crate) struct Root {
    /// Without links.
    pub(crate) real: PathBuf,
    /// As the user gave it, made absolute; stored paths may be spelled that way.
    pub(crate) given: PathBuf,
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            real: fs::canonicalize(path)?,
            given: std::path::absolute(path)?,
        })
    }

    /// The absolute path of the file that `stored` means, without links.
    pub(crate) fn vet(&self, stored: &str, allow_outside: bool) -> Result<PathBuf, MediaError> {
        let filepath = || stored.to_owned();
        if stored.is_empty() || stored.contains('\0') {
            return Err(MediaError::NoFilepath {
                reason: "it is empty or has a NUL in it".to_owned(),
            });
        }
        if is_url(stored) {
            return Err(MediaError::Remote {
                filepath: filepath(),
            });
        }
        let path = self.spelled(stored, allow_outside);
        let outside = || MediaError::Outside {
            filepath: filepath(),
        };
        if !allow_outside && !self.spells_inside(&path) {
            return Err(outside());
        }
        let failed = |source| MediaError::Io {
            filepath: filepath(),
            source,
        };
        let real = fs::canonicalize(self.real.join(&path)).map_err(failed)?;
        if !allow_outside && !real.starts_with(&self.real) {
            return Err(outside());
        }
        let kind = fs::symlink_metadata(&real).map_err(failed)?.file_type();
        if !kind.is_file() {
            return Err(MediaError::NotAFile {
                filepath: filepath(),
                kind: kind_name(kind),
            });
        }
        Ok(real)
    }

    /// Checks that a file of the dataset's own is in the directory, also once links are followed.
    pub(crate) fn check(&self, file: &Path, allow_outside: bool) -> Result<(), Error> {
        let real = fs::canonicalize(file).map_err(Error::io("open", file))?;
        if allow_outside || real.starts_with(&self.real) {
            return Ok(());
        }
        Err(Error::ListOutside {
            path: file.to_owned(),
        })
    }

    /// Whether `stored` is a path inside, and nothing is there.
    pub(crate) fn lacks(&self, stored: &str) -> bool {
        let path = Path::new(stored);
        !is_url(stored)
            && self.spells_inside(path)
            && fs::symlink_metadata(self.real.join(path))
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// The path that `stored` spells. A dataset from Windows has backslashes, which are ordinary
    /// characters elsewhere: they separate unless a file has them in its name.
    pub(crate) fn spelled<'a>(&self, stored: &'a str, allow_outside: bool) -> Cow<'a, Path> {
        let literal = Path::new(stored);
        if MAIN_SEPARATOR == '\\' || !stored.contains('\\') || is_on_a_drive(stored) {
            return Cow::Borrowed(literal);
        }
        let may_look = allow_outside || self.spells_inside(literal);
        if may_look && fs::symlink_metadata(self.real.join(literal)).is_ok() {
            return Cow::Borrowed(literal);
        }
        Cow::Owned(stored.replace('\\', "/").into())
    }

    /// Whether the text of `path` stays inside, before any link is followed.
    fn spells_inside(&self, path: &Path) -> bool {
        let absolute =
            path.has_root() || matches!(path.components().next(), Some(Component::Prefix(_)));
        if absolute {
            let plain = normalize(path);
            return plain.starts_with(&self.real) || plain.starts_with(&self.given);
        }
        let mut depth = 0_usize;
        for component in path.components() {
            match component {
                Component::ParentDir => match depth.checked_sub(1) {
                    Some(up) => depth = up,
                    None => return false,
                },
                Component::Normal(_) => depth += 1,
                _ => {}
            }
        }
        true
    }
}

/// `path` with `.` and `..` taken out by their text.
pub(crate) fn normalize(path: &Path) -> PathBuf {
    path.components()
        .fold(PathBuf::new(), |mut plain, component| {
            match component {
                Component::ParentDir => {
                    plain.pop();
                }
                Component::CurDir => {}
                component => plain.push(component),
            }
            plain
        })
}

/// A scheme of two letters or more (so not a drive), then `://`.
pub(crate) fn is_url(stored: &str) -> bool {
    stored.split_once("://").is_some_and(|(scheme, _)| {
        scheme.len() > 1
            && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|rest| rest.is_ascii_alphanumeric() || matches!(rest, '+' | '-' | '.'))
    })
}

/// An absolute path of Windows, which names nothing on other systems.
pub(crate) fn is_on_a_drive(stored: &str) -> bool {
    matches!(stored.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}

fn kind_name(kind: fs::FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() {
        "a directory"
    } else {
        "something"
    }
}

/// The contents of a vetted file.
pub(crate) fn read(path: &Path, stored: &str, limit: u64) -> Result<Vec<u8>, MediaError> {
    let failed = |source| MediaError::Io {
        filepath: stored.to_owned(),
        source,
    };
    let file = open_regular(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(MediaError::TooLarge {
            filepath: stored.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        for url in [
            "http://a/b",
            "s3://bucket/x.png",
            "file:///etc/passwd",
            "git+ssh://a",
        ] {
            assert!(is_url(url), "{url}");
        }
        for path in ["a.png", "C://a", "a b://c", "://x", "1s://x", "dir/a://b"] {
            assert!(!is_url(path), "{path}");
        }
    }

    #[test]
    fn paths_are_judged_by_their_text_first() {
        let root = Root {
            real: PathBuf::from("/real/set"),
            given: PathBuf::from("/given/set"),
        };
        for inside in [
            "a",
            "a/../b",
            "./a",
            "a/b/../../c",
            "/real/set/a",
            "/given/set/x/../a",
        ] {
            assert!(root.spells_inside(Path::new(inside)), "{inside}");
        }
        for outside in [
            "..",
            "../a",
            "a/../../set/b",
            "/etc/passwd",
            "/real/set/../x",
            "/real/set2/a",
        ] {
            assert!(!root.spells_inside(Path::new(outside)), "{outside}");
        }
    }
}
