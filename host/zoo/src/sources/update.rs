//! Bringing registered sources up to date, and seeing what that would change.

use crate::Zoo;
use crate::error::Error;
use crate::reference::SourceRef;
use crate::sources::acquire::Snapshot;
use crate::sources::github::Resolved;
use crate::sources::grant::Grant;
use crate::sources::register::{RegisterOutcome, Registered, Replace, SourceInfo, warnings};
use crate::store::files::digest_of;
use crate::store::lock::LockedSource;

/// How to update.
pub struct UpdateOptions<'a> {
    /// Take also what lacks a model that was there, or has a lower version of one.
    pub allow_rollback: bool,
    /// Who grants permissions.
    pub grant: Grant<'a>,
}

impl Zoo {
    /// Fetches a registered source anew and replaces it, if it has changed.
    ///
    /// # Errors
    /// [`Error::UnknownSource`]; [`Error::Rollback`] when what is there now looks older than what is
    /// registered; otherwise as [`Zoo::register_source`]. The source is then as it was.
    pub async fn update_source(
        &self,
        source: &str,
        options: UpdateOptions<'_>,
    ) -> Result<Registered, Error> {
        let locked = self.locked(source)?;
        let reference = self.parse_reference(&locked.reference)?;
        if self.config().locked {
            return Err(Error::NotLocked {
                source_id: locked.id,
            });
        }
        let UpdateOptions {
            allow_rollback,
            grant,
        } = options;
        if self.same_commit(&locked, &reference).await? {
            self.note_check(&locked.id);
            return self.registered_already(&locked, grant, RegisterOutcome::Unchanged);
        }
        let replace = match allow_rollback {
            true => Replace::Always,
            false => Replace::Forward,
        };
        self.register(&reference, replace, grant).await
    }

    /// What [`Zoo::update_source`] would change. Nothing is stored but when that was.
    ///
    /// # Errors
    /// As [`Zoo::update_source`], but for permissions, which are not asked for, and for what looks
    /// older, which is shown.
    pub async fn check_source(&self, source: &str) -> Result<Registered, Error> {
        let locked = self.locked(source)?;
        let reference = self.parse_reference(&locked.reference)?;
        if self.same_commit(&locked, &reference).await? {
            self.note_check(&locked.id);
            return self.registered_already(&locked, Grant::Nothing, RegisterOutcome::Unchanged);
        }
        let snapshot = self.acquire(&reference).await?;
        self.note_check(&locked.id);
        let components = self.check_components(&snapshot)?;
        let before = self.source_info(&locked);
        let locked = LockedSource {
            commit: snapshot.commit.clone(),
            subdir: snapshot.subdir.clone(),
            tree: snapshot.tree.clone(),
            ..locked
        };
        let after = SourceInfo::new(locked, &snapshot.manifests);
        Ok(Registered {
            outcome: self.outcome(Some(&before), &after, &components),
            source: after,
            warnings: warnings(&snapshot),
        })
    }

    /// Fetches the snapshots that the lock names and the store lacks, as when a lock was brought
    /// from another machine.
    ///
    /// All are tried; the answer is the first failure.
    pub(crate) async fn restore_sources(&self) -> Result<(), Error> {
        let mut result = Ok(());
        for source in self.lock()?.sources() {
            let restored = self.restore(source).await;
            result = result.and(restored);
        }
        result
    }

    /// Fetches the snapshot of a source at the commit that is locked, if it is not there.
    pub(crate) async fn restore(&self, locked: &LockedSource) -> Result<(), Error> {
        let dir = self.snapshot_dir(locked);
        if dir.is_dir() {
            return Ok(());
        }
        let snapshot = self.acquire_locked(locked).await?;
        self.store().publish_dir(&snapshot.root, &dir, false)?;
        Ok(())
    }

    /// Fetches a source to staging as the lock pins it.
    pub(crate) async fn acquire_locked(&self, locked: &LockedSource) -> Result<Snapshot, Error> {
        let pin = locked.commit.as_ref().map(|commit| Resolved {
            commit: commit.clone(),
            subdir: locked.subdir.clone(),
        });
        let reference = self.parse_reference(&locked.reference)?;
        let snapshot = self.acquire_at(&reference, pin).await?;
        if snapshot.tree != locked.tree {
            return Err(Error::PinMoved {
                source_id: locked.id.clone(),
                expected: locked.tree.clone(),
                actual: snapshot.tree,
            });
        }
        Ok(snapshot)
    }

    pub(crate) fn locked(&self, source: &str) -> Result<LockedSource, Error> {
        let id = self.find_source(source)?;
        let lock = self.lock()?;
        let locked = lock.get(&id).cloned();
        locked.ok_or_else(|| Error::UnknownSource {
            wanted: source.to_owned(),
            nearest: Vec::new(),
        })
    }

    /// Whether GitHub says that a source is at the commit that is locked: then nothing need be
    /// fetched, if the snapshot is whole.
    async fn same_commit(
        &self,
        locked: &LockedSource,
        reference: &SourceRef,
    ) -> Result<bool, Error> {
        let (SourceRef::GitHub(repo, git_ref), Some(commit)) = (reference, &locked.commit) else {
            return Ok(false);
        };
        if digest_of(&self.snapshot_dir(locked)).ok().as_ref() != Some(&locked.tree) {
            return Ok(false);
        }
        let audit = self.audit_of(&locked.id, None);
        let resolved = self.github(repo, &audit)?.resolve(git_ref.as_ref()).await?;
        Ok(resolved.commit == *commit && resolved.subdir == locked.subdir)
    }
}
