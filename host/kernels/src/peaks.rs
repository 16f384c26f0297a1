//! The largest values of maps, once these are enlarged.

use std::collections::TryReserveError;

use crate::chunks;
use crate::isa::Isa;

/// Taps of the bicubic interpolation.
const TAPS: usize = 4;
/// Values per peak: `x`, `y` and the largest value.
pub const PEAK: usize = 3;

/// The column, the row and the value of the largest pixel of each map, enlarged to a size that the
/// maps of a group share: `[groups, maps, 3]`. Maps, `[groups, maps, height, width]`, are
/// interpolated as PyTorch does it bicubically without `align_corners`. Of equal values the first
/// counts, row by row. `sizes` has rows and columns, none of them zero.
///
/// # Errors
/// There is no memory for the result.
pub fn peaks(
    isa: Isa,
    values: &[f32],
    [maps, height, width]: [usize; 3],
    sizes: &[[usize; 2]],
) -> Result<Vec<f32>, TryReserveError> {
    let area = height * width;
    assert_eq!(values.len(), sizes.len() * maps * area);
    let mut result = chunks::zeros(sizes.len() * maps * PEAK)?;
    if result.is_empty() || area == 0 {
        return Ok(result);
    }
    let pixels: usize = sizes.iter().map(|[rows, columns]| rows * columns).sum();
    let steps = maps.saturating_mul(pixels).saturating_mul(2 * TAPS);
    chunks::for_each(&mut result, PEAK, steps, |at, out| {
        let map = &values[at * area..][..area];
        let peak = isa.run(
            #[inline(always)]
            || peak(map, [height, width], sizes[at / maps]),
        );
        out.copy_from_slice(&peak);
    });
    Ok(result)
}

#[inline(always)]
#[allow(clippy::cast_precision_loss, reason = "positions of pixels")]
fn peak(map: &[f32], [height, width]: [usize; 2], [rows, columns]: [usize; 2]) -> [f32; PEAK] {
    let (down, across) = (taps(height, rows), taps(width, columns));
    // Each row of the map, as long as those of the result.
    let mut wide = vec![0.0; height * columns];
    for (row, wide) in map.chunks_exact(width).zip(wide.chunks_exact_mut(columns)) {
        for ((places, weights), wide) in across.iter().zip(wide) {
            let taps = places.iter().zip(weights);
            *wide = taps.map(|(&place, weight)| row[place] * weight).sum();
        }
    }
    let mut best = [0.0, 0.0, f32::NEG_INFINITY];
    let mut line = vec![0.0; columns];
    for (y, (places, weights)) in down.iter().enumerate() {
        line.fill(0.0);
        for (&place, weight) in places.iter().zip(weights) {
            let row = &wide[place * columns..][..columns];
            for (sum, value) in line.iter_mut().zip(row) {
                *sum += value * weight;
            }
        }
        for (x, &value) in line.iter().enumerate() {
            if value > best[2] {
                best = [x as f32, y as f32, value];
            }
        }
    }
    best
}

/// For each new place along a side its four places and their weights.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "sides of images"
)]
fn taps(from: usize, to: usize) -> Vec<([usize; TAPS], [f32; TAPS])> {
    let scale = from as f64 / to as f64;
    let tap = |at: usize| {
        let source = scale * (at as f64 + 0.5) - 0.5;
        let first = source.floor();
        let place = |step: usize| {
            let place = first as i64 - 1 + step as i64;
            place.clamp(0, from as i64 - 1) as usize
        };
        let weight = |step: usize| cubic(step as f64 - 1.0 - (source - first), -0.75) as f32;
        (std::array::from_fn(place), std::array::from_fn(weight))
    };
    (0..to).map(tap).collect()
}

/// The cubic convolution kernel with the parameter `a` (Keys, 1981).
#[must_use]
#[inline]
pub fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_match_pytorch() {
        // torch.nn.functional.interpolate(torch.tensor([[[[1., 2., 4., 8.]]]]), size=(1, 6),
        // mode="bicubic") ends with 6.1875, 8.34722.
        let values = [1.0, 2.0, 4.0, 8.0];
        let found = peaks(Isa::detect(), &values, [1, 1, 4], &[[1, 6]]).unwrap();
        assert_eq!(found[..2], [5.0, 0.0]);
        assert!((found[2] - 8.34722).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn maps_of_a_group_share_a_size() {
        let values = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0];
        let found = peaks(Isa::detect(), &values, [2, 2, 2], &[[2, 2]]).unwrap();
        assert_eq!(found, [1.0, 0.0, 1.0, 0.0, 1.0, 5.0]);
    }
}
