//! The two hooks: what they are called with, what they answer, and how one call runs.

pub(crate) mod hook_error;

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use modelzoo_archive::RelPath;
use modelzoo_net as net;
use modelzoo_model::plan::Plan;
use serde::{Deserialize, Serialize};
use wasmtime::{Store, UpdateDeadline};

use crate::confinement::Wall;
use crate::confinement::thread;
use crate::deployment;
use crate::engine::{Component, Engine};
use crate::events::{Ears, Teller, relay};
use crate::interfaces::artifacts::Staging;
use crate::interfaces::bindings::LoadedModel;
use crate::interfaces::bindings::source::types;
use crate::interfaces::fetch::Network;
use crate::interfaces::log::{Log, Messages};
use crate::interfaces::state::{Download, Refused, State};
use crate::interfaces::wasi;
use crate::limits::budget::{Activity, Budget};
use crate::limits::stop::Stop;
use crate::session::hook_error::{Hook, HookError, Site};

/// Whose hook it is, for errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The source, as the user knows it.
    pub source: String,
    /// The model, with its version.
    pub model: String,
}

/// A file that `download-model` left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its path relative to the model's directory.
    pub name: RelPath,
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 digest of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// A call of `download-model`.
pub struct DownloadCall<'a> {
    /// For errors.
    pub identity: &'a Identity,
    /// The model's name, with `@version` if it has one.
    pub model_name: &'a str,
    /// `/model/` and the manifest's `base_filename`.
    pub model_path: &'a str,
    /// The source's snapshot; the guest sees it as `/source`.
    pub source_dir: &'a Path,
    /// An empty directory on the store's file system that belongs to this call alone; the guest
    /// sees it as `/model`. After success it holds the artifacts and nothing else; after an
    /// error, whatever there was then.
    pub model_dir: &'a Path,
    /// Where the source's downloads that broke off are kept to be resumed. The hook's thread may
    /// write there, so it must be no other source's.
    pub partials: Option<&'a Path>,
    /// What the requests go through.
    pub client: &'a net::Client,
    /// What the user has granted to the source.
    pub permissions: &'a net::policy::Permissions,
    /// Whether the client's credentials go along, each to its own origin.
    pub use_credentials: bool,
    /// The manifest's `max_download_bytes`: how much the whole call may fetch.
    pub max_download_bytes: Option<u64>,
    /// Who is told of each request.
    pub audit: Arc<dyn net::Audit>,
    /// Who is told how far the downloads are.
    pub progress: Arc<dyn net::Progress>,
    /// Where messages go.
    pub log: Arc<dyn Log>,
}

/// A call of `load-model`.
pub struct LoadCall<'a> {
    /// For errors.
    pub identity: &'a Identity,
    /// The model's name, with `@version` if it has one.
    pub model_name: &'a str,
    /// `/model/` and the manifest's `base_filename`.
    pub model_path: &'a str,
    /// The source's snapshot; the guest sees it as `/source`.
    pub source_dir: &'a Path,
    /// The model's artifacts; the guest sees them as `/model`.
    pub model_dir: &'a Path,
    /// The user's keyword arguments.
    pub kwargs: &'a serde_json::Map<String, serde_json::Value>,
    /// Where messages go.
    pub log: Arc<dyn Log>,
}

/// What `load-model` answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Loaded {
    /// The host builds the model from a plan.
    Plan(Plan),
}

/// A call of a guest's function, and what it answers.
type Running<'a, T> =
    Pin<Box<dyn Future<Output = wasmtime::Result<Result<T, types::Error>>> + Send + 'a>>;

/// How a guest's run ended, and what is left of it.
struct Ran<T> {
    result: wasmtime::Result<Result<T, types::Error>>,
    /// The last lines that it printed.
    tail: Vec<String>,
    download: Option<Download>,
}

