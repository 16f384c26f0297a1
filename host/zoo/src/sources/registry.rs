//! The registry: which sources there are, by any spelling of their reference.

use std::collections::BTreeSet;

use modelzoo_base::nearest;

use super::info::SourceInfo;
use crate::context::Context;
use crate::error::Error;
use crate::reference::{ReferenceContext, SourceId, SourceRef, github_hosts};
use crate::store::audit::Event;
use crate::store::in_use::Claim;
use crate::store::lock::Lock;
use crate::store::{AuditReport, LockedSource, Since};

/// The registered sources of a store, and what can be done with them.
#[derive(Clone, Copy)]
pub(crate) struct Registry<'a> {
    pub(super) context: &'a Context,
}

/// Which records of the audit log to read.
#[derive(Debug, Clone, Default)]
pub struct AuditOptions {
    /// Only the records of this source, in any spelling; also of one that is no longer registered.
    pub source: Option<String>,
    /// Only records of this time or later.
    pub since: Option<Since>,
}

impl<'a> Registry<'a> {
    pub(crate) fn new(context: &'a Context) -> Self {
        Self { context }
    }

    /// The registered sources, sorted by id.
    pub(crate) fn list(&self) -> Result<Vec<SourceInfo>, Error> {
        let lock = self.context.store.lock()?;
        Ok(lock.sources().iter().map(|s| self.info(s)).collect())
    }

    /// Removes a source and its models.
    pub(crate) fn delete(&self, reference: &str) -> Result<LockedSource, Error> {
        let store = &self.context.store;
        let id = self.find(reference)?;
        let key = id.key();
        let aside = store.stage()?;
        let mut guard = store.change_lock()?;
        let removed = guard
            .lock
            .remove(&id)
            .ok_or_else(|| unknown_source(reference, &guard.lock))?;
        let models = store.models_dir(&key);
        let _claims = Claim::take_all(&models).map_err(|models| Error::InUse { models })?;
        guard.commit()?;
        let snapshots = store.source_dir(&key);
        guard.take_away(&snapshots, &aside, "sources")?;
        guard.take_away(&models, &aside, "models")?;
        store.forget_check(&id);
        drop(guard);
        aside
            .close()
            .map_err(|e| Error::io("remove", &snapshots, e))?;
        store.audit_log(&id, None).record(&Event::Deleted);
        Ok(removed)
    }

    /// Reads the audit log.
    pub(crate) fn audit(&self, options: &AuditOptions) -> Result<AuditReport, Error> {
        let wanted = options.source.as_deref().map(|source| self.ids_of(source));
        let store = &self.context.store;
        let report = store.audit_report(wanted.as_ref(), options.since)?;
        match &options.source {
            Some(source) if report.sources.is_empty() => Err(Error::NoRecords {
                source_id: source.clone(),
            }),
            _ => Ok(report),
        }
    }

    /// The id of a registered source, from any spelling of its reference, or from the id itself.
    pub(crate) fn find(&self, wanted: &str) -> Result<SourceId, Error> {
        self.locked(wanted).map(|source| source.id)
    }

    /// The lock's entry of a registered source, from any spelling of its reference, or from its id.
    pub(crate) fn locked(&self, wanted: &str) -> Result<LockedSource, Error> {
        let lock = self.context.store.lock()?;
        let by_id = lock.sources().iter().find(|s| s.id.as_str() == wanted);
        let found = by_id.or_else(|| lock.get(&self.parse_reference(wanted).ok()?.id()));
        found.cloned().ok_or_else(|| unknown_source(wanted, &lock))
    }

    /// A source as the lock and its manifests describe it. One whose manifests cannot be read can
    /// still be listed, replaced and deleted.
    pub(crate) fn info(&self, locked: &LockedSource) -> SourceInfo {
        let store = &self.context.store;
        let checked = store.last_check(locked);
        match store.manifests(locked) {
            Ok(manifests) => SourceInfo {
                checked,
                ..SourceInfo::new(locked.clone(), &manifests)
            },
            Err(error) => SourceInfo {
                checked,
                asked: locked.granted.clone(),
                locked: locked.clone(),
                models: Vec::new(),
                problem: Some(error.to_string()),
            },
        }
    }

    pub(crate) fn parse_reference(&self, text: &str) -> Result<SourceRef, Error> {
        Ok(SourceRef::parse(text, &self.reference_context()?)?)
    }

    /// The local path that the user may have meant by a text that names a repository.
    pub(super) fn namesake(&self, text: &str) -> Option<String> {
        self.reference_context().ok()?.local_namesake(text)
    }

    fn reference_context(&self) -> Result<ReferenceContext<'static>, Error> {
        Ok(ReferenceContext {
            github_hosts: github_hosts(&self.context.config.github_api),
            current_dir: std::env::current_dir()
                .map_err(|e| Error::io("resolve", ".".as_ref(), e))?,
            home: etcetera::home_dir().ok(),
            path_exists: &|path| path.exists(),
        })
    }

    /// The ids that a text can mean.
    fn ids_of(&self, source: &str) -> BTreeSet<String> {
        let mut ids = BTreeSet::from([source.to_owned()]);
        if let Ok(reference) = self.parse_reference(source) {
            ids.insert(reference.id().to_string());
        }
        ids
    }

    /// Notes that a source was checked now, unless the settings leave everything as it is.
    pub(super) fn note_check(&self, id: &SourceId) {
        let config = &self.context.config;
        if !config.locked && !config.frozen {
            self.context.store.note_check(id);
        }
    }

    /// Fails under the setting that leaves the lock as it is.
    pub(super) fn check_not_locked(&self, id: &SourceId) -> Result<(), Error> {
        match self.context.config.locked {
            true => Err(Error::NotLocked {
                source_id: id.clone(),
            }),
            false => Ok(()),
        }
    }
}

fn unknown_source(wanted: &str, lock: &Lock) -> Error {
    let ids = lock.sources().iter().map(|s| s.id.as_str());
    Error::UnknownSource {
        wanted: wanted.to_owned(),
        nearest: nearest(wanted, ids),
    }
}
