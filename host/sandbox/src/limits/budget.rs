//! The time that one hook call may take: three purses, one for each thing that time goes into.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::limits::Limits;

/// What the time of a hook call goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// The guest itself: [`Limits::wall`].
    Guest,
    /// `artifacts`: [`Limits::disk_wall`].
    Disk,
    /// `fetch`: [`Limits::network_wall`].
    Network,
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guest => "its own work",
            Self::Disk => "writing files",
            Self::Network => "the network",
        })
    }
}

/// How the time of one hook call is spent.
#[derive(Debug)]
pub(crate) struct Budget {
    clock: Mutex<Clock>,
    limits: Times,
    /// Told whenever the guest takes over again.
    resumed: Notify,
}

#[derive(Debug)]
struct Clock {
    doing: Activity,
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
        *self.spent.of(self.doing) += now.duration_since(self.since);
        self.since = now;
        self.doing = to;
    }
}

impl Budget {
    /// A full budget whose clock starts now.
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            clock: Mutex::new(Clock {
                doing: Activity::Guest,
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
        // Every statement leaves the clock right.
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the time from another purse until the answer is dropped. `None` where that purse
    /// is empty.
    pub(crate) fn spend_on(self: &Arc<Self>, activity: Activity) -> Option<Spending> {
        let mut clock = self.clock();
        if clock.spent.get(activity) >= self.limits.get(activity) {
            return None;
        }
        clock.switch(activity);
        Some(Spending(self.clone()))
    }

    /// What the guest has left; `None` while the host is working for it.
    fn guest_left(&self) -> Option<Duration> {
        let clock = self.clock();
        let spent = match clock.doing {
            Activity::Guest => clock.spent.guest + clock.since.elapsed(),
            Activity::Disk | Activity::Network => return None,
        };
        Some(self.limits.guest.saturating_sub(spent))
    }

    /// Whether the guest's time is up.
    pub(crate) fn is_over(&self) -> bool {
        self.guest_left() == Some(Duration::ZERO)
    }

    /// Returns when the guest's time is up. Never while the host is working for it.
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

/// Time is taken from another purse than the guest's while this lives.
pub(crate) struct Spending(Arc<Budget>);

impl Drop for Spending {
    fn drop(&mut self) {
        self.0.clock().switch(Activity::Guest);
        self.0.resumed.notify_one();
    }
}
