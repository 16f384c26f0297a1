//! Learned values on a grid (position embeddings, biases by distance), and their interpolation to
//! grids of other sizes as PyTorch's `interpolate` computes it.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "grids of a few thousand places, whose sizes the constructor has checked"
)]

use modelzoo_kernels::cubic;
use std::sync::{Mutex, PoisonError};

use crate::error::Error;

/// The interpolation, always without `align_corners`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Interpolation {
    Bilinear,
    /// With `a` = -0.75, over four places whatever the sizes.
    Bicubic,
    /// As [`Bicubic`](Self::Bicubic), with the scale of a grid that is larger by this offset:
    /// DINOv2's way to avoid rounding errors.
    BicubicOffset(f64),
    /// With `a` = -0.5 and an antialiasing filter, as in Pillow.
    BicubicAntialias,
}

/// A grid of values, `[height, width, channels]`.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    values: Vec<f32>,
    size: [usize; 2],
    channels: usize,
}

/// A value that is computed for each size of the grid; the one of the last size is kept.
pub(crate) struct GridCache<T> {
    last: Mutex<Option<([usize; 2], T)>>,
}

impl<T: Clone> GridCache<T> {
    pub(crate) fn new() -> Self {
        Self {
            last: Mutex::new(None),
        }
    }

    pub(crate) fn get(
        &self,
        size: [usize; 2],
        compute: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let kept = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, value)) = &*kept
            && *of == size
        {
            return Ok(value.clone());
        }
        drop(kept);
        let value = compute()?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((size, value.clone()));
        Ok(value)
    }
}

/// For each new place along an axis: where its sources begin, and their weights.
type Taps = Vec<(usize, Vec<f64>)>;

impl Grid {
    /// None where `values` are not `height * width` equal parts.
    pub(crate) fn new(values: Vec<f32>, size: [usize; 2]) -> Option<Self> {
        let places = size[0].checked_mul(size[1])?;
        if places == 0 || values.is_empty() || !values.len().is_multiple_of(places) {
            return None;
        }
        let channels = values.len() / places;
        Some(Self {
            values,
            size,
            channels,
        })
    }

    /// The values of a grid of the size `to`, neither of whose sides is zero.
    pub(crate) fn resized(&self, to: [usize; 2], how: Interpolation) -> Vec<f32> {
        if to == self.size {
            return self.values.clone();
        }
        let [height, width] = self.size;
        let (down, across) = (taps(height, to[0], how), taps(width, to[1], how));
        let mut result = Vec::with_capacity(to[0] * to[1] * self.channels);
        let mut sums = vec![0.0_f64; self.channels];
        for (top, rows) in &down {
            for (left, columns) in &across {
                sums.fill(0.0);
                for (y, row) in rows.iter().enumerate() {
                    for (x, column) in columns.iter().enumerate() {
                        let weight = row * column;
                        // Places beyond the edge are the edge's.
                        let y = (top + y).saturating_sub(EDGE).min(height - 1);
                        let x = (left + x).saturating_sub(EDGE).min(width - 1);
                        let at = (y * width + x) * self.channels;
                        let source = &self.values[at..at + self.channels];
                        for (sum, &value) in sums.iter_mut().zip(source) {
                            *sum += weight * f64::from(value);
                        }
                    }
                }
                result.extend(sums.iter().map(|&sum| sum as f32));
            }
        }
        result
    }
}

/// Taps may begin outside of the grid: their places are counted from this far outside.
const EDGE: usize = 2;

fn taps(from: usize, to: usize, how: Interpolation) -> Taps {
    let scale = match how {
        // 1 / scale_factor, where the factor is (to + offset) / from.
        Interpolation::BicubicOffset(offset) => from as f64 / (to as f64 + offset),
        Interpolation::Bilinear | Interpolation::Bicubic | Interpolation::BicubicAntialias => {
            from as f64 / to as f64
        }
    };
    (0..to)
        .map(|place| {
            let centre = scale * (place as f64 + 0.5);
            match how {
                Interpolation::Bilinear => {
                    let source = (centre - 0.5).max(0.0);
                    let first = source.floor();
                    let rest = source - first;
                    (first as usize + EDGE, vec![1.0 - rest, rest])
                }
                Interpolation::Bicubic | Interpolation::BicubicOffset(_) => {
                    let source = centre - 0.5;
                    let first = source.floor();
                    let rest = source - first;
                    let weights = (-1..=2)
                        .map(|step| cubic(f64::from(step) - rest, -0.75))
                        .collect();
                    ((first + EDGE as f64 - 1.0) as usize, weights)
                }
                Interpolation::BicubicAntialias => antialiased(centre, scale, from),
            }
        })
        .collect()
}

