//! Resizing of images of 8 bits per channel, equal to Pillow's to the last bit.
//!
//! A filter is sampled at the distance of each source pixel's centre from the target pixel's, in
//! double precision, and widened by the scale when the image gets smaller (antialiasing). The weights
//! are rounded to 22 binary places, and the sums to 8 bits after each of the two passes: along the
//! width, then along the height. The order matters, because each pass clips the overshoot of filters
//! with negative lobes.

use std::f64::consts::PI;

use modelzoo_kernels::Isa;
use modelzoo_model::plan::{Resampling, Size};

/// Binary places of the weights.
const PLACES: u32 = 22;

/// Resizes rows of pixels of `channels` bytes each from one size to another, neither of them
/// empty.
pub(crate) fn resample(
    bytes: &[u8],
    from: Size,
    to: Size,
    channels: usize,
    resampling: Resampling,
) -> Vec<u8> {
    let filter = match resampling {
        Resampling::Nearest => return nearest(bytes, from, to, channels),
        Resampling::Bilinear => Filter {
            reach: 1.0,
            weight: triangle,
        },
        Resampling::Bicubic => Filter {
            reach: 2.0,
            weight: cubic,
        },
        Resampling::Lanczos => Filter {
            reach: 3.0,
            weight: lanczos,
        },
    };
    // A pass that changes nothing is skipped.
    let narrowed;
    let bytes = if from.width == to.width {
        bytes
    } else {
        narrowed = along_width(
            bytes,
            from.width as usize * channels,
            channels,
            &filter.taps(from.width, to.width),
        );
        &narrowed
    };
    if from.height == to.height {
        return bytes.to_vec();
    }
    along_height(
        bytes,
        to.width as usize * channels,
        &filter.taps(from.height, to.height),
    )
}

struct Filter {
    /// The radius of the filter, in pixels at scale 1.
    reach: f64,
    weight: fn(f64) -> f64,
}

/// The source pixels of a target pixel, and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

impl Filter {
    /// The taps of each target pixel along a side.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded on purpose, after checks for the sign"
    )]
    fn taps(&self, from: u32, to: u32) -> Vec<Taps> {
        let scale = f64::from(from) / f64::from(to);
        let widened = scale.max(1.0);
        let reach = self.reach * widened;
        let taps = |at: u32| {
            let center = (f64::from(at) + 0.5) * scale;
            let first = (center - reach + 0.5).max(0.0) as usize;
            let end = ((center + reach + 0.5) as usize).min(from as usize);
            let weights: Vec<f64> = (first..end)
                .map(|old| (self.weight)((old as f64 - center + 0.5) / widened))
                .collect();
            let sum: f64 = weights.iter().sum();
            let share = if sum == 0.0 { 1.0 } else { 1.0 / sum };
            let fixed = |weight: &f64| (weight * share * f64::from(1 << PLACES)).round() as i32;
            Taps {
                first,
                weights: weights.iter().map(fixed).collect(),
            }
        };
        (0..to).map(taps).collect()
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic with a = -0.5.
fn cubic(x: f64) -> f64 {
    modelzoo_kernels::cubic(x, -0.5)
}

/// A sinc windowed by a wider sinc.
fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| {
        if x == 0.0 {
            1.0
        } else {
            (x * PI).sin() / (x * PI)
        }
    };
    if (-3.0..3.0).contains(&x) {
        sinc(x) * sinc(x / 3.0)
    } else {
        0.0
    }
}

/// Shifts the places out, rounding to nearest, and clips to 8 bits.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 8 bits"
)]
fn to_byte(sum: i32) -> u8 {
    (sum.wrapping_add(1 << (PLACES - 1)) >> PLACES).clamp(0, 255) as u8
}

/// Elements that are loaded at a time.
const LANES: usize = 16;

/// Elements of whole pixels among those: the length of a step, which keeps the lanes at their
/// channels.
const fn step(channels: usize) -> usize {
    LANES / channels * channels
}

/// The weights of a target pixel along a row, repeated per channel, with zeros up to a whole number
/// of steps.
struct Spread {
    /// The first element of the row.
    first: usize,
    weights: Vec<[i32; LANES]>,
}

impl Spread {
    /// None where the row is too short for whole steps.
    fn new(taps: &Taps, channels: usize, row: usize) -> Option<Self> {
        let (start, elements, step) = (
            taps.first * channels,
            taps.weights.len() * channels,
            step(channels),
        );
        // At the end of the row, the zeros go before the taps.
        let last = row.checked_sub((elements.div_ceil(step) - 1) * step + LANES)?;
        let first = start.min(last / channels * channels);
        let weights = taps
            .weights
            .iter()
            .flat_map(|&weight| std::iter::repeat_n(weight, channels));
        let mut spread = std::iter::repeat_n(0, start - first).chain(weights);
        let steps = (start - first + elements).div_ceil(step);
        if first + (steps - 1) * step + LANES > row {
            return None;
        }
        let block = |_| {
            std::array::from_fn(|lane| {
                if lane < step {
                    spread.next().unwrap_or_default()
                } else {
                    0
                }
            })
        };
        Some(Self {
            first,
            weights: (0..steps).map(block).collect(),
        })
    }
}

