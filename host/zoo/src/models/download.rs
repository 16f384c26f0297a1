//! Downloading models through their source's hook, and deleting them.

use std::sync::Arc;

use modelzoo_sandbox::{Artifact, DownloadCall, Identity};

use crate::Zoo;
use crate::error::Error;
use crate::models::catalog::ModelRecord;
use crate::models::managed;
use crate::name::ModelQuery;
use crate::reference::{SourceId, SourceRef};
use crate::sources::grant::Grant;
use crate::sources::register::Replace;
use crate::store::audit::{AuditLog, Event, now};
use crate::store::files::{digest_of, read_capped};
use crate::store::in_use::Claim;
use crate::store::lock::record_artifacts;
use crate::store::receipt::{FILES, FORMAT, Receipt, ReceiptFile};

/// How to download.
pub struct DownloadOptions<'a> {
    /// The model, when a source was named rather than a model.
    pub model_name: Option<String>,
    /// The source that the model is looked for in.
    pub source: Option<String>,
    /// Download a model again that is downloaded already.
    pub overwrite: bool,
    /// Who grants permissions when a source is registered on the way.
    pub grant: Grant<'a>,
}

/// A downloaded model.
#[derive(Debug, Clone)]
pub struct Downloaded {
    /// The model.
    pub record: ModelRecord,
    /// What is there.
    pub receipt: Receipt,
    /// Whether it was downloaded now, rather than before.
    pub fresh: bool,
}

impl Zoo {
    /// Downloads a model. `name_or_source` is a model's name, or a reference to a source, which is
    /// registered if it is not.
    ///
    /// # Errors
    /// What [`Zoo::model`] and [`Zoo::register_source`] say, and whatever stops the hook. A model
    /// that was downloaded before is still there then.
    pub async fn download(
        &self,
        name_or_source: &str,
        options: DownloadOptions<'_>,
    ) -> Result<Downloaded, Error> {
        let overwrite = options.overwrite;
        // A source that cannot be restored matters only if nobody else has the model.
        let restored = self.restore_sources().await;
        let record = match self.choose(name_or_source, options).await {
            Err(unknown @ Error::UnknownModel { .. }) => {
                return Err(restored.err().unwrap_or(unknown));
            }
            chosen => chosen?,
        };
        self.download_record(record, overwrite).await
    }

    /// The model that was meant, with its source registered.
    async fn choose(
        &self,
        name_or_source: &str,
        options: DownloadOptions<'_>,
    ) -> Result<ModelRecord, Error> {
        let Some(source) = self.as_source(name_or_source, options.model_name.as_deref())? else {
            return self.model(name_or_source, options.source.as_deref());
        };
        let registered = self
            .register(&source, Replace::Never, options.grant)
            .await?;
        let id = registered.source.locked.id;
        let models = registered.source.models;
        match (options.model_name, models.as_slice()) {
            (Some(name), _) => self.model_in(&ModelQuery::parse(&name)?, &name, Some(&id)),
            (None, [only]) => self.model_in(&ModelQuery::parse(only)?, only, Some(&id)),
            (None, _) => Err(Error::ModelNotChosen {
                source_id: id,
                models,
            }),
        }
    }

    /// The reference that a text is, when it is no model's name.
    ///
    /// `user/repo` could be either: it is a source when a model is named beside it, or when such a
    /// source is registered and no model has that name.
    fn as_source(&self, text: &str, model_name: Option<&str>) -> Result<Option<SourceRef>, Error> {
        // `source:name` names a model, though it starts as a reference does.
        if let Ok(ModelQuery {
            source: Some(source),
            ..
        }) = ModelQuery::parse(text)
            && self.find_source(&source).is_ok()
        {
            return Ok(None);
        }
        if SourceRef::is_explicit(text) || model_name.is_some() {
            return self.parse_reference(text).map(Some);
        }
        match self.parse_reference(text) {
            Ok(reference) if self.lock()?.get(&reference.id()).is_some() => {
                let is_model = !matches!(self.model(text, None), Err(Error::UnknownModel { .. }));
                Ok((!is_model).then_some(reference))
            }
            _ => Ok(None),
        }
    }

