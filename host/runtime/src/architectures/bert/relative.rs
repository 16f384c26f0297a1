//! What MPNet adds to the likeness of two tokens, by how far they are apart (`models/mpnet/
//! modeling_mpnet.py`; the buckets are T5's).

use candle_core::Tensor;

use crate::device::Device;
use crate::error::Error;
use crate::weights::Scope;

/// The most elements that are made of the table.
const MAX_ELEMENTS: usize = 1 << 30;

/// From this distance on all are alike.
const FARTHEST: f32 = 128.0;

/// One value a bucket of distances and head.
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

    /// For texts of so many tokens, `[1, heads, tokens, tokens]`.
    pub(super) fn of(&self, tokens: usize, device: &Device) -> Result<Tensor, Error> {
        // One bucket a distance: the key's place less the query's, from the least on.
        let distances = (1..2 * tokens).map(|after| after as f32 - tokens as f32);
        let buckets: Vec<usize> = distances.map(bucket).collect();
        let elements = tokens.saturating_mul(tokens).saturating_mul(self.heads);
        if elements > MAX_ELEMENTS {
            return Err(Error::TooLarge {
                layer: "relative_attention_bias".to_owned(),
                elements,
                limit: MAX_ELEMENTS,
            });
        }
        let mut values: Vec<f32> = Vec::with_capacity(elements);
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

/// How many buckets the reference sorts distances into, whatever the rows of its table.
pub(super) const BUCKETS: usize = 32;

/// The bucket of a distance: half of them for each direction, and of these half for one distance
/// each, the others for ever longer stretches.
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
