//! Resizing of images of 8 bits per channel, equal to OpenCV's `INTER_LINEAR`.
//!
//! Each target pixel lies between two source pixels per axis, however much smaller the image gets.
//! Weights have 11 binary places; the sums along the width keep them all, those along the height
//! are shifted down in two steps, as OpenCV does it.

use modelzoo_model::geometry::Size;

/// Binary places of the weights.
const PLACES: u32 = 11;

/// The source pixels of a target pixel along one axis, and their weights.
#[derive(Clone, Copy)]
struct Tap {
    at: [usize; 2],
    weights: [i32; 2],
}

/// Resizes rows of pixels of `channels` bytes each from one size to another, neither of them empty.
pub(crate) fn resample(bytes: &[u8], from: Size, to: Size, channels: usize) -> Vec<u8> {
    if from == to {
        return bytes.to_vec();
    }
    let columns = taps(from.width, to.width, Axis::Width);
    let row = from.width as usize * channels;
    // Where the next target row lies between the same source rows, they are not computed again.
    let mut lines: [(Option<usize>, Vec<i32>); 2] = [(None, Vec::new()), (None, Vec::new())];
    let mut result = Vec::with_capacity(to.height as usize * to.width as usize * channels);
    for tap in taps(from.height, to.height, Axis::Height) {
        if lines[1].0 == Some(tap.at[0]) {
            lines.swap(0, 1);
        }
        for (line, at) in lines.iter_mut().zip(tap.at) {
            if line.0 != Some(at) {
                let source = bytes.get(at * row..(at + 1) * row).unwrap_or_default();
                along_width(source, channels, &columns, &mut line.1);
                line.0 = Some(at);
            }
        }
        let [(_, above), (_, below)] = &lines;
        let [first, second] = tap.weights;
        result.extend(above.iter().zip(below).map(|(above, below)| {
            let parts = (((above >> 4) * first) >> 16) + (((below >> 4) * second) >> 16);
            u8::try_from((parts + 2) >> 2).unwrap_or(u8::MAX)
        }));
    }
    result
}

/// The sums of one source row, with [`PLACES`] more binary places.
fn along_width(source: &[u8], channels: usize, columns: &[Tap], sums: &mut Vec<i32>) {
    sums.clear();
    let pixel = |at: usize| source.get(at * channels..).unwrap_or_default();
    for tap in columns {
        let [first, second] = tap.at;
        let pairs = pixel(first).iter().zip(pixel(second)).take(channels);
        sums.extend(pairs.map(|(&first, &second)| {
            i32::from(first) * tap.weights[0] + i32::from(second) * tap.weights[1]
        }));
    }
}

/// The taps of each target pixel along a side, whose places are computed in f32. Beyond the first
/// and the last source pixel there is that pixel alone; along the height, it is added to itself
/// with both weights.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "rounded on purpose; sides are those of images"
)]
fn taps(from: u32, to: u32, along: Axis) -> Vec<Tap> {
    let scale = f64::from(from) / f64::from(to);
    let last = i64::from(from) - 1;
    let inside = |at: i64| at.clamp(0, last.max(0)) as usize;
    let tap = |at: u32| {
        let place = ((f64::from(at) + 0.5) * scale - 0.5) as f32;
        let first = place.floor();
        let at = first as i64;
        let is_inside = at >= 0 && at < last;
        let part = match along {
            Axis::Width if !is_inside => 0.0,
            Axis::Width | Axis::Height => place - first,
        };
        let fixed = |weight: f32| (weight * (1 << PLACES) as f32).round_ties_even() as i32;
        Tap {
            at: [inside(at), inside(at + 1)],
            weights: [fixed(1.0 - part), fixed(part)],
        }
    };
    (0..to).map(tap).collect()
}

#[derive(Clone, Copy)]
enum Axis {
    Width,
    Height,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    /// The results of `cv2.resize` of OpenCV 5.0.
    #[test]
    fn results_are_those_of_opencv() {
        #[rustfmt::skip]
        let image = [
            0, 100, 255, 7, 13,
            9, 200, 1, 70, 44,
            31, 0, 255, 128, 64,
        ];
        let resized = |height, width| resample(&image, size(3, 5), size(height, width), 1);
        assert_eq!(resized(2, 3), [43, 192, 21, 33, 192, 77]);
        #[rustfmt::skip]
        assert_eq!(resized(4, 7), [
            0, 57, 144, 255, 78, 9, 13,
            6, 95, 143, 96, 60, 40, 32,
            17, 79, 117, 96, 93, 74, 52,
            31, 13, 73, 255, 164, 100, 64,
        ]);
        assert_eq!(resized(3, 5), image);
        let row = image.get(..5).unwrap();
        let row = |width| resample(row, size(1, 5), size(1, width), 1);
        assert_eq!(row(8), [0, 44, 110, 207, 178, 23, 10, 13]);
        assert_eq!(row(2), [75, 9]);
    }

    #[test]
    fn channels_stay_apart() {
        let pixels = [0, 10, 20, 100, 110, 120];
        let resized = resample(&pixels, size(1, 2), size(1, 1), 3);
        assert_eq!(resized, [50, 60, 70]);
    }
}
