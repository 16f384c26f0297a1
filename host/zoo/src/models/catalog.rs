//! The models by name.

use super::cache::ModelCache;
use crate::context::Context;
use crate::error::Error;
use crate::name::ModelQuery;
use crate::sources::Registry;
use crate::store::ModelRecord;
use crate::store::audit::AuditLog;

/// The models that the registered sources declare, and what can be done with them.
#[derive(Clone, Copy)]
pub(crate) struct Models<'a> {
    pub(super) context: &'a Context,
    pub(super) cache: &'a ModelCache,
}

impl<'a> Models<'a> {
    pub(crate) fn new(context: &'a Context, cache: &'a ModelCache) -> Self {
        Self { context, cache }
    }

    pub(super) fn registry(&self) -> Registry<'a> {
        Registry::new(self.context)
    }

    /// The audit log, for records about a model.
    pub(super) fn audit_of(&self, record: &ModelRecord) -> AuditLog {
        let store = &self.context.store;
        store.audit_log(&record.source.id, Some(record.name()))
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
}
