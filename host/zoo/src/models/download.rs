//! Downloading models, and deleting them.

use std::path::Path;
use std::sync::Arc;

use modelzoo_sandbox::{Artifact, Component, DownloadCall, Identity};

use super::catalog::Models;
use super::plausible;
use crate::error::Error;
use crate::name::ModelQuery;
use crate::reference::SourceRef;
use crate::sources::Grant;
use crate::sources::fetch_list::FetchList;
use crate::sources::reachable::Unreachable;
use crate::sources::register::Replace;
use crate::store::audit::{AuditLog, Event};
use crate::store::files::read_capped;
use crate::store::in_use::{Claim, InUse};
use crate::store::lock::Pinning;
use crate::store::receipt::{FILES, Receipt, ReceiptFile};
use crate::store::{
    FileChange, ModelRecord, RegisterOutcome, StoredModel, create_dir_all, sync_tree,
};

/// Options of downloading a model.
#[derive(Default)]
pub struct DownloadOptions<'a> {
    /// The model, if a source is named instead of a model.
    pub model_name: Option<String>,
    /// The source that declares the model.
    pub source: Option<String>,
    /// Download the model again if it is downloaded already.
    pub overwrite: bool,
    /// Download the model again, and pin its files in place of those that were pinned, if they
    /// differ.
    pub accept_changes: bool,
    /// Who grants permissions if the source has to be registered first.
    pub grant: Grant<'a>,
}

/// A downloaded model.
#[derive(Debug, Clone)]
pub struct Downloaded {
    /// The model.
    pub record: ModelRecord,
    /// Its files.
    pub receipt: Receipt,
    /// Whether this call downloaded it; false if it was downloaded before.
    pub fresh: bool,
    /// How its files differ from those that were pinned before, which they replace.
    pub changes: Vec<FileChange>,
}

/// How to download a model that may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refetch {
    /// Not at all, if it is.
    Never,
    /// Again; the files must be the pinned ones.
    Same,
    /// Again; other files than the pinned ones are accepted.
    Changed,
}

