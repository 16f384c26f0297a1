//! Windows times packed weights, with bias, residual and activation: the kernel behind
//! convolutions and linear layers.

use std::collections::TryReserveError;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::activation::Activation;
use crate::isa::Isa;
use crate::math;
use crate::microkernels::Microkernels;
use crate::out::{Out, written};
use crate::tile::{Line, Tile};
use crate::window::Windows;

/// Bytes of a block of the left side, few enough to stay in the second-level cache together with
/// a panel.
const BLOCK_BYTES: usize = 256 << 10;
/// Multiply-adds below which waking the other threads costs more than it saves.
const SMALL: usize = 1 << 18;
/// Pieces of work per thread, so that a slow thread does not delay the others.
const PIECES: usize = 4;

/// Weights and bias, laid out for the kernels of one instruction set.
pub struct Packed {
    isa: Isa,
    groups: usize,
    depth: usize,
    outputs: usize,
    /// All panels, `[panels, depth, panel width]`; columns beyond the outputs are zero.
    data: Vec<Line>,
    /// `[panels, panel width]`.
    bias: Vec<Line>,
}

/// A panel: consecutive output columns of one group.
#[derive(Clone, Copy)]
struct Panel {
    index: usize,
    group: usize,
    column: usize,
    columns: usize,
}

impl Packed {
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Packs `weight`, of the shape `[outputs, depth]`, whose rows are divided into `groups` groups
    /// of equal size. `bias` has one value per output.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(
        isa: Isa,
        weight: &[f32],
        bias: &[f32],
        groups: usize,
    ) -> Result<Self, TryReserveError> {
        let outputs = bias.len();
        assert!(
            groups > 0
                && outputs > 0
                && outputs.is_multiple_of(groups)
                && weight.len().is_multiple_of(outputs)
        );
        let depth = weight.len() / outputs;
        let width = Microkernels::of(isa).columns;
        let lines = width / 16;
        let mut packed = Self {
            isa,
            groups,
            depth,
            outputs,
            data: Vec::new(),
            bias: Vec::new(),
        };
        let panels = packed.panels_in_group() * groups;
        packed.data = zeros(panels * depth * lines)?;
        packed.bias = zeros(panels * lines)?;
        for index in 0..panels {
            let panel = packed.panel(index);
            for column in 0..panel.columns {
                let output = panel.column + column;
                let (line, lane) = (column / 16, column % 16);
                packed.bias[index * lines + line].0[lane] = bias[output];
                let row = &weight[output * depth..(output + 1) * depth];
                for (at, &value) in row.iter().enumerate() {
                    packed.data[(index * depth + at) * lines + line].0[lane] = value;
                }
            }
        }
        Ok(packed)
    }

    /// The shape `[panels, panel width, depth]` that such weights are packed into. Panels are
    /// padded: many groups of few outputs need much more memory than their weights.
    pub fn dims(isa: Isa, outputs: usize, depth: usize, groups: usize) -> [usize; 3] {
        let width = Microkernels::of(isa).columns;
        let panels = (outputs / groups.max(1)).div_ceil(width);
        [panels.saturating_mul(groups), width, depth]
    }

    fn panels_in_group(&self) -> usize {
        (self.outputs / self.groups).div_ceil(Microkernels::of(self.isa).columns)
    }

    fn panels(&self) -> usize {
        self.panels_in_group() * self.groups
    }

    fn panel(&self, index: usize) -> Panel {
        let width = Microkernels::of(self.isa).columns;
        let group_outputs = self.outputs / self.groups;
        let (group, at) = (
            index / self.panels_in_group(),
            index % self.panels_in_group(),
        );
        let columns = (group_outputs - at * width).min(width);
        Panel {
            index,
            group,
            column: group * group_outputs + at * width,
            columns,
        }
    }
}

/// Lines of zeros, or an error where there is no memory.
fn zeros(count: usize) -> Result<Vec<Line>, TryReserveError> {
    let mut lines = Vec::new();
    lines.try_reserve_exact(count)?;
    lines.resize(count, Line::ZERO);
    Ok(lines)
}

/// What is applied to the product.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// Added before the activation; of the result's shape.
    pub residual: Option<&'a [f32]>,
    /// Applied last.
    pub activation: Activation,
}

impl<'a> Epilogue<'a> {
    /// No activation.
    pub(crate) fn plain(residual: Option<&'a [f32]>) -> Self {
        Self {
            residual,
            activation: Activation::Identity,
        }
    }
}

