//! Memory that threads share, so that inputs that need much of it cost the same with 2 threads as
//! with 64.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A number of bytes of which each thread takes what it needs, and waits until that much is free.
///
/// A thread that waits must not hold a share of the same budget, or of one that is taken after it.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    used: Mutex<u64>,
    returned: Condvar,
    /// Held by whoever waits first, so that a large request is not overtaken for ever.
    queue: Mutex<()>,
}

impl Budget {
    /// A budget of `total` bytes.
    #[must_use]
    pub const fn new(total: u64) -> Self {
        Self {
            total,
            used: Mutex::new(0),
            returned: Condvar::new(),
            queue: Mutex::new(()),
        }
    }

    /// Waits for `bytes`, or for the whole budget where that is less: whoever needs more than
    /// there is works alone.
    #[must_use]
    pub fn take(&'static self, bytes: u64) -> Share {
        let wanted = bytes.min(self.total);
        let _turn = locked(&self.queue);
        let mut used = locked(&self.used);
        while self.total - *used < wanted {
            let waited = self.returned.wait(used);
            used = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *used += wanted;
        Share {
            budget: self,
            bytes: wanted,
        }
    }
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: &'static Budget,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        *locked(&self.budget.used) -= self.bytes;
        self.budget.returned.notify_all();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const TOTAL: u64 = 1 << 30;
    static BUDGET: Budget = Budget::new(TOTAL);

    #[test]
    fn shares_of_many_threads_never_exceed_the_total() {
        let (used, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..16_u64 {
                let (used, most) = (&used, &most);
                scope.spawn(move || {
                    for round in 0..50 {
                        let bytes = TOTAL / (1 + (thread + round) % 7);
                        let _share = BUDGET.take(bytes);
                        let now = used.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        most.fetch_max(now, Ordering::SeqCst);
                        used.fetch_sub(bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= TOTAL);
        let _all = BUDGET.take(u64::MAX);
    }
}
