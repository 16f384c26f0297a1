//! The time that one hook call may take: a budget for each [`Activity`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Limits;
use super::stop::{Activity, Stop};

/// The time budgets of one hook call.
#[derive(Debug)]
pub(crate) struct Budget {
    clock: Mutex<Clock>,
    limits: Times,
    /// Notified whenever the guest runs again.
    resumed: Notify,
}

#[derive(Debug)]
struct Clock {
    current: Activity,
    since: Instant,
    spent: Times,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    guest: Duration,
    disk: Duration,
    network: Duration,
}

impl Times {
    fn of(&mut self, activity: Activity) -> &mut Duration {
        match activity {
            Activity::Guest => &mut self.guest,
            Activity::Disk => &mut self.disk,
            Activity::Network => &mut self.network,
        }
    }

    fn get(mut self, activity: Activity) -> Duration {
        *self.of(activity)
    }
}

impl Clock {
    fn switch(&mut self, to: Activity) {
        let now = Instant::now();
        *self.spent.of(self.current) += now.duration_since(self.since);
        self.since = now;
        self.current = to;
    }
}

impl Budget {
    /// A full budget whose clock starts now.
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            clock: Mutex::new(Clock {
                current: Activity::Guest,
                since: Instant::now(),
                spent: Times::default(),
            }),
            limits: Times {
                guest: limits.wall,
                disk: limits.disk_wall,
                network: limits.network_wall,
            },
            resumed: Notify::new(),
        })
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        // Every statement leaves the clock in a valid state.
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges the time to `activity`, instead of to the guest, until the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`Stop::Time`] when the budget of `activity` is used up.
    pub(crate) fn charge(self: &Arc<Self>, activity: Activity) -> Result<ChargeGuard, Stop> {
        let mut clock = self.clock();
        if clock.spent.get(activity) >= self.limits.get(activity) {
            return Err(Stop::Time(activity));
        }
        clock.switch(activity);
        Ok(ChargeGuard(self.clone()))
    }

    /// The guest's remaining time; `None` while the host works for it.
    fn guest_left(&self) -> Option<Duration> {
        let clock = self.clock();
        let spent = match clock.current {
            Activity::Guest => clock.spent.guest + clock.since.elapsed(),
            Activity::Disk | Activity::Network => return None,
        };
        Some(self.limits.guest.saturating_sub(spent))
    }

    /// Whether the guest's time is up.
    pub(crate) fn is_over(&self) -> bool {
        self.guest_left() == Some(Duration::ZERO)
    }

    /// Returns when the guest's time is up; never while the host works for it.
    pub(crate) async fn over(&self) {
        loop {
            match self.guest_left() {
                Some(Duration::ZERO) => return,
                Some(left) => tokio::time::sleep(left).await,
                None => self.resumed.notified().await,
            }
        }
    }
}

/// Time is charged to another activity than the guest while this lives.
pub(crate) struct ChargeGuard(Arc<Budget>);

impl Drop for ChargeGuard {
    fn drop(&mut self) {
        self.0.clock().switch(Activity::Guest);
        self.0.resumed.notify_one();
    }
}
