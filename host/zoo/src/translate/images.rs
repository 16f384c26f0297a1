//! FiftyOne's `image_*` fields.

use modelzoo_model::plan::{Color, Normalization, Preprocessing, Resampling, Size, Step};
use serde_json::Value;

use super::error::TranslateError as Error;
use super::settings::{Settings, count};

/// From an image to the network's input, as FiftyOne's transforms do it: first the size,
/// then the crop to patches, then mean and deviation. Resizing is bilinear, and squares what
/// `image_size` says, which is height, then width.
pub(super) fn preprocessing(settings: &Settings) -> Result<Preprocessing, Error> {
    let resampling = Resampling::Bilinear;
    let mut steps = Vec::new();
    if let Some(to) = size(settings, "image_size")? {
        steps.push(Step::Resize { to, resampling });
    }
    if let Some(to) = settings.count("image_dim")? {
        steps.push(Step::ResizeShortest { to, resampling });
    }
    if let Some(to) = bound(settings, "image_min_size", "image_min_dim")? {
        steps.push(Step::ResizeMin { to, resampling });
    }
    if let Some(to) = bound(settings, "image_max_size", "image_max_dim")? {
        steps.push(Step::ResizeMax { to, resampling });
    }
    if let Some(of) = settings.count("image_patch_size")? {
        steps.push(Step::CropToMultiple(of));
    }
    let normalize = match (
        values(settings, "image_mean")?,
        values(settings, "image_std")?,
    ) {
        (None, None) => None,
        (Some(mean), Some(std)) => Some(Normalization { mean, std }),
        (None, Some(_)) => return Err(Error::bad("image_mean", "is missing beside `image_std`")),
        (Some(_), None) => return Err(Error::bad("image_std", "is missing beside `image_mean`")),
    };
    Ok(Preprocessing {
        color: Color::Rgb,
        steps,
        normalize,
    })
}

/// Height and width.
fn size(settings: &Settings, field: &'static str) -> Result<Option<Size>, Error> {
    let Some(value) = settings.get(field) else {
        return Ok(None);
    };
    let bad = || Error::bad(field, "is not a height and a width");
    sides(value).ok_or_else(bad).map(Some)
}

/// A list of a height and a width.
pub(super) fn sides(value: &Value) -> Option<Size> {
    match value.as_array().map(Vec::as_slice) {
        Some([height, width]) => Some(Size {
            height: count(height)?,
            width: count(width)?,
        }),
        _ => None,
    }
}

/// A size with two equal sides.
pub(super) fn square(side: u32) -> Size {
    Size {
        height: side,
        width: side,
    }
}

/// A size, or one number for both sides.
fn bound(
    settings: &Settings,
    to_size: &'static str,
    to_dim: &'static str,
) -> Result<Option<Size>, Error> {
    let (size, dim) = (size(settings, to_size)?, settings.count(to_dim)?);
    Ok(size.or(dim.map(square)))
}

/// One number per channel, or one for all.
fn values(settings: &Settings, field: &'static str) -> Result<Option<Vec<f32>>, Error> {
    settings
        .get(field)
        .map(|value| {
            numbers(value).ok_or_else(|| Error::bad(field, "is not a list of three numbers"))
        })
        .transpose()
}

/// Three numbers, from a list of them or one that stands for all.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the reference computes in single precision too"
)]
pub(super) fn numbers(value: &Value) -> Option<Vec<f32>> {
    if let Some(number) = value.as_f64() {
        return Some(vec![number as f32; 3]);
    }
    let numbers: Option<Vec<f32>> = value
        .as_array()?
        .iter()
        .map(|number| number.as_f64().map(|number| number as f32))
        .collect();
    numbers.filter(|numbers| numbers.len() == 3)
}