    pub(crate) async fn download_record(
        &self,
        record: ModelRecord,
        overwrite: bool,
    ) -> Result<Downloaded, Error> {
        if let (Some(receipt), false) = (record.receipt(), overwrite) {
            return Ok(Downloaded {
                record,
                receipt,
                fresh: false,
            });
        }
        let audit = self.audit_of(&record.source.id, Some(record.name()));
        let refused = |error: &Error| {
            audit.record(&Event::Refused {
                reason: &error.to_string(),
            });
        };
        let staging = self.store().stage()?;
        self.check_room(&record).inspect_err(refused)?;
        let files = staging.path().join("model").join(FILES);
        crate::store::create_dir_all(&files)?;
        let (component, artifacts) = match managed::managed(&record)? {
            Some(wanted) => (
                None,
                self.fetch_artifacts(&record, &wanted, &files, &audit)
                    .await
                    .inspect_err(refused)?,
            ),
            None => self
                .run_hook(&record, &files, &audit)
                .await
                .inspect_err(|e| {
                    audit.record(&Event::HookFailed {
                        hook: "download_model",
                        reason: &e.to_string(),
                    });
                })?,
        };
        if artifacts.is_empty() {
            return Err(Error::NothingDownloaded {
                model: record.name(),
            });
        }
        let receipt = receipt(&record, component, artifacts);
        let staged = staging.path().join("model");
        receipt.write(&staged)?;
        record_artifacts(self.store(), &receipt, self.config().frozen).inspect_err(refused)?;
        for file in &receipt.files {
            audit.record(&Event::File {
                name: file.name.as_ref(),
                size: file.size,
                sha256: &file.sha256,
            });
        }
        // Something that is no whole model may be replaced; so may a model when that was asked
        // for. Otherwise another process was faster, and its copy is as good.
        let replace = overwrite || record.receipt().is_none();
        self.store().publish_dir(&staged, &record.dir, replace)?;
        let receipt = record.receipt().unwrap_or(receipt);
        Ok(Downloaded {
            record,
            receipt,
            fresh: true,
        })
    }

    /// Runs `download_model`; answers with the component's digest and the files.
    async fn run_hook(
        &self,
        record: &ModelRecord,
        files: &std::path::Path,
        audit: &AuditLog,
    ) -> Result<(Option<String>, Vec<Artifact>), Error> {
        let component = self.component(record, true)?;
        let partials = self.store().partials_dir(&record.source.id.key())?;
        let call = DownloadCall {
            identity: &identity(record),
            model_name: &record.name(),
            model_path: &record.guest_path(),
            source_dir: &record.manifest_dir,
            model_dir: files,
            partials: Some(&partials),
            client: self.client()?,
            permissions: &record.source.granted,
            use_credentials: false,
            max_download_bytes: record.max_download_bytes,
            audit: Arc::new(audit.for_call("download_model")),
            progress: self.shared_progress(),
            log: self.log_of(&record.source.id),
        };
        let artifacts = self.engine()?.download_model(&component, call).await?;
        Ok((Some(component.info().sha256.clone()), artifacts))
    }

    /// The component of a model's source, compiled, if it has the hook that is wanted.
    pub(crate) fn component(
        &self,
        record: &ModelRecord,
        download: bool,
    ) -> Result<modelzoo_sandbox::Component, Error> {
        let without = |reason: &str| Error::NoHook {
            model: record.name(),
            download,
            reason: reason.to_owned(),
        };
        let path = record
            .component
            .as_ref()
            .ok_or_else(|| without("its source has no component (source.wasm)"))?;
        let snapshot = self.snapshot_dir(&record.source);
        if digest_of(&snapshot)? != record.source.tree {
            return Err(Error::SnapshotChanged {
                source_id: record.source.id.clone(),
            });
        }
        let bytes = read_capped(path, self.config().limits.component_bytes)?;
        let component = self
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

    /// Deletes what was downloaded of a model; its source stays registered.
    ///
    /// # Errors
    /// [`Error::NotDownloaded`] when there is nothing to delete; [`Error::InUse`] when it is
    /// loaded; what [`Zoo::model`] says.
    pub fn delete(&self, name: &str, source: Option<&str>) -> Result<ModelRecord, Error> {
        let record = self.model(name, source)?;
        let _claim = Claim::take(&record.dir).ok_or_else(|| Error::InUse {
            models: vec![record.name()],
        })?;
        if self.store().remove_dir(&record.dir)? {
            self.audit_of(&record.source.id, Some(record.name()))
                .record(&Event::Deleted);
            Ok(record)
        } else {
            Err(Error::NotDownloaded {
                model: record.name(),
            })
        }
    }
}

pub(crate) fn identity(record: &ModelRecord) -> Identity {
    Identity {
        source: record.source.id.to_string(),
        model: record.name(),
    }
}

fn receipt(record: &ModelRecord, component: Option<String>, artifacts: Vec<Artifact>) -> Receipt {
    let source: SourceId = record.source.id.clone();
    Receipt {
        format: FORMAT,
        model: record.name(),
        source,
        commit: record.source.commit.clone(),
        tree: record.source.tree.clone(),
        component,
        downloaded: now(),
        files: artifacts
            .into_iter()
            .map(|a| ReceiptFile {
                name: a.name,
                size: a.size,
                sha256: a.sha256,
            })
            .collect(),
    }
}
