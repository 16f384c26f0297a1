//! The models that the registered sources declare, and which one a name means.

use std::path::{Path, PathBuf};

use modelzoo_base::nearest;
use modelzoo_runtime::Device;
use serde::Serialize;

use crate::Zoo;
use crate::error::Error;
use crate::license;
use crate::manifest::{Manifest, ModelEntry};
use crate::name::ModelQuery;
use crate::reference::SourceId;
use crate::sources::acquire::{COMPONENT, MANIFEST};
use crate::store::lock::LockedSource;
use crate::store::receipt::Receipt;
use crate::version::Version;

/// A model that a registered source declares.
#[derive(Debug, Clone)]
pub struct ModelRecord {
    /// The source as the lock has it.
    pub source: LockedSource,
    /// What its manifest says about the model.
    pub entry: ModelEntry,
    /// The directory of the source's snapshot that holds the manifest.
    pub(crate) manifest_dir: PathBuf,
    /// The component beside that manifest.
    pub(crate) component: Option<PathBuf>,
    /// The most bytes that the source means to download for a model.
    pub(crate) max_download_bytes: Option<u64>,
    /// Where the model is, or will be.
    pub(crate) dir: PathBuf,
}

impl ModelRecord {
    /// The name with its version, `base@version`.
    #[must_use]
    pub fn name(&self) -> String {
        self.entry.name().to_string()
    }

    /// What the download left, if the model is downloaded and is what the manifest declares.
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        let receipt = Receipt::read(&self.dir)?;
        is_as_declared(&self.entry, &receipt).then_some(receipt)
    }

    /// Where the model's files are: what the manifest's `base_filename` names if that is there,
    /// else the directory of all its files. `None` when it is not downloaded.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.receipt()?;
        let files = self.files_dir();
        let named = self
            .entry
            .base_filename
            .as_ref()
            .map(|name| name.under(&files));
        Some(named.filter(|path| path.exists()).unwrap_or(files))
    }

    /// Why the model's manifest does not let it run on a device; `None` when it does.
    #[must_use]
    pub fn unmet(&self, device: &Device) -> Option<String> {
        let on_gpu = !device.is_cpu();
        match (
            on_gpu,
            self.entry.requirements.cpu,
            self.entry.requirements.gpu,
        ) {
            (false, Some(false), _) => Some(format!("{} does not support the CPU", self.name())),
            (true, _, Some(false)) => Some(format!("{} does not support a GPU", self.name())),
            _ => None,
        }
    }

    pub(crate) fn files_dir(&self) -> PathBuf {
        self.dir.join(crate::store::receipt::FILES)
    }

    /// Where hooks find the model's `base_filename` in their file system.
    pub(crate) fn guest_path(&self) -> String {
        let name = match &self.entry.base_filename {
            Some(name) => name.to_string(),
            None => self.entry.name().file_stem(),
        };
        format!("/model/{name}")
    }
}

/// Which models to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only models that have all of these tags.
    pub tags: Vec<String>,
    /// Only models of this source, in any spelling.
    pub source: Option<String>,
    /// Only models that have one of these licences; spellings of one licence are the same.
    pub licenses: Vec<String>,
    /// Only models that are downloaded.
    pub downloaded_only: bool,
}

/// A model as it is listed.
#[derive(Debug, Clone, Serialize)]
pub struct ModelSummary {
    /// The name with its version.
    pub name: String,
    /// The source's id.
    pub source: SourceId,
    /// As the manifest has them.
    pub tags: Vec<String>,
    /// As the manifest has it.
    pub license: Option<String>,
    /// Bytes, as the manifest has it.
    pub size_bytes: Option<u64>,
    /// Whether a receipt matches.
    pub downloaded: bool,
    /// Where it is, if it is downloaded.
    pub path: Option<PathBuf>,
}

impl Zoo {
    /// Every model of every registered source, sorted by name and then by source.
    ///
    /// # Errors
    /// When the lock cannot be read. A source whose manifests cannot be read is left out.
    pub fn models(&self) -> Result<Vec<ModelRecord>, Error> {
        let mut records = Vec::new();
        for source in self.lock()?.sources() {
            match self.models_of(source) {
                Ok(models) => records.extend(models),
                // One source must not hide the models of all others.
                Err(error) => tracing::warn!("the models of {} are left out: {error}", source.id),
            }
        }
        records.sort_by_cached_key(|r| (r.name(), r.source.id.clone()));
        Ok(records)
    }

    /// The models that a filter lets through.
    ///
    /// # Errors
    /// As [`Zoo::models`]; [`Error::UnknownSource`] when the filter names a source that is not
    /// registered.
    pub fn list(&self, filter: &Filter) -> Result<Vec<ModelSummary>, Error> {
        let source = filter
            .source
            .as_deref()
            .map(|s| self.find_source(s))
            .transpose()?;
        let listed = self.models()?.into_iter().filter(|record| {
            let entry = &record.entry;
            source.as_ref().is_none_or(|id| record.source.id == *id)
                && filter.tags.iter().all(|tag| entry.tags.contains(tag))
                && (filter.licenses.is_empty()
                    || license::matches(entry.license.as_deref().unwrap_or(""), &filter.licenses))
        });
        let summaries = listed.map(|record| {
            let path = record.path();
            ModelSummary {
                name: record.name(),
                source: record.source.id.clone(),
                tags: record.entry.tags.clone(),
                license: record.entry.license.clone(),
                size_bytes: record.entry.size_bytes,
                downloaded: path.is_some(),
                path,
            }
        });
        Ok(summaries
            .filter(|s| s.downloaded || !filter.downloaded_only)
            .collect())
    }

