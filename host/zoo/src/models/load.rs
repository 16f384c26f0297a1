//! Loading downloaded models through their source's hook.

use std::path::PathBuf;

use modelzoo_model::plan::Plan;
use modelzoo_runtime::{Device, Model, PrecisionSpec};
use modelzoo_sandbox::LoadCall;
use serde_json::{Map, Value};

use super::Models;
use super::download::identity;
use crate::error::Error;
use crate::manifest::Deployment;
use crate::sources::fetch_list::manager_file;
use crate::store::audit::Event;
use crate::store::in_use::InUse;
use crate::store::{ModelRecord, Receipt};
use crate::translate::{TranslateError, Translated, translate, wants_half};

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
    /// Where results are kept until they are complete.
    pub(crate) results_dir: PathBuf,
    /// Nobody deletes the files meanwhile.
    _in_use: InUse,
}

/// A model that is not built yet.
struct Described {
    plan: Plan,
    /// The digest of the component that gave the plan, if one did.
    component: Option<String>,
    /// Whether it asks for half precision.
    half: bool,
}

/// What a manifest's configuration says about a model.
#[derive(Debug, PartialEq)]
struct Said {
    /// None where there is no configuration, or where it is for what this version has nothing for:
    /// the source's hook says then what the model is.
    plan: Option<Plan>,
    /// Whether it asks for half precision, which is known without the plan.
    half: bool,
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
            "device": self.model.device().to_string(),
            "precision": self.model.device().precision(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

impl LoadedModel {
    /// Takes embeddings from the output of the layer of this name, or from its input if the name
    /// follows a `<`.
    pub(super) fn set_embeddings_layer(&mut self, layer: &str) -> Result<(), Error> {
        Ok(self.model.set_embeddings_layer(layer)?)
    }
}

impl Models<'_> {
    /// Loads a downloaded model: asks its source's `load_model` hook for a plan, or translates the
    /// manifest's, and builds it on a device. `precision` decides between full and half precision,
    /// whatever `device` has; a manifest's configuration may say which of them
    /// [`PrecisionSpec::Auto`] is, also where the hook gives the plan.
    ///
    /// # Errors
    /// [`Error::NotDownloaded`]; [`Error::Hook`] when the hook fails, for example over a kwarg
    /// that it does not know; [`Error::Runtime`] when the device does not compute in half
    /// precision; [`Error::Build`] when the plan cannot be built.
    pub(crate) async fn load(
        &self,
        record: &ModelRecord,
        kwargs: Map<String, Value>,
        device: &Device,
        precision: PrecisionSpec,
    ) -> Result<LoadedModel, Error> {
        let in_use = InUse::hold(&record.dir);
        let (receipt, component, model) = self.build(record, &kwargs, device, precision).await?;
        Ok(LoadedModel {
            record: record.clone(),
            receipt,
            kwargs,
            model,
            component,
            results_dir: self.context.store.results_dir()?,
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
        precision: PrecisionSpec,
    ) -> Result<(Receipt, Option<String>, Model), Error> {
        for _ in 0..ATTEMPTS {
            let receipt = record.receipt().ok_or_else(|| Error::NotDownloaded {
                model: record.name(),
            })?;
            let before = receipt.marks(&record.dir);
            let described = self.described(record, kwargs).await?;
            let device = precision.on(device, described.half)?;
            let model = Model::build(&described.plan, &record.files_dir(), &device)
                .map_err(|source| self.unbuildable(record, source))?;
            if before.is_some() && receipt.marks(&record.dir) == before {
                return Ok((receipt, described.component, model));
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
        let audit = self
            .context
            .store
            .audit_log(&record.source.id, Some(record.name()));
        audit.record(&Event::Refused {
            reason: &error.to_string(),
        });
        error
    }

    /// What the manifest says about the model, or else its source's hook.
    async fn described(
        &self,
        record: &ModelRecord,
        kwargs: &Map<String, Value>,
    ) -> Result<Described, Error> {
        let Said { plan, half } = said(record, kwargs)?;
        if let Some(plan) = plan {
            return Ok(Described {
                plan,
                component: None,
                half,
            });
        }
        let component = self.component(record, false)?;
        let call = LoadCall {
            identity: &identity(record),
            model_name: &record.name(),
            model_path: &record.guest_path(),
            source_dir: &record.manifest_dir,
            model_dir: &record.files_dir(),
            kwargs,
            log: self.context.log_of(&record.source.id),
        };
        match self.context.engine()?.load_model(&component, call).await {
            Ok(modelzoo_sandbox::Loaded::Plan(plan)) => Ok(Described {
                plan,
                component: Some(component.info().sha256.clone()),
                half,
            }),
            Err(error) => {
                let audit = self
                    .context
                    .store
                    .audit_log(&record.source.id, Some(record.name()));
                audit.record(&Event::HookFailed {
                    hook: "load_model",
                    reason: &error.to_string(),
                });
                Err(error.into())
            }
        }
    }
}

/// What the manifest says about the model.
fn said(record: &ModelRecord, kwargs: &Map<String, Value>) -> Result<Said, Error> {
    let entry = &record.entry;
    let Some(deployment) = &entry.default_deployment_config_dict else {
        let (plan, half) = (None, false);
        return Ok(Said { plan, half });
    };
    let file = match (&entry.base_filename, &entry.manager) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(_)) => Some(manager_file(&record.entry)?),
        (None, None) => None,
    };
    let translated = translate(deployment, kwargs, file.as_ref(), &record.files_dir());
    or_hook(translated, deployment, record.component.is_some()).map_err(|source| Error::Translate {
        model: record.name(),
        source_id: record.source.id.clone(),
        source: Box::new(source),
    })
}

/// A source may serve FiftyOne by a configuration and us by a hook.
fn or_hook(
    translated: Result<Translated, TranslateError>,
    deployment: &Deployment,
    has_component: bool,
) -> Result<Said, TranslateError> {
    match translated {
        Ok(Translated { plan, half }) => Ok(Said {
            plan: Some(plan),
            half,
        }),
        Err(error) if error.is_unknown() && has_component => Ok(Said {
            plan: None,
            half: wants_half(deployment)?,
        }),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn said_by(config: Value, kwargs: Value, has_component: bool) -> Result<Said, TranslateError> {
        let deployment = Deployment {
            kind: "acme.models.OfItsOwn".to_owned(),
            config: serde_json::from_value(config).unwrap(),
        };
        let kwargs = serde_json::from_value(kwargs).unwrap();
        let translated = translate(&deployment, &kwargs, None, Path::new("nowhere"));
        or_hook(translated, &deployment, has_component)
    }

    #[test]
    fn half_precision_applies_to_a_plan_of_a_hook() {
        for (config, kwargs, half) in [
            (json!({"use_half_precision": true}), json!({}), true),
            (json!({"use_half_precision": false}), json!({}), false),
            (json!({"unknown": 1}), json!({}), false),
            // Keyword arguments are the hook's.
            (
                json!({"use_half_precision": true}),
                json!({"use_half_precision": false}),
                true,
            ),
            (json!({}), json!({"use_half_precision": "yes"}), false),
        ] {
            let said = said_by(config, kwargs, true).unwrap();
            assert_eq!(said, Said { plan: None, half });
        }
        let error = said_by(json!({"use_half_precision": "yes"}), json!({}), true).unwrap_err();
        assert!(
            error.to_string().starts_with("`use_half_precision`"),
            "{error}"
        );
        let error = said_by(json!({"use_half_precision": true}), json!({}), false).unwrap_err();
        assert!(error.to_string().contains("OfItsOwn"), "{error}");
    }
}
