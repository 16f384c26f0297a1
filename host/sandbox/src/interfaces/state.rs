//! What the host holds for a guest: one type per phase.

use std::sync::Arc;

use wasmtime::{Store, component::InstancePre};

use super::artifacts::{ArtifactsView, Staging};
use super::bindings::{DownloadSource, DownloadSourcePre, LoadSource, LoadSourcePre};
use super::fetch::{FetchCtx, FetchView};
use super::log::{LogCtx, LogView};
use super::types::{RefusalCause, TypesView};
use super::wasi::WasiState;
use crate::limits::Limits;
use crate::limits::budget::Budget;
use crate::limits::limiter::StoreLimiter;

/// The data of a store: what every phase has, and what only phase `P` has.
pub(crate) struct State<P> {
    pub(crate) wasi: WasiState,
    pub(crate) log: LogCtx,
    pub(crate) limiter: StoreLimiter,
    /// The time of the running call.
    pub(crate) budget: Arc<Budget>,
    /// The causes of the running call's errors.
    pub(crate) last_refusal: RefusalCause,
    pub(crate) phase: P,
}

/// The phase of `download-model`: it has the network and the artifacts.
pub(crate) struct Download {
    pub(crate) fetch: FetchCtx,
    pub(crate) staging: Staging,
}

/// The phase of `load-model`: it has nothing but what every phase has.
pub(crate) struct Load;

/// A phase: the hook that a component exports for it.
pub(crate) trait Phase: Sized + Send + 'static {
    /// The exports of an instance.
    type Exports: Send + Sync;
    /// A component whose imports are linked and whose exports have the right types.
    type Linked: Clone + Send + Sync + 'static;

    /// Checks the types of the exports.
    fn check(linked: InstancePre<State<Self>>) -> wasmtime::Result<Self::Linked>;

    /// Makes an instance in `store`, which runs the component's start functions.
    fn instantiate(
        linked: &Self::Linked,
        store: &mut Store<State<Self>>,
    ) -> impl Future<Output = wasmtime::Result<Self::Exports>> + Send;
}

impl Phase for Download {
    type Exports = DownloadSource;
    type Linked = DownloadSourcePre<State<Self>>;

    fn check(linked: InstancePre<State<Self>>) -> wasmtime::Result<Self::Linked> {
        DownloadSourcePre::new(linked)
    }

    async fn instantiate(
        linked: &Self::Linked,
        store: &mut Store<State<Self>>,
    ) -> wasmtime::Result<Self::Exports> {
        linked.instantiate_async(store).await
    }
}

impl Phase for Load {
    type Exports = LoadSource;
    type Linked = LoadSourcePre<State<Self>>;

    fn check(linked: InstancePre<State<Self>>) -> wasmtime::Result<Self::Linked> {
        LoadSourcePre::new(linked)
    }

    async fn instantiate(
        linked: &Self::Linked,
        store: &mut Store<State<Self>>,
    ) -> wasmtime::Result<Self::Exports> {
        linked.instantiate_async(store).await
    }
}

impl<P> State<P> {
    /// The state of a guest that has used nothing yet.
    pub(crate) fn new(wasi: WasiState, log: LogCtx, limits: &Limits, phase: P) -> Self {
        Self {
            wasi,
            log,
            limiter: StoreLimiter::new(limits),
            budget: Budget::new(limits),
            last_refusal: RefusalCause::default(),
            phase,
        }
    }

    /// Starts a call: its time, its messages and its errors count from here.
    pub(crate) fn start_call(&mut self, limits: &Limits) {
        self.budget = Budget::new(limits);
        self.log.start_call(limits.log_bytes);
        self.last_refusal = RefusalCause::default();
    }

    pub(super) fn types(&mut self) -> TypesView<'_> {
        TypesView {
            last_refusal: &mut self.last_refusal,
        }
    }

    pub(super) fn log(&mut self) -> LogView<'_> {
        LogView { ctx: &self.log }
    }
}

impl State<Download> {
    pub(super) fn fetch(&mut self) -> FetchView<'_> {
        FetchView {
            ctx: &mut self.phase.fetch,
            staging: &mut self.phase.staging,
            budget: &self.budget,
            types: TypesView {
                last_refusal: &mut self.last_refusal,
            },
        }
    }

    pub(super) fn artifacts(&mut self) -> ArtifactsView<'_> {
        ArtifactsView {
            staging: &mut self.phase.staging,
            budget: &self.budget,
            types: TypesView {
                last_refusal: &mut self.last_refusal,
            },
        }
    }
}
