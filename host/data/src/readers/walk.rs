//! The search for images in a directory and below it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::fs;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use modelzoo_base::text::{escape, escape_path};

use crate::error::Error;
use crate::media::Root;
use crate::readers::image_kind::{has_image_name, holds_image};

/// Extensions that are named when files are left out.
const MAX_KINDS: usize = 8;
/// Files that a FiftyOneDataset has beside its images.
const LISTS: [&str; 2] = ["metadata.json", "samples.json"];

/// What a walk found.
#[derive(Default)]
pub(crate) struct Found {
    /// Paths relative to the root, in order, with `/` on every system.
    pub(crate) images: Vec<String>,
    /// What was left out, and why.
    pub(crate) warnings: Vec<String>,
    /// How many files are not images, by what their names end in.
    others: BTreeMap<String, usize>,
    /// How many files could not be looked at.
    unread: usize,
}

/// Finds images below `root` by their names and by how they begin. Hidden files and directories
/// are left out; a link to a directory is followed only if it leads out of the root
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
            } else {
                found.file(root, path, allow_outside);
            }
        }
    }
    found.images.sort_unstable();
    found.warn_of_others();
    Ok(found)
}

impl Found {
    /// Sorts in what is not a directory.
    fn file(&mut self, root: &Root, path: PathBuf, allow_outside: bool) {
        if LISTS.iter().any(|name| path == Path::new(name)) {
            return;
        }
        if !has_image_name(&path) {
            let real = root.vet(&path.to_string_lossy(), allow_outside);
            match real.ok().map(|real| holds_image(&real)) {
                Some(Ok(true)) => {}
                Some(Ok(false)) => {
                    let end = path.extension().unwrap_or_default().to_string_lossy();
                    *self.others.entry(end.into_owned()).or_default() += 1;
                    return;
                }
                Some(Err(_)) | None => {
                    self.unread += 1;
                    return;
                }
            }
        }
        match path.to_str() {
            Some(path) => self.images.push(path.replace(MAIN_SEPARATOR, "/")),
            None => self
                .warnings
                .push(left_out(&path, "its name is not Unicode")),
        }
    }

    /// Says in a line each which files are not among the images.
    fn warn_of_others(&mut self) {
        let files = |count: usize| match count {
            1 => "left out 1 file".to_owned(),
            count => format!("left out {count} files"),
        };
        if !self.others.is_empty() {
            let count = self.others.values().sum();
            let mut kinds: Vec<_> = self.others.iter().collect();
            kinds.sort_by_key(|(_, count)| Reverse(**count));
            let more = kinds.len().saturating_sub(MAX_KINDS);
            let mut names: Vec<String> = kinds
                .into_iter()
                .take(MAX_KINDS)
                .map(|(end, count)| match end.as_str() {
                    "" => format!("{count} without an extension"),
                    end => format!("{count} .{}", escape(end)),
                })
                .collect();
            if more > 0 {
                names.push(format!("{more} other extensions"));
            }
            let names = names.join(", ");
            self.warnings
                .push(format!("{} without an image: {names}", files(count)));
        }
        if self.unread > 0 {
            let files = files(self.unread);
            self.warnings
                .push(format!("{files}: unreadable, or links that lead outside"));
        }
    }
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
