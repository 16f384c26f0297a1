//! The thread that interrupts running guests.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How often a running guest yields and the host checks its time.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// One thread that advances an engine's epoch while hooks run, and sleeps otherwise.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many hooks are running.
    running: usize,
    /// Whether the thread exists.
    started: bool,
    stopped: bool,
}

impl Ticker {
    /// A ticker with no thread yet; the first hook starts it.
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::default(),
        }
    }

    /// Ticks until the guard is dropped.
    pub(crate) fn run(&self, engine: &wasmtime::Engine) -> std::io::Result<TickGuard> {
        let mut state = lock(&self.shared);
        if !state.started {
            let shared = Arc::downgrade(&self.shared);
            let engine = engine.clone();
            std::thread::Builder::new()
                .name("modelzoo-ticker".to_owned())
                .spawn(move || tick(&shared, &engine))?;
            state.started = true;
        }
        state.running += 1;
        self.shared.changed.notify_all();
        Ok(TickGuard {
            shared: self.shared.clone(),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        lock(&self.shared).stopped = true;
        self.shared.changed.notify_all();
    }
}

/// The ticker runs while this lives.
pub(crate) struct TickGuard {
    shared: Arc<Shared>,
}

impl Drop for TickGuard {
    fn drop(&mut self) {
        lock(&self.shared).running -= 1;
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, State> {
    // The state is plain numbers, and valid after every statement.
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tick(shared: &Weak<Shared>, engine: &wasmtime::Engine) {
    while let Some(shared) = shared.upgrade() {
        let state = lock(&shared);
        let state = shared
            .changed
            .wait_while(state, |s| s.running == 0 && !s.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return;
        }
        drop(state);
        std::thread::sleep(TICK);
        engine.increment_epoch();
    }
}
