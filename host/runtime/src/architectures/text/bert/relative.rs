//! MPNet's bias on attention scores by the distance of two tokens (`models/mpnet`; the buckets are
//! T5's).

use candle_core::Tensor;

use crate::device::Device;
use crate::error::Error;
use crate::layers::check_size;
use crate::weights::Scope;

/// The distance from which on all share a bucket.
const FARTHEST: f32 = 128.0;

/// One value per bucket of distances and head.
pub(super) struct RelativeBias {
    /// `[buckets, heads]`.
    table: Vec<f32>,
    heads: usize,
}

impl RelativeBias {
    /// Reads `weight`, `[buckets, heads]`.
    pub(super) fn load(scope: &Scope<'_>, buckets: usize, heads: usize) -> Result<Self, Error> {
        let table = scope.get("weight", &[buckets, heads])?;
        Ok(Self {
            table: table.flatten_all()?.to_vec1()?,
            heads,
        })
    }

    /// The bias of texts of `tokens` tokens, `[1, heads, tokens, tokens]`.
    pub(super) fn of(&self, tokens: usize, device: &Device) -> Result<Tensor, Error> {
        // One bucket per distance: the key's place minus the query's, from the least on.
        let distances = (1..2 * tokens).map(|after| after as f32 - tokens as f32);
        let buckets: Vec<usize> = distances.map(bucket).collect();
        let dims = [self.heads, tokens, tokens];
        check_size("relative_attention_bias", &dims)?;
        let mut values: Vec<f32> = Vec::with_capacity(dims.iter().product());
        for head in 0..self.heads {
            let value = |bucket| self.table.get(bucket * self.heads + head).copied();
            let by_distance = buckets
                .iter()
                .map(|&bucket| value(bucket).unwrap_or_default());
            let by_distance: Vec<f32> = by_distance.collect();
            for query in 0..tokens {
                let first = tokens - 1 - query;
                values.extend(by_distance.iter().skip(first).take(tokens));
            }
        }
        let shape = (1, self.heads, tokens, tokens);
        Ok(Tensor::from_vec(values, shape, device.candle())?)
    }
}

/// The number of buckets that transformers sorts distances into, whatever the rows of the table.
pub(super) const BUCKETS: usize = 32;

/// The bucket of a distance: half of them are for each direction; of these, half are for one
/// distance each, and the others for ranges that grow logarithmically.
fn bucket(distance: f32) -> usize {
    const SIDE: usize = BUCKETS / 2;
    const EXACT: f32 = (SIDE / 2) as f32;
    let side = if distance > 0.0 { SIDE } else { 0 };
    let far = distance.abs();
    let steps = if far < EXACT {
        far
    } else {
        let scale = (FARTHEST / EXACT).ln();
        EXACT + ((far / EXACT).ln() / scale * (SIDE as f32 - EXACT)).floor()
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 0 to 15"
    )]
    let steps = steps.min(SIDE as f32 - 1.0) as usize;
    side + steps
}
