//! From heat maps to points.

use candle_core::Tensor;
use modelzoo_kernels::{Isa, PEAK, peaks};
use modelzoo_model::output::{Boxes, OutputError, Points};

use super::super::anchors::{all_finite, sigmoid};
use super::super::frame::Framed;
use super::heads::Object;
use crate::error::Error;

/// The points of objects, in pixels of the original image, each with its confidence: those of the
/// largest values of `maps`, `[objects, points, height, width]`, stretched over the objects' boxes.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "sides of boxes, which are within an image"
)]
pub(super) fn places(
    maps: Option<&Tensor>,
    objects: &[Object],
    framed: Framed,
) -> Result<Vec<([f32; 2], f32)>, Error> {
    let Some(maps) = maps else {
        return Ok(Vec::new());
    };
    let (_, points, height, width) = maps.dims4()?;
    let sides: Vec<[f32; 2]> = objects
        .iter()
        .map(|object| {
            let [left, top, right, bottom] = object.edges;
            [(bottom - top).max(1.0), (right - left).max(1.0)]
        })
        .collect();
    let whole = |side: f32| side.ceil() as usize;
    let sizes: Vec<_> = sides.iter().map(|sides| sides.map(whole)).collect();
    let values = maps.flatten_all()?.to_vec1::<f32>()?;
    if !all_finite(&values) {
        // What is not a number has no peak; points refuse places that are none.
        return Ok(vec![([f32::NAN; 2], f32::NAN); objects.len() * points]);
    }
    let found = peaks(Isa::detect(), &values, [points, height, width], &sizes)
        .map_err(candle_core::Error::wrap)?;
    let mut places = Vec::with_capacity(objects.len() * points);
    let objects = objects.iter().zip(sides.iter().zip(&sizes));
    let groups = objects.zip(found.chunks_exact(PEAK * points.max(1)));
    for ((object, (sides, size)), peaks) in groups {
        let [left, top, ..] = object.edges;
        let ([tall, wide], [rows, columns]) = (sides, size);
        let (peaks, _) = peaks.as_chunks::<PEAK>();
        for [x, y, score] in peaks {
            let x = (x + 0.5) * wide / *columns as f32 + left;
            let y = (y + 0.5) * tall / *rows as f32 + top;
            places.push((framed.back([x, y]), sigmoid(*score)));
        }
    }
    Ok(places)
}

/// Boxes with a group of `count` points each.
pub(super) fn pointed(
    boxes: Boxes,
    count: usize,
    places: Vec<([f32; 2], f32)>,
) -> Result<Boxes, OutputError> {
    let (places, confidences) = places.into_iter().unzip();
    boxes.with_points(Points::new(count, places, confidences)?)
}
