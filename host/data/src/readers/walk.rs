//! The search for images in a directory and below it.

use std::collections::HashSet;
use std::fmt::Display;
use std::fs;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use modelzoo_base::text::escape_path;

use crate::Error;
use crate::media::Root;

/// What the name of an image ends in, in lower case.
pub(crate) const EXTENSIONS: [&str; 8] =
    ["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// What a walk found.
#[derive(Default)]
pub(crate) struct Found {
    /// Paths relative to the root, in order, with `/` on every system.
    pub(crate) images: Vec<String>,
    /// Directories and names that were left out, and why.
    pub(crate) warnings: Vec<String>,
}

/// Finds images below `root` by their names. Hidden files and directories are
/// left out; a link to a directory is followed only if it leads out of the root
/// and the user allowed that, and then only once.
pub(crate) fn walk(root: &Root, allow_outside: bool) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut seen = HashSet::from([root.real.clone()]);
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let directory = root.real.join(&below);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(source) if below.as_os_str().is_empty() => {
                return Err(Error::io("list", directory)(source));
            }
            Err(source) => {
                found.warnings.push(left_out(&directory, source));
                continue;
            }
        };
        for entry in entries {
            let entry = entry.map_err(Error::io("list", &directory))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = below.join(entry.file_name());
            let kind = entry
                .file_type()
                .map_err(Error::io("look at", entry.path()))?;
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_symlink() && entry.path().is_dir() {
                match linked(root, &entry.path(), allow_outside) {
                    Ok(Some(real)) if seen.insert(real.clone()) => waiting.push(path),
                    Ok(_) => {}
                    Err(warning) => found.warnings.push(warning),
                }
            } else if is_image(&path) {
                match path.to_str() {
                    Some(path) => found.images.push(path.replace(MAIN_SEPARATOR, "/")),
                    None => found
                        .warnings
                        .push(left_out(&path, "its name is not Unicode")),
                }
            }
        }
    }
    found.images.sort_unstable();
    Ok(found)
}

/// Where a link to a directory leads, if it is to be followed.
fn linked(root: &Root, link: &Path, allow_outside: bool) -> Result<Option<PathBuf>, String> {
    let Ok(real) = fs::canonicalize(link) else {
        return Ok(None);
    };
    if real.starts_with(&root.real) || root.real.starts_with(&real) {
        return Ok(None);
    }
    if allow_outside {
        Ok(Some(real))
    } else {
        Err(left_out(link, "a link that leads outside"))
    }
}

fn left_out(path: &Path, reason: impl Display) -> String {
    format!("{}: left out: {reason}", escape_path(path))
}

fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(|end| end.to_str())
        .is_some_and(|end| EXTENSIONS.contains(&end.to_ascii_lowercase().as_str()))
}
