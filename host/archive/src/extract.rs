//! Listing and unpacking.

use std::collections::HashMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::format::{Format, detect_in};
use crate::ledger::{Ledger, Limits};
use crate::path::RelPath;
use crate::stream::Stream;
use crate::tar::{self, Visit};
use crate::write::Tree;
use crate::zip::Zip;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the archive.
    pub path: RelPath,
    /// Its unpacked size in bytes.
    pub size: u64,
}

/// A file that has been unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// Its place below the directory that was unpacked into.
    pub path: RelPath,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 digest of its bytes.
    pub sha256: [u8; 32],
}

/// How to unpack.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What the archive may unpack to, the files that are left out included.
    pub limits: Limits,
    /// Leaves out the one directory that every file of the archive lies in, if there is one.
    pub strip_root: bool,
    /// The files to unpack, by their names after [`strip_root`](Self::strip_root).
    pub select: &'a dyn Fn(&RelPath) -> bool,
}

impl Default for Options<'_> {
    /// Everything, as it lies in the archive, within the default limits.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            strip_root: false,
            select: &|_| true,
        }
    }
}

/// Lists the files of an archive, in its order. Every entry is checked as [`extract`] checks it;
/// of a zip, the files' contents are not read.
///
/// # Errors
/// The first thing that is wrong with the archive, or that it passes the limits.
pub fn list(archive: &Path, limits: &Limits) -> Result<Vec<Entry>, Error> {
    Archive::open(archive, limits)
        .and_then(|mut opened| opened.entries())
        .map_err(|kind| Error::new(archive, kind))
}

/// Unpacks the files of an archive into an existing directory, with the directories that they
/// need; answers with the files in the archive's order.
///
/// Nothing is written before every entry has been checked. A file that is there already is an
/// error, and so is a link or a file in the place of a directory. After an error, what this call
/// has made is removed. Files are not synced to the disk.
///
/// # Errors
/// The first thing that is wrong with the archive, that it passes the limits, or that a file
/// cannot be written.
pub fn extract(
    archive: &Path,
    into: &Path,
    options: &Options<'_>,
) -> Result<Vec<Extracted>, Error> {
    Archive::open(archive, &options.limits)
        .and_then(|mut opened| opened.extract(into, options))
        .map_err(|kind| Error::new(archive, kind))
}

/// An open archive.
struct Archive<'a> {
    file: File,
    length: u64,
    format: Format,
    limits: &'a Limits,
}

impl<'a> Archive<'a> {
    fn open(path: &Path, limits: &'a Limits) -> Result<Self, ErrorKind> {
        let mut file = File::open(path).map_err(ErrorKind::Read)?;
        let length = file.metadata().map_err(ErrorKind::Read)?.len();
        let format = detect_in(&mut file)?;
        Ok(Self {
            file,
            length,
            format,
            limits,
        })
    }

    /// All files, every entry checked.
    fn entries(&mut self) -> Result<Vec<Entry>, ErrorKind> {
        if self.format == Format::Zip {
            return Ok(Zip::open(&self.file, self.length, self.limits)?.entries());
        }
        let mut entries = Vec::new();
        self.walk_tar(&mut |entry, _| {
            entries.push(entry.clone());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(entries)
    }

    fn extract(&mut self, into: &Path, options: &Options<'_>) -> Result<Vec<Extracted>, ErrorKind> {
        if self.format == Format::Zip {
            let mut zip = Zip::open(&self.file, self.length, self.limits)?;
            let targets = targets(zip.entries(), options);
            return unpack(into, &targets, |visit| {
                zip.walk(&|entry| targets.contains_key(&entry.path), visit)
            });
        }
        let targets = targets(self.entries()?, options);
        unpack(into, &targets, |visit| self.walk_tar(visit))
    }

    fn walk_tar(&mut self, visit: &mut Visit<'_>) -> Result<(), ErrorKind> {
        std::io::Seek::rewind(&mut self.file).map_err(ErrorKind::Read)?;
        let mut stream = Stream::new(&self.file, self.length, self.format, self.limits)?;
        tar::walk(&mut stream, &mut Ledger::new(self.limits), visit)
    }
}

/// Where each selected file goes.
fn targets(entries: Vec<Entry>, options: &Options<'_>) -> HashMap<RelPath, RelPath> {
    let strip = options.strip_root && has_root(&entries);
    entries
        .into_iter()
        .filter_map(|entry| {
            let target = if strip {
                entry.path.without_first()?
            } else {
                entry.path.clone()
            };
            (options.select)(&target).then_some((entry.path, target))
        })
        .collect()
}

/// Writes the files that have a target, as a walk visits them.
fn unpack(
    into: &Path,
    targets: &HashMap<RelPath, RelPath>,
    walk: impl FnOnce(&mut Visit<'_>) -> Result<(), ErrorKind>,
) -> Result<Vec<Extracted>, ErrorKind> {
    let mut tree = Tree::open(into)?;
    let mut done = Vec::with_capacity(targets.len());
    if !targets.is_empty() {
        walk(&mut |entry, body| {
            if let Some(target) = targets.get(&entry.path) {
                done.push(tree.write(target, body)?);
            }
            Ok(if done.len() == targets.len() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
    }
    if done.len() != targets.len() {
        return Err(ErrorKind::malformed("it changed while it was read"));
    }
    tree.keep();
    Ok(done)
}

/// Whether all files lie in one directory.
fn has_root(entries: &[Entry]) -> bool {
    let mut roots = entries
        .iter()
        .map(|entry| entry.path.as_ref().split_once('/').map(|(root, _)| root));
    match roots.next() {
        Some(Some(root)) => roots.all(|other| other == Some(root)),
        _ => false,
    }
}
