//! The inner kernel in plain Rust, as the compiler vectorises it.

use crate::tile::{Kernel, Line, Tile};

/// The most rows of a tile.
pub(crate) const ROWS: usize = 4;
/// Columns of a panel.
pub(crate) const COLUMNS: usize = 16;

/// The kernel for a tile of `rows` rows, 1 to [`ROWS`].
pub(crate) fn select(rows: usize) -> Kernel {
    [kernel::<1>, kernel::<2>, kernel::<3>, kernel::<ROWS>][rows - 1]
}

/// See [`microkernels::transpose`](crate::microkernels::transpose).
pub(crate) fn transpose(rows: [&[f32; 16]; 16], columns: &mut [Line], stride: usize) {
    for (at, column) in columns.iter_mut().step_by(stride).enumerate().take(16) {
        column.0 = rows.map(|row| row[at]);
    }
}

/// # Safety
/// As [`Kernel`].
unsafe fn kernel<const ROWS: usize>(tile: &Tile) {
    // SAFETY: the bias has as many elements as the panel has columns.
    let bias = unsafe { *tile.bias.cast::<[f32; COLUMNS]>() };
    let mut sums = [bias; ROWS];
    let mut panel = tile.panel;
    for run in 0..tile.runs {
        // SAFETY: there are `runs * rows` sources, each of `run_length` elements.
        let sources: [&[f32]; ROWS] = std::array::from_fn(|row| unsafe {
            std::slice::from_raw_parts(*tile.sources.add(run * ROWS + row), tile.run_length)
        });
        // SAFETY: the panel has a row for each of the `runs * run_length` elements.
        let weights =
            unsafe { std::slice::from_raw_parts(panel.cast::<[f32; COLUMNS]>(), tile.run_length) };
        // SAFETY: as above; this is at most one past the end.
        panel = unsafe { panel.add(tile.run_length * COLUMNS) };
        for (at, weights) in weights.iter().enumerate() {
            for (sums, source) in sums.iter_mut().zip(&sources) {
                let value = source[at];
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += value * weight;
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (column, &sum) in sums.iter().enumerate().take(tile.columns) {
            let at = row * tile.stride + column;
            let residual = if tile.residual.is_null() {
                0.0
            } else {
                // SAFETY: the residual is laid out like the result.
                unsafe { *tile.residual.add(at) }
            };
            let sum = sum + residual;
            // A comparison with NaN is false, so that NaN stays.
            let sum = if sum < tile.low { tile.low } else { sum };
            let sum = if sum > tile.high { tile.high } else { sum };
            // SAFETY: the result has `columns` elements in this row.
            unsafe { tile.out.add(at).write(sum) };
        }
    }
}