impl Engine {
    /// Runs `download-model`, and answers with the artifacts in the order of their names.
    ///
    /// Needs a Tokio runtime. The hook runs on a thread of its own, which on Linux can reach no file but those of the
    /// call ([`WallStatus`](crate::WallStatus)). `audit`, `progress` and `log` are called by the
    /// task that waits here. When this future is dropped the hook is stopped soon after, within
    /// 10 ms unless the host is in the middle of a call for it; `audit` is told of requests that
    /// this cancels, on another thread.
    ///
    /// # Errors
    ///
    /// See [`HookError`]. The engine and the component can go on being used after any of them.
    pub async fn download_model(
        &self,
        component: &Component,
        call: DownloadCall<'_>,
    ) -> Result<Vec<Artifact>, HookError> {
        let at = Site::new(call.identity, Hook::DownloadModel);
        let pre = component.download_hook().map_err(|source| {
            let at = at.clone();
            HookError::Component { at, source }
        })?;
        let (teller, listener) = relay(Ears {
            log: call.log.clone(),
            audit: call.audit.clone(),
            progress: call.progress.clone(),
        });
        let messages = Messages::new(teller.clone(), self.limits().log_bytes);
        let state = self.download_state(&call, messages, &teller, &at)?;
        let mut wall = Wall::new()
            .read(call.source_dir)
            .write(call.model_dir)
            .connect();
        if let Some(partials) = call.partials {
            std::fs::create_dir_all(partials).map_err(|source| HookError::Host {
                at: at.clone(),
                doing: "opening the directory of partial downloads".to_owned(),
                source,
            })?;
            wall = wall.write(partials);
        }
        read_certificates(&call, &at).await?;
        let pre = pre.clone();
        let [name, path] = [call.model_name, call.model_path].map(str::to_owned);

        let run = self.on_its_own(wall, state, |store| {
            Box::pin(async move {
                let hook = pre.instantiate_async(&mut *store).await?;
                hook.modelzoo_source_downloader()
                    .call_download_model(store, &name, &path)
                    .await
            })
        });
        let mut ran = listener.hear(run).await.map_err(|e| unstarted(&at, e))?;

        let refused = ran
            .download
            .as_mut()
            .map(|d| std::mem::take(&mut d.refused));
        let download = ran.download.take();
        self.answer(at.clone(), ran, refused)?;
        let staging = download.map(|d| d.staging).unwrap_or_default();
        match staging.verify(call.model_path) {
            Ok(Ok(())) => Ok(staging.list()),
            Ok(Err(reason)) => Err(HookError::BadAnswer { at, reason }),
            Err(source) => Err(HookError::Host {
                at,
                doing: "checking the artifacts".to_owned(),
                source,
            }),
        }
    }

    /// Runs `load-model`.
    ///
    /// The hook runs on a thread of its own, as that of [`download_model`](Self::download_model)
    /// does.
    ///
    /// # Errors
    ///
    /// See [`HookError`].
    pub async fn load_model(
        &self,
        component: &Component,
        call: LoadCall<'_>,
    ) -> Result<Loaded, HookError> {
        let at = Site::new(call.identity, Hook::LoadModel);
        let pre = component.load_hook().map_err(|source| {
            let at = at.clone();
            HookError::Component { at, source }
        })?;
        let host = |doing: &str, source: io::Error| HookError::Host {
            at: at.clone(),
            doing: doing.to_owned(),
            source,
        };
        let kwargs =
            serde_json::to_string(call.kwargs).map_err(|e| host("writing the kwargs", e.into()))?;
        let (teller, listener) = relay(Ears {
            log: call.log.clone(),
            audit: Arc::new(net::NoAudit),
            progress: Arc::new(net::NoProgress),
        });
        let messages = Messages::new(teller, self.limits().log_bytes);
        let wasi = wasi::context(call.source_dir, call.model_dir, &messages)
            .map_err(|e| host("opening the model's directory", io::Error::other(e)))?;
        let state = State::new(wasi, messages, self.limits(), None);
        let wall = Wall::new().read(call.source_dir).read(call.model_dir);
        let pre = pre.clone();
        let [name, path] = [call.model_name, call.model_path].map(str::to_owned);

        let run = self.on_its_own(wall, state, |store| {
            Box::pin(async move {
                let hook = pre.instantiate_async(&mut *store).await?;
                hook.modelzoo_source_loader()
                    .call_load_model(store, &name, &path, &kwargs)
                    .await
            })
        });
        let ran = listener.hear(run).await.map_err(|e| unstarted(&at, e))?;

        let LoadedModel::Deployment(plan) = self.answer(at.clone(), ran, None)?;
        match deployment::plan(plan, call.model_dir) {
            Ok(plan) => Ok(Loaded::Plan(plan)),
            Err(error) => Err(HookError::BadAnswer {
                at,
                reason: error.to_string(),
            }),
        }
    }

