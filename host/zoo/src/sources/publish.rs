//! Making a snapshot the registered one, and comparing it with the one before.

use std::collections::BTreeSet;

use super::info::SourceInfo;
use super::registry::Registry;
use super::rollback::steps_back;
use super::snapshot::Snapshot;
use crate::error::Error;
use crate::reference::SourceId;
use crate::store::lock::{LockGuard, Pinning};
use crate::store::snapshot::component_digest;
use crate::store::{Changes, LockedSource, RegisterOutcome};

impl Registry<'_> {
    /// Makes a snapshot the registered one. The one before stays for commands that read it, until
    /// the garbage is collected. `pinning` says whether pins of `locked` replace earlier ones.
    pub(super) fn publish(
        &self,
        snapshot: &Snapshot,
        locked: LockedSource,
        before: Option<&LockedSource>,
        pinning: Pinning,
    ) -> Result<LockedSource, Error> {
        snapshot.settle()?;
        let mut guard = self.context.store.change_lock()?;
        self.publish_under(&mut guard, snapshot, locked, before, pinning)
    }

    /// As [`Registry::publish`], for a snapshot that is on the disk.
    pub(super) fn publish_under(
        &self,
        guard: &mut LockGuard<'_>,
        snapshot: &Snapshot,
        mut locked: LockedSource,
        before: Option<&LockedSource>,
        pinning: Pinning,
    ) -> Result<LockedSource, Error> {
        let store = &self.context.store;
        let current = guard.lock.get(&locked.id);
        unchanged(current, before, &locked.id)?;
        if let Some(current) = current {
            let kept = self.with_pins_that_hold(current, snapshot, &locked);
            locked.keep_pins(&kept, pinning)?;
        }
        snapshot.check_whole()?;
        // A snapshot is named after its contents: one that exists already is the same, unless its
        // files were changed.
        let intact = store.is_intact(&locked);
        guard.publish_dir(&snapshot.root, &store.snapshot_dir(&locked), !intact)?;
        guard.lock.insert(locked.clone());
        guard.commit()?;
        Ok(locked)
    }

    /// How a source changed whose new components have these digests.
    pub(super) fn outcome(
        &self,
        before: Option<&SourceInfo>,
        after: &SourceInfo,
        components: &[String],
    ) -> RegisterOutcome {
        let Some(before) = before else {
            return RegisterOutcome::New;
        };
        let (old, new) = (&before.locked, &after.locked);
        if old.tree == new.tree && old.granted == new.granted {
            return RegisterOutcome::Unchanged;
        }
        let old_components = self.component_digests(old);
        let commits = old.commit.clone().zip(new.commit.clone());
        RegisterOutcome::Replaced(Changes {
            commit: commits.filter(|(old, new)| old != new),
            component: (old_components != components)
                .then(|| (old_components.join(","), components.join(","))),
            models_added: minus(&after.models, &before.models),
            models_removed: minus(&before.models, &after.models),
            permissions_added: after
                .asked
                .missing_from(&before.asked)
                .iter()
                .map(ToString::to_string)
                .collect(),
            rollback: steps_back(before, after),
        })
    }

    /// The digests of the components of a registered source.
    fn component_digests(&self, locked: &LockedSource) -> Vec<String> {
        let manifests = self.context.store.manifests(locked).unwrap_or_default();
        manifests
            .iter()
            .filter_map(|(dir, manifest)| component_digest(locked, dir, manifest))
            .collect()
    }

    /// The registered source with the pins that stay: those of models whose files the new snapshot
    /// would make in the same way.
    fn with_pins_that_hold(
        &self,
        current: &LockedSource,
        snapshot: &Snapshot,
        locked: &LockedSource,
    ) -> LockedSource {
        let mut kept = current.clone();
        if current.tree == snapshot.tree {
            return kept;
        }
        let before = self.context.store.manifests(current).unwrap_or_default();
        let before = current.makers(&before);
        let after = locked.makers(&snapshot.manifests);
        kept.retain_pins(|model| {
            let was = before.get(model);
            was.is_some() && after.get(model) == was
        });
        kept
    }
}

/// Fails if another process has changed a source since it was read. New pins are not a change.
pub(super) fn unchanged(
    current: Option<&LockedSource>,
    before: Option<&LockedSource>,
    id: &SourceId,
) -> Result<(), Error> {
    let same = match (current, before) {
        (Some(current), Some(before)) => {
            current.tree == before.tree && current.granted == before.granted
        }
        (current, before) => current.is_none() && before.is_none(),
    };
    match same {
        true => Ok(()),
        false => Err(Error::ChangedMeanwhile {
            source_id: id.clone(),
        }),
    }
}

fn minus(a: &[String], b: &[String]) -> Vec<String> {
    let b: BTreeSet<_> = b.iter().collect();
    a.iter().filter(|x| !b.contains(x)).cloned().collect()
}
