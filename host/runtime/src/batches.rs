//! Which samples are computed together.

use std::borrow::Borrow;

use modelzoo_model::sample::ImageInput;

use crate::error::Error;

/// The most values of inputs that are computed together, 64 MiB of f32, but for an input that has
/// more alone. A network's layers make some times more of them.
const MAX_VALUES: usize = 1 << 24;

/// The inputs by their sizes, in the order in which the sizes first occur, each with its place;
/// of one size no more together than [`MAX_VALUES`] allows.
pub(crate) fn buckets<I: Borrow<ImageInput>>(inputs: &[I]) -> Vec<Vec<(usize, &ImageInput)>> {
    let size = |input: &ImageInput| (input.height(), input.width(), input.channels());
    let mut buckets: Vec<Vec<(usize, &ImageInput)>> = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let input: &ImageInput = input.borrow();
        let most = together(size(input));
        let fits = |bucket: &&mut Vec<(usize, &ImageInput)>| {
            bucket.len() < most
                && bucket
                    .first()
                    .is_some_and(|(_, first)| size(first) == size(input))
        };
        match buckets.iter_mut().find(fits) {
            Some(bucket) => bucket.push((index, input)),
            None => buckets.push(vec![(index, input)]),
        }
    }
    buckets
}

/// How many inputs of a size are computed together, at least one.
fn together((height, width, channels): (usize, usize, usize)) -> usize {
    let values = height.saturating_mul(width).saturating_mul(channels);
    (MAX_VALUES / values.max(1)).max(1)
}

/// Computes samples together; where they are too many for that, in halves, down to one alone: no
/// sample fails because of the others.
pub(crate) fn halving<T, R>(
    samples: &[T],
    compute: &impl Fn(&[T]) -> Result<Vec<R>, Error>,
) -> Result<Vec<R>, Error> {
    match compute(samples) {
        Err(Error::TooLarge { .. }) if samples.len() > 1 => {
            let (first, second) = samples.split_at(samples.len() / 2);
            let mut results = halving(first, compute)?;
            results.extend(halving(second, compute)?);
            Ok(results)
        }
        results => results,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes samples whose sum is at most 10.
    fn compute(samples: &[usize]) -> Result<Vec<usize>, Error> {
        let (elements, limit) = (samples.iter().sum(), 10);
        if elements > limit {
            let layer = "sum".to_owned();
            return Err(Error::TooLarge {
                layer,
                elements,
                limit,
            });
        }
        Ok(samples.to_vec())
    }

    #[test]
    fn the_larger_the_inputs_the_fewer_are_computed_together() {
        assert_eq!(together((224, 224, 3)), 111);
        assert_eq!(together((16_384, 16_384, 3)), 1);
        assert_eq!(together((0, 0, 0)), MAX_VALUES);
    }

    #[test]
    fn large_batch_is_computed_in_halves() {
        let samples = [1, 9, 5, 5, 10, 2, 8, 3, 3];
        assert_eq!(halving(&samples, &compute).unwrap(), samples);
        let error = halving(&[1, 11, 1], &compute).unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { elements: 11, .. }),
            "{error}"
        );
    }
}
