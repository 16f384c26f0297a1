//! Listing and unpacking.

use std::collections::HashMap;
use std::fs::File;
use std::io::Seek as _;
use std::ops::ControlFlow;
use std::path::Path;

use crate::entry::{Entry, Extracted, Visit};
use crate::error::{Error, ErrorKind};
use crate::format::{Format, detect_in};
use crate::ledger::{Ledger, Limits};
use crate::path::RelPath;
use crate::stream::Stream;
use crate::tar;
use crate::write::Tree;
use crate::zip::Zip;

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
    Opened::open(archive, *limits)
        .and_then(|opened| opened.entries())
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
    Opened::open(archive, options.limits)
        .and_then(|opened| {
            let entries = opened.entries()?;
            let strip = options.strip_root && root(&entries).is_some();
            let place = |path: &RelPath| {
                let target = match strip {
                    true => path.without_first()?,
                    false => path.clone(),
                };
                (options.select)(&target).then_some(target)
            };
            opened.extract(&entries, into, &place)
        })
        .map_err(|kind| Error::new(archive, kind))
}

/// An open archive.
#[derive(Debug)]
pub(crate) struct Opened {
    file: File,
    length: u64,
    format: Format,
    limits: Limits,
}

impl Opened {
    pub(crate) fn open(path: &Path, limits: Limits) -> Result<Self, ErrorKind> {
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
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, ErrorKind> {
        if self.format == Format::Zip {
            return Ok(Zip::open(&self.file, self.length, &self.limits)?.entries());
        }
        self.tar_entries(&mut self.stream()?)
    }

    /// All files, every entry checked. A compressed tar is decompressed to `spool` meanwhile, and
    /// read from there in future.
    pub(crate) fn spooled(self, spool: File) -> Result<(Self, Vec<Entry>), ErrorKind> {
        if matches!(self.format, Format::Zip | Format::Tar) {
            let entries = self.entries()?;
            return Ok((self, entries));
        }
        let mut stream = self.stream()?.spooled(&spool);
        let entries = self.tar_entries(&mut stream)?;
        let length = stream.finish()?;
        let spooled = Self {
            file: spool,
            length,
            format: Format::Tar,
            limits: self.limits,
        };
        Ok((spooled, entries))
    }

    /// Unpacks the files to which `place` gives a path.
    pub(crate) fn extract(
        &self,
        entries: &[Entry],
        into: &Path,
        place: &dyn Fn(&RelPath) -> Option<RelPath>,
    ) -> Result<Vec<Extracted>, ErrorKind> {
        let target = |entry: &Entry| Some((entry.path.clone(), place(&entry.path)?));
        let targets: HashMap<RelPath, RelPath> = entries.iter().filter_map(target).collect();
        if self.format == Format::Zip {
            let mut zip = Zip::open(&self.file, self.length, &self.limits)?;
            return unpack(into, &targets, |visit| {
                zip.walk(&|entry| targets.contains_key(&entry.path), visit)
            });
        }
        unpack(into, &targets, |visit| {
            tar::walk(&mut self.stream()?, &mut Ledger::new(&self.limits), visit)
        })
    }

    fn tar_entries(&self, stream: &mut Stream<'_>) -> Result<Vec<Entry>, ErrorKind> {
        let mut entries = Vec::new();
        tar::walk(stream, &mut Ledger::new(&self.limits), &mut |entry, _| {
            entries.push(entry.clone());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(entries)
    }

    /// The bytes of a tar, from its start.
    fn stream(&self) -> Result<Stream<'_>, ErrorKind> {
        (&self.file).rewind().map_err(ErrorKind::Read)?;
        Stream::new(&self.file, self.length, self.format, &self.limits)
    }
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

/// The one directory that all files lie in, if there is one.
pub(crate) fn root(entries: &[Entry]) -> Option<&str> {
    let mut roots = entries
        .iter()
        .map(|entry| entry.path.as_ref().split_once('/').map(|(root, _)| root));
    let root = roots.next()??;
    roots.all(|other| other == Some(root)).then_some(root)
}
