//! `wasi:clocks` that reveal nothing: they are the same in every run.
//!
//! The wall clock stands still. The monotonic clock starts at zero and advances by one microsecond
//! per reading, so that a guest that polls it makes progress, and by the length of each sleep. A
//! sleep takes its real time, out of the guest's budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

/// The constant time of the wall clock: 2000-01-01T00:00:00Z, in seconds since 1970. Late enough
/// for the dates of archives and certificates to be valid.
const WALL_SECONDS: u64 = 946_684_800;

/// How far one reading advances the monotonic clock, in nanoseconds.
const STEP: u64 = 1000;

/// The monotonic clock's time in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    fn read(&self) -> u64 {
        self.0.fetch_add(STEP, Ordering::Relaxed)
    }
}

/// The clocks of a guest, borrowed for one call.
pub(crate) struct ClocksView<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) table: &'a mut ResourceTable,
}

/// [`ClocksView`] for a linker.
pub(crate) struct HasClocks;

impl HasData for HasClocks {
    type Data<'a> = ClocksView<'a>;
}

impl wall_clock::Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: WALL_SECONDS,
            nanoseconds: 0,
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: 1,
            nanoseconds: 0,
        })
    }
}

impl monotonic_clock::Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.clock.read())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(STEP)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.clock.read();
        self.sleep(when, when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, length: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.clock.read();
        self.sleep(now.saturating_add(length), length)
    }
}

impl ClocksView<'_> {
    /// A pollable that is ready after `length` nanoseconds, and advances the guest's clock to `until`.
    fn sleep(&mut self, until: u64, length: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let sleep = self.table.push(Sleep {
            clock: self.clock.clone(),
            until,
            end: tokio::time::Instant::now().checked_add(Duration::from_nanos(length)),
        })?;
        subscribe(self.table, sleep)
    }
}

struct Sleep {
    clock: Clock,
    until: u64,
    /// `None` if the end is too far away to be represented.
    end: Option<tokio::time::Instant>,
}

#[async_trait::async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        match self.end {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
        self.clock.0.fetch_max(self.until, Ordering::Relaxed);
    }
}
