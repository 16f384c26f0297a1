//! Layers of a transformer computed together, some tokens or one sample at a time, so that the
//! values between the layers stay in the cache and reuse their memory.

use std::collections::TryReserveError;
use std::mem::MaybeUninit;

use crate::activation::Activation;
use crate::attention::{AttentionJob, Heads, Scratch, attention, attention_into};
use crate::matmul::{Epilogue, Packed, matmul, matmul_into};
use crate::out::{rewrite, written_by_parts};
use crate::window::Windows;

/// Bytes of the values between two layers: half of a second-level cache of 1 MiB, as servers have.
const BETWEEN_BYTES: usize = 512 << 10;
/// The fewest rows that justify reading all weights: four tiles of the AVX-512 kernel.
const LEAST_ROWS: usize = 52;

/// An MLP: two linear layers with an activation between them.
#[derive(Clone, Copy)]
pub struct Mlp<'a> {
    /// The first layer.
    pub up: &'a Packed,
    /// Applied to the first layer's outputs.
    pub activation: Activation,
    /// The second layer.
    pub down: &'a Packed,
}

/// `down(activation(up(x))) + residual` for rows of `inputs` elements.
///
/// # Errors
/// There is no memory for the result, or for the values between the layers.
pub fn mlp(
    x: &[f32],
    inputs: usize,
    Mlp {
        up,
        activation,
        down,
    }: Mlp<'_>,
    residual: Option<&[f32]>,
) -> Result<Vec<f32>, TryReserveError> {
    let (rows, inner, outputs) = (x.len() / inputs, up.outputs(), down.outputs());
    assert_eq!(x.len(), rows * inputs);
    assert!(residual.is_none_or(|residual| residual.len() == rows * outputs));
    let first = Epilogue {
        residual: None,
        activation,
    };
    let threads = rayon::current_num_threads();
    let most = (BETWEEN_BYTES / (inner * size_of::<f32>())).max(LEAST_ROWS);
    let parts = rows.div_ceil(most).max(1).next_multiple_of(threads);
    if threads > 1 && rows < parts * LEAST_ROWS {
        let between = matmul(&Windows::rows(x, inputs), up, first)?;
        return matmul(
            &Windows::rows(&between, inner),
            down,
            Epilogue::plain(residual),
        );
    }
    let count = rows.div_ceil(parts);
    let compute = |between: &mut Vec<f32>, part, out: &mut [MaybeUninit<f32>]| {
        let (at, rows) = (part * count, out.len() / outputs);
        let x = Windows::rows(&x[at * inputs..][..rows * inputs], inputs);
        // SAFETY: `matmul_into` writes all of its slice.
        unsafe { rewrite(between, rows * inner, |out| matmul_into(&x, up, first, out))? };
        let residual = residual.map(|residual| &residual[at * outputs..][..out.len()]);
        matmul_into(
            &Windows::rows(between, inner),
            down,
            Epilogue::plain(residual),
            out,
        );
        Ok(())
    };
    // SAFETY: as above.
    unsafe { written_by_parts(rows * outputs, count * outputs, compute) }
}

/// Self-attention with its projections: `out(attention(qkv(x))) + residual` for
/// `[batch, tokens, inputs]`, where `qkv` gives queries, keys and values one after another.
///
/// # Errors
/// There is no memory for the result, or for the values between the layers.
pub fn self_attention(
    x: &[f32],
    qkv: &Packed,
    job: AttentionJob<'_>,
    out: &Packed,
    residual: Option<&[f32]>,
) -> Result<Vec<f32>, TryReserveError> {
    let (batch, tokens) = (job.batch, job.queries);
    let (inputs, outputs) = (x.len() / (batch * tokens).max(1), out.outputs());
    let width = qkv.outputs() / 3;
    assert_eq!(x.len(), batch * tokens * inputs);
    let fits = |residual: &[f32]| residual.len() == batch * tokens * outputs;
    assert!(residual.is_none_or(fits));
    job.check_mask();
    let threads = rayon::current_num_threads();
    let rounds = batch.div_ceil(threads);
    // Samples are not divided: where that leaves threads idle, the layers are.
    if threads > 1 && 8 * batch < 7 * rounds * threads {
        let between = matmul(&Windows::rows(x, inputs), qkv, Epilogue::plain(None))?;
        let attended = attention(job, sides(&between, width))?;
        return matmul(
            &Windows::rows(&attended, width),
            out,
            Epilogue::plain(residual),
        );
    }
    let length = tokens * outputs;
    let compute = |memory: &mut Memory, sample, result: &mut [MaybeUninit<f32>]| {
        let Memory {
            between,
            attended,
            scratch,
        } = memory;
        let x = Windows::rows(&x[sample * tokens * inputs..][..tokens * inputs], inputs);
        let project = |out: &mut [_]| matmul_into(&x, qkv, Epilogue::plain(None), out);
        // SAFETY: `matmul_into` writes all of its slice.
        unsafe { rewrite(between, tokens * 3 * width, project)? };
        let (job, sides) = (job.of_sample(sample), sides(between, width));
        let attend = |out: &mut [_]| attention_into(job, sides, scratch, out);
        // SAFETY: `attention_into` writes all of its slice.
        unsafe { rewrite(attended, tokens * width, attend)? };
        let residual = residual.map(|residual| &residual[sample * length..][..length]);
        let attended = Windows::rows(attended, width);
        matmul_into(&attended, out, Epilogue::plain(residual), result);
        Ok(())
    };
    // SAFETY: `matmul_into` writes all of its slice.
    unsafe { written_by_parts(batch * length, length, compute) }
}

/// Memory that the samples of a thread reuse.
#[derive(Default)]
struct Memory {
    /// Queries, keys and values.
    between: Vec<f32>,
    attended: Vec<f32>,
    scratch: Scratch,
}

/// Queries, keys and values of rows that have them one after another.
fn sides(rows: &[f32], width: usize) -> [Heads<'_>; 3] {
    [0, 1, 2].map(|side| Heads {
        values: rows,
        row: 3 * width,
        first: side * width,
    })
}
