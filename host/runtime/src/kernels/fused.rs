//! Layers of a transformer that are computed together, some tokens at a time: what is between
//! them stays in the cache, and is not written to memory and read from there again.

use std::collections::TryReserveError;

use rayon::prelude::*;

use super::attention::{AttentionJob, Heads, Scratch, attention, attention_into};
use super::chunks;
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
    let mut result = chunks::zeros(rows * outputs)?;
    if result.is_empty() {
        return Ok(result);
    }
    let rows = rows.div_ceil(parts);
    let parts = result.par_chunks_mut(rows * outputs).enumerate();
    parts.for_each_init(Vec::new, |between, (part, out)| {
        let (at, count) = (part * rows, out.len() / outputs);
        between.resize(count * inner, 0.0);
        let x = &x[at * inputs..][..count * inputs];
        matmul_into(&Windows::rows(x, inputs), up, first, between);
        let residual = residual.map(|residual| &residual[at * outputs..][..out.len()]);
        matmul_into(&Windows::rows(between, inner), down, second(residual), out);
    });
    Ok(result)
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
    let mut result = chunks::zeros(batch * tokens * outputs)?;
    if result.is_empty() {
        return Ok(result);
    }
    let samples = result.par_chunks_mut(tokens * outputs).enumerate();
    let memory = || {
        let between = vec![0.0; tokens * 3 * width];
        (between, vec![0.0; tokens * width], Scratch::default())
    };
    samples.for_each_init(memory, |(between, attended, scratch), (sample, result)| {
        let x = &x[sample * tokens * inputs..][..tokens * inputs];
        matmul_into(&Windows::rows(x, inputs), qkv, epilogue(None), between);
        attention_into(
            job.of_sample(sample),
            sides(between, width),
            scratch,
            attended,
        );
        let at = sample * result.len();
        let residual = residual.map(|residual| &residual[at..][..result.len()]);
        matmul_into(
            &Windows::rows(attended, width),
            out,
            epilogue(residual),
            result,
        );
    });
    Ok(result)
}

/// Queries, keys and values in rows that have them one after another.
fn sides(rows: &[f32], width: usize) -> [Heads<'_>; 3] {
    [0, 1, 2].map(|side| Heads {
        values: rows,
        row: 3 * width,
        first: side * width,
    })
}
