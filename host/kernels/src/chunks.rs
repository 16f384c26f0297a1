//! Results that are written chunk by chunk.

use std::collections::TryReserveError;

use rayon::prelude::*;

/// Steps of work below which waking the other threads costs more than it saves.
const SMALL: usize = 1 << 17;

/// A vector of zeros, or an error where there is no memory.
pub(crate) fn zeros(length: usize) -> Result<Vec<f32>, TryReserveError> {
    let mut values = Vec::new();
    resize(&mut values, length)?;
    Ok(values)
}

/// Extends a vector with zeros, or truncates it; an error where there is no memory.
pub(crate) fn resize(values: &mut Vec<f32>, length: usize) -> Result<(), TryReserveError> {
    values.try_reserve_exact(length.saturating_sub(values.len()))?;
    values.resize(length, 0.0);
    Ok(())
}

/// Calls `write` with the number and the elements of each chunk of `length` elements, on all
/// threads where `steps`, an estimate of the work for all chunks, is large enough.
pub(crate) fn for_each(
    result: &mut [f32],
    length: usize,
    steps: usize,
    write: impl Fn(usize, &mut [f32]) + Sync,
) {
    if steps < SMALL {
        for (at, chunk) in result.chunks_exact_mut(length).enumerate() {
            write(at, chunk);
        }
    } else {
        let chunks = result.par_chunks_exact_mut(length).enumerate();
        chunks.for_each(|(at, chunk)| write(at, chunk));
    }
}
