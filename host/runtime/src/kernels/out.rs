//! Results that are written before they are read, by several threads.

use std::collections::TryReserveError;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use rayon::prelude::*;

/// The memory of a result, of which each piece of work writes its own elements.
pub(super) struct Out<'a> {
    start: *mut f32,
    length: usize,
    memory: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

// SAFETY: it only says where the memory is; whoever writes there says why nobody else does.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    pub(super) fn new(memory: &'a mut [MaybeUninit<f32>]) -> Self {
        Self {
            start: memory.as_mut_ptr().cast(),
            length: memory.len(),
            memory: PhantomData,
        }
    }

    /// Where an element is.
    ///
    /// # Safety
    /// There are so many.
    pub(super) unsafe fn at(&self, element: usize) -> *mut f32 {
        debug_assert!(element < self.length);
        // SAFETY: as the caller warrants.
        unsafe { self.start.add(element) }
    }
}

/// A vector of `length` elements, which `write` writes.
///
/// # Errors
/// There is no memory for it.
///
/// # Safety
/// `write` writes each element that it is handed.
pub(super) unsafe fn written(
    length: usize,
    write: impl FnOnce(&mut [MaybeUninit<f32>]),
) -> Result<Vec<f32>, TryReserveError> {
    let mut values = Vec::new();
    // SAFETY: as the caller warrants.
    unsafe { rewrite(&mut values, length, write)? };
    Ok(values)
}

/// Makes a vector one of `length` elements, which `write` writes; its memory is used again.
///
/// # Errors
/// There is no memory for it.
///
/// # Safety
/// `write` writes each element that it is handed.
pub(super) unsafe fn rewrite(
    values: &mut Vec<f32>,
    length: usize,
    write: impl FnOnce(&mut [MaybeUninit<f32>]),
) -> Result<(), TryReserveError> {
    values.clear();
    values.try_reserve_exact(length)?;
    write(&mut values.spare_capacity_mut()[..length]);
    // SAFETY: the capacity is there, and all of it was written, as the caller warrants.
    unsafe { values.set_len(length) };
    Ok(())
}

/// A vector of `length` elements, of which each `part` in turn is written by `write` on some
/// thread. It is handed what a thread has made for some parts, and the part's number.
///
/// # Errors
/// There is no memory for it, or `write` has none.
///
/// # Safety
/// `write` writes each element that it is handed, or is an error.
pub(super) unsafe fn written_by_parts<T: Default>(
    length: usize,
    part: usize,
    write: impl Fn(&mut T, usize, &mut [MaybeUninit<f32>]) -> Result<(), TryReserveError> + Sync,
) -> Result<Vec<f32>, TryReserveError> {
    let mut values = Vec::new();
    values.try_reserve_exact(length)?;
    let parts = values.spare_capacity_mut()[..length].par_chunks_mut(part.max(1));
    let write = |memory: &mut T, (at, out): (usize, &mut [_])| write(memory, at, out);
    parts.enumerate().try_for_each_init(T::default, write)?;
    // SAFETY: the capacity is there, and all of it was written, as the caller warrants.
    unsafe { values.set_len(length) };
    Ok(values)
}
