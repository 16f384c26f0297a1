//! What a FiftyOneDataset has besides its documents and media: runs, tags, masks and maps.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use modelzoo_base::file::{UNFINISHED, open_regular};
use tempfile::TempDir;

use crate::error::Error;
use crate::replace;

/// Directories and files that a second dataset gets a copy of. Documents name what is in
/// `fields` by paths that are relative to the dataset.
const COPIED: [&str; 6] = [
    "annotations",
    "brain",
    "evaluations",
    "fields",
    "runs",
    "tags.json",
];
/// The documents of videos' frames, whose media are not found again from elsewhere.
const NOT_COPIED: [&str; 2] = ["frames", "frames.json"];

/// Copies, complete and beside their places.
pub(crate) struct Companions {
    staged: TempDir,
    names: Vec<&'static str>,
}

/// Checks that a second dataset in `directory` can have all that the one in `root` has.
pub(crate) fn check(root: &Path, directory: &Path, overwrite: bool) -> Result<(), Error> {
    for name in NOT_COPIED {
        let path = root.join(name);
        if !files(&path)?.is_empty() {
            return Err(Error::NotShared { path });
        }
    }
    for name in COPIED {
        if !files(&root.join(name))?.is_empty() {
            replace::check(&directory.join(name), overwrite)?;
        }
    }
    Ok(())
}

impl Companions {
    /// Copies what the dataset in `root` has to a directory of its own in `directory`.
    pub(crate) fn stage(root: &Path, directory: &Path) -> Result<Self, Error> {
        let staged = replace::unfinished_directory(directory)?;
        let mut names = Vec::new();
        for name in COPIED {
            let from = root.join(name);
            let files = files(&from)?;
            if !files.is_empty() {
                names.push(name);
            }
            for file in files {
                let below = file.strip_prefix(root).unwrap_or(&file);
                copy(&file, &staged.path().join(below))?;
            }
        }
        Ok(Self { staged, names })
    }

    /// Puts the copies in their places in `directory`; returns those. Where one cannot be put
    /// there, all that was there before is again.
    pub(crate) fn finish(self, directory: &Path, overwrite: bool) -> Result<Vec<PathBuf>, Error> {
        let mut placed = Vec::new();
        for name in self.names {
            let target = directory.join(name);
            if let Err(error) = place(self.staged.path(), name, &target, overwrite) {
                restore(self.staged, &placed);
                return Err(error);
            }
            placed.push((name, target));
        }
        Ok(placed.into_iter().map(|(_, target)| target).collect())
    }
}

/// Puts one copy in its place; what was there before is kept aside, or is there again.
fn place(staged: &Path, name: &str, target: &Path, overwrite: bool) -> Result<(), Error> {
    replace::check(target, overwrite)?;
    if target.exists() {
        fs::rename(target, old(staged, name)).map_err(Error::io("replace", target))?;
    }
    fs::rename(staged.join(name), target).map_err(|error| {
        put_back(staged, name, target);
        Error::io("write", target)(error)
    })
}

/// Brings back what the copies in `placed` have replaced.
fn restore(staged: TempDir, placed: &[(&str, PathBuf)]) {
    for (name, target) in placed.iter().rev() {
        if fs::rename(target, staged.path().join(name)).is_ok() {
            put_back(staged.path(), name, target);
        }
    }
    if COPIED.iter().any(|name| old(staged.path(), name).exists()) {
        // What could not be brought back stays beside its place, where nothing removes it.
        let kept = staged.keep();
        let name = kept.file_name().unwrap_or_default().to_string_lossy();
        let name = name.replace(UNFINISHED, "modelzoo-replaced-");
        let _ = fs::rename(&kept, kept.with_file_name(name));
    }
}

fn put_back(staged: &Path, name: &str, target: &Path) {
    let old = old(staged, name);
    if old.exists() {
        // If that fails, it is still where it is.
        let _ = fs::rename(old, target);
    }
}

/// Where what a copy replaces is kept until all are in their places.
fn old(staged: &Path, name: &str) -> PathBuf {
    staged.join(format!("old-{name}"))
}

/// The file at `path`, or the files of the directory there and of those in it. Links lead
/// elsewhere, so they are refused.
fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let kind = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("look at", path)(error)),
        };
        if kind.is_file() {
            found.push(path);
        } else if kind.is_dir() {
            for entry in fs::read_dir(&path).map_err(Error::io("list", &path))? {
                waiting.push(entry.map_err(Error::io("list", &path))?.path());
            }
        } else {
            return Err(Error::NotShared { path });
        }
    }
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |action| Error::io(action, to);
    let mut source = open_regular(from).map_err(Error::io("open", from))?;
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    }
    let mut target = File::create_new(to).map_err(failed("create"))?;
    io::copy(&mut source, &mut target).map_err(failed("write"))?;
    target.sync_all().map_err(failed("write"))
}
