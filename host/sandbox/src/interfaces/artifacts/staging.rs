//! The files of the model that is being downloaded.
//!
//! All of them lie below one directory that belongs to the host alone, under checked names, in
//! files and directories that were made here. A file is written beside its place and renamed
//! into it when it is whole, which replaces a link instead of following it; each directory on
//! the way is looked at first. The table knows each file's size and digest.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use modelzoo_archive::RelPath;
use modelzoo_base::digest;
use modelzoo_base::file::{self, Access, open_nofollow};
use sha2::{Digest, Sha256};

use crate::files;
use crate::interfaces::refusal::Refusal;
use crate::limits::Limits;
use crate::limits::stop::Limit;
use crate::session::Artifact;

/// What the names of the host's own temporary files start with. No artifact may.
const TEMPORARY: &str = ".modelzoo-";

type Result<T> = std::result::Result<T, Refusal>;

/// The directory that a model's files are put in, and the table of them.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    dir: PathBuf,
    source_dir: PathBuf,
    files: BTreeMap<RelPath, Entry>,
    /// Each name by the key that it shares with the names that some file system takes for it.
    keys: BTreeMap<String, RelPath>,
    bytes: u64,
    max_bytes: u64,
    max_files: u64,
}

#[derive(Debug)]
struct Entry {
    size: u64,
    sha256: [u8; 32],
    /// The digest's inner state, where it is at hand for adding to the file.
    hasher: Option<Sha256>,
}

impl Staging {
    /// Takes over `dir`, which must be empty. `source_dir` is where files can be copied from.
    pub(crate) fn new(dir: &Path, source_dir: &Path, limits: &Limits) -> io::Result<Self> {
        if fs::read_dir(dir)?.next().is_some() {
            return Err(io::Error::other("the staging directory is not empty"));
        }
        Ok(Self {
            dir: dir.to_owned(),
            source_dir: source_dir.to_owned(),
            max_bytes: limits.staging_bytes,
            max_files: limits.staging_files,
            ..Self::default()
        })
    }

    /// How many more bytes may be written, if a file that has the name goes.
    pub(crate) fn room(&self, replacing: &RelPath) -> u64 {
        let replaced = self.files.get(replacing).map_or(0, |f| f.size);
        self.max_bytes.saturating_sub(self.bytes - replaced)
    }

    /// How many more bytes may be written beside everything that is there.
    pub(crate) fn free(&self) -> u64 {
        self.max_bytes.saturating_sub(self.bytes)
    }

    /// Whether so many more files may be made.
    pub(crate) fn check_count(&self, new: u64) -> Result<()> {
        if (self.files.len() as u64).saturating_add(new) > self.max_files {
            return Err(Refusal::limit(Limit::StagingFiles, self.max_files));
        }
        Ok(())
    }

    /// The limit of bytes.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// One file, if it is there.
    pub(crate) fn get(&self, name: &RelPath) -> Option<Artifact> {
        Some(artifact(name, self.files.get(name)?))
    }

    /// All files, in the order of their names.
    pub(crate) fn list(&self) -> Vec<Artifact> {
        self.files.iter().map(|(n, f)| artifact(n, f)).collect()
    }

    /// Where the file with this name lies.
    pub(crate) fn path(&self, name: &RelPath) -> PathBuf {
        name.under(&self.dir)
    }

