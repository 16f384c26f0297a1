//! The arguments of a microkernel: a few rows of the left side, one panel of weights, and the
//! place of the result.

/// 16 floats on a cache line of their own, so that no vector load touches two lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [f32; 16]);

impl Line {
    pub(crate) const ZERO: Self = Self([0.0; 16]);
}

/// One piece of work. The left side has `rows` rows, each of `runs` runs of `run_length`
/// elements; the right side is one panel of weights.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// The starts of all runs, `[runs, rows]`.
    pub(crate) sources: *const *const f32,
    pub(crate) runs: usize,
    pub(crate) run_length: usize,
    /// The weights, `[runs * run_length, panel width]`.
    pub(crate) panel: *const f32,
    /// One value per column of the panel: the sums start from it.
    pub(crate) bias: *const f32,
    /// The result, `[rows, columns]`, whose rows are `stride` elements apart.
    pub(crate) out: *mut f32,
    pub(crate) stride: usize,
    /// The number of the panel's columns that the result has.
    pub(crate) columns: usize,
    /// Added to the sums; laid out like the result, or null.
    pub(crate) residual: *const f32,
    /// The lower bound of the result.
    pub(crate) low: f32,
    /// The upper bound of the result.
    pub(crate) high: f32,
}

/// A microkernel for some number of rows.
///
/// # Safety
/// The CPU has the kernel's instructions. Of the tile: `sources` points at `runs * rows`
/// pointers to `run_length` readable elements each; `panel` and `bias` are readable for the
/// panel's width; `columns` is 1 to the panel's width; `out`, and `residual` where it is not
/// null, are valid for `columns` elements in each of `rows` rows, and no other thread reads or
/// writes those of `out` meanwhile.
pub(crate) type Kernel = unsafe fn(&Tile);
