//! When to try again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::config::Config;
use crate::error::Error;
use crate::exchange::Deadline;

const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counts attempts that brought nothing.
pub(crate) struct Retries<'a> {
    config: &'a Config,
    used: u32,
}

impl<'a> Retries<'a> {
    pub(crate) fn new(config: &'a Config) -> Self {
        Self { config, used: 0 }
    }

    /// Something came: the next failure counts as the first.
    pub(crate) fn progress(&mut self) {
        self.used = 0;
    }

    /// Waits for the right time to try again; gives the error back when that makes no sense.
    pub(crate) async fn pause(&mut self, error: Error, deadline: Deadline) -> Result<(), Error> {
        if !error.is_transient() || self.used >= self.limit(&error) {
            return Err(error);
        }
        let Some(pause) = self.next_pause(&error) else {
            return Err(error);
        };
        self.used += 1;
        tracing::debug!(%error, ?pause, "trying again");
        if deadline.sleep(pause).await {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// A name that is misspelled stays so: one more lookup is enough.
    fn limit(&self, error: &Error) -> u32 {
        match error {
            Error::Resolve { .. } => self.config.retries.min(1),
            _ => self.config.retries,
        }
    }

    /// `None` when the server asks for more patience than there is.
    fn next_pause(&self, error: &Error) -> Option<Duration> {
        let doubled = self.config.backoff.saturating_mul(1 << self.used.min(16));
        // Many clients that failed together should not come back together: between half and all.
        let random = RandomState::new().hash_one(self.used) % 1000;
        let jitter = doubled
            .min(LONGEST_PAUSE)
            .mul_f64(0.5 + random as f64 / 2000.0);
        match error {
            Error::Status {
                retry_after: Some(asked),
                ..
            } => (*asked <= self.config.max_retry_after).then(|| jitter.max(*asked)),
            _ => Some(jitter),
        }
    }
}
