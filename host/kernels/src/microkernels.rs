//! The inner kernels ("microkernels") of each instruction set: a few rows of the left side times
//! one panel of weights, with everything that follows a matrix product done while the result is
//! still in registers.

use crate::isa::{Isa, Level};
use crate::portable;
use crate::tile::{Kernel, Line};
#[cfg(target_arch = "x86_64")]
use crate::x86;

/// The microkernels of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Microkernels {
    /// The most rows of a tile.
    pub(crate) rows: usize,
    /// The columns of a panel.
    pub(crate) columns: usize,
    level: Level,
}

impl Microkernels {
    pub(crate) fn of(isa: Isa) -> Self {
        let level = isa.level();
        let (rows, columns) = match level {
            Level::Portable => (portable::ROWS, portable::COLUMNS),
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
    pub(crate) fn select(self, rows: usize, columns: usize) -> Kernel {
        assert!((1..=self.rows).contains(&rows) && (1..=self.columns).contains(&columns));
        match self.level {
            Level::Portable => portable::select(rows),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::avx2::select(rows, columns),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => x86::avx512::select(rows, columns),
        }
    }
}

/// Transposes 16 rows of 16 elements: the first elements go to the first of `columns`, the second
/// ones to the line `stride` after it, and so on.
pub(crate) fn transpose(isa: Isa, rows: [&[f32; 16]; 16], columns: &mut [Line], stride: usize) {
    assert!(columns.len() > 15 * stride);
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            // SAFETY: `isa` proves that the CPU has the instructions; the columns are there, as
            // asserted.
            unsafe { x86::avx512::transpose(rows, columns.as_mut_ptr(), stride) };
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => portable::transpose(rows, columns, stride),
        Level::Portable => portable::transpose(rows, columns, stride),
    }
}
