//! Attention between tokens.

use candle_core::Tensor;
use candle_nn::ops::softmax_last_dim;
use modelzoo_kernels::{self as kernels, AttentionJob, Heads, Isa};

use super::cpu;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::precision::full;

/// The most products of queries and keys, over all heads and samples: a few minutes of work for a
/// core. The size of the result does not bound them.
const MAX_PRODUCTS: usize = 1 << 44;

/// The keys that a query attends to, and a bias on the attention scores; all and none by default.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mask<'a> {
    /// Whether a query attends only to keys that are not after it.
    pub(crate) causal: bool,
    /// The number of keys per sample, at least one, that are not padding.
    pub(crate) lengths: Option<&'a [usize]>,
    /// Added to the attention scores: `[n, heads, queries, keys]`, f32 on the device. Sample `i` uses
    /// entry `i % n` (one for all, or one per window).
    pub(crate) bias: Option<&'a Tensor>,
}

/// Attention without projections: for each head `softmax(q kᵀ * scale + mask) v`.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    name: String,
    /// One per head.
    scales: Vec<f32>,
    kernels: Kernels,
}

impl Attention {
    /// With the scale `1 / sqrt(head)` for heads of `head` features; `name` is for messages.
    pub(crate) fn new(name: &str, heads: usize, head: usize, device: &Device) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "rounded once")]
        let scale = (1.0 / (head as f64).sqrt()) as f32;
        Self::with_scales(name, vec![scale; heads], device)
    }

    /// With one scale per head.
    pub(crate) fn with_scales(name: &str, scales: Vec<f32>, device: &Device) -> Self {
        Self {
            name: name.to_owned(),
            scales,
            kernels: device.kernels(),
        }
    }

    pub(super) fn set_scales(&mut self, scales: Vec<f32>) {
        self.scales = scales;
    }

    /// `q`, `[batch, queries, heads * head]`, `k` and `v`, `[batch, keys, heads * head]`, to
    /// `[batch, queries, heads * head]`. The features of a head are contiguous.
    pub(crate) fn forward(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        mask: Mask<'_>,
    ) -> Result<Tensor, Error> {
        let ((batch, queries, width), (_, keys, _)) = (q.dims3()?, k.dims3()?);
        if k.dims3()? != (batch, keys, width) || v.dims() != k.dims() {
            let reason = format!("queries {q:?}, keys {k:?} and values {v:?} do not go together");
            return Err(Error::bad_input(&self.name, reason));
        }
        let sizes = self.sizes([batch, queries, keys, width], mask)?;
        match self.kernels {
            Kernels::Candle => self.with_candle([q, k, v], sizes, mask),
            Kernels::Own => self.with_own(&[q, k, v], [0; 3], sizes, mask),
        }
    }

    /// The same of one tensor that holds queries, keys and values one after another,
    /// `[batch, tokens, 3 * heads * head]`, as a fused projection writes them.
    pub(crate) fn forward_fused(&self, qkv: &Tensor, mask: Mask<'_>) -> Result<Tensor, Error> {
        let sizes = self.fused_sizes(qkv.dims(), mask)?;
        let width = sizes.head * self.scales.len();
        match self.kernels {
            Kernels::Candle => {
                let part = |at: usize| qkv.narrow(2, at * width, width);
                let parts = [part(0)?, part(1)?, part(2)?];
                let [q, k, v] = &parts;
                self.with_candle([q, k, v], sizes, mask)
            }
            Kernels::Own => self.with_own(&[qkv], [0, width, 2 * width], sizes, mask),
        }
    }

    /// The shapes for queries, keys and values one after another, `[batch, tokens, 3 * heads *
    /// head]`.
    pub(super) fn fused_sizes(
        &self,
        qkv: &[usize],
        mask: Mask<'_>,
    ) -> Result<AttentionShape, Error> {
        match *qkv {
            [batch, tokens, row] if row % 3 == 0 => {
                self.sizes([batch, tokens, tokens, row / 3], mask)
            }
            _ => {
                let reason = format!("the shape {qkv:?} is not that of queries, keys and values");
                Err(Error::bad_input(&self.name, reason))
            }
        }
    }

    fn sizes(
        &self,
        [batch, queries, keys, width]: [usize; 4],
        mask: Mask<'_>,
    ) -> Result<AttentionShape, Error> {
        let heads = self.scales.len();
        let bad = |reason: String| Err(Error::bad_input(&self.name, reason));
        if heads == 0 || width % heads != 0 || [batch, queries, keys, width].contains(&0) {
            return bad(format!(
                "{batch} x {queries} queries and {keys} keys of {width} features in {heads} heads"
            ));
        }
        if let Some(lengths) = mask.lengths
            && (lengths.len() != batch || lengths.iter().any(|length| !(1..=keys).contains(length)))
        {
            return bad(format!(
                "{batch} samples of {keys} keys, and lengths {lengths:?}"
            ));
        }
        if let Some(bias) = mask.bias {
            let (entries, of_heads, of_queries, of_keys) = bias.dims4()?;
            if [of_heads, of_queries, of_keys] != [heads, queries, keys]
                || entries == 0
                || batch % entries != 0
            {
                return bad(format!("a bias of the shape {:?}", bias.dims()));
            }
        }
        let factors = [batch, queries, keys, width];
        let products = factors.into_iter().fold(1, usize::saturating_mul);
        if products > MAX_PRODUCTS {
            return Err(Error::TooLarge {
                layer: format!("{}, the products of queries and keys", self.name),
                elements: products,
                limit: MAX_PRODUCTS,
            });
        }
        // candle's operations compute all scores at once.
        if self.kernels == Kernels::Candle {
            check_size(&self.name, &[batch, heads, queries, keys])?;
        }
        check_size(&self.name, &[batch, queries, width])?;
        Ok(AttentionShape {
            batch,
            queries,
            keys,
            head: width / heads,
        })
    }

    fn with_own(
        &self,
        tensors: &[&Tensor],
        first: [usize; 3],
        sizes: AttentionShape,
        mask: Mask<'_>,
    ) -> Result<Tensor, Error> {
        let AttentionShape {
            batch,
            queries,
            head,
            ..
        } = sizes;
        let width = head * self.scales.len();
        let all: Vec<&Tensor> = tensors.iter().copied().chain(mask.bias).collect();
        let dims = [batch, queries, width];
        Ok(cpu::many(&all, &dims, |values| {
            let (sides, bias) = values.split_at(tensors.len());
            let job = self.job(sizes, mask, bias.first().copied());
            // Three tensors, or one with all three.
            let side = |at: usize, first: usize| Heads {
                values: sides.get(at).or(sides.first()).copied().unwrap_or_default(),
                row: if sides.len() == 1 { 3 * width } else { width },
                first,
            };
            let [q, k, v] = first;
            kernels::attention(job, [side(0, q), side(1, k), side(2, v)])
        })?)
    }

    /// The job of our own kernels; `bias` has the elements of the mask's bias.
    pub(super) fn job<'a>(
        &'a self,
        sizes: AttentionShape,
        mask: Mask<'a>,
        bias: Option<&'a [f32]>,
    ) -> AttentionJob<'a> {
        AttentionJob {
            isa: Isa::detect(),
            batch: sizes.batch,
            queries: sizes.queries,
            keys: sizes.keys,
            head: sizes.head,
            scales: &self.scales,
            causal: mask.causal,
            lengths: mask.lengths,
            bias,
        }
    }

    fn with_candle(
        &self,
        sides: [&Tensor; 3],
        sizes: AttentionShape,
        mask: Mask<'_>,
    ) -> Result<Tensor, Error> {
        let AttentionShape { batch, head, .. } = sizes;
        let heads = self.scales.len();
        let split = |x: &Tensor| {
            x.reshape((batch, x.dim(1)?, heads, head))?
                .transpose(1, 2)?
                .contiguous()
        };
        let [q, k, v] = sides;
        let (q, k, v) = (split(q)?, split(k)?, split(v)?);
        let scales = Tensor::from_slice(&self.scales, (1, heads, 1, 1), q.device())?;
        // Scaled before the product, which half precision could not hold otherwise; the scores are
        // f32, as the mask is.
        let q = q.broadcast_mul(&scales.to_dtype(q.dtype())?)?;
        let mut scores = full(&q.matmul(&k.t()?.contiguous()?)?)?;
        if let Some(bias) = mask.bias {
            let entries = bias.dim(0)?;
            let rest = (sizes.queries, sizes.keys);
            let by_entry = scores.reshape((batch / entries, entries, heads * rest.0, rest.1))?;
            let bias = bias.reshape((1, entries, heads * rest.0, rest.1))?;
            scores = by_entry
                .broadcast_add(&bias)?
                .reshape((batch, heads, rest.0, rest.1))?;
        }
        if let Some(masked) = masked(sizes, mask, q.device())? {
            scores = scores.broadcast_add(&masked)?;
        }
        let weights = softmax_last_dim(&scores)?.to_dtype(v.dtype())?;
        let y = weights.matmul(&v)?.transpose(1, 2)?.contiguous()?;
        Ok(y.reshape((batch, sizes.queries, heads * head))?)
    }
}

