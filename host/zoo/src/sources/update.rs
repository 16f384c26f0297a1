//! Updating registered sources, and restoring their snapshots.

use super::github::Resolved;
use super::grant::Grant;
use super::info::SourceInfo;
use super::reachable::Unreachable;
use super::register::{Registered, Replace, check_bundle};
use super::registry::Registry;
use super::snapshot::Snapshot;
use crate::error::Error;
use crate::reference::SourceRef;
use crate::store::{LockedSource, RegisterOutcome};

/// Options of updating a source.
#[derive(Default)]
pub struct UpdateOptions<'a> {
    /// Accept a version that lacks a model, or has a lower version of one.
    pub allow_rollback: bool,
    /// Who grants permissions.
    pub grant: Grant<'a>,
}

impl Registry<'_> {
    /// Fetches a registered source again and replaces it if it has changed.
    pub(crate) async fn update(
        &self,
        source: &str,
        options: UpdateOptions<'_>,
    ) -> Result<Registered, Error> {
        let locked = self.locked(source)?;
        let reference = self.parse_reference(&locked.reference)?;
        self.check_not_locked(&locked.id)?;
        if self.same_commit(&locked, &reference).await? {
            self.note_check(&locked.id);
            return self.registered_already(&locked, options.grant, RegisterOutcome::Unchanged);
        }
        let replace = match options.allow_rollback {
            true => Replace::Always,
            false => Replace::Forward,
        };
        self.register_reference(&reference, replace, Unreachable::Refuse, options.grant)
            .await
    }

    /// What an update would change. Only the time of the check is stored.
    pub(crate) async fn check(&self, source: &str) -> Result<Registered, Error> {
        let locked = self.locked(source)?;
        let reference = self.parse_reference(&locked.reference)?;
        if self.same_commit(&locked, &reference).await? {
            self.note_check(&locked.id);
            return self.registered_already(&locked, Grant::Nothing, RegisterOutcome::Unchanged);
        }
        let known = locked.known_commit();
        let snapshot = self.acquire(&reference, known, Unreachable::Refuse).await?;
        check_bundle(&locked, &snapshot)?;
        self.note_check(&locked.id);
        let components = self.check_components(&snapshot)?;
        let before = self.info(&locked);
        let locked = LockedSource {
            commit: snapshot.commit.clone(),
            subdir: snapshot.subdir.clone(),
            tree: snapshot.tree.clone(),
            digests: snapshot.digests(),
            ..locked
        };
        let after = SourceInfo::new(locked, &snapshot.manifests);
        Ok(Registered {
            outcome: self.outcome(Some(&before), &after, &components),
            source: after,
            warnings: snapshot.warnings(),
        })
    }

    /// Fetches the snapshots that the lock names and the store lacks, for example when the lock
    /// comes from another machine. All are tried; the error is the first one.
    pub(crate) async fn restore_all(&self) -> Result<(), Error> {
        let mut result = Ok(());
        for source in self.context.store.lock()?.sources() {
            let restored = self.restore(source).await;
            result = result.and(restored);
        }
        result
    }

    /// Fetches the snapshot of a source at the locked commit, if the store lacks it.
    pub(crate) async fn restore(&self, locked: &LockedSource) -> Result<(), Error> {
        let dir = self.context.store.snapshot_dir(locked);
        if dir.is_dir() {
            return Ok(());
        }
        let snapshot = self.acquire_locked(locked).await?;
        snapshot.settle()?;
        let guard = self.context.store.change_lock()?;
        let current = guard.lock.get(&locked.id);
        if current.is_none_or(|current| current.tree != locked.tree) {
            return Err(Error::ChangedMeanwhile {
                source_id: locked.id.clone(),
            });
        }
        snapshot.check_whole()?;
        guard.publish_dir(&snapshot.root, &dir, false)
    }

    /// Fetches a source to staging as the lock pins it.
    pub(super) async fn acquire_locked(&self, locked: &LockedSource) -> Result<Snapshot, Error> {
        let pin = locked.commit.as_ref().map(|commit| Resolved {
            commit: commit.clone(),
            subdir: locked.subdir.clone(),
            of_ref: false,
        });
        let reference = self.parse_reference(&locked.reference)?;
        let snapshot = self
            .acquire_at(&reference, pin, None, Unreachable::Allow)
            .await?;
        if snapshot.tree != locked.tree {
            return Err(Error::PinMoved {
                source_id: locked.id.clone(),
                expected: locked.tree.clone(),
                actual: snapshot.tree,
            });
        }
        Ok(snapshot)
    }

    /// Whether GitHub says that a source is still at the locked commit, and the snapshot is
    /// intact: then nothing has to be fetched.
    async fn same_commit(
        &self,
        locked: &LockedSource,
        reference: &SourceRef,
    ) -> Result<bool, Error> {
        let (SourceRef::GitHub(repo, git_ref), Some(commit)) = (reference, &locked.commit) else {
            return Ok(false);
        };
        // What came with a bundle was never compared with what the commit has.
        if locked.imported || !self.context.store.is_intact(locked) {
            return Ok(false);
        }
        let audit = self.context.store.audit_log(&locked.id, None);
        let resolved = self.github(repo, &audit)?.resolve(git_ref.as_ref()).await?;
        Ok(resolved.commit == *commit && resolved.subdir == locked.subdir)
    }
}
