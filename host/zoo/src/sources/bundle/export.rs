//! Writing a bundle.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use modelzoo_archive::RelPath;
use modelzoo_base::digest::Hashing;
use modelzoo_base::file::{self, Access, AtomicFile};
use modelzoo_net::Task;
use serde::Serialize;
use sha2::Digest as _;

use super::index::{Declared, FORMAT, INDEX, Index, MODELS, SNAPSHOT, declared_models};
use crate::context::Context;
use crate::error::{BundleError, Error};
use crate::name::ModelQuery;
use crate::reference::SourceId;
use crate::sources::registry::Registry;
use crate::store::files::{FileDigests, list_files, tree_of};
use crate::store::receipt::{FILES, RECEIPT, Receipt};
use crate::store::usage::size_of;
use crate::store::{LockedSource, ModelRecord, StoredModel};

/// A bundle that was written.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    /// Where it is.
    pub path: PathBuf,
    /// The source that is in it.
    pub source: SourceId,
    /// The digest of the source's snapshot.
    pub tree: String,
    /// The names of the models that are in it, sorted.
    pub models: Vec<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, as 64 hexadecimal digits.
    pub sha256: String,
}

impl Registry<'_> {
    /// Writes a registered source and its downloaded models, or the named ones, into one new file.
    /// Every byte is checked against the lock and the receipts on the way.
    pub(crate) fn export(
        &self,
        source: &str,
        models: &[String],
        output: &Path,
    ) -> Result<Exported, Error> {
        let locked = &self.locked(source)?;
        let chosen = self.chosen(locked, models)?;
        if fs::symlink_metadata(output).is_ok() {
            return Err(BundleError::FileExists(output.to_owned()).into());
        }
        let mut packer = Packer::create(output)?;
        packer.watch(self.context, locked, &chosen);
        let index = index(locked, &chosen)?;
        packer.bytes(INDEX, &index)?;
        pack_snapshot(
            &mut packer,
            &self.context.store.snapshot_dir(locked),
            locked,
        )?;
        for (record, receipt) in chosen.values() {
            pack_model(&mut packer, record, receipt)?;
        }
        let (bytes, sha256) = packer.finish()?;
        Ok(Exported {
            path: output.to_owned(),
            source: locked.id.clone(),
            tree: locked.tree.clone(),
            models: chosen.into_keys().collect(),
            bytes,
            sha256,
        })
    }

    /// The models to export, by name: those named, or all that are downloaded.
    fn chosen(
        &self,
        locked: &LockedSource,
        names: &[String],
    ) -> Result<BTreeMap<String, (ModelRecord, Receipt)>, Error> {
        let manifests = self.context.store.manifests(locked)?;
        let declared = declared_models(&manifests, &locked.digests);
        let mut chosen = BTreeMap::new();
        if names.is_empty() {
            for record in self.context.store.models_of(locked)? {
                match record.stored() {
                    StoredModel::Nothing => {}
                    StoredModel::Complete(receipt) => {
                        chosen.insert(record.name(), (record, receipt));
                    }
                    StoredModel::Outdated | StoredModel::Damaged(_) => _ = record.require()?,
                }
            }
        }
        for name in names {
            let record =
                self.context
                    .store
                    .find_model(&ModelQuery::parse(name)?, name, Some(&locked.id))?;
            let receipt = record.require()?;
            chosen.insert(record.name(), (record, receipt));
        }
        for (model, (_, receipt)) in &chosen {
            let mismatch = |d: &Declared| d.mismatch(receipt, locked);
            if let Some(reason) = declared.get(model).and_then(mismatch) {
                let model = model.clone();
                return Err(BundleError::NotAsPinned { model, reason }.into());
            }
        }
        Ok(chosen)
    }
}

/// The bytes of `bundle.json`.
fn index(
    locked: &LockedSource,
    chosen: &BTreeMap<String, (ModelRecord, Receipt)>,
) -> Result<Vec<u8>, Error> {
    let mut source = locked.clone();
    source.granted = [].into_iter().collect();
    source.retain_pins(|model| chosen.contains_key(model));
    // What an import learns from the bundle's files themselves.
    source.digests.clear();
    source.receipts.clear();
    source.imported = false;
    source.imported_models.clear();
    let mut models = BTreeMap::new();
    for (name, (_, receipt)) in chosen {
        models.insert(name.clone(), receipt.sha256.clone());
    }
    let index = Index {
        format: FORMAT,
        source,
        models,
    };
    serde_json::to_vec_pretty(&index).map_err(|e| Error::io("write", INDEX.as_ref(), e.into()))
}