    /// The model that a name means: the one of that version, or the latest. `source` keeps the
    /// search to one source.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] with the nearest names, [`Error::AmbiguousModel`] when several
    /// sources declare the name.
    pub fn model(&self, wanted: &str, source: Option<&str>) -> Result<ModelRecord, Error> {
        let query = ModelQuery::parse(wanted)?;
        let scope = match source.or(query.source.as_deref()) {
            Some(source) => Some(self.find_source(source)?),
            None => None,
        };
        self.model_in(&query, wanted, scope.as_ref())
    }

    pub(crate) fn model_in(
        &self,
        query: &ModelQuery,
        wanted: &str,
        scope: Option<&SourceId>,
    ) -> Result<ModelRecord, Error> {
        let records = self.models()?;
        let in_scope = |r: &&ModelRecord| scope.is_none_or(|id| r.source.id == *id);
        let mut found: Vec<&ModelRecord> = records
            .iter()
            .filter(in_scope)
            .filter(|r| query.matches(&r.entry.name()))
            .collect();
        let mut sources: Vec<&SourceId> = found.iter().map(|r| &r.source.id).collect();
        sources.dedup();
        sources.sort();
        sources.dedup();
        if sources.len() > 1 {
            return Err(Error::AmbiguousModel {
                wanted: wanted.to_owned(),
                candidates: sources.iter().map(ToString::to_string).collect(),
            });
        }
        found.sort_by_cached_key(|r| latest_key(&r.entry));
        found.pop().cloned().ok_or_else(|| {
            let names: Vec<String> = records
                .iter()
                .filter(in_scope)
                .map(ModelRecord::name)
                .collect();
            Error::UnknownModel {
                wanted: wanted.to_owned(),
                scope: scope.cloned(),
                nearest: nearest(wanted, names.iter().map(String::as_str)),
                any_source: !records.is_empty(),
            }
        })
    }

    pub(crate) fn models_of(&self, source: &LockedSource) -> Result<Vec<ModelRecord>, Error> {
        let snapshot = self.snapshot_dir(source);
        let mut records = Vec::new();
        for (dir, manifest) in self.manifests(source)? {
            let manifest_dir = snapshot.join(&dir);
            let component = component_file(&manifest_dir, &manifest).map(|(_, path)| path);
            for entry in manifest.models {
                let dir = self
                    .store()
                    .models_dir(&source.id.key())
                    .join(entry.name().directory());
                records.push(ModelRecord {
                    source: source.clone(),
                    entry,
                    manifest_dir: manifest_dir.clone(),
                    component: component.clone(),
                    max_download_bytes: manifest.permissions.max_download_bytes,
                    dir,
                });
            }
        }
        Ok(records)
    }

    /// The manifests of a registered source, each with its directory within the snapshot.
    pub(crate) fn manifests(
        &self,
        source: &LockedSource,
    ) -> Result<Vec<(String, Manifest)>, Error> {
        let snapshot = self.snapshot_dir(source);
        source
            .manifests
            .iter()
            .map(|dir| {
                let path = snapshot.join(dir).join(MANIFEST);
                let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
                Ok((dir.clone(), Manifest::parse(&bytes)?))
            })
            .collect()
    }

    /// The directory of a source's snapshot.
    pub(crate) fn snapshot_dir(&self, source: &LockedSource) -> PathBuf {
        let tree = source.tree.get(..32).unwrap_or(&source.tree);
        self.store().source_dir(&source.id.key()).join(tree)
    }
}

/// Whether a receipt has the files that a manifest declares for a model.
pub(crate) fn is_as_declared(entry: &ModelEntry, receipt: &Receipt) -> bool {
    let declared = entry.artifacts.iter().filter(|a| !a.unpack);
    declared.into_iter().all(|artifact| {
        let file = receipt.files.iter().find(|file| file.name == artifact.path);
        file.is_some_and(|file| {
            artifact
                .sha256
                .as_ref()
                .is_none_or(|want| *want == file.sha256)
        })
    })
}

/// The order in which the last is the latest: releases after pre-releases, then by version.
fn latest_key(entry: &ModelEntry) -> (bool, Option<Version>) {
    let version = entry.version.as_deref().map(Version::new);
    let release = version.as_ref().is_none_or(|v| !v.is_prerelease());
    (release, version)
}

/// The component of a manifest, by name and place; `None` when there is none.
pub(crate) fn component_file(dir: &Path, manifest: &Manifest) -> Option<(String, PathBuf)> {
    let name = match &manifest.component {
        Some(component) => component.path.to_string(),
        None => COMPONENT.to_owned(),
    };
    let path = dir.join(&name);
    (manifest.component.is_some() || path.is_file()).then_some((name, path))
}
