//! Region-of-interest alignment (He et al., "Mask R-CNN", 2017): the part of a feature map under a
//! box, at a fixed size, as torchvision's `roi_align` computes it (not `aligned`).

use std::collections::TryReserveError;

use crate::chunks;
use crate::isa::Isa;
use crate::window::Shape;

/// A box, and the feature map that it is cut from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// The image of the batch.
    pub image: usize,
    /// The feature map.
    pub level: usize,
    /// `[left, top, right, bottom]` in pixels of the image.
    pub edges: [f32; 4],
}

/// A batch of feature maps of one size.
#[derive(Clone, Copy, Debug)]
pub struct RegionLevel<'a> {
    /// `[batch, height, width, channels]`
    pub values: &'a [f32],
    /// The sizes of `values`.
    pub shape: Shape,
    /// Pixels of the feature map per pixel of the image.
    pub scale: f32,
}

/// The regions as feature maps of `side` rows and columns, each of whose pixels is the mean of
/// `samples` by `samples` places: `[regions, side, side, channels]`. All feature maps have as many
/// channels.
///
/// # Errors
/// There is no memory for the result.
pub fn roi_align(
    isa: Isa,
    levels: &[RegionLevel<'_>],
    regions: &[Region],
    side: usize,
    samples: usize,
) -> Result<Vec<f32>, TryReserveError> {
    let channels = levels.first().map_or(0, |level| level.shape.channels);
    for level in levels {
        assert_eq!(level.values.len(), level.shape.elements());
        assert_eq!(level.shape.channels, channels);
    }
    let length = side * side * channels;
    let mut result = chunks::zeros(regions.len() * length)?;
    if result.is_empty() || samples == 0 {
        return Ok(result);
    }
    let steps = 4 * samples * samples * result.len();
    chunks::for_each(&mut result, length, steps, |at, out| {
        let region = regions[at];
        isa.run(
            #[inline(always)]
            || one_region(levels[region.level], region, [side, samples], out),
        );
    });
    Ok(result)
}

#[inline(always)]
#[allow(clippy::cast_precision_loss, reason = "a few places along a side")]
fn one_region(
    RegionLevel {
        values,
        shape,
        scale,
    }: RegionLevel<'_>,
    region: Region,
    [side, samples]: [usize; 2],
    out: &mut [f32],
) {
    let channels = shape.channels;
    let image = shape.height * shape.width * channels;
    let values = &values[region.image * image..][..image];
    let [left, top, right, bottom] = region.edges.map(|edge| edge * scale);
    // Pixels of the feature map per pixel of the region.
    let [across, down] = [right - left, bottom - top].map(|length| length.max(1.0) / side as f32);
    let share = 1.0 / (samples * samples) as f32;
    for (at, out) in out.chunks_exact_mut(channels).enumerate() {
        let (row, column) = (at / side, at % side);
        for sample in 0..samples * samples {
            let within = |index: usize| (index as f32 + 0.5) / samples as f32;
            let y = top + (row as f32 + within(sample / samples)) * down;
            let x = left + (column as f32 + within(sample % samples)) * across;
            add_sample(values, shape, [y, x], share, out);
        }
    }
}

/// Adds the value at a place between four pixels, times a share. Places up to a pixel outside have
/// the value of the edge, those farther outside none.
#[inline(always)]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places that are checked to be on the feature map"
)]
fn add_sample(values: &[f32], shape: Shape, [y, x]: [f32; 2], share: f32, out: &mut [f32]) {
    let channels = shape.channels;
    let sides = [shape.height, shape.width];
    if [y, x]
        .iter()
        .zip(sides)
        .any(|(&at, side)| !(-1.0..=side as f32).contains(&at))
    {
        return;
    }
    let between = |at: f32, side: usize| {
        let at = at.max(0.0);
        let first = at as usize;
        if first + 1 >= side {
            (side - 1, side - 1, 0.0)
        } else {
            (first, first + 1, at - first as f32)
        }
    };
    let (above, below, down) = between(y, shape.height);
    let (left, right, across) = between(x, shape.width);
    for (row, vertical) in [(above, 1.0 - down), (below, down)] {
        for (column, horizontal) in [(left, 1.0 - across), (right, across)] {
            let weight = share * vertical * horizontal;
            let pixel = &values[(row * shape.width + column) * channels..][..channels];
            for (out, value) in out.iter_mut().zip(pixel) {
                *out += weight * value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map of 4x4 pixels whose values count them.
    fn align(edges: [f32; 4], scale: f32, side: usize) -> Vec<f32> {
        let values: Vec<f32> = (0..16).map(|value| value as f32).collect();
        let level = RegionLevel {
            values: &values,
            shape: Shape {
                batch: 1,
                height: 4,
                width: 4,
                channels: 1,
            },
            scale,
        };
        let region = Region {
            image: 0,
            level: 0,
            edges,
        };
        roi_align(Isa::detect(), &[level], &[region], side, 2).unwrap()
    }

    #[test]
    fn values_match_torchvision() {
        // torchvision.ops.roi_align(torch.arange(16.).reshape(1, 1, 4, 4), …, sampling_ratio=2)
        let cases = [
            ([0.0, 0.0, 2.0, 2.0], 1.0, vec![2.5, 3.5, 6.5, 7.5]),
            ([2.0, 4.0, 6.0, 8.0], 0.5, vec![11.5, 12.5, 13.5, 14.5]),
        ];
        for (edges, scale, want) in cases {
            let got = align(edges, scale, 2);
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() < 1e-5, "{edges:?}: {got}, not {want}");
            }
        }
    }

    #[test]
    fn regions_outside_are_zero() {
        assert_eq!(align([50.0, 50.0, 60.0, 60.0], 1.0, 2), [0.0; 4]);
        assert_eq!(align([f32::NAN; 4], 1.0, 1), [0.0]);
    }
}