/// The sizes of one attention.
#[derive(Clone, Copy)]
pub(super) struct AttentionShape {
    pub(super) batch: usize,
    pub(super) queries: usize,
    keys: usize,
    head: usize,
}

/// Minus infinity where a query does not attend to a key, `[batch or 1, 1, queries or 1, keys]`.
fn masked(
    sizes: AttentionShape,
    mask: Mask<'_>,
    device: &candle_core::Device,
) -> Result<Option<Tensor>, Error> {
    if !mask.causal && mask.lengths.is_none() {
        return Ok(None);
    }
    let batch = mask.lengths.map_or(1, <[usize]>::len);
    let queries = if mask.causal { sizes.queries } else { 1 };
    let mut values = Vec::with_capacity(batch * queries * sizes.keys);
    for sample in 0..batch {
        let length = mask
            .lengths
            .and_then(|lengths| lengths.get(sample).copied());
        let length = length.unwrap_or(sizes.keys);
        for query in 0..queries {
            let seen = if mask.causal {
                length.min(query + 1)
            } else {
                length
            };
            let value = |key| if key < seen { 0.0 } else { f32::NEG_INFINITY };
            values.extend((0..sizes.keys).map(value));
        }
    }
    Ok(Some(Tensor::from_vec(
        values,
        (batch, 1, queries, sizes.keys),
        device,
    )?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_products_are_refused_before_computing() {
        let attention = Attention::new("a", 2, 4, &Device::cpu());
        let sizes = |tokens| attention.sizes([1, tokens, tokens, 8], Mask::default());
        assert!(sizes(1 << 20).is_ok());
        for tokens in [1 << 21, usize::MAX / 2] {
            let Err(error) = sizes(tokens) else {
                panic!("{tokens} tokens are too many")
            };
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        }
    }
}