fn pack_snapshot(packer: &mut Packer, dir: &Path, locked: &LockedSource) -> Result<(), Error> {
    let mut files = FileDigests::new();
    for file in list_files(dir)? {
        let packed = packer.file(&format!("{SNAPSHOT}/{file}"), &file.under(dir))?;
        files.insert(file, packed);
    }
    match tree_of(&files) == locked.tree {
        true => Ok(()),
        false => Err(Error::SnapshotChanged {
            source_id: locked.id.clone(),
        }),
    }
}

fn pack_model(packer: &mut Packer, record: &ModelRecord, receipt: &Receipt) -> Result<(), Error> {
    let dir = format!("{MODELS}/{}", record.entry.name().directory());
    let changed = |file: &str| BundleError::ModelChanged {
        model: receipt.model.clone(),
        file: file.to_owned(),
    };
    let (_, sha256) = packer.file(&format!("{dir}/{RECEIPT}"), &record.dir.join(RECEIPT))?;
    if sha256 != receipt.sha256 {
        return Err(changed(RECEIPT).into());
    }
    for file in &receipt.files {
        let name = &file.name;
        let path = name.under(&record.files_dir());
        let packed = packer.file(&format!("{dir}/{FILES}/{name}"), &path)?;
        if packed != (file.size, file.sha256.clone()) {
            return Err(changed(name.as_ref()).into());
        }
    }
    Ok(())
}

/// Writes a bundle to a temporary file beside its target.
struct Packer {
    tar: tar::Builder<Hashing<AtomicFile>>,
    output: PathBuf,
    task: Option<Box<dyn Task>>,
}

impl Packer {
    fn create(output: &Path) -> Result<Self, Error> {
        let file = AtomicFile::create(output, Access::Shared)
            .map_err(|e| Error::io("write in", file::directory(output), e))?;
        Ok(Self {
            tar: tar::Builder::new(Hashing::new(file)),
            output: output.to_owned(),
            task: None,
        })
    }

    /// Reports progress.
    fn watch(
        &mut self,
        context: &Context,
        locked: &LockedSource,
        chosen: &BTreeMap<String, (ModelRecord, Receipt)>,
    ) {
        let models: u64 = chosen.values().map(|(_, receipt)| receipt.size()).sum();
        let snapshot = size_of(&context.store.snapshot_dir(locked)).unwrap_or_default();
        self.task = Some(context.progress.start("bundle", Some(models + snapshot)));
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.append(name, bytes.len() as u64, bytes)
    }

    /// Adds a file; returns the size and the digest of what was added.
    fn file(&mut self, name: &str, path: &Path) -> Result<(u64, String), Error> {
        let failed = |e| Error::io("read", path, e);
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut contents = Hashing::new(file.take(size));
        self.append(name, size, &mut contents)?;
        if contents.count() != size {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        let (_, _, hasher) = contents.finish();
        Ok((size, hex::encode(hasher.finalize())))
    }

    /// Adds an entry with a header that does not depend on this machine.
    fn append(&mut self, name: &str, size: u64, contents: impl Read) -> Result<(), Error> {
        // A name that could not be imported is not exported either.
        RelPath::parse(name).map_err(|e| Error::BadPath {
            path: name.to_owned(),
            reason: e.to_string(),
        })?;
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        let added = self.tar.append_data(&mut header, name, contents);
        added.map_err(|e| Error::io("write", &self.output, e))?;
        let done = self.tar.get_ref().count();
        if let Some(task) = &mut self.task {
            task.set(done);
        }
        Ok(())
    }

    /// Makes the file visible; returns its size and digest.
    fn finish(self) -> Result<(u64, String), Error> {
        let output = self.output;
        let failed = |e| Error::io("write", &output, e);
        let (file, bytes, hasher) = self.tar.into_inner().map_err(failed)?.finish();
        file.sync().map_err(failed)?;
        match file.publish() {
            Ok(()) => Ok((bytes, hex::encode(hasher.finalize()))),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(BundleError::FileExists(output).into())
            }
            Err(e) => Err(failed(e)),
        }
    }
}
