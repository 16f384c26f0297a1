//! What the host keeps for one running hook.

use std::sync::Arc;

use modelzoo_base::Remedy;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::interfaces::artifacts::Staging;
use crate::interfaces::fetch::Network;
use crate::interfaces::log::Messages;
use crate::interfaces::wasi::clocks::Clock;
use crate::interfaces::wasi::filesystem::Seen;
use crate::limits::Limits;
use crate::limits::budget::{Activity, Budget, Spending};
use crate::limits::limiter::Limiter;
use crate::limits::stop::{Limit, Stop};

/// The data of a store.
pub(crate) struct State {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) clock: Clock,
    pub(crate) seen: Seen,
    pub(crate) limiter: Limiter,
    pub(crate) messages: Messages,
    pub(crate) budget: Arc<Budget>,
    /// What only `download-model` has.
    pub(crate) download: Option<Download>,
}

/// The interfaces that only `download-model` has.
pub(crate) struct Download {
    pub(crate) network: Network,
    pub(crate) staging: Staging,
    pub(crate) refused: Refused,
}

/// The last error of each kind that the host answered with and that means more to it than the
/// text says: when the hook passes it on, the report can say more, too.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// A limit, with its value.
    pub(crate) limit: Option<(Limit, u64)>,
    /// What to do about a refusal of the network policy.
    pub(crate) remedy: Option<Remedy>,
}

impl State {
    /// The state of a hook that has used nothing yet.
    pub(crate) fn new(
        wasi: WasiCtx,
        messages: Messages,
        limits: &Limits,
        download: Option<Download>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources as usize);
        Self {
            wasi,
            table,
            clock: Clock::default(),
            seen: Seen::default(),
            limiter: Limiter::new(limits),
            messages,
            budget: Budget::new(limits),
            download,
        }
    }

    /// What `download-model` has; stops the guest where this is another hook.
    pub(crate) fn download(&mut self, interface: &str) -> wasmtime::Result<&mut Download> {
        self.download.as_mut().ok_or_else(|| {
            Stop::Forbidden {
                interface: format!("modelzoo:source/{interface}"),
                function: "a function of it".to_owned(),
            }
            .into()
        })
    }

    /// Takes the time of a host call from its own purse; stops the guest where that is empty.
    pub(crate) fn spend_on(&self, activity: Activity) -> wasmtime::Result<Spending> {
        self.budget
            .spend_on(activity)
            .ok_or_else(|| Stop::Time(activity).into())
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}
