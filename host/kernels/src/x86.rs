//! The inner kernels with AVX2 and with AVX-512.
//!
//! Both hold a block of sums in registers: 6 rows of 2 vectors for AVX2, 13 rows of 2 vectors for
//! AVX-512 (with 14 the compiler runs out of registers). Each step along the shared dimension
//! loads one row of the panel, and for each row of the left side broadcasts one element and
//! multiply-adds it to the row's sums.

use std::arch::x86_64::*;

use crate::tile::{Kernel, Line, Tile};

/// The kernel of one instruction set, for a number of rows and of vectors.
macro_rules! kernel {
    (
        features: $features:literal, lanes: $lanes:literal, vectors: $vectors:literal,
        broadcast: $broadcast:ident, load: $load:ident, multiply_add: $multiply_add:ident,
        add: $add:ident, max: $max:ident, min: $min:ident,
    ) => {
        /// # Safety
        /// As [`Kernel`]; `VECTORS` vectors hold the tile's columns.
        #[target_feature(enable = $features)]
        unsafe fn kernel<const ROWS: usize, const VECTORS: usize>(tile: &Tile) {
            let mut sums = [[$broadcast(0.0); VECTORS]; ROWS];
            for vector in 0..VECTORS {
                // SAFETY: the bias has as many elements as the panel has columns.
                let bias = unsafe { $load(tile.bias.add(vector * $lanes)) };
                for row in 0..ROWS {
                    sums[row][vector] = bias;
                }
            }
            // The result and the residual may not be in the cache: load them while the sums are
            // computed.
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let at = row * tile.stride + vector * $lanes;
                    _mm_prefetch::<_MM_HINT_ET0>(tile.out.wrapping_add(at).cast());
                    if !tile.residual.is_null() {
                        _mm_prefetch::<_MM_HINT_T0>(tile.residual.wrapping_add(at).cast());
                    }
                }
            }
            let mut panel = tile.panel;
            for run in 0..tile.runs {
                // SAFETY: there are `runs * rows` sources.
                let sources = unsafe { *tile.sources.add(run * ROWS).cast::<[*const f32; ROWS]>() };
                for at in 0..tile.run_length {
                    let mut weights = [$broadcast(0.0); VECTORS];
                    for vector in 0..VECTORS {
                        // SAFETY: the panel has a row for each of the `runs * run_length` elements.
                        weights[vector] = unsafe { $load(panel.add(vector * $lanes)) };
                    }
                    // SAFETY: as above; this is at most one past the end.
                    panel = unsafe { panel.add($vectors * $lanes) };
                    for row in 0..ROWS {
                        // SAFETY: each source has `run_length` elements.
                        let value = $broadcast(unsafe { *sources[row].add(at) });
                        for vector in 0..VECTORS {
                            sums[row][vector] =
                                $multiply_add(value, weights[vector], sums[row][vector]);
                        }
                    }
                }
            }
            let (low, high) = ($broadcast(tile.low), $broadcast(tile.high));
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let at = row * tile.stride + vector * $lanes;
                    let count = tile.columns - vector * $lanes;
                    let mut sum = sums[row][vector];
                    if !tile.residual.is_null() {
                        // SAFETY: the residual is laid out like the result.
                        sum = $add(sum, unsafe { load_some(tile.residual.add(at), count) });
                    }
                    // Both return their second operand when either is NaN, so that NaN stays.
                    sum = $min(high, $max(low, sum));
                    // SAFETY: the result has `columns` elements in this row.
                    unsafe { store_some(tile.out.add(at), sum, count) };
                }
            }
        }

        /// The kernel for `rows` rows, and the vectors that `columns` columns need.
        pub(crate) fn select(rows: usize, columns: usize) -> Kernel {
            if columns > $lanes {
                KERNELS[rows - 1][1]
            } else {
                KERNELS[rows - 1][0]
            }
        }
    };
}

pub(crate) mod avx512 {
    use super::*;

    pub(crate) const ROWS: usize = 13;
    pub(crate) const COLUMNS: usize = 32;

    const KERNELS: [[Kernel; 2]; ROWS] = [
        [kernel::<1, 1>, kernel::<1, 2>],
        [kernel::<2, 1>, kernel::<2, 2>],
        [kernel::<3, 1>, kernel::<3, 2>],
        [kernel::<4, 1>, kernel::<4, 2>],
        [kernel::<5, 1>, kernel::<5, 2>],
        [kernel::<6, 1>, kernel::<6, 2>],
        [kernel::<7, 1>, kernel::<7, 2>],
        [kernel::<8, 1>, kernel::<8, 2>],
        [kernel::<9, 1>, kernel::<9, 2>],
        [kernel::<10, 1>, kernel::<10, 2>],
        [kernel::<11, 1>, kernel::<11, 2>],
        [kernel::<12, 1>, kernel::<12, 2>],
        [kernel::<13, 1>, kernel::<13, 2>],
    ];

