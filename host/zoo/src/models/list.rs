//! Listing models.

use std::path::PathBuf;

use serde::Serialize;

use super::catalog::Models;
use crate::error::Error;
use crate::license;
use crate::reference::SourceId;
use crate::store::{ModelRecord, StoredModel};

/// Which models to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only models that have all of these tags.
    pub tags: Vec<String>,
    /// Only models of this source, in any spelling.
    pub source: Option<String>,
    /// Only models that have one of these licenses; different spellings of a license are equal.
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
    /// Its path, if it is downloaded.
    pub path: Option<PathBuf>,
}

impl Models<'_> {
    /// The models that a filter selects, sorted by name and then by source.
    pub(crate) fn list(&self, filter: &Filter) -> Result<Vec<ModelSummary>, Error> {
        let source = filter.source.as_deref();
        let source = source.map(|s| self.registry().find(s)).transpose()?;
        let selected = |record: &ModelRecord| {
            let entry = &record.entry;
            source.as_ref().is_none_or(|id| record.source.id == *id)
                && filter.tags.iter().all(|tag| entry.tags.contains(tag))
                && (filter.licenses.is_empty()
                    || license::matches(entry.license.as_deref().unwrap_or(""), &filter.licenses))
        };
        let models = self.context.store.models()?;
        Ok(models
            .iter()
            .filter(|record| selected(record))
            .map(summary)
            .filter(|summary| summary.downloaded || !filter.downloaded_only)
            .collect())
    }
}

fn summary(record: &ModelRecord) -> ModelSummary {
    let path = match record.stored() {
        StoredModel::Complete(_) => Some(record.place()),
        StoredModel::Nothing => None,
        stored @ (StoredModel::Outdated | StoredModel::Damaged(_)) => {
            let problem = stored.problem().unwrap_or_default();
            tracing::warn!("{} is not downloaded: {problem}", record.name());
            None
        }
    };
    ModelSummary {
        name: record.name(),
        source: record.source.id.clone(),
        tags: record.entry.tags.clone(),
        license: record.entry.license.clone(),
        size_bytes: record.entry.size_bytes,
        downloaded: path.is_some(),
        path,
    }
}
