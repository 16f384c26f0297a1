//! Layers of a transformer that are computed together, some tokens at a time: what is between
//! them stays in the cache, and is not written to memory and read from there again.

use std::collections::TryReserveError;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::attention::{AttentionJob, Heads, Scratch, attention, attention_into};
use super::matmul::{Epilogue, Packed, matmul, matmul_into};
use super::window::Windows;
use crate::layers::Activation;

/// Bytes of what is between two layers, half of a second-level cache.
const BETWEEN_BYTES: usize = 512 << 10;
/// The fewest rows that are worth reading all weights for: a few tiles.
const LEAST_ROWS: usize = 52;

/// Two linear layers with an activation between them.
#[derive(Clone, Copy)]
pub(crate) struct TwoLayers<'a> {
    pub(crate) up: &'a Packed,
    pub(crate) activation: Activation,
    pub(crate) down: &'a Packed,
}

/// `down(activation(up(x))) + residual` of rows of `inputs` elements.
///
/// # Errors
/// There is no memory for the result.
pub(crate) fn two_layers(
    x: &[f32],
    inputs: usize,
    TwoLayers {
        up,
        activation,
        down,
    }: TwoLayers<'_>,
    residual: Option<&[f32]>,
) -> Result<Vec<f32>, TryReserveError> {
    let (rows, inner, outputs) = (x.len() / inputs, up.outputs(), down.outputs());
    let first = Epilogue {
        residual: None,
        activation,
    };
    let second = |residual| Epilogue {
        residual,
        activation: Activation::Identity,
    };
    let threads = rayon::current_num_threads();
    let most = (BETWEEN_BYTES / (inner * size_of::<f32>())).max(LEAST_ROWS);
    let parts = rows.div_ceil(most).next_multiple_of(threads);
    if threads > 1 && rows < parts * LEAST_ROWS {
        let between = matmul(&Windows::rows(x, inputs), up, first)?;
        return matmul(&Windows::rows(&between, inner), down, second(residual));
    }
    let count = rows.div_ceil(parts);
    let compute = |between: &mut Vec<f32>, part, out: &mut [MaybeUninit<f32>]| {
        let (at, rows) = (part * count, out.len() / outputs);
        between.resize(rows * inner, 0.0);
        let x = Windows::rows(&x[at * inputs..][..rows * inputs], inputs);
        matmul_into(&x, up, first, uninit(between));
        let residual = residual.map(|residual| &residual[at * outputs..][..out.len()]);
        matmul_into(&Windows::rows(between, inner), down, second(residual), out);
    };
    // SAFETY: `matmul_into` writes all that it is handed.
    unsafe { by_parts(rows * outputs, count * outputs, compute) }
}

/// `out(attention(qkv(x))) + residual` of `[batch, tokens, inputs]`, where `qkv` gives queries, keys
/// and values one after another.
///
/// # Errors
/// There is no memory for the result.
pub(crate) fn self_attention(
    x: &[f32],
    qkv: &Packed,
    job: AttentionJob<'_>,
    out: &Packed,
    residual: Option<&[f32]>,
) -> Result<Vec<f32>, TryReserveError> {
    let (batch, tokens) = (job.batch, job.queries);
    let (inputs, outputs) = (x.len() / (batch * tokens).max(1), out.outputs());
    let width = qkv.outputs() / 3;
    let epilogue = |residual| Epilogue {
        residual,
        activation: Activation::Identity,
    };
    let threads = rayon::current_num_threads();
    let turns = batch.div_ceil(threads);
    // Samples are not divided: where that leaves threads without work, the layers are.
    if threads > 1 && 8 * batch < 7 * turns * threads {
        let between = matmul(&Windows::rows(x, inputs), qkv, epilogue(None))?;
        let attended = attention(job, sides(&between, width))?;
        return matmul(&Windows::rows(&attended, width), out, epilogue(residual));
    }
    let length = tokens * outputs;
    let compute = |memory: &mut Memory, sample, result: &mut [MaybeUninit<f32>]| {
        let Memory {
            between,
            attended,
            scratch,
        } = memory;
        between.resize(tokens * 3 * width, 0.0);
        attended.resize(tokens * width, 0.0);
        let x = Windows::rows(&x[sample * tokens * inputs..][..tokens * inputs], inputs);
        matmul_into(&x, qkv, epilogue(None), uninit(between));
        let job = job.of_sample(sample);
        attention_into(job, sides(between, width), scratch, uninit(attended));
        let residual = residual.map(|residual| &residual[sample * length..][..length]);
        let attended = Windows::rows(attended, width);
        matmul_into(&attended, out, epilogue(residual), result);
    };
    // SAFETY: `matmul_into` writes all that it is handed.
    unsafe { by_parts(batch * length, length, compute) }
}

/// What a thread needs for the attention of a sample.
#[derive(Default)]
struct Memory {
    /// Queries, keys and values.
    between: Vec<f32>,
    attended: Vec<f32>,
    scratch: Scratch,
}

/// A vector of `length` elements, of which each `part` in turn is written by `write`, which is
/// handed memory of its thread and the part's number.
///
/// # Errors
/// There is no memory for the result.
///
/// # Safety
/// `write` writes each element that it is handed.
unsafe fn by_parts<T: Default>(
    length: usize,
    part: usize,
    write: impl Fn(&mut T, usize, &mut [MaybeUninit<f32>]) + Sync,
) -> Result<Vec<f32>, TryReserveError> {
    let mut result = Vec::new();
    result.try_reserve_exact(length)?;
    let parts = result.spare_capacity_mut()[..length].par_chunks_mut(part.max(1));
    let parts = parts.enumerate();
    parts.for_each_init(T::default, |memory, (at, out)| write(memory, at, out));
    // SAFETY: the capacity is there, and all of it was written, as the caller warrants.
    unsafe { result.set_len(length) };
    Ok(result)
}

/// Values that are going to be written, with numbers.
fn uninit(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    let (pointer, length) = (values.as_mut_ptr().cast(), values.len());
    // SAFETY: the layout is the same, the values are borrowed for writing, and what is written to
    // them in this module is f32.
    unsafe { std::slice::from_raw_parts_mut(pointer, length) }
}

/// Queries, keys and values in rows that have them one after another.
fn sides(rows: &[f32], width: usize) -> [Heads<'_>; 3] {
    [0, 1, 2].map(|side| Heads {
        values: rows,
        row: 3 * width,
        first: side * width,
    })
}
