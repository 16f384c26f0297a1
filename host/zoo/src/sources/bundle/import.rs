//! Importing a bundle into the store.

use std::path::Path;

use serde::Serialize;

use super::unpack::{Bundle, Unpacked, foreign};
use crate::error::{BundleError, Error};
use crate::sources::grant::Grant;
use crate::sources::info::SourceInfo;
use crate::sources::register::Registered;
use crate::sources::registry::Registry;
use crate::store::audit::{Event, now};
use crate::store::lock::Pinning;
use crate::store::{LockedSource, Receipt, RegisterOutcome, sync_tree};

/// Options of importing a bundle.
#[derive(Default)]
pub struct ImportOptions<'a> {
    /// Replace a source that is registered with another tree, and models that are there.
    pub overwrite: bool,
    /// Pin the files of the bundle's models in place of those that were pinned, if they differ.
    pub accept_changes: bool,
    /// Who grants permissions.
    pub grant: Grant<'a>,
}

/// The result of importing a bundle.
#[derive(Debug, Clone, Serialize)]
pub struct Imported {
    /// What changed of the source.
    #[serde(flatten)]
    pub registered: Registered,
    /// The models, sorted by name.
    pub models: Vec<ImportedModel>,
}

/// A model of a bundle.
#[derive(Debug, Clone, Serialize)]
pub struct ImportedModel {
    /// The name with its version.
    pub name: String,
    /// Whether this call put it there; false if it was there before.
    pub fresh: bool,
}

