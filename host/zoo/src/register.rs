//! Registering sources, listing them, and letting them go.

use std::collections::BTreeSet;

use modelzoo_net::policy::Permissions;
use serde::Serialize;

use crate::Zoo;
use crate::acquire::{Snapshot, digest_of, hash_file, read_capped};
use crate::audit::now;
use crate::catalog::component_file;
use crate::error::Error;
use crate::grant::{Grant, asked};
use crate::lock::{self, Lock, LockedSource};
use crate::manifest::Manifest;
use crate::reference::{SourceId, SourceRef};

/// How to register.
pub struct RegisterOptions<'a> {
    /// Fetch a source anew that is registered already.
    pub overwrite: bool,
    /// Who grants permissions.
    pub grant: Grant<'a>,
}

/// A registered source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceInfo {
    /// Everything that the lock says.
    #[serde(flatten)]
    pub locked: LockedSource,
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
    /// It was fetched anew and differs.
    Replaced(Changes),
}

/// How a source differs from what was registered.
#[derive(Debug, Clone, Serialize)]
pub struct Changes {
    /// The commit before and now.
    pub commit: Option<(String, String)>,
    /// Models that are new.
    pub models_added: Vec<String>,
    /// Models that are gone. What was downloaded of them stays until it is deleted.
    pub models_removed: Vec<String>,
    /// Permissions that are asked for anew.
    pub permissions_added: Vec<String>,
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
        let registered = self.register(&reference, options).await;
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
        options: RegisterOptions<'_>,
    ) -> Result<Registered, Error> {
        let id = reference.id();
        let before = self.lock()?.get(&id).cloned();
        if before.is_none() && self.config().locked {
            return Err(Error::NotLocked { source_id: id });
        }
        if let (Some(locked), false) = (&before, options.overwrite && !self.config().locked) {
            self.restore(locked).await?;
            return Ok(Registered {
                source: self.source_info(locked),
                outcome: RegisterOutcome::AlreadyRegistered,
                warnings: Vec::new(),
            });
        }
        let before = before.map(|locked| self.source_info(&locked));
        let snapshot = self.acquire(reference).await?;
        self.check_components(&snapshot)?;
        let granted = self.decide(&id, &snapshot, before.as_ref(), options.grant)?;
        let locked = LockedSource {
            id,
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
            registered: now(),
            artifacts: before
                .as_ref()
                .filter(|b| b.locked.tree == snapshot.tree)
                .map(|b| b.locked.artifacts.clone())
                .unwrap_or_default(),
        };
        self.publish(&snapshot, &locked)?;
        let after = SourceInfo::new(locked, &snapshot.manifests);
        Ok(Registered {
            outcome: outcome(before.as_ref(), &after),
            source: after,
            warnings: warnings(&snapshot),
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
    /// [`Error::UnknownSource`] when it is not registered.
    pub fn delete_source(&self, reference: &str) -> Result<LockedSource, Error> {
        let id = self.find_source(reference)?;
        let removed = lock::edit(self.store(), |lock| {
            lock.remove(&id)
                .ok_or_else(|| unknown_source(reference, lock))
        })?;
        let key = id.key();
        self.store().remove_dir(&self.store().source_dir(&key))?;
        self.store().remove_dir(&self.store().models_dir(&key))?;
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
            Ok(manifests) => SourceInfo::new(locked.clone(), &manifests),
            Err(error) => SourceInfo {
                asked: locked.granted.clone(),
                locked: locked.clone(),
                models: Vec::new(),
                problem: Some(error.to_string()),
            },
        }
    }

    /// Holds every component against its manifest and against what the sandbox supports.
    pub(crate) fn check_components(&self, snapshot: &Snapshot) -> Result<(), Error> {
        for (dir, manifest) in &snapshot.manifests {
            let Some((name, path)) = component_file(&snapshot.root.join(dir), manifest) else {
                continue;
            };
            let expected = manifest.component.as_ref().and_then(|c| c.sha256.clone());
            if let Some(expected) = expected {
                let (_, actual) = hash_file(&path)?;
                if !actual.eq_ignore_ascii_case(&expected) {
                    return Err(Error::ComponentDigest {
                        file: name,
                        expected,
                        actual,
                    });
                }
            }
            let limits = &self.config().limits;
            let bytes = read_capped(&path, limits.component_bytes)?;
            modelzoo_sandbox::inspect(&bytes, limits)
                .map_err(|source| Error::Component { file: name, source })?;
        }
        Ok(())
    }

    fn publish(&self, snapshot: &Snapshot, locked: &LockedSource) -> Result<(), Error> {
        let dir = self.snapshot_dir(locked);
        // A snapshot is named after its contents: one that is there already is the same, unless
        // somebody has changed it.
        let intact = digest_of(&dir).is_ok_and(|tree| tree == locked.tree);
        self.store().publish_dir(&snapshot.root, &dir, !intact)?;
        lock::edit(self.store(), |lock| {
            lock.insert(locked.clone());
            Ok(())
        })?;
        self.forget_other_snapshots(locked);
        Ok(())
    }

    /// Removes the snapshots that the lock no longer names. One that cannot be removed now only
    /// takes up room.
    fn forget_other_snapshots(&self, locked: &LockedSource) {
        let keep = self.snapshot_dir(locked);
        let all = std::fs::read_dir(self.store().source_dir(&locked.id.key()));
        for entry in all.into_iter().flatten().flatten() {
            if entry.path() != keep
                && let Err(error) = self.store().remove_dir(&entry.path())
            {
                tracing::warn!(%error, "an old snapshot stays");
            }
        }
    }
}

pub(crate) fn outcome(before: Option<&SourceInfo>, after: &SourceInfo) -> RegisterOutcome {
    let Some(before) = before else {
        return RegisterOutcome::New;
    };
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
        models_added: minus(&after.models, &before.models),
        models_removed: minus(&before.models, &after.models),
        permissions_added: after
            .asked
            .missing_from(&before.asked)
            .iter()
            .map(ToString::to_string)
            .collect(),
    })
}

fn warnings(snapshot: &Snapshot) -> Vec<String> {
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
        nearest: crate::name::nearest(ids, wanted),
    }
}