    fn download_state(
        &self,
        call: &DownloadCall<'_>,
        messages: Messages,
        teller: &Arc<Teller>,
        at: &Site,
    ) -> Result<State, HookError> {
        let host = |doing: &str, source: io::Error| HookError::Host {
            at: Box::new(at.clone()),
            doing: doing.to_owned(),
            source,
        };
        let staging = Staging::new(call.model_dir, call.source_dir, self.limits())
            .map_err(|e| host("opening the staging directory", e))?;
        let wasi = wasi::context(call.source_dir, call.model_dir, &messages)
            .map_err(|e| host("opening the staging directory", io::Error::other(e)))?;
        let download = Download {
            network: Network::new(call, self.limits(), teller),
            staging,
            refused: Refused::default(),
        };
        Ok(State::new(wasi, messages, self.limits(), Some(download)))
    }

    /// A store with all limits set, and the clock that runs with it.
    fn store(&self, state: State) -> (Store<State>, Arc<Budget>) {
        let limits = self.limits();
        let budget = state.budget.clone();
        let mut store = Store::new(self.wasmtime(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(usize::try_from(limits.hostcall_bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(limits.resources as usize);
        store.set_epoch_deadline(1);
        let clock = budget.clone();
        store.epoch_deadline_callback(move |_| {
            if clock.is_over() {
                Err(Stop::Time(Activity::Guest).into())
            } else {
                Ok(UpdateDeadline::Yield(1))
            }
        });
        (store, budget)
    }

    /// Runs a guest on a thread of its own, behind `wall`.
    async fn on_its_own<T: Send + 'static>(
        &self,
        wall: Wall,
        state: State,
        run: impl for<'a> FnOnce(&'a mut Store<State>) -> Running<'a, T> + Send + 'static,
    ) -> io::Result<Ran<T>> {
        let messages = state.messages.clone();
        let (mut store, budget) = self.store(state);
        // Not on the thread of the hook: the clock's own thread outlives it.
        let ticking = self.tick()?;
        thread::run(wall, async move {
            let result = within(&budget, run(&mut store)).await;
            drop(ticking);
            Ran {
                result,
                tail: messages.finish(),
                download: store.into_data().download,
            }
        })
        .await
    }

    /// What a hook answered, or why it did not.
    fn answer<T>(
        &self,
        at: Box<Site>,
        ran: Ran<T>,
        refused: Option<Refused>,
    ) -> Result<T, HookError> {
        match ran.result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(HookError::from_answer(at, error, refused)),
            Err(error) => {
                tracing::debug!("{at} was ended: {error:?}");
                Err(HookError::from_run(at, error, &ran.tail, self.limits()))
            }
        }
    }
}

/// Runs a guest until it is done or its time is over: between two instructions, as the store's
/// epoch tells, or while it waits for something.
async fn within<T>(
    budget: &Budget,
    run: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    tokio::select! {
        biased;
        result = run => result,
        () = budget.over() => Err(Stop::Time(Activity::Guest).into()),
    }
}

/// Reads the certificate authorities while they can be read: they may lie anywhere, and behind the
/// wall only the call's own files do.
async fn read_certificates(call: &DownloadCall<'_>, at: &Site) -> Result<(), HookError> {
    if call.permissions.is_empty() {
        return Ok(());
    }
    match call.client.read_certificates().await {
        Err(source) if call.client.needs_certificates(call.permissions) => Err(HookError::Host {
            at: Box::new(at.clone()),
            doing: "reading the certificate authorities".to_owned(),
            source: io::Error::other(source),
        }),
        // Plain `http` may be all that it needs; a proxy that needs them says so.
        Err(error) => {
            tracing::debug!("{at} goes without: {error}");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn unstarted(at: &Site, source: io::Error) -> HookError {
    HookError::Host {
        at: Box::new(at.clone()),
        doing: "starting the hook's thread".to_owned(),
        source,
    }
}
