//! The models that the registered sources declare, and which one a name means.

use std::sync::Arc;

use modelzoo_base::nearest;

use super::layout::Store;
use super::locked::LockedSource;
use super::maker::Maker;
use super::record::ModelRecord;
use super::snapshot::component_file;
use crate::error::Error;
use crate::manifest::ModelEntry;
use crate::name::ModelQuery;
use crate::reference::SourceId;
use crate::version::Version;

impl Store {
    /// Every model of every registered source, sorted by name and then by source. A source whose
    /// manifests cannot be read is left out, with a warning.
    pub(crate) fn models(&self) -> Result<Vec<ModelRecord>, Error> {
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

    /// The models of one source, in the order of its manifests.
    pub(crate) fn models_of(&self, source: &LockedSource) -> Result<Vec<ModelRecord>, Error> {
        let snapshot = self.snapshot_dir(source);
        let shared = Arc::new(source.clone());
        let mut records = Vec::new();
        for (dir, mut manifest) in self.manifests(source)? {
            let manifest_dir = snapshot.join(&dir);
            let component = component_file(&manifest_dir, &manifest).map(|(_, path)| path);
            for entry in std::mem::take(&mut manifest.models) {
                records.push(ModelRecord {
                    source: Arc::clone(&shared),
                    dir: self.model_dir(&source.id, &entry),
                    maker: Maker::of(&entry, &dir, &manifest, &source.digests),
                    entry,
                    manifest_dir: manifest_dir.clone(),
                    component: component.clone(),
                    max_download_bytes: manifest.permissions.max_download_bytes,
                });
            }
        }
        Ok(records)
    }

    /// The model that a query means: the one of that version, or the latest. `scope` keeps the
    /// search to one source; `wanted` is the query as the user typed it, for errors.
    pub(crate) fn find_model(
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
}

/// The order in which the last is the latest: releases after pre-releases, then by version.
fn latest_key(entry: &ModelEntry) -> (bool, Option<Version>) {
    let version = entry.version.as_deref().map(Version::new);
    let release = version.as_ref().is_none_or(|v| !v.is_prerelease());
    (release, version)
}