fn antialiased(centre: f64, scale: f64, from: usize) -> (usize, Vec<f64>) {
    let widening = scale.max(1.0);
    let support = 2.0 * widening;
    let first = (centre - support + 0.5).max(0.0) as usize;
    let last = ((centre + support + 0.5) as usize).min(from);
    let weights: Vec<f64> = (first..last)
        .map(|at| cubic((at as f64 - centre + 0.5) / widening, -0.5))
        .collect();
    let total: f64 = weights.iter().sum();
    let weights = weights.into_iter().map(|weight| weight / total).collect();
    (first + EDGE, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Interpolation; 4] = [
        Interpolation::Bilinear,
        Interpolation::Bicubic,
        Interpolation::BicubicOffset(0.1),
        Interpolation::BicubicAntialias,
    ];

    #[test]
    fn constant_grid_stays_constant() {
        let grid = Grid::new(vec![0.75; 12], [3, 4]).unwrap();
        for how in ALL {
            for to in [[1, 1], [2, 9], [7, 3], [3, 4]] {
                let values = grid.resized(to, how);
                assert_eq!(values.len(), to[0] * to[1]);
                let same = values.iter().all(|value| (value - 0.75).abs() < 1e-6);
                assert!(same, "{how:?} {to:?}: {values:?}");
            }
        }
    }

    #[test]
    fn same_size_is_not_interpolated() {
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let grid = Grid::new(values.clone(), [2, 3]).unwrap();
        for how in ALL {
            assert_eq!(grid.resized([2, 3], how), values);
        }
    }

    #[test]
    fn values_match_pytorch() {
        // torch.nn.functional.interpolate(torch.tensor([[[[1., 2., 4., 8.]]]]), size=…, mode=…),
        // and with scale_factor=(1.1, 6.1 / 4) for the offset.
        let grid = Grid::new(vec![1.0, 2.0, 4.0, 8.0], [1, 4]).unwrap();
        let cases: [(Interpolation, &[f32]); 7] = [
            (
                Interpolation::Bilinear,
                &[1.0, 1.5, 2.33333, 3.66667, 6.0, 8.0],
            ),
            (Interpolation::Bilinear, &[1.16667, 3.0, 7.33333]),
            (
                Interpolation::Bicubic,
                &[0.91319, 1.3125, 2.3044, 3.3831, 6.1875, 8.34722],
            ),
            (Interpolation::Bicubic, &[1.1088, 2.71875, 7.46065]),
            (
                Interpolation::BicubicOffset(0.1),
                &[0.91152, 1.3004, 2.26272, 3.27466, 5.98288, 8.25518],
            ),
            (Interpolation::BicubicAntialias, &[1.13272, 2.8944, 7.12586]),
            (
                Interpolation::BicubicAntialias,
                &[0.93421, 1.35294, 2.25231, 3.53935, 6.23529, 8.26316],
            ),
        ];
        for (how, want) in cases {
            let got = grid.resized([1, want.len()], how);
            for (got, want) in got.iter().zip(want) {
                assert!(
                    (got - want).abs() < 1e-5,
                    "{how:?}: {got} instead of {want}"
                );
            }
        }
    }

    #[test]
    fn values_that_do_not_fill_the_grid_are_refused() {
        assert!(Grid::new(vec![0.0; 7], [2, 3]).is_none());
        assert!(Grid::new(Vec::new(), [2, 3]).is_none());
        assert!(Grid::new(vec![0.0; 7], [0, 3]).is_none());
    }
}
