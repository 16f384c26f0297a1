//! Building a downloaded model from its plan.

use modelzoo_model::plan::Plan;
use modelzoo_runtime::{Device, Model, PrecisionSpec};
use modelzoo_sandbox::{Loaded, SessionOptions};
use serde_json::{Map, Value};

use super::catalog::Models;
use super::download::identity;
use super::loaded::LoadedModel;
use crate::error::Error;
use crate::manifest::Deployment;
use crate::sources::fetch_list::manager_file;
use crate::store::audit::Event;
use crate::store::in_use::InUse;
use crate::store::{ModelRecord, Receipt};
use crate::translate::{TranslateError, Translated, translate, wants_half};

/// How often to build a model whose files another command replaces meanwhile.
const ATTEMPTS: u32 = 3;

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
struct Configured {
    /// None if there is no configuration, or this version does not support it: then the source's
    /// hook gives the plan.
    plan: Option<Plan>,
    /// Whether it asks for half precision, which is known without the plan.
    half: bool,
}

impl Models<'_> {
    /// Loads a downloaded model: asks its source's `load_model` hook for a plan, or translates the
    /// manifest's, and builds it on a device. `precision` decides between full and half precision,
    /// whatever `device` has; a manifest's configuration may say which of them
    /// [`PrecisionSpec::Auto`] is, also where the hook gives the plan.
    ///
    /// # Errors
    /// As [`ModelRecord::require`]; [`Error::Hook`] when the hook fails, for example over a kwarg
    /// that it does not know; [`Error::Runtime`] when the device does not compute in half
    /// precision; [`Error::Build`] when the plan cannot be built.
    pub(crate) async fn load(
        &self,
        record: &ModelRecord,
        kwargs: Map<String, Value>,
        device: &Device,
        precision: PrecisionSpec,
    ) -> Result<LoadedModel, Error> {
        let snapshot = self.context.store.snapshot_dir(&record.source);
        let in_use = [InUse::hold(&record.dir), InUse::hold_snapshot(&snapshot)];
        let (receipt, component, model) = self.build(record, &kwargs, device, precision).await?;
        Ok(LoadedModel {
            record: record.clone(),
            receipt,
            kwargs,
            plan: model.plan().clone(),
            device: model.device().clone(),
            model: Box::new(model),
            component,
            results_dir: self.context.store.results_dir()?,
            _in_use: in_use,
        })
    }

    /// Builds the model from the files that its receipt lists, and no others.
    ///
    /// The files are opened by name, which follows links. So the names must stand for the same files
    /// before and after, and none of them may be a link.
    async fn build(
        &self,
        record: &ModelRecord,
        kwargs: &Map<String, Value>,
        device: &Device,
        precision: PrecisionSpec,
    ) -> Result<(Receipt, Option<String>, Model), Error> {
        for _ in 0..ATTEMPTS {
            let receipt = record.require()?;
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

    /// The error for a plan that cannot be built; it is also recorded in the audit log.
    fn unbuildable(&self, record: &ModelRecord, source: modelzoo_runtime::Error) -> Error {
        let error = Error::Build {
            model: record.name(),
            source_id: record.source.id.clone(),
            source: Box::new(source),
        };
        self.audit_of(record).refused(&error);
        error
    }

    /// What the manifest says about the model, or else its source's hook.
    async fn described(
        &self,
        record: &ModelRecord,
        kwargs: &Map<String, Value>,
    ) -> Result<Described, Error> {
        let Configured { plan, half } = configured(record, kwargs)?;
        if let Some(plan) = plan {
            return Ok(Described {
                plan,
                component: None,
                half,
            });
        }
        let component = self.component(record, false)?;
        let options = SessionOptions {
            identity: &identity(record),
            model_name: &record.name(),
            model_path: &record.guest_path(),
            source_dir: &record.manifest_dir,
            model_dir: &record.files_dir(),
            log: self.context.log_of(&record.source.id),
        };
        let loaded = match self.context.engine()?.open_session(&component, options) {
            Ok(mut session) => session.load_model(kwargs).await,
            Err(error) => Err(error),
        };
        match loaded {
            Ok(Loaded::Plan(plan)) => Ok(Described {
                plan,
                component: Some(component.info().sha256.clone()),
                half,
            }),
            Err(error) => {
                self.audit_of(record).record(&Event::HookFailed {
                    hook: "load_model",
                    reason: &error.to_string(),
                });
                Err(error.into())
            }
        }
    }
}

/// What the manifest says about the model.
fn configured(record: &ModelRecord, kwargs: &Map<String, Value>) -> Result<Configured, Error> {
    let entry = &record.entry;
    let Some(deployment) = &entry.default_deployment_config_dict else {
        let (plan, half) = (None, false);
        return Ok(Configured { plan, half });
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

/// A source may have a configuration for FiftyOne and a hook for modelzoo.
fn or_hook(
    translated: Result<Translated, TranslateError>,
    deployment: &Deployment,
    has_component: bool,
) -> Result<Configured, TranslateError> {
    match translated {
        Ok(Translated { plan, half }) => Ok(Configured {
            plan: Some(plan),
            half,
        }),
        Err(error) if error.is_unknown() && has_component => Ok(Configured {
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

    fn configured_by(
        config: Value,
        kwargs: Value,
        has_component: bool,
    ) -> Result<Configured, TranslateError> {
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
            let configured = configured_by(config, kwargs, true).unwrap();
            assert_eq!(configured, Configured { plan: None, half });
        }
        let error =
            configured_by(json!({"use_half_precision": "yes"}), json!({}), true).unwrap_err();
        assert!(
            error.to_string().starts_with("`use_half_precision`"),
            "{error}"
        );
        let error =
            configured_by(json!({"use_half_precision": true}), json!({}), false).unwrap_err();
        assert!(error.to_string().contains("OfItsOwn"), "{error}");
    }
}
