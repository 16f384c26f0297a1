//! Deformable attention (Zhu et al., "Deformable DETR", 2020): each query takes the values at a few
//! places of several feature maps.

use std::collections::TryReserveError;

use crate::chunks;
use crate::isa::Isa;

/// The places that queries look around.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum References {
    /// Points `[x, y]`, 0 to 1; offsets are in pixels of the feature map.
    Points,
    /// Boxes `[x, y, width, height]` around their middle, 0 to 1; offsets are relative to the box,
    /// times this factor and divided by the number of places of the feature map.
    Boxes(f32),
}

impl References {
    /// Numbers per reference.
    pub const fn length(self) -> usize {
        match self {
            Self::Points => 2,
            Self::Boxes(_) => 4,
        }
    }
}

/// The sizes of a deformable attention.
#[derive(Clone, Copy, Debug)]
pub struct DeformableShape<'a> {
    /// Samples.
    pub batch: usize,
    /// Queries of each sample.
    pub queries: usize,
    /// Heads.
    pub heads: usize,
    /// Features per head.
    pub head: usize,
    /// Rows and columns of each feature map.
    pub levels: &'a [[usize; 2]],
    /// Places per query and head of each feature map.
    pub points: &'a [usize],
    /// What queries look around.
    pub references: References,
}

impl DeformableShape<'_> {
    /// Pixels of all feature maps.
    pub fn tokens(&self) -> usize {
        self.levels
            .iter()
            .map(|[rows, columns]| rows * columns)
            .sum()
    }

    /// Places per query and head.
    pub fn places(&self) -> usize {
        self.points.iter().sum()
    }
}

/// `values`, `[batch, tokens, heads * head]`, of all feature maps one after another; `offsets`,
/// `[batch, queries, heads, levels, points, 2]`, `x` before `y`; `scores`,
/// `[batch, queries, heads, levels * points]`, before their softmax; `references`,
/// `[batch, queries, 2 or 4]`. The result has the shape `[batch, queries, heads * head]`.
///
/// Values are interpolated between the middles of pixels, and are zero outside, as in PyTorch's
/// `grid_sample` without `align_corners`.
///
/// # Errors
/// There is no memory for the result.
pub fn deformable_attention(
    isa: Isa,
    shape: DeformableShape<'_>,
    [values, offsets, scores, references]: [&[f32]; 4],
) -> Result<Vec<f32>, TryReserveError> {
    let (tokens, places) = (shape.tokens(), shape.places());
    let (width, rows) = (shape.heads * shape.head, shape.batch * shape.queries);
    let of_reference = shape.references.length();
    assert_eq!(shape.points.len(), shape.levels.len());
    assert_eq!(values.len(), shape.batch * tokens * width);
    assert_eq!(scores.len(), rows * shape.heads * places);
    assert_eq!(offsets.len(), 2 * scores.len());
    assert_eq!(references.len(), rows * of_reference);
    let mut result = chunks::zeros(rows * width)?;
    if result.is_empty() || values.is_empty() {
        return Ok(result);
    }
    let steps = 4 * result.len() * places;
    chunks::for_each(&mut result, width, steps, |at, out| {
        let values = &values[at / shape.queries * tokens * width..][..tokens * width];
        let reference = &references[at * of_reference..][..of_reference];
        let count = shape.heads * places;
        let offsets = &offsets[at * 2 * count..][..2 * count];
        let scores = &scores[at * count..][..count];
        isa.run(
            #[inline(always)]
            || one_query(&shape, [values, offsets, scores, reference], out),
        );
    });
    Ok(result)
}

#[inline(always)]
fn one_query(
    shape: &DeformableShape<'_>,
    [values, offsets, scores, reference]: [&[f32]; 4],
    out: &mut [f32],
) {
    let (head, places) = (shape.head, shape.places());
    for (index, out) in out.chunks_exact_mut(head).enumerate() {
        let scores = &scores[index * places..][..places];
        let offsets = &offsets[index * 2 * places..][..2 * places];
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = scores.iter().map(|score| (score - largest).exp()).sum();
        let (mut first, mut at) = (0, 0);
        for (&[rows, columns], &points) in shape.levels.iter().zip(shape.points) {
            for at in at..at + points {
                let share = (scores[at] - largest).exp() / sum;
                let offset = [offsets[2 * at], offsets[2 * at + 1]];
                let place = place(shape.references, reference, offset, [rows, columns, points]);
                let values = &values[first * shape.heads * head..];
                let stride = shape.heads * head;
                add_place(values, [rows, columns], place, share, out, |pixel| {
                    pixel * stride + index * head
                });
            }
            first += rows * columns;
            at += points;
        }
    }
}

