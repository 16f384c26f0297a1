//! The inner kernel: a few rows of the left side times one panel of weights, with everything that
//! follows a matrix product done while the result is still in registers.

use super::isa::{Isa, Level};
use super::matmul::Line;
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Rows that the portable kernel computes at once.
const PORTABLE_ROWS: usize = 4;
/// Columns of a panel of the portable kernel.
const PORTABLE_COLUMNS: usize = 16;

/// One piece of work. The left side has `rows` rows, each of `runs` runs of `run_length`
/// elements; the right side is one panel of weights.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// The starts of all runs, `[runs, rows]`.
    pub(super) sources: *const *const f32,
    pub(super) runs: usize,
    pub(super) run_length: usize,
    /// The weights, `[runs * run_length, panel width]`.
    pub(super) panel: *const f32,
    /// One value a column of the panel: what the sums start from.
    pub(super) bias: *const f32,
    /// The result, `[rows, columns]`, of which each row is `stride` after the one before.
    pub(super) out: *mut f32,
    pub(super) stride: usize,
    /// How many of the panel's columns the result has.
    pub(super) columns: usize,
    /// What is added to the sums, laid out like the result; or null.
    pub(super) residual: *const f32,
    /// The result is not less than this.
    pub(super) low: f32,
    /// The result is not more than this.
    pub(super) high: f32,
}

/// A kernel for some number of rows.
///
/// # Safety
/// The CPU has the kernel's instructions, and of the tile: `sources` points at `runs * rows`
/// pointers to `run_length` readable elements each; `panel` and `bias` are readable for the
/// panel's width; `columns` is 1 to the panel's width; `out`, and `residual` where it is not
/// null, are valid for `columns` elements in each of `rows` rows, and nobody else reads or writes
/// those of `out` meanwhile.
pub(super) type Kernel = unsafe fn(&Tile);

/// The kernels for one set of instructions.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    /// The most rows of a tile.
    pub(super) rows: usize,
    /// The columns of a panel.
    pub(super) columns: usize,
    level: Level,
}

impl Kernels {
    pub(super) fn of(isa: Isa) -> Self {
        let level = isa.level();
        let (rows, columns) = match level {
            Level::Portable => (PORTABLE_ROWS, PORTABLE_COLUMNS),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => (x86::avx2::ROWS, x86::avx2::COLUMNS),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => (x86::avx512::ROWS, x86::avx512::COLUMNS),
        };
        Self {
            rows,
            columns,
            level,
        }
    }

    /// The kernel for a tile of `rows` rows and `columns` columns.
    pub(super) fn select(self, rows: usize, columns: usize) -> Kernel {
        assert!((1..=self.rows).contains(&rows) && (1..=self.columns).contains(&columns));
        match self.level {
            Level::Portable => [
                portable::<1>,
                portable::<2>,
                portable::<3>,
                portable::<PORTABLE_ROWS>,
            ][rows - 1],
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::avx2::select(rows, columns),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => x86::avx512::select(rows, columns),
        }
    }
}

/// The sixteen values of each of sixteen rows as columns: the first value of each row goes to the
/// first of `columns`, the second to the one `stride` after it, and so on.
pub(super) fn transpose(isa: Isa, rows: [&[f32; 16]; 16], columns: &mut [Line], stride: usize) {
    assert!(columns.len() > 15 * stride);
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            // SAFETY: `isa` proves that the CPU has the instructions; the columns are there, as
            // asserted.
            unsafe { x86::avx512::transpose(rows, columns.as_mut_ptr(), stride) };
        }
        _ => {
            for (at, column) in columns.iter_mut().step_by(stride).enumerate().take(16) {
                column.0 = rows.map(|row| row[at]);
            }
        }
    }
}

/// The kernel in plain Rust, as the compiler vectorises it.
///
/// # Safety
/// As [`Kernel`].
unsafe fn portable<const ROWS: usize>(tile: &Tile) {
    // SAFETY: the bias has as many elements as the panel has columns.
    let bias = unsafe { *tile.bias.cast::<[f32; PORTABLE_COLUMNS]>() };
    let mut sums = [bias; ROWS];
    let mut panel = tile.panel;
    for run in 0..tile.runs {
        // SAFETY: there are `runs * rows` sources, each of `run_length` elements.
        let sources: [&[f32]; ROWS] = std::array::from_fn(|row| unsafe {
            std::slice::from_raw_parts(*tile.sources.add(run * ROWS + row), tile.run_length)
        });
        // SAFETY: the panel has a row for each of the `runs * run_length` elements.
        let weights = unsafe {
            std::slice::from_raw_parts(panel.cast::<[f32; PORTABLE_COLUMNS]>(), tile.run_length)
        };
        // SAFETY: as above; this is at most one past the end.
        panel = unsafe { panel.add(tile.run_length * PORTABLE_COLUMNS) };
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
