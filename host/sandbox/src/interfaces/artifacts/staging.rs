//! The files of the model that is being downloaded.
//!
//! All of them are below one directory that belongs to the host alone, under checked names, in
//! files and directories that this module creates. It writes a file beside its place and renames
//! it when it is complete, which replaces a link instead of following it; it checks each directory
//! on the way first. A table has each file's size and digest.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use modelzoo_archive::RelPath;
use modelzoo_base::digest;
use modelzoo_base::file::{self, Access, open_nofollow};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files;
use crate::interfaces::types::Refusal;
use crate::limits::Limits;
use crate::limits::stop::Limit;

/// The prefix of the host's own temporary files. No artifact may have it.
const TEMPORARY: &str = ".modelzoo-";

type Result<T> = std::result::Result<T, Refusal>;

/// A file that `download-model` left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its path relative to the model's directory.
    pub name: RelPath,
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 digest of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// The directory of a model's files, and the table of them.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    dir: PathBuf,
    source_dir: PathBuf,
    files: BTreeMap<RelPath, Entry>,
    /// Each name by its key; names that are the same on some file system have the same key.
    keys: BTreeMap<String, RelPath>,
    bytes: u64,
    max_bytes: u64,
    max_files: u64,
}

#[derive(Debug)]
struct Entry {
    size: u64,
    sha256: [u8; 32],
    /// The hasher's state, if the file was hashed here: appending continues it.
    hasher: Option<Sha256>,
}

impl Staging {
    /// Uses `dir`, which must be empty. Files can be copied from `source_dir`.
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

    /// The bytes that are left for a file that replaces the one with this name.
    pub(crate) fn room(&self, replacing: &RelPath) -> u64 {
        let replaced = self.files.get(replacing).map_or(0, |f| f.size);
        self.max_bytes.saturating_sub(self.bytes - replaced)
    }

    /// The bytes that are left for further files.
    pub(crate) fn free(&self) -> u64 {
        self.max_bytes.saturating_sub(self.bytes)
    }

    /// Checks that `new` more files are allowed.
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

    /// The file with this name, if there is one.
    pub(crate) fn get(&self, name: &RelPath) -> Option<Artifact> {
        Some(artifact(name, self.files.get(name)?))
    }

    /// All files, in the order of their names.
    pub(crate) fn list(&self) -> Vec<Artifact> {
        self.files.iter().map(|(n, f)| artifact(n, f)).collect()
    }

    /// The path of the file with this name.
    pub(crate) fn path(&self, name: &RelPath) -> PathBuf {
        name.under(&self.dir)
    }

    /// Creates a temporary file of the host, which is removed when it is dropped.
    pub(crate) fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        file::temporary(&self.dir, TEMPORARY, Access::Shared)
    }

    /// Creates a temporary directory of the host, which is removed when it is dropped.
    pub(crate) fn temporary_dir(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempdir_in(&self.dir)
    }

    /// Checks that a file of `size` bytes may have this name.
    pub(crate) fn check(&self, name: &RelPath, size: u64) -> Result<()> {
        self.check_name(name)?;
        if size > self.room(name) {
            return Err(Refusal::limit(Limit::StagingBytes, self.max_bytes));
        }
        self.check_count(u64::from(!self.files.contains_key(name)))
    }

    /// Checks that the name differs from all others on every file system, and is neither a
    /// directory nor below a file.
    fn check_name(&self, name: &RelPath) -> Result<()> {
        if name.as_ref().starts_with(TEMPORARY) {
            return Err(Refusal::invalid(format_args!(
                "`{name}`: names that start with `{TEMPORARY}` are reserved for the host"
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
                "`{name}` is a directory: it contains `{other}`"
            )));
        }
        // Each directory on the way: no file has its name, and its files spell it the same way.
        for (slash, _) in name.as_ref().match_indices('/') {
            let (directory, _) = name.as_ref().split_at(slash);
            let Ok(directory) = RelPath::parse(directory) else {
                continue;
            };
            let key = directory.fold_key();
            if let Some(other) = self.keys.get(&key) {
                return Err(Refusal::invalid(format_args!(
                    "`{name}` cannot be created: `{other}` is a file"
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

    /// Writes a small file, replacing one of the same name.
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

    /// Appends to a file, or creates it.
    pub(crate) fn append(&mut self, name: &RelPath, contents: &[u8]) -> Result<Artifact> {
        let Some(entry) = self.files.get(name) else {
            return self.write(name, contents);
        };
        let before = entry.size;
        let size = before.saturating_add(contents.len() as u64);
        self.check(name, size)?;
        let failed = |e: io::Error| Refusal::io(format_args!("cannot append to `{name}`"), &e);
        let mut hasher = match &entry.hasher {
            Some(hasher) => hasher.clone(),
            None => files::hash(&self.dir, name).map_err(failed)?,
        };
        let mut file =
            open_nofollow(&self.path(name), OpenOptions::new().append(true)).map_err(failed)?;
        if let Err(e) = file.write_all(contents) {
            // As if nothing had been written; if that fails too, `verify` reports it.
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
        // One byte more than there is room for reveals a file that is too large.
        let mut from = from.take(room.saturating_add(1));
        let (size, hasher) = digest::copy(&mut from, &mut to).map_err(failed)?;
        self.check(name, size)?;
        self.place(to.into_temp_path(), name)?;
        Ok(self.enter(name, size, hasher))
    }

    /// Moves a complete file of the host to its place.
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

    /// Renames a file.
    pub(crate) fn rename(&mut self, name: &RelPath, to: &RelPath) -> Result<Artifact> {
        let failed = |e: io::Error| Refusal::io(format_args!("cannot rename `{name}`"), &e);
        let entry = self.forget(name).ok_or_else(|| missing(name))?;
        if let Err(refusal) = self.check(to, entry.size) {
            self.insert(name, entry);
            return Err(refusal);
        }
        // To a temporary name first: `a` may become `a/b`, or the other way round.
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

    /// Checks that the directory matches the table and that there is a file at `model_path` (the
    /// guest's path) or below it; the inner error is the difference.
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
                // Of the entry itself, not of a link's target.
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
            Err("an artifact is missing".to_owned())
        })
    }

    /// Moves a complete file to its place, creating the directories that it needs.
    fn place(&self, file: tempfile::TempPath, name: &RelPath) -> Result<()> {
        let failed = |e: io::Error| Refusal::io(format_args!("cannot create `{name}`"), &e);
        let mut directory = self.dir.clone();
        let mut parts: Vec<&str> = name.parts().collect();
        parts.pop();
        for part in parts {
            directory.push(part);
            files::make_dir(&directory).map_err(failed)?;
        }
        file.persist(self.path(name)).map_err(|e| failed(e.error))
    }

    /// Removes the directories that are empty without the file.
    fn prune(&self, name: &RelPath) {
        let mut path = self.path(name);
        while path.pop() && path != self.dir {
            // Fails for a directory that is not empty, which is where to stop.
            if fs::remove_dir(&path).is_err() {
                break;
            }
        }
    }

    /// Enters a file that was hashed here.
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
        "`{name}` and `{other}` are the same name on some file systems"
    ))
}

fn is_below(name: &RelPath, directory: &RelPath) -> bool {
    name.as_ref()
        .strip_prefix(directory.as_ref())
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
