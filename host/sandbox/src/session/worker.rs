//! A guest on a confined thread of its own, which stays alive between calls.
//!
//! Each call has its own time, messages and errors; memory, tables and handles are limited for the
//! worker's whole life.

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use wasmtime::{Store, UpdateDeadline};

use super::hook_error::{HookError, Site};
use crate::confinement::{Confinement, thread};
use crate::engine::Engine;
use crate::engine::ticker::TickGuard;
use crate::events::EventReceiver;
use crate::interfaces::state::{Phase, State};
use crate::interfaces::types::{self, RefusalCause};
use crate::limits::Limits;
use crate::limits::budget::Budget;
use crate::limits::stop::{Activity, Stop};

/// Owns the thread of a guest and sends it calls. The first call starts the thread and makes the
/// instance; dropping the worker ends both, within 10 ms unless the host is in the middle of a
/// call for the guest.
pub(super) struct Worker<P: Phase> {
    engine: Engine,
    site: Box<Site>,
    calls: UnboundedSender<Call<P>>,
    events: EventReceiver,
    /// Completes when the thread has ended; `None` after that.
    thread: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send>>>,
}

/// A call on its way to the thread; breaks if the guest cannot be called again.
type Call<P> = Box<
    dyn for<'a> FnOnce(
            &'a mut Guest<P>,
        ) -> Pin<Box<dyn Future<Output = ControlFlow<()>> + Send + 'a>>
        + Send,
>;

/// What an exported function returns.
pub(super) type Returned<T> = wasmtime::Result<Result<T, types::Error>>;

/// A running exported function.
pub(super) type Running<'a, T> = Pin<Box<dyn Future<Output = Returned<T>> + Send + 'a>>;

/// How a call ended.
struct Outcome<T> {
    returned: Returned<T>,
    /// The last lines that the guest printed to standard error.
    tail: Vec<String>,
    last_refusal: RefusalCause,
}

impl<P: Phase> Worker<P> {
    /// A worker that has not started its thread yet.
    pub(super) fn new(
        engine: &Engine,
        site: Box<Site>,
        linked: P::Linked,
        state: State<P>,
        events: EventReceiver,
        confinement: Confinement,
    ) -> Self {
        let mut guest = Guest::new(engine, linked, state);
        let (calls, mut waiting) = unbounded_channel::<Call<P>>();
        let serve = async move {
            while let Some(call) = waiting.recv().await {
                if call(&mut guest).await.is_break() {
                    break;
                }
            }
        };
        Self {
            engine: engine.clone(),
            site,
            calls,
            events,
            thread: Some(Box::pin(thread::run(confinement, serve))),
        }
    }

    /// Calls an exported function and passes on the guest's events meanwhile.
    ///
    /// An error that the function returns leaves the guest alive. Every other error ends it, and
    /// so does dropping the returned future.
    ///
    /// # Errors
    ///
    /// See [`HookError`].
    pub(super) async fn call<T: Send + 'static>(
        &mut self,
        function: impl for<'a> FnOnce(&'a mut Store<State<P>>, &'a P::Exports) -> Running<'a, T>
        + Send
        + 'static,
    ) -> Result<T, HookError> {
        let Some(thread) = &mut self.thread else {
            return Err(HookError::Ended {
                at: self.site.clone(),
            });
        };
        // Started by the caller: the ticker's own thread outlives the guest's, and must not be
        // confined with it.
        let ticking = self.engine.tick().map_err(|e| not_started(&self.site, e))?;
        let (reply, mut received) = oneshot::channel();
        let call: Call<P> = Box::new(move |guest| Box::pin(guest.serve(function, reply, ticking)));
        // An error means that the thread has ended, as its future tells.
        let _ = self.calls.send(call);
        let (outcome, ended) = self
            .events
            .dispatch_while(async {
                tokio::select! {
                    biased;
                    Ok(outcome) = &mut received => (Some(outcome), None),
                    // The thread may have sent the outcome since, and then ended.
                    ended = thread => (received.try_recv().ok(), Some(ended)),
                }
            })
            .await;
        if ended.is_some() {
            self.thread = None;
        }
        match (outcome, ended) {
            (Some(outcome), _) => self.result(outcome),
            (None, Some(Err(source))) => Err(not_started(&self.site, source)),
            (None, Some(Ok(())) | None) => Err(HookError::Ended {
                at: self.site.clone(),
            }),
        }
    }

    /// The result of a function, or why there is none.
    fn result<T>(&self, outcome: Outcome<T>) -> Result<T, HookError> {
        let site = self.site.clone();
        match outcome.returned {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(HookError::from_guest(site, error, outcome.last_refusal)),
            Err(error) => {
                tracing::debug!("{site} was ended: {error:?}");
                let limits = self.engine.limits();
                Err(HookError::from_run(site, error, &outcome.tail, limits))
            }
        }
    }
}

fn not_started(site: &Site, source: io::Error) -> HookError {
    site.host_error("starting the hook's thread", source)
}

/// The thread's side: a store, and its instance once there is one.
struct Guest<P: Phase> {
    limits: Limits,
    store: Store<State<P>>,
    linked: P::Linked,
    exports: Option<P::Exports>,
}

impl<P: Phase> Guest<P> {
    /// A store with all limits set.
    fn new(engine: &Engine, linked: P::Linked, state: State<P>) -> Self {
        let limits = engine.limits().clone();
        let mut store = Store::new(engine.wasmtime(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(usize::try_from(limits.hostcall_bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(limits.resources as usize);
        store.epoch_deadline_callback(|context| {
            if context.data().budget.is_over() {
                Err(Stop::Time(Activity::Guest).into())
            } else {
                Ok(UpdateDeadline::Yield(1))
            }
        });
        Self {
            limits,
            store,
            linked,
            exports: None,
        }
    }

    /// Calls a function within the limits of a call, and sends the outcome.
    async fn serve<T: Send + 'static>(
        &mut self,
        function: impl for<'a> FnOnce(&'a mut Store<State<P>>, &'a P::Exports) -> Running<'a, T> + Send,
        mut reply: oneshot::Sender<Outcome<T>>,
        ticking: TickGuard,
    ) -> ControlFlow<()> {
        self.store.data_mut().start_call(&self.limits);
        self.store.set_epoch_deadline(1);
        let budget = self.store.data().budget.clone();
        let Self {
            store,
            linked,
            exports,
            ..
        } = self;
        let run = async {
            let exports = match exports {
                Some(exports) => exports,
                empty => empty.insert(P::instantiate(linked, store).await?),
            };
            function(store, exports).await
        };
        let returned = tokio::select! {
            biased;
            // The caller no longer waits.
            () = reply.closed() => return ControlFlow::Break(()),
            returned = within(&budget, run) => returned,
        };
        drop(ticking);
        let state = self.store.data_mut();
        let outcome = Outcome {
            returned,
            tail: state.log.finish_call(),
            last_refusal: std::mem::take(&mut state.last_refusal),
        };
        // A guest that was stopped in the middle cannot be entered again.
        let next = match outcome.returned {
            Ok(_) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        match reply.send(outcome) {
            Ok(()) => next,
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// Runs a guest until it returns or its time is over: between two instructions, when the store's
/// epoch changes, or while it waits for something.
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
