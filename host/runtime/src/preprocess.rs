//! From a decoded image to the network's input, pixel for pixel as Pillow and torchvision do it.

use std::borrow::Cow;

use crate::error::Error;
use crate::image::Image;
use crate::plan::{Color, Normalization, Preprocessing, Resampling, Size, Step};
use crate::resample::resample;

/// The most pixels of an image between two steps: a strip of one row, resized so that its
/// shorter side is 256 pixels, would be enormous.
const MAX_PIXELS: u64 = 1 << 26;
/// The most pixels that a network is given, 2048x2048 of them: each takes 12 bytes there.
const MAX_INPUT: u64 = 1 << 22;

/// What a network takes for one image: rows of pixels, each with its channels side by side,
/// as f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<f32>,
}

impl Input {
    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Values a pixel: 3 or 1.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The values, of the shape `[height, width, channels]`: 0 to 1, or normalised.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Pixels on their way through the steps.
struct Pixels<'a> {
    size: Size,
    channels: usize,
    bytes: Cow<'a, [u8]>,
}

/// Runs all steps on an image.
pub(crate) fn preprocess(image: &Image, plan: &Preprocessing) -> Result<Input, Error> {
    let fail = |reason: String| Error::Preprocess {
        width: image.width(),
        height: image.height(),
        reason,
    };
    let mut pixels = Pixels {
        size: Size {
            height: image.height(),
            width: image.width(),
        },
        channels: plan.color.channels(),
        bytes: convert(image, plan.color),
    };
    for step in &plan.steps {
        pixels = match *step {
            Step::Resize { to, resampling } => resize(pixels, to, resampling),
            Step::ResizeShortest { to, resampling } => {
                let to = shortest(pixels.size, to);
                resize(pixels, to, resampling)
            }
            Step::CenterCrop(to) => center_crop(&pixels, to),
            Step::ResizeMin { to, resampling } => {
                let to = at_least(pixels.size, to);
                resize(pixels, to, resampling)
            }
            Step::ResizeMax { to, resampling } => {
                let to = at_most(pixels.size, to);
                resize(pixels, to, resampling)
            }
            Step::CropToMultiple(of) => {
                let to = multiple(pixels.size, of);
                center_crop(&pixels, to)
            }
        }
        .map_err(fail)?;
    }
    if pixels.size.area() > MAX_INPUT {
        let Size { width, height } = pixels.size;
        return Err(fail(format!(
            "would be given to the network as {width}x{height}, more than {MAX_INPUT} pixels"
        )));
    }
    let normalize = plan.normalize.as_ref();
    Ok(Input {
        height: pixels.size.height as usize,
        width: pixels.size.width as usize,
        channels: pixels.channels,
        values: normalized(&pixels, normalize),
    })
}

/// Pillow's `convert`: `L` has weights of 16 bits that round to nearest.
fn convert(image: &Image, to: Color) -> Cow<'_, [u8]> {
    match (image.color(), to) {
        (Color::Rgb, Color::Rgb) | (Color::Gray, Color::Gray) => Cow::Borrowed(image.pixels()),
        (Color::Gray, Color::Rgb) => image.pixels().iter().flat_map(|&luma| [luma; 3]).collect(),
        (Color::Rgb, Color::Gray) => {
            let (pixels, _) = image.pixels().as_chunks::<3>();
            pixels
                .iter()
                .map(|&[red, green, blue]| luma(red, green, blue))
                .collect()
        }
    }
}

fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    let weighted = (red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16;
    // The weights sum to 65536, so that the result is at most 255.
    u8::try_from(weighted).unwrap_or(u8::MAX)
}

/// The size whose shorter side is `to`, as torchvision computes it.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounds down, saturates, and is checked by `resize`"
)]
fn shortest(size: Size, to: u32) -> Size {
    let (short, long) = (size.height.min(size.width), size.height.max(size.width));
    let longer = (f64::from(to) * f64::from(long) / f64::from(short)) as u32;
    if size.width <= size.height {
        Size {
            width: to,
            height: longer,
        }
    } else {
        Size {
            width: longer,
            height: to,
        }
    }
}

/// The size of the same shape, or `size` itself, that covers `least`.
fn at_least(size: Size, least: Size) -> Size {
    if size.height >= least.height && size.width >= least.width {
        return size;
    }
    let [height, width] = ratios(size, least);
    scaled(size, height.max(width))
}

/// The size of the same shape, or `size` itself, that `most` covers.
fn at_most(size: Size, most: Size) -> Size {
    if size.height <= most.height && size.width <= most.width {
        return size;
    }
    let [height, width] = ratios(size, most);
    scaled(size, height.min(width))
}

fn ratios(size: Size, to: Size) -> [f64; 2] {
    [
        f64::from(to.height) / f64::from(size.height),
        f64::from(to.width) / f64::from(size.width),
    ]
}

/// Sides times a factor, halves rounded to even as Python's `round` does; never nothing.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is checked by `resize`"
)]
fn scaled(size: Size, by: f64) -> Size {
    let side = |side: u32| ((f64::from(side) * by).round_ties_even() as u32).max(1);
    Size {
        height: side(size.height),
        width: side(size.width),
    }
}

