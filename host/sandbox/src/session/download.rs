//! `download-model`: one call, which leaves artifacts behind.

use std::io;
use std::path::Path;
use std::sync::Arc;

use modelzoo_net as net;

use super::hook_error::{Hook, HookError, Identity, Site};
use super::worker::Worker;
use crate::confinement::Confinement;
use crate::engine::{Component, Engine};
use crate::events::{self, EventSender, Log, Observers};
use crate::interfaces::artifacts::{Artifact, Staging};
use crate::interfaces::fetch::FetchCtx;
use crate::interfaces::log::LogCtx;
use crate::interfaces::state::{Download, State};
use crate::interfaces::wasi::WasiState;

/// A call of `download-model`.
pub struct DownloadCall<'a> {
    /// For errors.
    pub identity: &'a Identity,
    /// The model's name, with `@version` if it has one.
    pub model_name: &'a str,
    /// `/model/` and the manifest's `base_filename`.
    pub model_path: &'a str,
    /// The source's snapshot, the guest's `/source`.
    pub source_dir: &'a Path,
    /// The guest's `/model`: an empty directory on the store's file system that belongs to this
    /// call alone. After success it holds the artifacts and nothing else; after an error, whatever
    /// there was then.
    pub model_dir: &'a Path,
    /// Where the source's interrupted downloads are kept, to be resumed. The hook's thread may
    /// write there, so no other source may use it.
    pub partials: Option<&'a Path>,
    /// What sends the requests.
    pub client: &'a net::Client,
    /// What the user granted to the source.
    pub permissions: &'a net::policy::Permissions,
    /// Whether the client sends its credentials, each to its own origin.
    pub use_credentials: bool,
    /// The manifest's `max_download_bytes`: how much the whole call may fetch.
    pub max_download_bytes: Option<u64>,
    /// Receives each request.
    pub audit: Arc<dyn net::Audit>,
    /// Receives the progress of downloads.
    pub progress: Arc<dyn net::Progress>,
    /// Receives the messages.
    pub log: Arc<dyn Log>,
}

impl Engine {
    /// Runs `download-model`, and returns the artifacts in the order of their names.
    ///
    /// Needs a Tokio runtime. The hook runs on a thread of its own, which on Linux can reach no
    /// file except those of the call ([`ConfinementStatus`](crate::ConfinementStatus)). The task
    /// that waits here calls `audit`, `progress` and `log`. When this future is dropped the hook
    /// is stopped within 10 ms, unless the host is in the middle of a call for it; another thread
    /// tells `audit` of the requests that this cancels.
    ///
    /// # Errors
    ///
    /// See [`HookError`]. The engine and the component can be used again after any of them.
    pub async fn download_model(
        &self,
        component: &Component,
        call: DownloadCall<'_>,
    ) -> Result<Vec<Artifact>, HookError> {
        let site = Site::new(call.identity, Hook::DownloadModel);
        let linked = component
            .for_download()
            .map_err(|source| HookError::Component {
                at: site.clone(),
                source,
            })?;
        let (sender, events) = events::channel(Observers {
            log: call.log.clone(),
            audit: call.audit.clone(),
            progress: call.progress.clone(),
        });
        let state = self.download_state(&call, &sender, &site)?;
        drop(sender);
        let confinement = confinement(&call, &site)?;
        read_certificates(&call, &site).await?;
        let [name, path] = [call.model_name, call.model_path].map(str::to_owned);
        let linked = linked.clone();
        let mut worker = Worker::new(self, site.clone(), linked, state, events, confinement);
        let staging = worker
            .call(move |store, exports| {
                Box::pin(async move {
                    let hook = exports.modelzoo_source_downloader();
                    let returned = hook.call_download_model(&mut *store, &name, &path).await?;
                    let staging = &mut store.data_mut().phase.staging;
                    Ok(returned.map(|()| std::mem::take(staging)))
                })
            })
            .await?;
        match staging.verify(call.model_path) {
            Ok(Ok(())) => Ok(staging.list()),
            Ok(Err(reason)) => Err(HookError::BadAnswer { at: site, reason }),
            Err(source) => Err(site.host_error("checking the artifacts", source)),
        }
    }

    fn download_state(
        &self,
        call: &DownloadCall<'_>,
        events: &Arc<EventSender>,
        site: &Site,
    ) -> Result<State<Download>, HookError> {
        let failed = |source| site.host_error("opening the staging directory", source);
        let limits = self.limits();
        let log = LogCtx::new(events.clone(), limits.log_bytes);
        let staging = Staging::new(call.model_dir, call.source_dir, limits).map_err(failed)?;
        let wasi = WasiState::new(call.source_dir, call.model_dir, &log, limits)
            .map_err(|e| failed(io::Error::other(e)))?;
        let (client, permissions) = (call.client.clone(), call.permissions.clone());
        let fetch = FetchCtx::new(client, permissions, limits, events)
            .use_credentials(call.use_credentials)
            .partials(call.partials.map(Into::into))
            .max_bytes(call.max_download_bytes);
        Ok(State::new(wasi, log, limits, Download { fetch, staging }))
    }
}

/// The files and ports of the call; creates the directory of partial downloads.
fn confinement(call: &DownloadCall<'_>, site: &Site) -> Result<Confinement, HookError> {
    let confinement = Confinement::new()
        .allow_read(call.source_dir)
        .allow_write(call.model_dir)
        .allow_connect();
    let Some(partials) = call.partials else {
        return Ok(confinement);
    };
    std::fs::create_dir_all(partials)
        .map_err(|e| site.host_error("opening the directory of partial downloads", e))?;
    Ok(confinement.allow_write(partials))
}

/// Reads the certificate authorities before the thread is confined: they may be anywhere.
async fn read_certificates(call: &DownloadCall<'_>, site: &Site) -> Result<(), HookError> {
    if call.permissions.is_empty() {
        return Ok(());
    }
    match call.client.read_certificates().await {
        Err(source) if call.client.needs_certificates(call.permissions) => {
            let source = io::Error::other(source);
            Err(site.host_error("reading the certificate authorities", source))
        }
        // Plain `http` may be all that it needs; a proxy that needs certificates reports it.
        Err(error) => {
            tracing::debug!("{site} goes without certificates: {error}");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
