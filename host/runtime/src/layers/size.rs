//! The limit of a result's size.

use crate::error::Error;

/// The most elements of one feature map, 4 GiB of f32: a plan can ask for any number of channels,
/// and must not exhaust the memory of the process.
const MAX_ELEMENTS: usize = 1 << 30;

/// Refuses a result of more than [`MAX_ELEMENTS`].
pub(crate) fn check_size(layer: &str, dims: &[usize]) -> Result<(), Error> {
    let elements = dims
        .iter()
        .fold(1_usize, |product, &dim| product.saturating_mul(dim));
    if elements > MAX_ELEMENTS {
        return Err(Error::TooLarge {
            layer: layer.to_owned(),
            elements,
            limit: MAX_ELEMENTS,
        });
    }
    Ok(())
}
