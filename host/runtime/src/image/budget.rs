//! The memory that all threads together may use to decode images.
//!
//! Each decoder states what it needs before it allocates and waits until that much is free, so
//! that a directory of huge images costs the same memory with 2 threads as with 64.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that decoding may use at a time. An image that needs more is decoded alone.
const TOTAL: u64 = 1 << 30;

static FREE: Mutex<u64> = Mutex::new(TOTAL);
static RETURNED: Condvar = Condvar::new();
/// Held by whoever waits first, so that a large request is not overtaken for ever.
static QUEUE: Mutex<()> = Mutex::new(());

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share(u64);

impl Share {
    /// Waits for `bytes` of the budget, or for all of it where that is less.
    pub(super) fn take(bytes: u64) -> Self {
        let wanted = bytes.min(TOTAL);
        let _turn = locked(&QUEUE);
        let mut free = locked(&FREE);
        while *free < wanted {
            free = RETURNED.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= wanted;
        Self(wanted)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *locked(&FREE) += self.0;
        RETURNED.notify_all();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn shares_of_many_threads_never_exceed_the_total() {
        let (used, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..16_u64 {
                let (used, most) = (&used, &most);
                scope.spawn(move || {
                    for round in 0..50 {
                        let bytes = TOTAL / (1 + (thread + round) % 7);
                        let _share = Share::take(bytes);
                        let now = used.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        most.fetch_max(now, Ordering::SeqCst);
                        used.fetch_sub(bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= TOTAL);
        let _all = Share::take(u64::MAX);
    }
}
