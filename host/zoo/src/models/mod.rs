//! Models: found by name, listed, downloaded, loaded and deleted.

pub(crate) mod artifacts;
pub(crate) mod cache;
pub(crate) mod download;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod load_model;
pub(crate) mod requirements;

use self::cache::ModelCache;
use crate::context::Context;
use crate::error::Error;
use crate::name::ModelQuery;
use crate::sources::Registry;
use crate::store::{ModelRecord, Verified, VerifiedKind};

pub use download::{DownloadOptions, Downloaded};
pub use list::{Filter, ModelSummary};
pub use load::LoadedModel;
pub use load_model::LoadOptions;
pub use requirements::ErrorLevel;

/// The models that the registered sources declare, and what can be done with them.
#[derive(Clone, Copy)]
pub(crate) struct Models<'a> {
    context: &'a Context,
    cache: &'a ModelCache,
}

impl<'a> Models<'a> {
    pub(crate) fn new(context: &'a Context, cache: &'a ModelCache) -> Self {
        Self { context, cache }
    }

    fn registry(&self) -> Registry<'a> {
        Registry::new(self.context)
    }

    /// The model that a name means: the one of that version, or the latest. `source` keeps the
    /// search to one source.
    pub(crate) fn find(&self, wanted: &str, source: Option<&str>) -> Result<ModelRecord, Error> {
        let query = ModelQuery::parse(wanted)?;
        let scope = match source.or(query.source.as_deref()) {
            Some(source) => Some(self.registry().find(source)?),
            None => None,
        };
        self.context
            .store
            .find_model(&query, wanted, scope.as_ref())
    }

    /// Checks the files of the named models, or of all sources and models, against what was
    /// recorded.
    pub(crate) fn verify(&self, names: &[String]) -> Result<Vec<Verified>, Error> {
        if names.is_empty() {
            return self.context.store.verify();
        }
        let verify = |name: &String| {
            let record = self.find(name, None)?;
            record.verify()?.ok_or_else(|| Error::NotDownloaded {
                model: record.name(),
            })
        };
        names.iter().map(verify).collect()
    }

    /// As [`Models::verify`]; downloads a model with a problem again.
    pub(crate) async fn repair(&self, names: &[String]) -> Result<Vec<Verified>, Error> {
        let mut results = self.verify(names)?;
        for result in &mut results {
            if result.kind == VerifiedKind::Model && !result.problems.is_empty() {
                let record = self.find(&result.name, Some(result.source.as_str()))?;
                self.download_record(record, true).await?;
                result.repaired = true;
            }
        }
        Ok(results)
    }
}
