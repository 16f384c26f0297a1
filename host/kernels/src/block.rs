//! Small matrix products whose right side is packed on the fly: the two of attention, and the
//! places of a Winograd convolution.

use crate::isa::Isa;
use crate::microkernels::{Microkernels, transpose};
use crate::tile::{Line, Tile};

/// A matrix whose rows have `length` elements and begin `stride` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) length: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(&self, at: usize) -> &'a [f32] {
        &self.values[at * self.stride..][..self.length]
    }
}

/// The right side of a product, in panels as wide as one step of the kernel. Packing reuses the
/// memory.
#[derive(Default)]
pub(crate) struct Panels {
    data: Vec<Line>,
    /// One panel's worth of zeros.
    bias: Vec<Line>,
    depth: usize,
    columns: usize,
}

impl Panels {
    /// Packs the first `count` rows as they are: the product's depth is their number.
    pub(crate) fn pack(&mut self, isa: Isa, rows: Rows<'_>, count: usize) {
        let lines = self.resize(isa, count, rows.length);
        let depth = count.max(1);
        for (panel, target) in self.data.chunks_exact_mut(depth * lines).enumerate() {
            for (at, target) in target.chunks_exact_mut(lines).enumerate().take(count) {
                let row = &rows.row(at)[panel * lines * 16..];
                let (whole, rest) = row.as_chunks::<16>();
                for (line, values) in target.iter_mut().zip(whole) {
                    line.0 = *values;
                }
                if let Some(line) = target.get_mut(whole.len()) {
                    line.0[..rest.len()].copy_from_slice(rest);
                }
            }
        }
    }

    /// Packs the first `count` rows as columns: the product's depth is their length.
    pub(crate) fn pack_transposed(&mut self, isa: Isa, rows: Rows<'_>, count: usize) {
        let lines = self.resize(isa, rows.length, count);
        let depth = rows.length.max(1);
        for (panel, target) in self.data.chunks_exact_mut(depth * lines).enumerate() {
            for line in 0..lines {
                let first = (panel * lines + line) * 16;
                let columns = count.saturating_sub(first).min(16);
                let mut at = 0;
                while columns == 16 && at + 16 <= rows.length {
                    let block = std::array::from_fn(|column| {
                        let row = rows.row(first + column);
                        row[at..].first_chunk().unwrap_or(&[0.0; 16])
                    });
                    transpose(isa, block, &mut target[at * lines + line..], lines);
                    at += 16;
                }
                for column in 0..columns {
                    let row = rows.row(first + column);
                    for (step, &value) in row.iter().enumerate().skip(at) {
                        target[step * lines + line].0[column] = value;
                    }
                }
            }
        }
    }

    /// Returns the lines per row of a panel.
    fn resize(&mut self, isa: Isa, depth: usize, columns: usize) -> usize {
        let width = Microkernels::of(isa).columns;
        let lines = width / 16;
        (self.depth, self.columns) = (depth, columns);
        self.bias.clear();
        self.bias.resize(lines, Line::ZERO);
        self.data.clear();
        self.data
            .resize(columns.div_ceil(width) * depth * lines, Line::ZERO);
        lines
    }
}

/// The product of the first `rows` rows of `left` with `right`; the result's rows begin `stride`
/// apart in `out`.
pub(crate) fn product(
    isa: Isa,
    left: Rows<'_>,
    rows: usize,
    right: &Panels,
    out: &mut [f32],
    stride: usize,
) {
    let kernels = Microkernels::of(isa);
    let lines = kernels.columns / 16;
    assert!(left.length == right.depth && right.columns <= stride);
    assert!(right.bias.len() == lines);
    if right.columns == 0 {
        return;
    }
    let panels = right.columns.div_ceil(kernels.columns);
    assert!(right.data.len() == panels * right.depth * lines);
    let tiles = rows.div_ceil(kernels.rows);
    for panel in 0..panels {
        let column = panel * kernels.columns;
        let columns = (right.columns - column).min(kernels.columns);
        let weights = &right.data[panel * right.depth * lines..];
        for tile in 0..tiles {
            // Nearly equal heights: a last tile of one row would leave most registers empty.
            let (first, end) = (tile * rows / tiles, (tile + 1) * rows / tiles);
            let count = end - first;
            let mut sources = [std::ptr::null(); 16];
            for (row, source) in sources[..count].iter_mut().enumerate() {
                *source = left.row(first + row).as_ptr();
            }
            let out = &mut out[first * stride + column..];
            assert!(out.len() >= (count - 1) * stride + columns);
            let tile = Tile {
                sources: sources.as_ptr(),
                runs: 1,
                run_length: left.length,
                panel: weights.as_ptr().cast(),
                bias: right.bias.as_ptr().cast(),
                out: out.as_mut_ptr(),
                stride,
                columns,
                residual: std::ptr::null(),
                low: f32::NEG_INFINITY,
                high: f32::INFINITY,
            };
            // SAFETY: the panels are laid out for the instructions that `isa` proves, with `depth`
            // rows each, which is the run's length, as asserted; the bias is one row of a panel.
            // There are `count` sources, each a row of `left.length` values. The last element of
            // the tile is inside `out`, as asserted, which is borrowed for writing.
            unsafe { kernels.select(count, columns)(&tile) };
        }
    }
}
