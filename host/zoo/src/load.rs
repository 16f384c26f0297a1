//! Loading downloaded models through their source's hook.

use std::path::PathBuf;

use modelzoo_runtime::{Device, Model, Plan};
use modelzoo_sandbox::LoadCall;
use serde_json::{Map, Value};

use crate::Zoo;
use crate::audit::Event;
use crate::catalog::ModelRecord;
use crate::download::identity;
use crate::error::Error;
use crate::in_use::InUse;
use crate::managed::manager_file;
use crate::receipt::Receipt;
use crate::translate;

/// How often a model is built whose files another command replaces meanwhile.
const ATTEMPTS: u32 = 3;

/// A model that is ready to run.
pub struct LoadedModel {
    /// The model's record.
    pub record: ModelRecord,
    /// What it was built from.
    pub receipt: Receipt,
    /// The kwargs that its hook was given.
    pub kwargs: Map<String, Value>,
    /// The model, on its device.
    pub model: Model,
    /// The digest of the component whose hook described it; none where its manifest did.
    pub component: Option<String>,
    pub(crate) device: Device,
    /// Where results are kept until they are complete.
    pub(crate) results_dir: PathBuf,
    /// Nobody deletes the files meanwhile.
    _in_use: InUse,
}

impl LoadedModel {
    /// What the model is, as the hook or the manifest describes it.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.model.plan()
    }

    /// Where a label of this model comes from: what is recorded beside the labels.
    #[must_use]
    pub fn provenance(&self) -> Value {
        serde_json::json!({
            "model": self.record.name(),
            "source": self.record.source.id,
            "commit": self.record.source.commit,
            "tree": self.record.source.tree,
            "component": self.component,
            "model_digest": self.receipt.digest(),
            "kwargs": self.kwargs,
            "device": self.device.to_string(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

impl Zoo {
    /// Loads a downloaded model: asks its source's `load_model` hook for a plan and builds it.
    ///
    /// # Errors
    /// [`Error::NotDownloaded`]; [`Error::Hook`] when the hook fails, for example over a kwarg
    /// that it does not know; [`Error::Build`] when the plan cannot be built.
    pub async fn load(
        &self,
        record: &ModelRecord,
        kwargs: Map<String, Value>,
        device: &Device,
    ) -> Result<LoadedModel, Error> {
        let in_use = InUse::hold(&record.dir);
        let (receipt, component, model) = self.build(record, &kwargs, device).await?;
        Ok(LoadedModel {
            record: record.clone(),
            receipt,
            kwargs,
            model,
            component,
            device: device.clone(),
            results_dir: self.store().results_dir()?,
            _in_use: in_use,
        })
    }

    /// Builds the model from the files that its receipt lists, and no others.
    ///
    /// The files are opened by their names, and a link in the place of one would be followed. So
    /// what the names stand for must be the same before and after, and be no link.
    async fn build(
        &self,
        record: &ModelRecord,
        kwargs: &Map<String, Value>,
        device: &Device,
    ) -> Result<(Receipt, Option<String>, Model), Error> {
        for _ in 0..ATTEMPTS {
            let receipt = record.receipt().ok_or_else(|| Error::NotDownloaded {
                model: record.name(),
            })?;
            let before = receipt.marks(&record.dir);
            let (plan, component) = self.plan(record, kwargs).await?;
            let model = Model::build(&plan, &record.files_dir(), device)
                .map_err(|source| self.unbuildable(record, source))?;
            if before.is_some() && receipt.marks(&record.dir) == before {
                return Ok((receipt, component, model));
            }
        }
        Err(Error::ChangedMeanwhile {
            source_id: record.source.id.clone(),
        })
    }

    /// The error for a plan that makes no model; it is in the audit log, too.
    fn unbuildable(&self, record: &ModelRecord, source: modelzoo_runtime::Error) -> Error {
        let error = Error::Build {
            model: record.name(),
            source_id: record.source.id.clone(),
            source: Box::new(source),
        };
        let audit = self.audit_of(&record.source.id, Some(record.name()));
        audit.record(&Event::Refused {
            reason: &error.to_string(),
        });
        error
    }

    /// The plan, and the digest of the component that gave it, if one did.
    async fn plan(
        &self,
        record: &ModelRecord,
        kwargs: &Map<String, Value>,
    ) -> Result<(Plan, Option<String>), Error> {
        if let Some(deployment) = &record.entry.default_deployment_config_dict {
            let entry = &record.entry;
            let file = match (&entry.base_filename, &entry.manager) {
                (Some(file), _) => Some(file.clone()),
                (None, Some(_)) => Some(manager_file(record)?),
                (None, None) => None,
            };
            match translate::plan(deployment, kwargs, file.as_ref(), &record.files_dir()) {
                Ok(plan) => return Ok((plan, None)),
                // A source may serve the reference system by one and us by the other.
                Err(error) if error.is_unknown() && record.component.is_some() => {}
                Err(error) => return Err(Error::translate(record, error)),
            }
        }
        let component = self.component(record, false)?;
        let call = LoadCall {
            identity: &identity(record),
            model_name: &record.name(),
            model_path: &record.guest_path(),
            source_dir: &record.manifest_dir,
            model_dir: &record.files_dir(),
            kwargs,
            log: self.log_of(&record.source.id),
        };
        match self.engine()?.load_model(&component, call).await {
            Ok(modelzoo_sandbox::Loaded::Plan(plan)) => {
                Ok((plan, Some(component.info().sha256.clone())))
            }
            Ok(_) => Err(Error::NoHook {
                model: record.name(),
                download: false,
                reason: "its hook answers with what this version cannot run".into(),
            }),
            Err(error) => {
                let audit = self.audit_of(&record.source.id, Some(record.name()));
                audit.record(&Event::HookFailed {
                    hook: "load_model",
                    reason: &error.to_string(),
                });
                Err(error.into())
            }
        }
    }
}