impl Models<'_> {
    /// Downloads a model. `name_or_source` is a model's name, or a reference to a source, which is
    /// registered if it is not.
    pub(crate) async fn download(
        &self,
        name_or_source: &str,
        options: DownloadOptions<'_>,
    ) -> Result<Downloaded, Error> {
        let refetch = match (options.accept_changes, options.overwrite) {
            (true, _) => Refetch::Changed,
            (false, true) => Refetch::Same,
            (false, false) => Refetch::Never,
        };
        let record = self.choose(name_or_source, options).await?;
        self.download_record(record, refetch).await
    }

    /// The model that is meant, with its source registered and restored.
    pub(super) async fn choose(
        &self,
        name_or_source: &str,
        options: DownloadOptions<'_>,
    ) -> Result<ModelRecord, Error> {
        // A source that cannot be restored matters only if no other source has the model.
        let restored = self.registry().restore_all().await;
        match self.choose_restored(name_or_source, options).await {
            Err(unknown @ Error::UnknownModel { .. }) => Err(restored.err().unwrap_or(unknown)),
            chosen => chosen,
        }
    }

    async fn choose_restored(
        &self,
        name_or_source: &str,
        options: DownloadOptions<'_>,
    ) -> Result<ModelRecord, Error> {
        let Some(source) = self.as_source(name_or_source, options.model_name.as_deref())? else {
            let record = self.find(name_or_source, options.source.as_deref())?;
            if !options.grant.is_explicit() {
                return Ok(record);
            }
            // What is granted with the name of a model is granted to its source.
            self.registry().registered_already(
                &record.source,
                options.grant,
                RegisterOutcome::AlreadyRegistered,
            )?;
            return self.find(name_or_source, options.source.as_deref());
        };
        let registered = self
            .registry()
            .register_reference(&source, Replace::Never, Unreachable::Refuse, options.grant)
            .await?;
        let store = &self.context.store;
        let id = registered.source.locked.id;
        let models = registered.source.models;
        match (options.model_name, models.as_slice()) {
            (Some(name), _) => store.find_model(&ModelQuery::parse(&name)?, &name, Some(&id)),
            (None, [only]) => store.find_model(&ModelQuery::parse(only)?, only, Some(&id)),
            (None, _) => Err(Error::ModelNotChosen {
                source_id: id,
                models,
            }),
        }
    }

    /// The reference that a text is, if it is not the name of a model.
    ///
    /// `user/repo` can be either: it is a source if a model is named too, or if such a source is
    /// registered and no model has that name.
    fn as_source(&self, text: &str, model_name: Option<&str>) -> Result<Option<SourceRef>, Error> {
        let registry = self.registry();
        // `source:name` names a model, although it starts like a reference.
        if let Ok(ModelQuery {
            source: Some(source),
            ..
        }) = ModelQuery::parse(text)
            && registry.find(&source).is_ok()
        {
            return Ok(None);
        }
        if SourceRef::is_explicit(text) || model_name.is_some() {
            return registry.parse_reference(text).map(Some);
        }
        match registry.parse_reference(text) {
            Ok(reference) if self.context.store.lock()?.get(&reference.id()).is_some() => {
                let is_model = !matches!(self.find(text, None), Err(Error::UnknownModel { .. }));
                Ok((!is_model).then_some(reference))
            }
            _ => Ok(None),
        }
    }

    pub(crate) async fn download_record(
        &self,
        mut record: ModelRecord,
        refetch: Refetch,
    ) -> Result<Downloaded, Error> {
        let stored = record.stored();
        if let (StoredModel::Complete(receipt), Refetch::Never) = (&stored, refetch) {
            let receipt = receipt.clone();
            return Ok(Downloaded {
                record,
                receipt,
                fresh: false,
                changes: Vec::new(),
            });
        }
        let audit = self.audit_of(&record);
        let pinning = self
            .pinning(&record, &stored, refetch)
            .inspect_err(|error| audit.refused(error))?;
        if let (Some(problem), Refetch::Never) = (stored.problem(), refetch) {
            tracing::warn!("{} is downloaded again: {problem}", record.name());
        }
        let staging = self.context.store.stage()?;
        self.check_room(&record)
            .inspect_err(|error| audit.refused(error))?;
        let staged = staging.path().join("model");
        let receipt = self.fetch(&record, &staged, &audit).await?;
        sync_tree(&staged)?;
        let mut guard = self.context.store.change_lock()?;
        if receipt.check_sizes(&staged).is_err() {
            return Err(Error::WorkLost {
                what: record.name(),
            });
        }
        let (source, changes) = guard
            .pin(&record.source.tree, &receipt, pinning)
            .inspect_err(|error| audit.refused(error))?;
        record.source = Arc::new(source);
        // An incomplete model is replaced, and so is a complete one on request. Otherwise another
        // process has published its copy first, which is as good.
        let replace = refetch != Refetch::Never || record.receipt().is_none();
        guard.publish_dir(&staged, &record.dir, replace)?;
        drop(guard);
        audit.record_files(&receipt);
        let receipt = record.receipt().unwrap_or(receipt);
        Ok(Downloaded {
            record,
            receipt,
            fresh: true,
            changes,
        })
    }

    /// What a download may pin. What cannot succeed fails before anything is fetched.
    fn pinning(
        &self,
        record: &ModelRecord,
        stored: &StoredModel,
        refetch: Refetch,
    ) -> Result<Pinning, Error> {
        let config = &self.context.config;
        if config.frozen {
            let is_pinned = record.source.pin(&record.name()).is_some();
            return match (is_pinned, stored) {
                (true, _) => Ok(Pinning::Frozen),
                (false, StoredModel::Outdated) => Err(record.outdated()),
                (false, _) => Err(Error::Frozen {
                    model: record.name(),
                }),
            };
        }
        match refetch {
            Refetch::Changed if config.locked => Err(Error::NotLocked {
                source_id: record.source.id.clone(),
            }),
            Refetch::Changed => Ok(Pinning::Accept),
            Refetch::Never | Refetch::Same => Ok(Pinning::New),
        }
    }

    /// Downloads the files of a model into a directory, checks what they are, and writes their
    /// receipt.
    async fn fetch(
        &self,
        record: &ModelRecord,
        staged: &Path,
        audit: &AuditLog,
    ) -> Result<Receipt, Error> {
        let files = staged.join(FILES);
        create_dir_all(&files)?;
        let list = FetchList::of(&record.entry, record.component.is_some(), &record.source.id)?;
        let artifacts = match list {
            Some(list) => self
                .fetch_artifacts(record, &list, &files, audit)
                .await
                .inspect_err(|error| audit.refused(error))?,
            None => {
                let made = self.run_hook(record, &files, audit).await;
                let made = made.inspect_err(|e| {
                    audit.record(&Event::HookFailed {
                        hook: "download_model",
                        reason: &e.to_string(),
                    });
                })?;
                plausible::check_made(record, &made, &files)
                    .inspect_err(|error| audit.refused(error))?;
                made
            }
        };
        if artifacts.is_empty() {
            return Err(Error::NothingDownloaded {
                model: record.name(),
            });
        }
        let receipt = receipt(record, artifacts);
        receipt.write(staged)?;
        Ok(receipt)
    }

    /// Runs `download_model`; returns the files.
    async fn run_hook(
        &self,
        record: &ModelRecord,
        files: &Path,
        audit: &AuditLog,
    ) -> Result<Vec<Artifact>, Error> {
        let store = &self.context.store;
        let _used = InUse::hold_snapshot(&store.snapshot_dir(&record.source));
        let component = self.component(record, true)?;
        let (partials, _held) = self.context.store.hold_partials(&record.source.id.key())?;
        let call = DownloadCall {
            identity: &identity(record),
            model_name: &record.name(),
            model_path: &record.guest_path(),
            source_dir: &record.manifest_dir,
            model_dir: files,
            partials: Some(&partials),
            client: self.context.client()?,
            permissions: &record.source.granted,
            use_credentials: false,
            max_download_bytes: record.max_download_bytes,
            audit: Arc::new(audit.for_call("download_model")),
            progress: Arc::clone(&self.context.progress),
            log: self.context.log_of(&record.source.id),
        };
        let engine = self.context.engine()?;
        Ok(engine.download_model(&component, call).await?)
    }

    /// The compiled component of a model's source, if it has the hook.
    pub(crate) fn component(
        &self,
        record: &ModelRecord,
        download: bool,
    ) -> Result<Component, Error> {
        let without = |reason: &str| Error::NoHook {
            model: record.name(),
            download,
            reason: reason.to_owned(),
        };
        let path = record
            .component
            .as_ref()
            .ok_or_else(|| without("its source has no component (source.wasm)"))?;
        if !self.context.store.is_intact(&record.source) {
            return Err(Error::SnapshotChanged {
                source_id: record.source.id.clone(),
            });
        }
        let bytes = read_capped(path, self.context.config.limits.component_bytes)?;
        let component = self
            .context
            .engine()?
            .load(&bytes)
            .map_err(|source| Error::Component {
                file: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                source,
            })?;
        match component.info().hooks {
            hooks if download && !hooks.download => {
                Err(without("its source exports no `downloader`"))
            }
            hooks if !download && !hooks.load => Err(without("its source exports no `loader`")),
            _ => Ok(component),
        }
    }

    /// Deletes the files of a model; its source stays registered.
    pub(crate) fn delete(&self, name: &str, source: Option<&str>) -> Result<ModelRecord, Error> {
        let store = &self.context.store;
        let record = self.find(name, source)?;
        let aside = store.stage()?;
        let guard = store.change_lock()?;
        let _claim = Claim::take(&record.dir).ok_or_else(|| Error::InUse {
            models: vec![record.name()],
        })?;
        if !guard.take_away(&record.dir, &aside, "model")? {
            return Err(Error::NotDownloaded {
                model: record.name(),
            });
        }
        drop(guard);
        aside
            .close()
            .map_err(|e| Error::io("remove", &record.dir, e))?;
        self.audit_of(&record).record(&Event::Deleted);
        Ok(record)
    }
}

pub(crate) fn identity(record: &ModelRecord) -> Identity {
    Identity {
        source: record.source.id.to_string(),
        model: record.name(),
    }
}

fn receipt(record: &ModelRecord, artifacts: Vec<Artifact>) -> Receipt {
    let files = artifacts.into_iter().map(|a| ReceiptFile {
        name: a.name,
        size: a.size,
        sha256: a.sha256,
    });
    Receipt::new(
        record.name(),
        record.source.id.clone(),
        record.maker.clone(),
        files.collect(),
    )
}
