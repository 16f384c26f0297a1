//! Registering sources.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::grant::Grant;
use super::info::SourceInfo;
use super::publish::unchanged;
use super::reachable::Unreachable;
use super::registry::Registry;
use super::rollback::steps_back;
use super::snapshot::Snapshot;
use crate::error::{BundleError, Error};
use crate::reference::{SourceId, SourceRef};
use crate::store::audit::{Event, now};
use crate::store::lock::Pinning;
use crate::store::{LockedSource, RegisterOutcome};

/// Options of registering a source.
#[derive(Default)]
pub struct RegisterOptions<'a> {
    /// Fetch the source again if it is registered already.
    pub overwrite: bool,
    /// Register a commit that is on no branch or tag of its repository.
    pub allow_unreachable_commit: bool,
    /// Who grants permissions.
    pub grant: Grant<'a>,
}

/// What to do with a source that is registered already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replace {
    /// Leave it as it is.
    Never,
    /// Fetch it again, and replace it unless that would be a rollback.
    Forward,
    /// Fetch it again, and replace it.
    Always,
}

/// The result of registering or updating a source.
#[derive(Debug, Clone, Serialize)]
pub struct Registered {
    /// The source as it is now.
    pub source: SourceInfo,
    /// What changed.
    pub outcome: RegisterOutcome,
    /// Warnings about its manifests.
    pub warnings: Vec<String>,
}

impl Registry<'_> {
    /// Registers what a text names: a directory, an archive, or a GitHub repository.
    pub(crate) async fn register(
        &self,
        text: &str,
        options: RegisterOptions<'_>,
    ) -> Result<Registered, Error> {
        let reference = self.parse_reference(text)?;
        let replace = match options.overwrite {
            true => Replace::Always,
            false => Replace::Never,
        };
        let unreachable = match options.allow_unreachable_commit {
            true => Unreachable::Allow,
            false => Unreachable::Refuse,
        };
        let registered = self.register_reference(&reference, replace, unreachable, options.grant);
        registered.await.map_err(|error| match error {
            Error::NoSuchRepository {
                repo, with_token, ..
            } => Error::NoSuchRepository {
                repo,
                with_token,
                namesake: self.namesake(text),
            },
            error => error,
        })
    }

    /// Registers a source, and records the result in the audit log.
    pub(crate) async fn register_reference(
        &self,
        reference: &SourceRef,
        replace: Replace,
        unreachable: Unreachable,
        grant: Grant<'_>,
    ) -> Result<Registered, Error> {
        let id = reference.id();
        let registered = self.register_as(&id, reference, replace, unreachable, grant);
        let registered = registered.await;
        let audit = self.context.store.audit_log(&id, None);
        match &registered {
            Ok(done) => audit.record(&Event::Registered {
                outcome: &done.outcome,
                tree: &done.source.locked.tree,
            }),
            Err(error) => audit.refused(error),
        }
        registered
    }

    async fn register_as(
        &self,
        id: &SourceId,
        reference: &SourceRef,
        replace: Replace,
        unreachable: Unreachable,
        grant: Grant<'_>,
    ) -> Result<Registered, Error> {
        let before = self.context.store.lock()?.get(id).cloned();
        let overwrite = replace != Replace::Never;
        if before.is_none() || overwrite {
            self.check_not_locked(id)?;
        }
        if let (Some(locked), false) = (&before, overwrite) {
            self.restore(locked).await?;
            return self.registered_already(locked, grant, RegisterOutcome::AlreadyRegistered);
        }
        let before = before.map(|locked| self.info(&locked));
        let known = before.as_ref().and_then(|info| info.locked.known_commit());
        let snapshot = self.acquire(reference, known, unreachable).await?;
        if let (Some(before), Replace::Forward) = (&before, replace) {
            check_bundle(&before.locked, &snapshot)?;
        }
        let components = self.check_components(&snapshot)?;
        if let (Some(before), Replace::Forward) = (&before, replace) {
            check_forward(before, &snapshot)?;
        }
        let granted = self.decide(id, &snapshot.manifests, before.as_ref(), grant)?;
        let locked_before = before.as_ref().map(|info| &info.locked);
        let locked = LockedSource {
            id: id.clone(),
            reference: reference.to_string(),
            commit: snapshot.commit.clone(),
            subdir: snapshot.subdir.clone(),
            tree: snapshot.tree.clone(),
            manifests: snapshot
                .manifests
                .iter()
                .map(|(dir, _)| dir.clone())
                .collect(),
            granted,
            registered: locked_before
                .filter(|before| before.tree == snapshot.tree)
                .map_or_else(now, |before| before.registered.clone()),
            imported: false,
            imported_models: BTreeSet::new(),
            digests: snapshot.digests(),
            receipts: BTreeMap::new(),
            artifacts: BTreeMap::new(),
        };
        let locked = self.publish(&snapshot, locked, locked_before, Pinning::New)?;
        self.record_grant(locked_before.map(|before| &before.granted), &locked);
        if before.is_some() {
            self.note_check(id);
        }
        let after = SourceInfo::new(locked, &snapshot.manifests);
        Ok(Registered {
            outcome: self.outcome(before.as_ref(), &after, &components),
            source: after,
            warnings: snapshot.warnings(),
        })
    }

    /// The result for a source of which nothing has to be fetched. Permissions that are granted
    /// explicitly are recorded all the same.
    pub(crate) fn registered_already(
        &self,
        locked: &LockedSource,
        grant: Grant<'_>,
        outcome: RegisterOutcome,
    ) -> Result<Registered, Error> {
        let mut info = self.info(locked);
        let mut outcome = outcome;
        if grant.is_explicit() && !self.context.config.locked {
            let manifests = self.context.store.manifests(locked)?;
            let granted = self.decide(&locked.id, &manifests, Some(&info), grant)?;
            if granted != locked.granted {
                let mut guard = self.context.store.change_lock()?;
                unchanged(guard.lock.get(&locked.id), Some(locked), &locked.id)?;
                info.locked.granted = granted;
                guard.lock.insert(info.locked.clone());
                guard.commit()?;
                self.record_grant(Some(&locked.granted), &info.locked);
                outcome = RegisterOutcome::Granted;
            }
        }
        Ok(Registered {
            source: info,
            outcome,
            warnings: Vec::new(),
        })
    }
}

/// Fails if a source came with a bundle, and its origin has other files at the same commit. Whoever
/// made the bundle changed them.
pub(super) fn check_bundle(before: &LockedSource, snapshot: &Snapshot) -> Result<(), Error> {
    let same_commit = before.commit.is_some() && before.commit == snapshot.commit;
    match before.imported && same_commit && before.tree != snapshot.tree {
        false => Ok(()),
        true => Err(BundleError::NotFromOrigin {
            source_id: before.id.clone(),
            reference: before.reference.clone(),
            commit: snapshot.commit.clone().unwrap_or_default(),
            bundled: before.tree.clone(),
            origin: snapshot.tree.clone(),
        }
        .into()),
    }
}

/// Fails if a snapshot would roll a source back.
fn check_forward(before: &SourceInfo, snapshot: &Snapshot) -> Result<(), Error> {
    let after = SourceInfo::new(before.locked.clone(), &snapshot.manifests);
    let steps = steps_back(before, &after);
    match steps.is_empty() {
        true => Ok(()),
        false => Err(Error::Rollback {
            source_id: before.locked.id.clone(),
            steps,
        }),
    }
}
