//! Images, made small.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jpeg_encoder::{ColorType, Encoder};

/// How good a thumbnail is, of 100.
const QUALITY: u8 = 75;

/// An image that fits a square, as JPEG.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    original: [u32; 2],
    shown: [u32; 2],
    jpeg: Vec<u8>,
}

impl Thumbnail {
    /// Makes an image of `[width, height]` and RGB pixels, rows from top to bottom, fit a square of
    /// `side` pixels; one that fits stays as it is. [`None`] when the number of bytes is not that
    /// of the size, or a side is zero.
    #[must_use]
    pub fn new([width, height]: [u32; 2], rgb: &[u8], side: u16) -> Option<Self> {
        let bytes = (width as usize)
            .checked_mul(height as usize)?
            .checked_mul(3)?;
        if bytes == 0 || bytes != rgb.len() || side == 0 {
            return None;
        }
        let scale = f64::min(1.0, f64::from(side) / f64::from(width.max(height)));
        let [columns, rows] = [width, height].map(|n| (f64::from(n) * scale).round().max(1.0));
        let shown = [columns as u32, rows as u32];
        let pixels = averaged([width, height], rgb, shown);
        let mut jpeg = Vec::new();
        // Both sides are at most `side`.
        Encoder::new(&mut jpeg, QUALITY)
            .encode(&pixels, shown[0] as u16, shown[1] as u16, ColorType::Rgb)
            .ok()?;
        Some(Self {
            original: [width, height],
            shown,
            jpeg,
        })
    }

    /// Width and height of the image.
    pub(crate) fn original(&self) -> [u32; 2] {
        self.original
    }

    /// Width and height of the thumbnail.
    pub(crate) fn shown(&self) -> [u32; 2] {
        self.shown
    }

    /// The thumbnail as a URL that holds it.
    pub(crate) fn data_url(&self) -> String {
        format!("data:image/jpeg;base64,{}", STANDARD.encode(&self.jpeg))
    }
}

/// Each pixel of the result is the mean of those that it covers.
fn averaged([width, height]: [u32; 2], rgb: &[u8], [columns, rows]: [u32; 2]) -> Vec<u8> {
    let mut result = Vec::with_capacity((columns * rows * 3) as usize);
    for row in 0..rows {
        let lines = covered(row, rows, height);
        for column in 0..columns {
            let places = covered(column, columns, width);
            let mut sums = [0_u64; 3];
            let mut count = 0;
            for line in lines.clone() {
                let start = (line as usize * width as usize + places.start as usize) * 3;
                let end = start + places.len() * 3;
                let (pixels, _) = rgb.get(start..end).unwrap_or_default().as_chunks::<3>();
                for pixel in pixels {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += u64::from(value);
                    }
                }
                count += pixels.len() as u64;
            }
            result.extend(sums.map(|sum| (sum / count.max(1)) as u8));
        }
    }
    result
}

/// The places of `all` that place `index` of `parts` covers: at least one.
pub(crate) fn covered(index: u32, parts: u32, all: u32) -> std::ops::Range<u32> {
    let at = |i: u32| (u64::from(i) * u64::from(all) / u64::from(parts.max(1))) as u32;
    let start = at(index).min(all.saturating_sub(1));
    start..at(index + 1).clamp(start + 1, all.max(start + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_the_covered_pixels() {
        let grey = |values: &[u8]| values.iter().flat_map(|&v| [v; 3]).collect::<Vec<_>>();
        assert_eq!(
            averaged([4, 1], &grey(&[0, 100, 10, 30]), [2, 1]),
            grey(&[50, 20])
        );
        assert_eq!(
            averaged([1, 3], &grey(&[9, 1, 2]), [1, 3]),
            grey(&[9, 1, 2])
        );
    }

    #[test]
    fn thumbnail_keeps_the_aspect_and_never_grows() {
        let shown = |size: [u32; 2]| {
            let pixels = vec![7; (size[0] * size[1] * 3) as usize];
            Thumbnail::new(size, &pixels, 100).map(|thumbnail| thumbnail.shown())
        };
        assert_eq!(shown([400, 200]), Some([100, 50]));
        assert_eq!(shown([20, 30]), Some([20, 30]));
        assert_eq!(shown([1, 5000]), Some([1, 100]));
        assert_eq!(shown([0, 5]), None);
        assert!(Thumbnail::new([2, 2], &[0; 11], 100).is_none());
    }
}
