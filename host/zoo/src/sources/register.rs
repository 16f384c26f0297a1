//! Registering sources, listing them, and letting them go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use modelzoo_base::nearest;
use modelzoo_net::policy::Permissions;
use serde::Serialize;
use serde_json::Value;

use crate::Zoo;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::models::catalog::component_file;
use crate::reference::{SourceId, SourceRef};
use crate::sources::acquire::Snapshot;
use crate::sources::grant::{Grant, asked};
use crate::sources::rollback::steps_back;
use crate::store::audit::{Event, now};
use crate::store::files::{digest_of, hash_file};
use crate::store::in_use::Claim;
use crate::store::lock::{Lock, LockedSource, Turn};

/// How to register.
pub struct RegisterOptions<'a> {
    /// Fetch a source anew that is registered already.
    pub overwrite: bool,
    /// Who grants permissions.
    pub grant: Grant<'a>,
}

/// What to do about a source that is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replace {
    /// Leave it as it is.
    Never,
    /// Fetch it anew, and replace it unless that would be a step back.
    Forward,
    /// Fetch it anew, and replace it.
    Always,
}

/// A registered source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceInfo {
    /// Everything that the lock says.
    #[serde(flatten)]
    pub locked: LockedSource,
    /// When somebody last asked where it comes from whether it has changed, by registering,
    /// updating or checking it (RFC 3339, UTC).
    pub checked: String,
    /// The permissions that its manifests declare.
    pub asked: Permissions,
    /// The names of its models, sorted.
    pub models: Vec<String>,
    /// Why its manifests cannot be read, if they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl SourceInfo {
    pub(crate) fn new(locked: LockedSource, manifests: &[(String, Manifest)]) -> Self {
        let mut models: Vec<String> = manifests
            .iter()
            .flat_map(|(_, manifest)| &manifest.models)
            .map(|model| model.name().to_string())
            .collect();
        models.sort();
        Self {
            checked: locked.registered.clone(),
            locked,
            asked: asked(manifests),
            models,
            problem: None,
        }
    }
}

/// What registering did.
#[derive(Debug, Clone, Serialize)]
pub struct Registered {
    /// The source as it is now.
    pub source: SourceInfo,
    /// What became of it.
    pub outcome: RegisterOutcome,
    /// What is odd about its manifests.
    pub warnings: Vec<String>,
}

/// What registering did to the store.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum RegisterOutcome {
    /// It was not registered before.
    New,
    /// It was registered before, and nothing was fetched.
    AlreadyRegistered,
    /// It was fetched anew and is the same.
    Unchanged,
    /// Nothing was fetched, and it has other permissions now.
    Granted,
    /// It was fetched anew and differs.
    Replaced(Changes),
}

/// How a source differs from what was registered.
#[derive(Debug, Clone, Serialize)]
pub struct Changes {
    /// The commit before and now.
    pub commit: Option<(String, String)>,
    /// The digest of its component (of all of them, with commas) before and now.
    pub component: Option<(String, String)>,
    /// Models that are new.
    pub models_added: Vec<String>,
    /// Models that are gone. What was downloaded of them stays until it is deleted.
    pub models_removed: Vec<String>,
    /// Permissions that are asked for anew.
    pub permissions_added: Vec<String>,
    /// Models that are gone altogether, or whose latest version is lower than it was, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rollback: Vec<String>,
}