/// The place `[x, y]` in pixels of a feature map, counted from the middle of the first one.
#[inline(always)]
#[allow(clippy::cast_precision_loss, reason = "sides of feature maps")]
fn place(
    references: References,
    reference: &[f32],
    offset: [f32; 2],
    [rows, columns, points]: [usize; 3],
) -> [f32; 2] {
    let sides = [columns as f32, rows as f32];
    std::array::from_fn(|axis| match references {
        References::Points => reference[axis] * sides[axis] + offset[axis] - 0.5,
        References::Boxes(factor) => {
            let moved = offset[axis] / points as f32 * reference[2 + axis] * factor;
            (reference[axis] + moved) * sides[axis] - 0.5
        }
    })
}

/// Adds the value at a place between four pixels, times a share.
#[inline(always)]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places that are checked to be on the feature map"
)]
fn add_place(
    values: &[f32],
    [rows, columns]: [usize; 2],
    [x, y]: [f32; 2],
    share: f32,
    out: &mut [f32],
    start: impl Fn(usize) -> usize,
) {
    let inside = |at: f32, side: usize| at > -1.0 && at < side as f32;
    if !inside(x, columns) || !inside(y, rows) {
        return;
    }
    let (left, top) = (x.floor(), y.floor());
    let (right, bottom) = (x - left, y - top);
    for (row, down) in [(top, 1.0 - bottom), (top + 1.0, bottom)] {
        if row < 0.0 || row >= rows as f32 {
            continue;
        }
        for (column, across) in [(left, 1.0 - right), (left + 1.0, right)] {
            if column < 0.0 || column >= columns as f32 {
                continue;
            }
            let at = start(row as usize * columns + column as usize);
            let weight = share * down * across;
            for (out, value) in out.iter_mut().zip(&values[at..]) {
                *out += weight * value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape<'a>(
        levels: &'a [[usize; 2]],
        points: &'a [usize],
        references: References,
    ) -> DeformableShape<'a> {
        DeformableShape {
            batch: 1,
            queries: 1,
            heads: 1,
            head: 1,
            levels,
            points,
            references,
        }
    }

    fn one(levels: &[[usize; 2]], references: References, inputs: [&[f32]; 4]) -> f32 {
        let isas = Isa::available().into_iter();
        let values = isas.map(|isa| {
            let points = vec![1; levels.len()];
            let shape = shape(levels, &points, references);
            deformable_attention(isa, shape, inputs).unwrap()[0]
        });
        values
            .reduce(|a, b| {
                assert!((a - b).abs() < 1e-5);
                a
            })
            .unwrap()
    }

    #[test]
    fn values_are_interpolated_and_zero_outside() {
        // Two by two pixels: 1 2 / 3 4.
        let values = [1.0, 2.0, 3.0, 4.0];
        let at = |x: f32, y: f32, offset: [f32; 2]| {
            let inputs = [&values[..], &offset, &[7.0], &[x, y]];
            one(&[[2, 2]], References::Points, inputs)
        };
        assert!((at(0.5, 0.5, [0.0; 2]) - 2.5).abs() < 1e-6);
        assert!((at(0.25, 0.25, [0.0; 2]) - 1.0).abs() < 1e-6);
        // One pixel to the right.
        assert!((at(0.25, 0.25, [1.0, 0.0]) - 2.0).abs() < 1e-6);
        // Half of it outside.
        assert!((at(0.0, 0.25, [0.0; 2]) - 0.5).abs() < 1e-6);
        assert_eq!(at(-3.0, 0.25, [0.0; 2]), 0.0);
        assert_eq!(at(f32::NAN, f32::INFINITY, [0.0; 2]), 0.0);
    }

    #[test]
    fn offsets_are_relative_to_boxes() {
        let values = [1.0, 2.0, 3.0, 4.0];
        // A box over all of the map, and half of half of it to the right.
        let inputs = [&values[..], &[0.5, 0.0], &[0.0], &[0.5, 0.25, 1.0, 1.0]];
        let value = one(&[[2, 2]], References::Boxes(0.5), inputs);
        assert!((value - 2.0).abs() < 1e-6, "{value}");
    }

    #[test]
    fn scores_of_all_levels_share_a_softmax() {
        let values = [10.0, 20.0, 30.0];
        let scores = [0.0, 2f32.ln()];
        let inputs = [&values[..], &[0.0; 4], &scores, &[0.5, 0.5]];
        let value = one(&[[1, 1], [1, 2]], References::Points, inputs);
        assert!(
            (value - (10.0 / 3.0 + 25.0 * 2.0 / 3.0)).abs() < 1e-4,
            "{value}"
        );
    }
}
