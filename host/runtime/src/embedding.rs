//! From a layer's output to one vector per sample.

use std::borrow::Cow;

use candle_core::Tensor;
use modelzoo_base::Remedy;

use crate::error::Error;
use crate::plan::{Embeddings, Pooling};

/// One vector per sample, `[batch, size]`, from a layer's values: `[batch, features]`,
/// `[batch, tokens, features]` or `[batch, channels, height, width]`.
///
/// `lengths` are the tokens of each sample that are not padding, where they are tokens of texts.
/// Texts have as many as they have words: their vectors could not be compared without pooling.
pub(crate) fn pool(
    values: &Tensor,
    lengths: Option<&[usize]>,
    plan: &Embeddings,
) -> Result<Tensor, Error> {
    let rows = match (values.rank(), plan.pooling) {
        (2, _) => values.clone(),
        (3, Pooling::None) if lengths.is_some() => return Err(TOKENS),
        (_, Pooling::None) => values.flatten_from(1)?,
        (3, pooling) => positions(values, lengths, pooling)?,
        // Places of a feature map, as positions.
        (4, pooling) => {
            let places = values.flatten_from(2)?.transpose(1, 2)?.contiguous()?;
            positions(&places, None, pooling)?
        }
        (rank, _) => {
            let reason = format!("values of {rank} dimensions have no positions to pool");
            return Err(Error::bad_input("embedding", reason));
        }
    };
    if !plan.normalize {
        return Ok(rows);
    }
    unit(&rows)
}

const TOKENS: Error = Error::CannotDo {
    what: "has one vector per token here, not one per text",
    remedy: Remedy::Advice(Cow::Borrowed(
        "let the plan say how they become one: `embeddings.pooling` is `mean`, `first` or `max`",
    )),
};

/// Divides each row by its length; a row of zeros stays.
pub(crate) fn unit(rows: &Tensor) -> Result<Tensor, Error> {
    let length = rows.sqr()?.sum_keepdim(1)?.sqrt()?;
    Ok(rows.broadcast_div(&length.maximum(1e-12)?)?)
}

/// One row of `[batch, positions, features]`.
fn positions(
    values: &Tensor,
    lengths: Option<&[usize]>,
    pooling: Pooling,
) -> Result<Tensor, Error> {
    let (batch, count, _) = values.dims3()?;
    let mut rows = Vec::with_capacity(batch);
    for row in 0..batch {
        let valid = lengths
            .and_then(|lengths| lengths.get(row))
            .map_or(count, |&length| length.clamp(1, count));
        let own = values.narrow(0, row, 1)?.narrow(1, 0, valid)?;
        rows.push(match pooling {
            Pooling::First | Pooling::None => own.narrow(1, 0, 1)?.squeeze(1)?,
            Pooling::Mean => own.mean(1)?,
            // The largest of some values ignores those that are not numbers; their
            // products with zero are none either.
            Pooling::Max => (own.max(1)? + own.affine(0.0, 0.0)?.sum(1)?)?,
        });
    }
    Ok(Tensor::cat(&rows, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(pooling: Pooling) -> Embeddings {
        Embeddings {
            pooling,
            ..Embeddings::default()
        }
    }

    fn tokens(values: [[f32; 2]; 3]) -> Tensor {
        Tensor::new(&[values], &candle_core::Device::Cpu).unwrap()
    }

    #[test]
    fn nan_is_not_hidden_by_max_pooling() {
        for bad in [f32::NAN, f32::NEG_INFINITY] {
            let values = tokens([[1.0, 5.0], [bad, 3.0], [2.0, 4.0]]);
            let rows = |lengths: Option<&[usize]>| {
                let rows = pool(&values, lengths, &plan(Pooling::Max)).unwrap();
                rows.to_vec2::<f32>().unwrap().remove(0)
            };
            let [first, second] = rows(None)[..] else {
                panic!("two features")
            };
            assert!(first.is_nan(), "{first}");
            assert_eq!(second.to_bits(), 5f32.to_bits());
            // One in the padding is no harm.
            assert_eq!(rows(Some(&[1])), [1.0, 5.0]);
        }
    }

    #[test]
    fn texts_need_pooling_and_patches_do_not() {
        let values = tokens([[1.0, 5.0], [0.0, 3.0], [2.0, 4.0]]);
        let error = pool(&values, Some(&[3]), &plan(Pooling::None)).unwrap_err();
        assert!(
            error.remedy().unwrap().to_string().contains("pooling"),
            "{error}"
        );
        let patches = pool(&values, None, &plan(Pooling::None)).unwrap();
        assert_eq!(patches.dims(), [1, 6]);
    }
}