    /// A file of the host's own that is removed when it is dropped.
    pub(crate) fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        file::temporary(&self.dir, TEMPORARY, Access::Shared)
    }

    /// A directory of the host's own that is removed when it is dropped.
    pub(crate) fn temporary_dir(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempdir_in(&self.dir)
    }

    /// Whether a file of `size` bytes may get this name.
    pub(crate) fn check(&self, name: &RelPath, size: u64) -> Result<()> {
        self.check_name(name)?;
        if size > self.room(name) {
            return Err(Refusal::limit(Limit::StagingBytes, self.max_bytes));
        }
        self.check_count(u64::from(!self.files.contains_key(name)))
    }

    /// Whether the name can be told from all others on every file system, and is neither a
    /// directory nor below a file.
    fn check_name(&self, name: &RelPath) -> Result<()> {
        if name.as_ref().starts_with(TEMPORARY) {
            return Err(Refusal::invalid(format_args!(
                "`{name}`: names that start with `{TEMPORARY}` are the host's"
            )));
        }
        let key = name.fold_key();
        if let Some(other) = self.keys.get(&key)
            && other != name
        {
            return Err(collision(name, other));
        }
        if let Some(other) = self.below(&key) {
            return Err(Refusal::invalid(format_args!(
                "`{name}` is a directory: `{other}` lies in it"
            )));
        }
        // Each directory on the way: no file has its name, and what lies in it spells it so.
        for (slash, _) in name.as_ref().match_indices('/') {
            let (directory, _) = name.as_ref().split_at(slash);
            let Ok(directory) = RelPath::parse(directory) else {
                continue;
            };
            let key = directory.fold_key();
            if let Some(other) = self.keys.get(&key) {
                return Err(Refusal::invalid(format_args!(
                    "`{name}` cannot be made: `{other}` is a file"
                )));
            }
            if let Some(other) = self.below(&key)
                && !is_below(other, &directory)
            {
                return Err(collision(name, other));
            }
        }
        Ok(())
    }

    /// A file in the directory with this key.
    fn below(&self, key: &str) -> Option<&RelPath> {
        let start = format!("{key}/");
        let (found, name) = self.keys.range(start.clone()..).next()?;
        found.starts_with(&start).then_some(name)
    }

    /// Makes a small file, or replaces one.
    pub(crate) fn write(&mut self, name: &RelPath, contents: &[u8]) -> Result<Artifact> {
        self.check(name, contents.len() as u64)?;
        let hasher = Sha256::new_with_prefix(contents);
        let file = self
            .temporary()
            .and_then(|mut file| file.write_all(contents).map(|()| file))
            .map_err(|e| Refusal::io(format_args!("cannot write `{name}`"), &e))?;
        self.place(file.into_temp_path(), name)?;
        Ok(self.enter(name, contents.len() as u64, hasher))
    }

    /// Adds to the end of a file, or makes it.
    pub(crate) fn append(&mut self, name: &RelPath, contents: &[u8]) -> Result<Artifact> {
        let Some(entry) = self.files.get(name) else {
            return self.write(name, contents);
        };
        let before = entry.size;
        let size = before.saturating_add(contents.len() as u64);
        self.check(name, size)?;
        let failed = |e: io::Error| Refusal::io(format_args!("cannot add to `{name}`"), &e);
        let mut hasher = match &entry.hasher {
            Some(hasher) => hasher.clone(),
            None => files::hash(&self.dir, name).map_err(failed)?,
        };
        let mut file =
            open_nofollow(&self.path(name), OpenOptions::new().append(true)).map_err(failed)?;
        if let Err(e) = file.write_all(contents) {
            // As if nothing had been written; if that fails too, the check at the end tells.
            let _ = file.set_len(before);
            return Err(failed(e));
        }
        hasher.update(contents);
        Ok(self.enter(name, size, hasher))
    }

    /// Copies a file of the source.
    pub(crate) fn copy_from_source(&mut self, path: &RelPath, name: &RelPath) -> Result<Artifact> {
        self.check(name, 0)?;
        let from = files::open_below(&self.source_dir, path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                Refusal::not_found(format_args!("the source has no file `{path}`"))
            }
            _ => Refusal::io(format_args!("cannot read the source's `{path}`"), &e),
        })?;
        let failed = |e: io::Error| Refusal::io(format_args!("cannot copy `{path}`"), &e);
        let room = self.room(name);
        let mut to = self.temporary().map_err(failed)?;
        // One byte more than there is room for tells a file that is too large.
        let mut from = from.take(room.saturating_add(1));
        let (size, hasher) = digest::copy(&mut from, &mut to).map_err(failed)?;
        self.check(name, size)?;
        self.place(to.into_temp_path(), name)?;
        Ok(self.enter(name, size, hasher))
    }

    /// Puts a finished file of the host's in place.
    pub(crate) fn adopt(
        &mut self,
        file: tempfile::TempPath,
        name: &RelPath,
        size: u64,
        sha256: [u8; 32],
    ) -> Result<Artifact> {
        self.check(name, size)?;
        self.place(file, name)?;
        self.forget(name);
        Ok(self.insert(
            name,
            Entry {
                size,
                sha256,
                hasher: None,
            },
        ))
    }

    /// Gives a file another name.
    pub(crate) fn rename(&mut self, name: &RelPath, to: &RelPath) -> Result<Artifact> {
        let failed = |e: io::Error| Refusal::io(format_args!("cannot rename `{name}`"), &e);
        let entry = self.forget(name).ok_or_else(|| missing(name))?;
        if let Err(refusal) = self.check(to, entry.size) {
            self.insert(name, entry);
            return Err(refusal);
        }
        // Out of the way first: `a` may become `a/b`, or the other way round.
        let from = self.path(name);
        let aside = match self
            .temporary()
            .and_then(|aside| fs::rename(&from, aside.path()).map(|()| aside))
        {
            Ok(aside) => aside.into_temp_path(),
            Err(e) => {
                self.insert(name, entry);
                return Err(failed(e));
            }
        };
        self.prune(name);
        self.place(aside, to)?;
        self.forget(to);
        Ok(self.insert(to, entry))
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, name: &RelPath) -> Result<()> {
        if !self.files.contains_key(name) {
            return Err(missing(name));
        }
        fs::remove_file(self.path(name))
            .map_err(|e| Refusal::io(format_args!("cannot remove `{name}`"), &e))?;
        self.forget(name);
        self.prune(name);
        Ok(())
    }

    /// Whether what lies on the disk is what the table says, and there is something at
    /// `model_path` (as the guest has it); else what is different.
    pub(crate) fn verify(&self, model_path: &str) -> io::Result<std::result::Result<(), String>> {
        let base = model_path.strip_prefix("/model/").unwrap_or(model_path);
        let is_base = |name: &RelPath| {
            let rest = name.as_ref().strip_prefix(base);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !self.files.keys().any(is_base) {
            return Ok(Err(format!("it left nothing at `{base}`")));
        }
        let mut found = 0;
        let mut directories = vec![(self.dir.clone(), String::new())];
        while let Some((directory, prefix)) = directories.pop() {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                // Of the entry itself, not of what a link points to.
                let metadata = entry.metadata()?;
                if metadata.is_dir() {
                    directories.push((entry.path(), format!("{name}/")));
                    continue;
                }
                let known = RelPath::parse(&name)
                    .ok()
                    .and_then(|name| self.files.get(&name));
                match known {
                    Some(file) if metadata.is_file() && metadata.len() == file.size => found += 1,
                    Some(_) => return Ok(Err(format!("`{name}` was changed"))),
                    None => return Ok(Err(format!("`{name}` was not written by the hook"))),
                }
            }
        }
        Ok(if found == self.files.len() {
            Ok(())
        } else {
            Err("an artifact is gone".to_owned())
        })
    }

    /// Moves a finished file to its place, making the directories that it needs.
    fn place(&self, file: tempfile::TempPath, name: &RelPath) -> Result<()> {
        let failed = |e: io::Error| Refusal::io(format_args!("cannot make `{name}`"), &e);
        let mut directory = self.dir.clone();
        let mut parts: Vec<&str> = name.parts().collect();
        parts.pop();
        for part in parts {
            directory.push(part);
            files::make_dir(&directory).map_err(failed)?;
        }
        file.persist(self.path(name)).map_err(|e| failed(e.error))
    }

    /// Removes the directories that the file was alone in.
    fn prune(&self, name: &RelPath) {
        let mut path = self.path(name);
        while path.pop() && path != self.dir {
            // Fails when something is left in it, which is when to stop.
            if fs::remove_dir(&path).is_err() {
                break;
            }
        }
    }

    /// Enters a file that was written here.
    fn enter(&mut self, name: &RelPath, size: u64, hasher: Sha256) -> Artifact {
        self.forget(name);
        self.insert(
            name,
            Entry {
                size,
                sha256: hasher.clone().finalize().into(),
                hasher: Some(hasher),
            },
        )
    }

    fn insert(&mut self, name: &RelPath, entry: Entry) -> Artifact {
        let artifact = artifact(name, &entry);
        self.bytes = self.bytes.saturating_add(entry.size);
        self.keys.insert(name.fold_key(), name.clone());
        self.files.insert(name.clone(), entry);
        artifact
    }

    fn forget(&mut self, name: &RelPath) -> Option<Entry> {
        let entry = self.files.remove(name)?;
        self.keys.remove(&name.fold_key());
        self.bytes = self.bytes.saturating_sub(entry.size);
        Some(entry)
    }
}

fn artifact(name: &RelPath, entry: &Entry) -> Artifact {
    Artifact {
        name: name.clone(),
        size: entry.size,
        sha256: hex::encode(entry.sha256),
    }
}

fn missing(name: &RelPath) -> Refusal {
    Refusal::not_found(format_args!("there is no artifact `{name}`"))
}

fn collision(name: &RelPath, other: &RelPath) -> Refusal {
    Refusal::invalid(format_args!(
        "`{name}` and `{other}` are one name on some file systems"
    ))
}

fn is_below(name: &RelPath, directory: &RelPath) -> bool {
    name.as_ref()
        .strip_prefix(directory.as_ref())
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
