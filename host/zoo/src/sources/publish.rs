//! Making a snapshot the registered one, and comparing it with the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::info::SourceInfo;
use super::registry::Registry;
use super::rollback::steps_back;
use super::snapshot::Snapshot;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::reference::SourceId;
use crate::store::files::hash_file;
use crate::store::snapshot::component_file;
use crate::store::{Changes, LockedSource, RegisterOutcome};

/// The pinned digests of models' files: by model, then by file.
type Pins = BTreeMap<String, BTreeMap<String, String>>;

impl Registry<'_> {
    /// Makes a snapshot the registered one. The one before stays for commands that read it, until
    /// the garbage is collected.
    pub(super) fn publish(
        &self,
        snapshot: &Snapshot,
        mut locked: LockedSource,
        before: Option<&LockedSource>,
    ) -> Result<LockedSource, Error> {
        let store = &self.context.store;
        let mut guard = store.change_lock()?;
        let current = guard.lock.get(&locked.id);
        unchanged(current, before, &locked.id)?;
        if let Some(current) = current {
            locked.keep_pins(self.pins_that_hold(current, snapshot))?;
        }
        // A snapshot is named after its contents: one that exists already is the same, unless its
        // files were changed.
        let intact = store.is_intact(&locked);
        store.publish_dir(&snapshot.root, &store.snapshot_dir(&locked), !intact)?;
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
        let store = &self.context.store;
        let root = store.snapshot_dir(locked);
        let manifests = store.manifests(locked).unwrap_or_default();
        manifests
            .iter()
            .filter_map(|(dir, manifest)| component_digest(&root.join(dir), manifest))
            .collect()
    }

    /// The pins that stay: those of models that the new snapshot describes as the old one does,
    /// with hooks of the same component.
    fn pins_that_hold(&self, current: &LockedSource, snapshot: &Snapshot) -> Pins {
        if current.tree == snapshot.tree {
            return current.artifacts.clone();
        }
        let store = &self.context.store;
        let before = store.manifests(current).unwrap_or_default();
        let root = store.snapshot_dir(current);
        let before = described(&before, |dir, manifest| {
            component_digest(&root.join(dir), manifest)
        });
        let after = described(&snapshot.manifests, |dir, manifest| {
            let (_, _, (_, sha256)) = snapshot.component(dir, manifest)?;
            Some(sha256.clone())
        });
        let holds = |model: &String| {
            before
                .get(model)
                .is_some_and(|was| after.get(model) == Some(was))
        };
        let mut pins = current.artifacts.clone();
        pins.retain(|model, _| holds(model));
        pins
    }
}

/// Each model of a snapshot, with its manifest entry and the digest of its component.
fn described(
    manifests: &[(String, Manifest)],
    component_digest: impl Fn(&str, &Manifest) -> Option<String>,
) -> BTreeMap<String, (Value, Option<String>)> {
    let mut models = BTreeMap::new();
    for (dir, manifest) in manifests {
        let component = component_digest(dir, manifest);
        for model in &manifest.models {
            models.insert(
                model.name().to_string(),
                (model.raw().clone(), component.clone()),
            );
        }
    }
    models
}

fn component_digest(dir: &Path, manifest: &Manifest) -> Option<String> {
    let (_, path) = component_file(dir, manifest)?;
    Some(hash_file(&path).ok()?.1)
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