/// The product, with one row per place of the windows and one column per output.
///
/// # Errors
/// There is no memory for the result.
pub fn matmul(
    windows: &Windows<'_>,
    weights: &Packed,
    epilogue: Epilogue<'_>,
) -> Result<Vec<f32>, TryReserveError> {
    let length = windows.count().saturating_mul(weights.outputs);
    let write = |out: &mut [MaybeUninit<f32>]| {
        let job = Job::new(windows, weights, epilogue, out);
        match job.pieces() {
            pieces if pieces.len() <= 1 => pieces.into_iter().for_each(|piece| job.run(piece)),
            pieces => pieces.into_par_iter().for_each(|piece| job.run(piece)),
        }
    };
    // SAFETY: the pieces cover all rows and columns, each of which is written by `Job::run`.
    unsafe { written(length, write) }
}

/// As [`matmul`], into `out`, all of which it writes, on the calling thread.
pub(crate) fn matmul_into(
    windows: &Windows<'_>,
    weights: &Packed,
    epilogue: Epilogue<'_>,
    out: &mut [MaybeUninit<f32>],
) {
    Job::new(windows, weights, epilogue, out).run(Piece {
        rows: 0..windows.count(),
        panels: 0..weights.panels(),
    });
}

struct Job<'a> {
    windows: &'a Windows<'a>,
    weights: &'a Packed,
    epilogue: Epilogue<'a>,
    kernels: Microkernels,
    out: Out<'a>,
}

/// Some rows and some panels.
struct Piece {
    rows: Range<usize>,
    panels: Range<usize>,
}

impl<'a> Job<'a> {
    fn new(
        windows: &'a Windows<'a>,
        weights: &'a Packed,
        epilogue: Epilogue<'a>,
        out: &'a mut [MaybeUninit<f32>],
    ) -> Self {
        let length = out.len();
        assert_eq!(length, windows.count().saturating_mul(weights.outputs));
        assert_eq!(weights.depth, windows.runs() * windows.run_length());
        let fits = |residual: &[f32]| residual.len() == length;
        assert!(epilogue.residual.is_none_or(fits));
        Self {
            windows,
            weights,
            epilogue,
            kernels: Microkernels::of(weights.isa),
            out: Out::new(out),
        }
    }

    /// Divides the result among the threads: along the larger of the two operands, so that each
    /// thread streams its own part of it, and along the other one where that is not enough.
    fn pieces(&self) -> Vec<Piece> {
        let (rows, panels) = (self.windows.count(), self.weights.panels());
        if rows == 0 {
            return Vec::new();
        }
        let threads = rayon::current_num_threads();
        let work = rows
            .saturating_mul(self.weights.outputs)
            .saturating_mul(self.weights.depth);
        let wanted = if threads == 1 || work < SMALL {
            1
        } else {
            threads * PIECES
        };
        let tiles = rows.div_ceil(self.kernels.rows);
        let inputs = rows * self.windows.fresh_elements();
        let (row_parts, panel_parts) = if self.weights.depth * self.weights.outputs > inputs {
            let panel_parts = wanted.min(panels);
            (wanted.div_ceil(panel_parts).min(tiles), panel_parts)
        } else {
            let row_parts = wanted.min(tiles);
            (row_parts, wanted.div_ceil(row_parts).min(panels))
        };
        let mut pieces = Vec::with_capacity(row_parts * panel_parts);
        for rows in split(rows, row_parts) {
            for panels in split(panels, panel_parts) {
                pieces.push(Piece {
                    rows: rows.clone(),
                    panels,
                });
            }
        }
        pieces
    }

    /// Computes a piece in blocks of rows: a block stays in the cache while it is multiplied by
    /// all panels.
    fn run(&self, piece: Piece) {
        let bytes_a_row = (self.windows.fresh_elements() * size_of::<f32>()).max(1);
        let block = (BLOCK_BYTES / bytes_a_row).max(4 * self.kernels.rows);
        let count = piece.rows.len().div_ceil(block);
        let mut sources = Sources::default();
        for rows in split(piece.rows.len(), count) {
            let rows = piece.rows.start + rows.start..piece.rows.start + rows.end;
            let mut group = usize::MAX;
            for index in piece.panels.clone() {
                let panel = self.weights.panel(index);
                if panel.group != group {
                    group = panel.group;
                    sources.fill(self.windows, self.kernels.rows, rows.clone(), group);
                }
                for tile in &sources.tiles {
                    self.tile(tile, &sources, panel);
                }
            }
            self.activate(rows, &piece.panels);
        }
    }