/// The largest multiples that are not larger than the sides, but at least one.
fn multiple(size: Size, of: u32) -> Size {
    let side = |side: u32| (side / of * of).max(of);
    Size {
        height: side(size.height),
        width: side(size.width),
    }
}

/// Refuses a size of more pixels than are worked on, before there is memory for it.
fn check_area(done: &str, Size { width, height }: Size) -> Result<(), String> {
    let area = Size { width, height }.area();
    if area > MAX_PIXELS {
        return Err(format!(
            "would be {done} to {width}x{height}, more than {MAX_PIXELS} pixels"
        ));
    }
    Ok(())
}

fn resize<'a>(pixels: Pixels<'a>, to: Size, resampling: Resampling) -> Result<Pixels<'a>, String> {
    if pixels.size == to {
        return Ok(pixels);
    }
    check_area("resized", to)?;
    let bytes = resample(&pixels.bytes, pixels.size, to, pixels.channels, resampling);
    Ok(Pixels {
        size: to,
        channels: pixels.channels,
        bytes: Cow::Owned(bytes),
    })
}

/// Cuts the middle out. Where the image is smaller, it is first padded with black, the odd
/// pixel to the right and to the bottom.
fn center_crop<'a>(pixels: &Pixels<'_>, to: Size) -> Result<Pixels<'a>, String> {
    check_area("cropped", to)?;
    let rows = Span::centered(pixels.size.height, to.height);
    let columns = Span::centered(pixels.size.width, to.width);
    let row_bytes = |width: u32| width as usize * pixels.channels;
    let mut bytes = vec![0; to.height as usize * row_bytes(to.width)];
    let from = columns.from * pixels.channels;
    let into = columns.to * pixels.channels;
    let length = columns.length * pixels.channels;
    let source_rows = pixels
        .bytes
        .chunks_exact(row_bytes(pixels.size.width))
        .skip(rows.from);
    let target_rows = bytes.chunks_exact_mut(row_bytes(to.width)).skip(rows.to);
    for (source, target) in source_rows.zip(target_rows).take(rows.length) {
        if let (Some(source), Some(target)) = (
            source.get(from..from + length),
            target.get_mut(into..into + length),
        ) {
            target.copy_from_slice(source);
        }
    }
    Ok(Pixels {
        size: to,
        channels: pixels.channels,
        bytes: Cow::Owned(bytes),
    })
}

/// Which part of one side is kept, and where it goes.
struct Span {
    from: usize,
    to: usize,
    length: usize,
}

impl Span {
    fn centered(have: u32, want: u32) -> Self {
        let (have, want) = (have as usize, want as usize);
        if have >= want {
            // Half of an odd margin is rounded to even, as Python's `round` does.
            let margin = have - want;
            let half = margin / 2;
            let from = if margin % 2 == 1 {
                half + half % 2
            } else {
                half
            };
            Self {
                from,
                to: 0,
                length: want,
            }
        } else {
            Self {
                from: 0,
                to: (want - have) / 2,
                length: have,
            }
        }
    }
}

/// Each byte as f32: there are only 256 values a channel, so they come from a table, computed
/// as `ToTensor` and `Normalize` compute them.
fn normalized(pixels: &Pixels<'_>, normalize: Option<&Normalization>) -> Vec<f32> {
    let identity = ([0.0; 3], [1.0; 3]);
    let (mean, std) = normalize.map_or((&identity.0[..], &identity.1[..]), |values| {
        (&values.mean, &values.std)
    });
    let tables: Vec<[f32; 256]> = mean
        .iter()
        .zip(std)
        .map(|(mean, std)| std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std))
        .collect();
    let look_up =
        |table: &[f32; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or_default();
    match &tables[..] {
        [red, green, blue, ..] if pixels.channels == 3 => {
            let (triples, _) = pixels.bytes.as_chunks::<3>();
            let values = triples
                .iter()
                .map(|&[r, g, b]| [look_up(red, r), look_up(green, g), look_up(blue, b)]);
            values.collect::<Vec<_>>().into_flattened()
        }
        [gray, ..] => pixels
            .bytes
            .iter()
            .map(|&byte| look_up(gray, byte))
            .collect(),
        [] => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    #[test]
    fn only_small_images_grow_and_only_large_ones_shrink() {
        assert_eq!(at_least(size(300, 400), size(224, 224)), size(300, 400));
        assert_eq!(at_least(size(100, 400), size(224, 224)), size(224, 896));
        assert_eq!(at_least(size(100, 50), size(200, 200)), size(400, 200));
        assert_eq!(at_most(size(300, 400), size(400, 400)), size(300, 400));
        assert_eq!(at_most(size(300, 400), size(200, 200)), size(150, 200));
        assert_eq!(at_most(size(1, 10_000), size(100, 100)), size(1, 100));
        // Halves go to the even side: 0.5 * 5 and 0.5 * 7.
        assert_eq!(at_most(size(10, 5), size(5, 9)), size(5, 2));
        assert_eq!(at_most(size(14, 7), size(7, 9)), size(7, 4));
    }

    #[test]
    fn sides_become_multiples() {
        assert_eq!(multiple(size(30, 28), 14), size(28, 28));
        assert_eq!(multiple(size(13, 43), 14), size(14, 42));
    }
}