    kernel! {
        features: "avx512f", lanes: 16, vectors: 2,
        broadcast: _mm512_set1_ps, load: _mm512_loadu_ps, multiply_add: _mm512_fmadd_ps,
        add: _mm512_add_ps, max: _mm512_max_ps, min: _mm512_min_ps,
    }

    /// The lanes of the first `count` elements, at least one.
    #[target_feature(enable = "avx512f")]
    fn lanes(count: usize) -> __mmask16 {
        if count >= 16 {
            __mmask16::MAX
        } else {
            (1 << count) - 1
        }
    }

    /// Transposes in four rounds, each of which interleaves each row with the one eight after it.
    /// Column `n` goes to `columns + n * stride`.
    ///
    /// # Safety
    /// `columns` is writable for 15 strides and a line.
    #[target_feature(enable = "avx512f")]
    pub(crate) unsafe fn transpose(rows: [&[f32; 16]; 16], columns: *mut Line, stride: usize) {
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
        let mut values = [_mm512_setzero_ps(); 16];
        for at in 0..16 {
            // SAFETY: each row has sixteen elements.
            values[at] = unsafe { _mm512_loadu_ps(rows[at].as_ptr()) };
        }
        for _ in 0..4 {
            let before = values;
            for at in 0..8 {
                let (a, b) = (before[at], before[at + 8]);
                values[2 * at] = _mm512_permutex2var_ps(a, low, b);
                values[2 * at + 1] = _mm512_permutex2var_ps(a, high, b);
            }
        }
        for at in 0..16 {
            // SAFETY: at most 15 strides on is a line of sixteen elements.
            unsafe { _mm512_store_ps(columns.add(at * stride).cast(), values[at]) };
        }
    }

    /// # Safety
    /// `from` is readable for `count` elements, or for 16 if there are more.
    #[target_feature(enable = "avx512f")]
    unsafe fn load_some(from: *const f32, count: usize) -> __m512 {
        // SAFETY: lanes beyond `count` are not read.
        unsafe { _mm512_maskz_loadu_ps(lanes(count), from) }
    }

    /// # Safety
    /// `to` is writable for `count` elements, or for 16 if there are more.
    #[target_feature(enable = "avx512f")]
    unsafe fn store_some(to: *mut f32, value: __m512, count: usize) {
        // SAFETY: lanes beyond `count` are not written.
        unsafe { _mm512_mask_storeu_ps(to, lanes(count), value) }
    }
}

pub(crate) mod avx2 {
    use super::*;

    pub(crate) const ROWS: usize = 6;
    pub(crate) const COLUMNS: usize = 16;

    const KERNELS: [[Kernel; 2]; ROWS] = [
        [kernel::<1, 1>, kernel::<1, 2>],
        [kernel::<2, 1>, kernel::<2, 2>],
        [kernel::<3, 1>, kernel::<3, 2>],
        [kernel::<4, 1>, kernel::<4, 2>],
        [kernel::<5, 1>, kernel::<5, 2>],
        [kernel::<6, 1>, kernel::<6, 2>],
    ];

    kernel! {
        features: "avx2,fma", lanes: 8, vectors: 2,
        broadcast: _mm256_set1_ps, load: _mm256_loadu_ps, multiply_add: _mm256_fmadd_ps,
        add: _mm256_add_ps, max: _mm256_max_ps, min: _mm256_min_ps,
    }

    /// # Safety
    /// `from` is readable for `count` elements, or for 8 if there are more.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load_some(from: *const f32, count: usize) -> __m256 {
        if count >= 8 {
            // SAFETY: all eight are readable.
            return unsafe { _mm256_loadu_ps(from) };
        }
        let mut lanes = [0.0_f32; 8];
        // SAFETY: `count` elements are readable, and `lanes` has room for more.
        unsafe { std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count) };
        // SAFETY: `lanes` has eight elements.
        unsafe { _mm256_loadu_ps(lanes.as_ptr()) }
    }

    /// # Safety
    /// `to` is writable for `count` elements, or for 8 if there are more.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_some(to: *mut f32, value: __m256, count: usize) {
        if count >= 8 {
            // SAFETY: all eight are writable.
            return unsafe { _mm256_storeu_ps(to, value) };
        }
        let mut lanes = [0.0_f32; 8];
        // SAFETY: `lanes` has eight elements.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), value) };
        // SAFETY: `count` elements are writable, and `lanes` has more.
        unsafe { std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count) };
    }
}
