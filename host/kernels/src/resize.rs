//! Feature maps at other sizes, as PyTorch's `interpolate` computes them.

use std::collections::TryReserveError;

use crate::chunks;
use crate::isa::Isa;
use crate::window::Shape;

/// How the values of a feature map are taken at another size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sampling {
    /// The pixel whose area has the new one's upper left corner.
    Nearest,
    /// Between the middles of the nearest pixels; without `align_corners`.
    Bilinear,
    /// As [`Bilinear`](Self::Bilinear), with the middles of the outermost pixels at the same places
    /// before and after: `align_corners`.
    BilinearCorners,
}

/// The places along a side that one new place takes its value from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// The first and the second place, which may be the same.
    pub places: [usize; 2],
    /// The share of the second place, 0 to 1.
    pub second: f32,
}

/// The taps of a side that has `from` places and gets `to`, neither of them zero.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sides of images, and positions between their ends"
)]
pub fn taps(sampling: Sampling, from: usize, to: usize) -> Vec<Tap> {
    let last = from.saturating_sub(1);
    let between = |source: f64| {
        let first = (source as usize).min(last);
        Tap {
            places: [first, (first + 1).min(last)],
            second: (source - first as f64) as f32,
        }
    };
    match sampling {
        // In single precision, as PyTorch does, whose products decide between two pixels.
        Sampling::Nearest => {
            let scale = from as f32 / to as f32;
            let place = |at: usize| ((at as f32 * scale) as usize).min(last);
            let tap = |at| Tap {
                places: [place(at); 2],
                second: 0.0,
            };
            (0..to).map(tap).collect()
        }
        Sampling::Bilinear => {
            let scale = from as f64 / to as f64;
            let source = |at: usize| (scale * (at as f64 + 0.5) - 0.5).max(0.0);
            (0..to).map(|at| between(source(at))).collect()
        }
        Sampling::BilinearCorners => {
            let scale = last as f64 / (to.max(2) - 1) as f64;
            (0..to).map(|at| between(scale * at as f64)).collect()
        }
    }
}

/// Brings each image of a batch to `out` rows and columns, neither of them zero.
///
/// # Errors
/// There is no memory for the result.
pub fn resize(
    isa: Isa,
    input: &[f32],
    shape: Shape,
    out: [usize; 2],
    sampling: Sampling,
) -> Result<Vec<f32>, TryReserveError> {
    assert_eq!(input.len(), shape.elements());
    let [rows, columns] = out;
    let channels = shape.channels;
    let row = columns * channels;
    let mut result = chunks::zeros(shape.batch * rows * row)?;
    if result.is_empty() || input.is_empty() {
        return Ok(result);
    }
    let down = taps(sampling, shape.height, rows);
    let across = taps(sampling, shape.width, columns);
    let length = shape.width * channels;
    let steps = 4 * result.len();
    chunks::for_each(&mut result, row, steps, |at, out| {
        let Tap { places, second } = down[at % rows];
        let image = at / rows * shape.height;
        let [above, below] = places.map(|y| &input[(image + y) * length..][..length]);
        isa.run(
            #[inline(always)]
            || one_row([above, below], second, &across, channels, out),
        );
    });
    Ok(result)
}

/// One row of the result, from the two rows that it lies between.
#[inline(always)]
fn one_row(rows: [&[f32]; 2], below: f32, across: &[Tap], channels: usize, out: &mut [f32]) {
    for (tap, out) in across.iter().zip(out.chunks_exact_mut(channels)) {
        let [left, right] = tap.places.map(|x| x * channels);
        let [a, b, c, d] = [
            &rows[0][left..][..channels],
            &rows[0][right..][..channels],
            &rows[1][left..][..channels],
            &rows[1][right..][..channels],
        ];
        let (second, first) = (tap.second, 1.0 - tap.second);
        for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let (top, bottom) = (a * first + b * second, c * first + d * second);
            *out = top * (1.0 - below) + bottom * below;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32], to: usize, sampling: Sampling) -> Vec<f32> {
        let shape = Shape {
            batch: 1,
            height: 1,
            width: values.len(),
            channels: 1,
        };
        let isas = Isa::available().into_iter();
        let mut results: Vec<_> = isas
            .map(|isa| resize(isa, values, shape, [1, to], sampling).unwrap())
            .collect();
        let first = results.remove(0);
        for other in results {
            for (a, b) in first.iter().zip(other) {
                assert!((a - b).abs() < 1e-6, "{a} and {b}");
            }
        }
        first
    }

    #[test]
    fn values_match_pytorch() {
        // torch.nn.functional.interpolate(torch.tensor([[[[1., 2., 4., 8.]]]]), size=(1, n), …)
        let values = [1.0, 2.0, 4.0, 8.0];
        let cases: [(Sampling, &[f32]); 7] = [
            (Sampling::Nearest, &[1.0, 1.0, 2.0, 4.0, 4.0, 8.0]),
            (Sampling::Nearest, &[1.0, 2.0, 4.0]),
            (Sampling::Bilinear, &[1.0, 1.5, 2.33333, 3.66667, 6.0, 8.0]),
            (Sampling::Bilinear, &[1.16667, 3.0, 7.33333]),
            (Sampling::BilinearCorners, &[1.0, 1.6, 2.4, 3.6, 5.6, 8.0]),
            (Sampling::BilinearCorners, &[1.0, 3.0, 8.0]),
            (Sampling::BilinearCorners, &[1.0]),
        ];
        for (sampling, want) in cases {
            let got = row(&values, want.len(), sampling);
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 1e-5, "{sampling:?}: {got}, not {want}");
            }
        }
    }

    #[test]
    fn channels_and_images_stay_apart() {
        // Two images of 2x2 pixels with two channels; the second channel is ten times the first.
        let image = |base: f32| [0.0, 1.0, 2.0, 3.0].map(|v| [base + v, 10.0 * (base + v)]);
        let input: Vec<f32> = [image(0.0), image(100.0)]
            .as_flattened()
            .as_flattened()
            .to_vec();
        let shape = Shape {
            batch: 2,
            height: 2,
            width: 2,
            channels: 2,
        };
        let sampling = Sampling::BilinearCorners;
        let out = resize(Isa::detect(), &input, shape, [3, 3], sampling).unwrap();
        let want: Vec<f32> = [0.0, 100.0]
            .iter()
            .flat_map(|base| (0..9).map(move |at| base + (at / 3) as f32 + (at % 3) as f32 * 0.5))
            .flat_map(|value| [value, 10.0 * value])
            .collect();
        for (got, want) in out.iter().zip(&want) {
            assert!((got - want).abs() < 1e-4, "{out:?} instead of {want:?}");
        }
    }

    #[test]
    fn same_size_stays_the_same() {
        let values = [1.0, -2.0, 4.0, 8.5, 0.0];
        for sampling in [
            Sampling::Nearest,
            Sampling::Bilinear,
            Sampling::BilinearCorners,
        ] {
            assert_eq!(row(&values, 5, sampling), values);
        }
    }
}