impl Registry<'_> {
    /// Registers the source of a bundle, and puts its models into the store.
    pub(crate) fn import(
        &self,
        file: &Path,
        options: ImportOptions<'_>,
    ) -> Result<Imported, Error> {
        let bundle = Bundle::open(file, self.context.store.stage()?)?;
        let id = bundle.source.id.clone();
        self.import_opened(bundle, options).inspect_err(|error| {
            self.context.store.audit_log(&id, None).refused(error);
        })
    }

    fn import_opened(&self, bundle: Bundle, options: ImportOptions<'_>) -> Result<Imported, Error> {
        let ImportOptions {
            overwrite,
            accept_changes,
            grant,
        } = options;
        let pinning = match accept_changes {
            true => Pinning::Accept,
            false => Pinning::New,
        };
        let reference = self.reference_of(&bundle)?;
        let before = self.context.store.lock()?.get(&bundle.source.id).cloned();
        let same = before.as_ref().filter(|b| b.tree == bundle.source.tree);
        if let (Some(locked), None, false) = (&before, same, overwrite) {
            return Err(Error::Bundle(BundleError::OtherTree {
                source_id: locked.id.clone(),
                registered: locked.tree.clone(),
                bundled: bundle.source.tree.clone(),
            }));
        }
        self.check_modes(&bundle, same)?;
        if let Some(locked) = same.filter(|locked| !overwrite && self.has_all(locked, &bundle)) {
            let already = RegisterOutcome::AlreadyRegistered;
            return Ok(Imported {
                registered: self.registered_already(locked, grant, already)?,
                models: all_there(&bundle),
            });
        }
        let shown = bundle.file().display().to_string();
        self.context.store.check_room(shown, bundle.bytes)?;
        let source = bundle.source.clone();
        let file = bundle.file().to_owned();
        let unpacked = bundle.unpack()?;
        let manifests = &unpacked.snapshot.manifests;
        let components = self.check_components(&unpacked.snapshot)?;
        let info = before.as_ref().map(|locked| self.info(locked));
        let granted = self.decide(&source.id, manifests, info.as_ref(), grant)?;
        let digests = unpacked.snapshot.digests();
        let locked = match same {
            Some(same) => LockedSource {
                granted,
                digests,
                imported_models: source.imported_models,
                receipts: source.receipts,
                artifacts: source.artifacts,
                ..same.clone()
            },
            None => LockedSource {
                granted,
                digests,
                reference,
                registered: now(),
                ..source
            },
        };
        let (locked, models) = self.put(&unpacked, locked, before.as_ref(), overwrite, pinning)?;
        let after = SourceInfo::new(locked, manifests);
        let outcome = match &info {
            Some(before) if before.locked.tree == after.locked.tree => {
                match before.locked.granted == after.locked.granted {
                    true => RegisterOutcome::AlreadyRegistered,
                    false => RegisterOutcome::Granted,
                }
            }
            _ => self.outcome(info.as_ref(), &after, &components),
        };
        self.context
            .store
            .audit_log(&after.locked.id, None)
            .record(&Event::Imported {
                bundle: &file.to_string_lossy(),
                outcome: &outcome,
                tree: &after.locked.tree,
            });
        let registered = Registered {
            outcome,
            source: after,
            warnings: unpacked.snapshot.warnings(),
        };
        Ok(Imported { registered, models })
    }

    /// Makes what was unpacked visible.
    fn put(
        &self,
        unpacked: &Unpacked,
        locked: LockedSource,
        before: Option<&LockedSource>,
        overwrite: bool,
        pinning: Pinning,
    ) -> Result<(LockedSource, Vec<ImportedModel>), Error> {
        // A full disk is an error before anything becomes visible.
        for (_, staged) in &unpacked.models {
            sync_tree(staged)?;
        }
        unpacked.snapshot.settle()?;
        let mut guard = self.context.store.change_lock()?;
        let locked = self.publish_under(&mut guard, &unpacked.snapshot, locked, before, pinning);
        let locked = locked.map_err(|error| match error {
            Error::ArtifactChanged { model, changes, .. } => {
                BundleError::OtherFiles { model, changes }.into()
            }
            error => error,
        })?;
        let dir = self.context.store.models_dir(&locked.id.key());
        let mut models = Vec::new();
        for (model, staged) in &unpacked.models {
            let target = dir.join(&model.dir);
            let fresh = overwrite || !has_files(&target, &model.receipt);
            if fresh {
                if model.receipt.check_sizes(staged).is_err() {
                    return Err(Error::WorkLost {
                        what: model.receipt.model.clone(),
                    });
                }
                guard.publish_dir(staged, &target, true)?;
            }
            models.push(ImportedModel {
                name: model.receipt.model.clone(),
                fresh,
            });
        }
        drop(guard);
        self.record_grant(before.map(|b| &b.granted), &locked);
        for (model, _) in unpacked.models.iter().zip(&models).filter(|(_, m)| m.fresh) {
            let receipt = &model.0.receipt;
            let store = &self.context.store;
            let audit = store.audit_log(&receipt.source, Some(receipt.model.clone()));
            audit.record_files(receipt);
        }
        Ok((locked, models))
    }

    /// The reference of the source of a bundle. It is made from the id, so that a bundle cannot have
    /// a source updated from anywhere else.
    fn reference_of(&self, bundle: &Bundle) -> Result<String, Error> {
        let id = &bundle.source.id;
        let reference = self.parse_reference(id.as_str())?;
        match reference.id() == *id {
            true => Ok(reference.to_string()),
            false => Err(foreign(
                bundle.file(),
                format!("with the settings of this machine, {id} is another source"),
            )),
        }
    }

    /// Checks the import against the settings `locked` and `frozen`.
    fn check_modes(&self, bundle: &Bundle, same: Option<&LockedSource>) -> Result<(), Error> {
        let source_id = &bundle.source.id;
        if same.is_none() {
            self.check_not_locked(source_id)?;
        }
        let unpinned = |name: &&String| same.is_none_or(|s| !s.artifacts.contains_key(*name));
        let mut names = bundle.models.iter().map(|model| &model.receipt.model);
        match names.find(unpinned).filter(|_| self.context.config.frozen) {
            None => Ok(()),
            Some(model) => Err(Error::Frozen {
                model: model.clone(),
            }),
        }
    }

    /// Whether the store has everything in the bundle, and the snapshot is intact.
    fn has_all(&self, locked: &LockedSource, bundle: &Bundle) -> bool {
        let key = locked.id.key();
        bundle.models.iter().all(|model| {
            let receipt = &model.receipt;
            let dir = self.context.store.models_dir(&key).join(&model.dir);
            locked.receipts.get(&receipt.model) == Some(&receipt.sha256) && has_files(&dir, receipt)
        }) && self.context.store.is_intact(locked)
    }
}

/// Whether a model's directory has the files of a receipt.
fn has_files(dir: &Path, receipt: &Receipt) -> bool {
    Receipt::read(dir)
        .is_some_and(|there| there.sha256 == receipt.sha256 && there.check_sizes(dir).is_ok())
}

/// The models of a bundle, none of them new.
fn all_there(bundle: &Bundle) -> Vec<ImportedModel> {
    let model = |name: &String| ImportedModel {
        name: name.clone(),
        fresh: false,
    };
    let names = bundle.models.iter().map(|m| &m.receipt.model);
    names.map(model).collect()
}