    fn tile(&self, rows: &Rows, sources: &Sources, panel: Panel) {
        let Packed { outputs, depth, .. } = *self.weights;
        let lines = self.kernels.columns / 16;
        let at = rows.first * outputs + panel.column;
        let (low, high) = self
            .epilogue
            .activation
            .bounds()
            .unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        // SAFETY: the element is in the result, whose rows are `outputs` long.
        let out = unsafe { self.out.at(at) };
        let tile = Tile {
            sources: sources.starts[rows.sources..].as_ptr(),
            runs: self.windows.runs(),
            run_length: self.windows.run_length(),
            panel: self.weights.data[panel.index * depth * lines..]
                .as_ptr()
                .cast(),
            bias: self.weights.bias[panel.index * lines..].as_ptr().cast(),
            out,
            stride: outputs,
            columns: panel.columns,
            residual: self
                .epilogue
                .residual
                .map_or(std::ptr::null(), |residual| residual[at..].as_ptr()),
            low,
            high,
        };
        let kernel = self.kernels.select(rows.count, panel.columns);
        // SAFETY: the weights were packed for the instructions that `isa` proves. `Sources::fill`
        // has put `runs * count` pointers to runs of `run_length` elements at `rows.sources`. Panel
        // and bias are `depth` rows and one row of the panel's width, and `depth` is
        // `runs * run_length` (asserted by `Job::new`). The rows and columns are inside the result
        // and, as asserted, the residual; no other piece has the same rows and columns.
        unsafe { kernel(&tile) };
    }

    /// Applies an activation that does more than clamp to a block of rows.
    fn activate(&self, rows: Range<usize>, panels: &Range<usize>) {
        if self.epilogue.activation.bounds().is_some() || panels.is_empty() {
            return;
        }
        let Packed { outputs, isa, .. } = *self.weights;
        let (first, last) = (
            self.weights.panel(panels.start),
            self.weights.panel(panels.end - 1),
        );
        let columns = last.column + last.columns - first.column;
        for row in rows {
            // SAFETY: the panels' columns are side by side and inside the result's row, this piece
            // has just written all of them, and no other piece has the same rows and columns.
            let values = unsafe {
                let start = self.out.at(row * outputs + first.column);
                std::slice::from_raw_parts_mut(start, columns)
            };
            math::activate(isa, self.epilogue.activation, values);
        }
    }
}

/// Where the runs of a block of rows start, tile by tile.
#[derive(Default)]
struct Sources {
    /// For each tile `[runs, rows of the tile]`.
    starts: Vec<*const f32>,
    tiles: Vec<Rows>,
    /// Copies of runs that would evict each other from the cache.
    copies: Vec<f32>,
}

/// The rows of one tile.
struct Rows {
    first: usize,
    count: usize,
    /// Where the tile's pointers are in `Sources::starts`.
    sources: usize,
}

impl Sources {
    /// Divides `rows` into tiles of nearly equal height: a last tile of one row would leave most
    /// registers empty.
    fn fill(&mut self, windows: &Windows<'_>, tile_rows: usize, rows: Range<usize>, group: usize) {
        let runs = windows.runs();
        self.tiles.clear();
        self.starts.clear();
        self.starts.resize(rows.len() * runs, std::ptr::null());
        // A line more, so that the copies do not evict each other again.
        let apart = windows.run_length() + 16;
        let copying = windows.collide();
        if copying {
            self.copies.resize(rows.len() * runs * apart, 0.0);
        }
        let mut copies = self.copies.chunks_exact_mut(apart);
        let mut sources = 0;
        for tile in split(rows.len(), rows.len().div_ceil(tile_rows)) {
            let (first, count) = (rows.start + tile.start, tile.len());
            for row in 0..count {
                for (run, slice) in windows.runs_at(first + row, group).enumerate() {
                    debug_assert_eq!(slice.len(), windows.run_length());
                    self.starts[sources + run * count + row] = match copies.next() {
                        Some(copy) if copying => {
                            copy[..slice.len()].copy_from_slice(slice);
                            copy.as_ptr()
                        }
                        _ => slice.as_ptr(),
                    };
                }
            }
            self.tiles.push(Rows {
                first,
                count,
                sources,
            });
            sources += count * runs;
        }
    }
}

/// Divides `0..length` into `parts` ranges whose lengths differ by at most one.
pub(crate) fn split(length: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    (0..parts).map(move |part| part * length / parts..(part + 1) * length / parts)
}