fn along_width(bytes: &[u8], row: usize, channels: usize, taps: &[Taps]) -> Vec<u8> {
    let mut result = vec![0; bytes.len() / row * taps.len() * channels];
    let spread: Option<Vec<Spread>> = taps
        .iter()
        .map(|taps| Spread::new(taps, channels, row))
        .collect();
    let rows = bytes
        .chunks_exact(row)
        .zip(result.chunks_exact_mut(taps.len() * channels));
    Isa::detect().run(
        #[inline(always)]
        || {
            for (old, new) in rows {
                match (&spread, channels) {
                    (Some(spread), 3) => one_row_in_steps::<3>(old, new, spread),
                    (Some(spread), _) => one_row_in_steps::<1>(old, new, spread),
                    (None, 3) => one_row::<3>(old, new, taps),
                    (None, _) => one_row::<1>(old, new, taps),
                }
            }
        },
    );
    result
}

#[inline(always)]
fn one_row_in_steps<const CHANNELS: usize>(old: &[u8], new: &mut [u8], spread: &[Spread]) {
    let (new, _) = new.as_chunks_mut::<CHANNELS>();
    for (new, spread) in new.iter_mut().zip(spread) {
        let mut sums = [0_i32; LANES];
        let mut old = old.get(spread.first..).unwrap_or_default();
        for weights in &spread.weights {
            let Some(lanes) = old.first_chunk::<LANES>() else {
                break;
            };
            for ((sum, &value), weight) in sums.iter_mut().zip(lanes).zip(weights) {
                *sum = sum.wrapping_add(i32::from(value).wrapping_mul(*weight));
            }
            old = old.get(step(CHANNELS)..).unwrap_or_default();
        }
        let mut folded = [0_i32; CHANNELS];
        let (pixels, _) = sums.as_chunks::<CHANNELS>();
        for pixel in pixels {
            for (sum, value) in folded.iter_mut().zip(pixel) {
                *sum = sum.wrapping_add(*value);
            }
        }
        *new = folded.map(to_byte);
    }
}

/// A row that is too short for blocks.
#[inline(always)]
fn one_row<const CHANNELS: usize>(old: &[u8], new: &mut [u8], taps: &[Taps]) {
    let (old, _) = old.as_chunks::<CHANNELS>();
    let (new, _) = new.as_chunks_mut::<CHANNELS>();
    for (new, taps) in new.iter_mut().zip(taps) {
        let old = old
            .get(taps.first..taps.first + taps.weights.len())
            .unwrap_or_default();
        let mut sums = [0_i32; CHANNELS];
        for (old, weight) in old.iter().zip(&taps.weights) {
            for (sum, &value) in sums.iter_mut().zip(old) {
                *sum = sum.wrapping_add(i32::from(value).wrapping_mul(*weight));
            }
        }
        *new = sums.map(to_byte);
    }
}

fn along_height(bytes: &[u8], row: usize, taps: &[Taps]) -> Vec<u8> {
    let mut result = vec![0; row * taps.len()];
    Isa::detect().run(
        #[inline(always)]
        || {
            for (new, taps) in result.chunks_exact_mut(row).zip(taps) {
                for (at, new) in new.chunks_mut(COLUMNS).enumerate() {
                    let first = taps.first * row + at * COLUMNS;
                    one_piece(
                        bytes.get(first..).unwrap_or_default(),
                        row,
                        new,
                        &taps.weights,
                    );
                }
            }
        },
    );
    result
}

/// Columns that are summed side by side.
const COLUMNS: usize = 64;

/// A piece of a target row, from the source pieces that begin at `old`, one below the other.
#[inline(always)]
fn one_piece(old: &[u8], row: usize, new: &mut [u8], weights: &[i32]) {
    let mut sums = [0_i32; COLUMNS];
    for (old, weight) in old.chunks(row).zip(weights) {
        if let Some((old, _)) = old.split_first_chunk::<COLUMNS>() {
            for (sum, &value) in sums.iter_mut().zip(old) {
                *sum = sum.wrapping_add(i32::from(value).wrapping_mul(*weight));
            }
        } else {
            for (sum, &value) in sums.iter_mut().zip(old) {
                *sum = sum.wrapping_add(i32::from(value).wrapping_mul(*weight));
            }
        }
    }
    for (new, sum) in new.iter_mut().zip(sums) {
        *new = to_byte(sum);
    }
}

/// Takes the source pixel under the centre of each target pixel.
fn nearest(bytes: &[u8], from: Size, to: Size, channels: usize) -> Vec<u8> {
    let columns = centers(from.width, to.width);
    let row = from.width as usize * channels;
    let mut result = Vec::with_capacity(to.height as usize * to.width as usize * channels);
    for y in centers(from.height, to.height) {
        let old = bytes.get(y * row..(y + 1) * row).unwrap_or_default();
        for &x in &columns {
            result.extend_from_slice(
                old.get(x * channels..(x + 1) * channels)
                    .unwrap_or_default(),
            );
        }
    }
    result
}

/// For each of `to` places along a side, the place of `from` under its centre. Pillow adds up the
/// steps between centres, and the rounding of the sum decides for centres on an edge.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounds down and is not negative"
)]
fn centers(from: u32, to: u32) -> Vec<usize> {
    let scale = f64::from(from) / f64::from(to);
    let last = (from as usize).saturating_sub(1);
    let mut center = scale * 0.5;
    let mut places = Vec::with_capacity(to as usize);
    for _ in 0..to {
        places.push((center as usize).min(last));
        center += scale;
    }
    places
}
