//! From a layer's output to one vector a sample.

use candle_core::Tensor;

use crate::error::Error;
use crate::plan::{Embeddings, Pooling};

/// One vector a sample, `[batch, size]`, from a layer's values: `[batch, features]`,
/// `[batch, tokens, features]` or `[batch, channels, height, width]`.
///
/// `lengths` are the tokens of each sample that are not padding; none where all count.
pub(crate) fn pool(
    values: &Tensor,
    lengths: Option<&[usize]>,
    plan: &Embeddings,
) -> Result<Tensor, Error> {
    let rows = match (values.rank(), plan.pooling) {
        (2, _) => values.clone(),
        (3, Pooling::None) | (_, Pooling::None) => values.flatten_from(1)?,
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
            Pooling::Max => own.max(1)?,
        });
    }
    Ok(Tensor::cat(&rows, 0)?)
}
