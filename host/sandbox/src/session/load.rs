//! `load-model`, in a session that lives as long as its caller keeps it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modelzoo_model::plan::Plan;
use modelzoo_net as net;
use serde_json::{Map, Value};

use super::hook_error::{Hook, HookError, Identity, Site};
use super::worker::Worker;
use crate::confinement::Confinement;
use crate::engine::{Component, Engine};
use crate::events::{self, Log, Observers};
use crate::interfaces::log::LogCtx;
use crate::interfaces::state::{Load, State};
use crate::interfaces::wasi::WasiState;
use crate::interfaces::{LoadedModel, deployment};

/// What a session is opened with.
pub struct SessionOptions<'a> {
    /// For errors.
    pub identity: &'a Identity,
    /// The model's name, with `@version` if it has one.
    pub model_name: &'a str,
    /// `/model/` and the manifest's `base_filename`.
    pub model_path: &'a str,
    /// The source's snapshot, the guest's `/source`.
    pub source_dir: &'a Path,
    /// The model's artifacts, the guest's `/model`.
    pub model_dir: &'a Path,
    /// Receives the messages.
    pub log: Arc<dyn Log>,
}

/// What `load-model` returns.
#[derive(Clone, Debug, PartialEq)]
pub enum Loaded {
    /// The host builds the model from a plan.
    Plan(Plan),
}

/// A guest that has one model's artifacts and stays alive between calls.
///
/// Each call has its own time and messages ([`Limits`](crate::Limits)); memory and handles are
/// limited for the whole session. The first call starts the guest, on a thread of its own, which
/// on Linux can reach no file except the source's and the model's
/// ([`ConfinementStatus`](crate::ConfinementStatus)). The session ends, and with it the guest and
/// its thread, when it is dropped, when a call fails with anything but
/// [`HookError::Guest`] or [`HookError::BadAnswer`], and when the future of a call is dropped.
/// Calls after that fail with [`HookError::Ended`].
///
/// ```no_run
/// # use modelzoo_sandbox::{Component, Engine, HookError, Loaded, SessionOptions};
/// # use serde_json::json;
/// # async fn load(
/// #     engine: &Engine,
/// #     component: &Component,
/// #     options: SessionOptions<'_>,
/// # ) -> Result<(), HookError> {
/// let mut session = engine.open_session(component, options)?;
/// for threshold in [0.2, 0.8] {
///     let mut kwargs = serde_json::Map::new();
///     kwargs.insert("confidence_thresh".to_owned(), json!(threshold));
///     let Loaded::Plan(plan) = session.load_model(&kwargs).await?;
///     println!("{}: {:?}", plan.architecture.name, plan.head);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Session {
    worker: Worker<Load>,
    site: Box<Site>,
    model_name: String,
    model_path: String,
    model_dir: PathBuf,
}

impl Engine {
    /// Opens a session with the guest of a component. Nothing of it runs yet.
    ///
    /// # Errors
    ///
    /// [`HookError::Component`] if the component has no `load-model` or cannot be linked,
    /// [`HookError::Host`] if a directory cannot be opened.
    pub fn open_session(
        &self,
        component: &Component,
        options: SessionOptions<'_>,
    ) -> Result<Session, HookError> {
        let site = Site::new(options.identity, Hook::LoadModel);
        let linked = component
            .for_load()
            .map_err(|source| HookError::Component {
                at: site.clone(),
                source,
            })?;
        let (sender, events) = events::channel(Observers {
            log: options.log,
            audit: Arc::new(net::NoAudit),
            progress: Arc::new(net::NoProgress),
        });
        let limits = self.limits();
        let log = LogCtx::new(sender, limits.log_bytes);
        let wasi = WasiState::new(options.source_dir, options.model_dir, &log, limits)
            .map_err(|e| site.host_error("opening the model's directory", io::Error::other(e)))?;
        let state = State::new(wasi, log, limits, Load);
        let confinement = Confinement::new()
            .allow_read(options.source_dir)
            .allow_read(options.model_dir);
        let linked = linked.clone();
        Ok(Session {
            worker: Worker::new(self, site.clone(), linked, state, events, confinement),
            site,
            model_name: options.model_name.to_owned(),
            model_path: options.model_path.to_owned(),
            model_dir: options.model_dir.to_owned(),
        })
    }
}

impl Session {
    /// Calls `load-model` with the user's keyword arguments. Needs a Tokio runtime. The task that
    /// waits here calls the session's log.
    ///
    /// # Errors
    ///
    /// See [`HookError`].
    pub async fn load_model(&mut self, kwargs: &Map<String, Value>) -> Result<Loaded, HookError> {
        let kwargs = serde_json::to_string(kwargs)
            .map_err(|e| self.site.host_error("writing the kwargs", e.into()))?;
        let (name, path) = (self.model_name.clone(), self.model_path.clone());
        let loaded = self
            .worker
            .call(move |store, exports| {
                Box::pin(async move {
                    let hook = exports.modelzoo_source_loader();
                    hook.call_load_model(store, &name, &path, &kwargs).await
                })
            })
            .await?;
        let LoadedModel::Deployment(plan) = loaded;
        match deployment::plan(plan, &self.model_dir) {
            Ok(plan) => Ok(Loaded::Plan(plan)),
            Err(error) => Err(HookError::BadAnswer {
                at: self.site.clone(),
                reason: error.to_string(),
            }),
        }
    }
}