impl Zoo {
    /// Registers what `reference` names: a directory, an archive, or a GitHub repository.
    ///
    /// Everything is fetched and checked first; then the source becomes visible at once.
    ///
    /// # Errors
    /// [`Error::PermissionNeeded`] when the source asks for more than is granted; otherwise
    /// whatever is wrong with the reference, the network or the source. The store is then as it
    /// was.
    pub async fn register_source(
        &self,
        reference: &str,
        options: RegisterOptions<'_>,
    ) -> Result<Registered, Error> {
        let text = reference;
        let reference = self.parse_reference(text)?;
        let replace = match options.overwrite {
            true => Replace::Always,
            false => Replace::Never,
        };
        let registered = self.register(&reference, replace, options.grant).await;
        registered.map_err(|error| match error {
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

    pub(crate) async fn register(
        &self,
        reference: &SourceRef,
        replace: Replace,
        grant: Grant<'_>,
    ) -> Result<Registered, Error> {
        let id = reference.id();
        let registered = self.register_as(&id, reference, replace, grant).await;
        let audit = self.audit_of(&id, None);
        match &registered {
            Ok(done) => audit.record(&Event::Registered {
                outcome: &done.outcome,
                tree: &done.source.locked.tree,
            }),
            Err(error) => audit.record(&Event::Refused {
                reason: &error.to_string(),
            }),
        }
        registered
    }

    async fn register_as(
        &self,
        id: &SourceId,
        reference: &SourceRef,
        replace: Replace,
        grant: Grant<'_>,
    ) -> Result<Registered, Error> {
        let before = self.lock()?.get(id).cloned();
        let overwrite = replace != Replace::Never;
        if self.config().locked && (before.is_none() || overwrite) {
            return Err(Error::NotLocked {
                source_id: id.clone(),
            });
        }
        if let (Some(locked), false) = (&before, overwrite) {
            self.restore(locked).await?;
            return self.registered_already(locked, grant, RegisterOutcome::AlreadyRegistered);
        }
        let before = before.map(|locked| self.source_info(&locked));
        let snapshot = self.acquire(reference).await?;
        let components = self.check_components(&snapshot)?;
        if let (Some(before), Replace::Forward) = (&before, replace) {
            let after = SourceInfo::new(before.locked.clone(), &snapshot.manifests);
            let steps = steps_back(before, &after);
            if !steps.is_empty() {
                return Err(Error::Rollback {
                    source_id: id.clone(),
                    steps,
                });
            }
        }
        let granted = self.decide(id, &snapshot.manifests, before.as_ref(), grant)?;
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
            registered: (before.as_ref().map(|b| &b.locked))
                .filter(|before| before.tree == snapshot.tree)
                .map_or_else(now, |before| before.registered.clone()),
            artifacts: BTreeMap::new(),
        };
        let locked = self.publish(&snapshot, locked, before.as_ref().map(|b| &b.locked))?;
        self.record_grant(before.as_ref().map(|b| &b.locked.granted), &locked);
        if before.is_some() {
            self.note_check(id);
        }
        let after = SourceInfo::new(locked, &snapshot.manifests);
        Ok(Registered {
            outcome: self.outcome(before.as_ref(), &after, &components),
            source: after,
            warnings: warnings(&snapshot),
        })
    }

    /// The answer for a source of which nothing need be fetched. Permissions that were given all
    /// the same are granted.
    pub(crate) fn registered_already(
        &self,
        locked: &LockedSource,
        grant: Grant<'_>,
        outcome: RegisterOutcome,
    ) -> Result<Registered, Error> {
        let mut info = self.source_info(locked);
        let mut outcome = outcome;
        if grant.is_explicit() && !self.config().locked {
            let manifests = self.manifests(locked)?;
            let granted = self.decide(&locked.id, &manifests, Some(&info), grant)?;
            if granted != locked.granted {
                let mut turn = Turn::wait(self.store())?;
                unchanged(turn.lock.get(&locked.id), Some(locked), &locked.id)?;
                info.locked.granted = granted;
                turn.lock.insert(info.locked.clone());
                turn.commit()?;
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

    /// The registered sources, sorted by id.
    ///
    /// # Errors
    /// When the lock cannot be read.
    pub fn list_sources(&self) -> Result<Vec<SourceInfo>, Error> {
        Ok(self
            .lock()?
            .sources()
            .iter()
            .map(|s| self.source_info(s))
            .collect())
    }

    /// Removes a source, its models, and nothing else.
    ///
    /// # Errors
    /// [`Error::UnknownSource`] when it is not registered; [`Error::InUse`] when one of its models
    /// is loaded. Everything is then as it was.
    pub fn delete_source(&self, reference: &str) -> Result<LockedSource, Error> {
        let id = self.find_source(reference)?;
        let key = id.key();
        let mut turn = Turn::wait(self.store())?;
        let removed = turn
            .lock
            .remove(&id)
            .ok_or_else(|| unknown_source(reference, &turn.lock))?;
        let models = self.store().models_dir(&key);
        let _claims = Claim::take_all(&models).map_err(|models| Error::InUse { models })?;
        turn.commit()?;
        self.store().remove_dir(&self.store().source_dir(&key))?;
        self.store().remove_dir(&models)?;
        self.forget_check(&id);
        self.audit_of(&id, None).record(&Event::Deleted);
        Ok(removed)
    }

    /// The id of a registered source, from any spelling of its reference, or from the id itself.
    pub(crate) fn find_source(&self, wanted: &str) -> Result<SourceId, Error> {
        let lock = self.lock()?;
        if let Some(source) = lock.sources().iter().find(|s| s.id.as_str() == wanted) {
            return Ok(source.id.clone());
        }
        match self.parse_reference(wanted) {
            Ok(reference) if lock.get(&reference.id()).is_some() => Ok(reference.id()),
            _ => Err(unknown_source(wanted, &lock)),
        }
    }

    /// A source as the lock and its manifests have it. One whose manifests cannot be read is
    /// still listed, replaced and deleted.
    pub(crate) fn source_info(&self, locked: &LockedSource) -> SourceInfo {
        match self.manifests(locked) {
            Ok(manifests) => SourceInfo {
                checked: self.last_check(locked),
                ..SourceInfo::new(locked.clone(), &manifests)
            },
            Err(error) => SourceInfo {
                checked: self.last_check(locked),
                asked: locked.granted.clone(),
                locked: locked.clone(),
                models: Vec::new(),
                problem: Some(error.to_string()),
            },
        }
    }

    /// What became of a source whose new components have these digests.
    pub(crate) fn outcome(
        &self,
        before: Option<&SourceInfo>,
        after: &SourceInfo,
        components: &[String],
    ) -> RegisterOutcome {
        let Some(before) = before else {
            return RegisterOutcome::New;
        };
        let old = self.manifests(&before.locked).unwrap_or_default();
        let dir = self.snapshot_dir(&before.locked);
        let old: Vec<String> = old
            .iter()
            .filter_map(|(at, manifest)| component_file(&dir.join(at), manifest))
            .filter_map(|(_, path)| hash_file(&path).ok())
            .map(|(_, sha256)| sha256)
            .collect();
        outcome(before, after, &old, components)
    }

    /// Makes a snapshot the one in force. The one before stays for those who are reading it, until
    /// [`Zoo::collect_garbage`].
    pub(crate) fn publish(
        &self,
        snapshot: &Snapshot,
        mut locked: LockedSource,
        before: Option<&LockedSource>,
    ) -> Result<LockedSource, Error> {
        let dir = self.snapshot_dir(&locked);
        let mut turn = Turn::wait(self.store())?;
        let current = turn.lock.get(&locked.id);
        unchanged(current, before, &locked.id)?;
        if let Some(current) = current {
            locked.keep_pins(self.pins_that_hold(current, snapshot))?;
        }
        // A snapshot is named after its contents: one that is there already is the same, unless
        // somebody has changed it.
        let intact = digest_of(&dir).is_ok_and(|tree| tree == locked.tree);
        self.store().publish_dir(&snapshot.root, &dir, !intact)?;
        turn.lock.insert(locked.clone());
        turn.commit()?;
        Ok(locked)
    }

    /// The digests that stay pinned: those of models that the new snapshot describes as the old one
    /// does, with hooks of the same component.
    fn pins_that_hold(
        &self,
        current: &LockedSource,
        snapshot: &Snapshot,
    ) -> BTreeMap<String, BTreeMap<String, String>> {
        if current.tree == snapshot.tree {
            return current.artifacts.clone();
        }
        let before = self.manifests(current).unwrap_or_default();
        let before = described(&self.snapshot_dir(current), &before);
        let after = described(&snapshot.root, &snapshot.manifests);
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

/// Each model of a snapshot, with what its manifest says of it and the digest of its component.
fn described(
    root: &Path,
    manifests: &[(String, Manifest)],
) -> BTreeMap<String, (Value, Option<String>)> {
    let mut models = BTreeMap::new();
    for (dir, manifest) in manifests {
        let component = component_file(&root.join(dir), manifest)
            .and_then(|(_, path)| hash_file(&path).ok())
            .map(|(_, sha256)| sha256);
        for model in &manifest.models {
            models.insert(
                model.name().to_string(),
                (model.raw().clone(), component.clone()),
            );
        }
    }
    models
}

/// Refuses to go on when another process has changed a source since it was read. What was pinned
/// meanwhile is no such change.
fn unchanged(
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

fn outcome(
    before: &SourceInfo,
    after: &SourceInfo,
    old_components: &[String],
    new_components: &[String],
) -> RegisterOutcome {
    if before.locked.tree == after.locked.tree && before.locked.granted == after.locked.granted {
        return RegisterOutcome::Unchanged;
    }
    let minus = |a: &[String], b: &[String]| -> Vec<String> {
        let b: BTreeSet<_> = b.iter().collect();
        a.iter().filter(|x| !b.contains(x)).cloned().collect()
    };
    let commits = before
        .locked
        .commit
        .clone()
        .zip(after.locked.commit.clone());
    RegisterOutcome::Replaced(Changes {
        commit: commits.filter(|(old, new)| old != new),
        component: (old_components != new_components)
            .then(|| (old_components.join(","), new_components.join(","))),
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

pub(crate) fn warnings(snapshot: &Snapshot) -> Vec<String> {
    snapshot
        .manifests
        .iter()
        .flat_map(|(dir, m)| m.warnings.iter().map(move |w| (dir, w)))
        .map(|(dir, warning)| match dir.as_str() {
            "." => format!("manifest.json: {warning}"),
            dir => format!("{dir}/manifest.json: {warning}"),
        })
        .collect()
}

fn unknown_source(wanted: &str, lock: &Lock) -> Error {
    let ids = lock.sources().iter().map(|s| s.id.as_str());
    Error::UnknownSource {
        wanted: wanted.to_owned(),
        nearest: nearest(wanted, ids),
    }
}
