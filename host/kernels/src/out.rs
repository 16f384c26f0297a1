//! Memory of results that several threads write before anyone reads it.

use std::collections::TryReserveError;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use rayon::prelude::*;

/// The memory of a result; each piece of work writes its own elements.
pub(crate) struct Out<'a> {
    start: *mut f32,
    length: usize,
    memory: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

// SAFETY: it only hands out addresses; each write states why no other thread writes there.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    pub(crate) fn new(memory: &'a mut [MaybeUninit<f32>]) -> Self {
        Self {
            start: memory.as_mut_ptr().cast(),
            length: memory.len(),
            memory: PhantomData,
        }
    }

    /// The address of an element.
    ///
    /// # Safety
    /// `element` is less than the number of elements.
    pub(crate) unsafe fn at(&self, element: usize) -> *mut f32 {
        debug_assert!(element < self.length);
        // SAFETY: as the caller guarantees.
        unsafe { self.start.add(element) }
    }
}

/// A vector of `length` elements that `write` fills.
///
/// # Errors
/// There is no memory for it.
///
/// # Safety
/// `write` writes every element of its slice.
pub(crate) unsafe fn written(
    length: usize,
    write: impl FnOnce(&mut [MaybeUninit<f32>]),
) -> Result<Vec<f32>, TryReserveError> {
    let mut values = Vec::new();
    // SAFETY: as the caller guarantees.
    unsafe { rewrite(&mut values, length, write)? };
    Ok(values)
}

/// Replaces the contents of a vector by `length` elements that `write` fills, reusing its memory.
///
/// # Errors
/// There is no memory for it.
///
/// # Safety
/// `write` writes every element of its slice.
pub(crate) unsafe fn rewrite(
    values: &mut Vec<f32>,
    length: usize,
    write: impl FnOnce(&mut [MaybeUninit<f32>]),
) -> Result<(), TryReserveError> {
    values.clear();
    values.try_reserve_exact(length)?;
    write(&mut values.spare_capacity_mut()[..length]);
    // SAFETY: the capacity is there, and all of it was written, as the caller guarantees.
    unsafe { values.set_len(length) };
    Ok(())
}

/// A vector of `length` elements in parts of `part` elements that `write` fills, on all threads.
/// `write` gets a `T` that the parts of a thread share, the part's number and its elements.
///
/// # Errors
/// There is no memory for it, or `write` fails.
///
/// # Safety
/// `write` writes each element that it is handed, or is an error.
pub(crate) unsafe fn written_by_parts<T: Default>(
    length: usize,
    part: usize,
    write: impl Fn(&mut T, usize, &mut [MaybeUninit<f32>]) -> Result<(), TryReserveError> + Sync,
) -> Result<Vec<f32>, TryReserveError> {
    let mut values = Vec::new();
    values.try_reserve_exact(length)?;
    let parts = values.spare_capacity_mut()[..length].par_chunks_mut(part.max(1));
    let write = |memory: &mut T, (at, out): (usize, &mut [_])| write(memory, at, out);
    parts.enumerate().try_for_each_init(T::default, write)?;
    // SAFETY: the capacity is there, and all of it was written, as the caller guarantees.
    unsafe { values.set_len(length) };
    Ok(values)
}
