//! What reading an input costs: memory, and work.
//!
//! The allocator of the programs of this crate counts what each thread allocates. The bytes that
//! are allocated in all stand for the work, as nothing here measures time: a reader that looks at
//! everything again and again also allocates again and again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with an account per thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes that the thread has, as far as it allocated and freed them itself.
    static NOW: Cell<isize> = const { Cell::new(0) };
    /// The most that it had since the count began.
    static PEAK: Cell<isize> = const { Cell::new(0) };
    /// Bytes that it allocated since then, the freed ones included.
    static TOTAL: Cell<usize> = const { Cell::new(0) };
}

/// Counts that a block has `bytes` more than before.
fn count(bytes: isize) {
    // A thread that ends has no account any more.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
    if let Ok(more) = usize::try_from(bytes) {
        let _ = TOTAL.try_with(|total| total.set(total.get().saturating_add(more)));
    }
}

// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's guarantee.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's guarantee.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's guarantee.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Counted as if the old and the new memory never existed together, as for large blocks.
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's guarantee.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What something cost on its thread, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The most memory that it had at a time.
    pub peak: usize,
    /// All that it allocated.
    pub total: usize,
}

/// What an input may cost: so many bytes for each of its own, and so many besides.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Of the [peak](Cost::peak): per byte, and fixed.
    pub peak: [usize; 2],
    /// Of the [total](Cost::total): per byte, and fixed.
    pub total: [usize; 2],
}

impl Cost {
    /// Panics if an input of `length` bytes cost more than it may.
    pub fn assert_within(self, bound: Bound, length: usize) {
        let most = |[each, fixed]: [usize; 2]| length.saturating_mul(each).saturating_add(fixed);
        let (peak, total) = (most(bound.peak), most(bound.total));
        assert!(
            self.peak <= peak && self.total <= total,
            "{length} bytes cost {self:?}, and may cost {peak} and {total}"
        );
    }
}

/// Runs something and counts what it costs on this thread. What it returns counts too.
pub fn measure<T>(run: impl FnOnce() -> T) -> (T, Cost) {
    let before = NOW.get();
    PEAK.set(before);
    TOTAL.set(0);
    let result = run();
    let peak = usize::try_from(PEAK.get() - before).unwrap_or(0);
    let total = TOTAL.get();
    (result, Cost { peak, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_work_are_counted() {
        let (kept, cost) = measure(|| {
            for _ in 0..10 {
                drop(std::hint::black_box(vec![1_u8; 1000]));
            }
            std::hint::black_box(vec![1_u8; 500])
        });
        assert_eq!(kept.len(), 500);
        assert_eq!((cost.peak, cost.total), (1000, 10_500));
    }

    #[test]
    #[should_panic(expected = "10 bytes cost")]
    fn cost_beyond_the_bound_panics() {
        let bound = Bound {
            peak: [2, 5],
            total: [3, 0],
        };
        let cost = |peak, total| Cost { peak, total };
        cost(25, 30).assert_within(bound, 10);
        cost(26, 30).assert_within(bound, 10);
    }
}
