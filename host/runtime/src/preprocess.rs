//! From a decoded image to the network's input, pixel for pixel as Pillow and torchvision do it.

use std::borrow::Cow;

use modelzoo_base::budget::Budget;
use modelzoo_model::geometry::{Letterbox, Size, centered};
use modelzoo_model::sample::ImageInput;

use crate::error::Error;
use crate::image::Image;
use crate::opencv;
use crate::plan::{Color, Normalization, Preprocessing, Resampling, Step};
use crate::resample::resample;

/// The most pixels of an image between two steps: a strip of one row, resized so that its
/// shorter side is 256 pixels, would be enormous.
const MAX_PIXELS: u64 = 1 << 26;
/// The longest side of an image that is filtered: each of its pixels has weights.
const MAX_SIDE: u32 = 1 << 20;
/// The most pixels that a network is given, 2048x2048 of them: each takes 12 bytes there.
const MAX_INPUT: u64 = 1 << 22;

/// The memory that all threads together may use for steps, in bytes. It is taken while holding the
/// share of the image's decoding.
static BUDGET: Budget = Budget::new(1 << 30);

/// Pixels on their way through the steps.
struct Pixels<'a> {
    size: Size,
    channels: usize,
    bytes: Cow<'a, [u8]>,
}

/// Runs all steps on an image.
pub(crate) fn preprocess(image: &Image, plan: &Preprocessing) -> Result<ImageInput, Error> {
    let fail = |reason: String| Error::Preprocess {
        width: image.width(),
        height: image.height(),
        reason,
    };
    let size = Size {
        height: image.height(),
        width: image.width(),
    };
    let _share = BUDGET.take(needed(image, plan));
    let mut pixels = Pixels {
        size,
        channels: plan.color.channels(),
        bytes: convert(image, plan.color),
    };
    for step in &plan.steps {
        pixels = run(*step, pixels).map_err(fail)?;
    }
    if pixels.size.area() > MAX_INPUT {
        let Size { width, height } = pixels.size;
        return Err(fail(format!(
            "would be given to the network as {width}x{height}, more than {MAX_INPUT} pixels"
        )));
    }
    let values = normalized(&pixels, plan.normalize.as_ref());
    let Pixels { size, channels, .. } = pixels;
    ImageInput::new(size, channels, values).ok_or_else(|| fail("has too few values".to_owned()))
}

/// Runs one step.
fn run(step: Step, pixels: Pixels<'_>) -> Result<Pixels<'_>, String> {
    if let Step::Letterbox { to, multiple } = step {
        return letterbox(&pixels, &Letterbox::new(pixels.size, to, multiple));
    }
    let to = step.size_after(pixels.size);
    match step.resampling() {
        Some(resampling) => resize(pixels, to, resampling),
        None => center_crop(&pixels, to),
    }
}

/// The padding of a letterbox, in all channels.
const PADDING: u8 = 114;

/// Resizes as OpenCV does and pads with gray.
fn letterbox<'a>(pixels: &Pixels<'_>, by: &Letterbox) -> Result<Pixels<'a>, String> {
    check_area("padded", by.frame)?;
    let Pixels { size, channels, .. } = *pixels;
    let image = opencv::resample(&pixels.bytes, size, by.image, channels);
    let row_bytes = |width: u32| width as usize * channels;
    let mut bytes = vec![PADDING; by.frame.height as usize * row_bytes(by.frame.width)];
    let rows = bytes.chunks_exact_mut(row_bytes(by.frame.width).max(1));
    let image_rows = image.chunks_exact(row_bytes(by.image.width).max(1));
    for (row, image_row) in rows.skip(by.top as usize).zip(image_rows) {
        let place = row.iter_mut().skip(row_bytes(by.left));
        place.zip(image_row).for_each(|(to, from)| *to = *from);
    }
    Ok(Pixels {
        size: by.frame,
        channels,
        bytes: Cow::Owned(bytes),
    })
}

/// Bytes that the steps and the network's input take besides the image.
fn needed(image: &Image, plan: &Preprocessing) -> u64 {
    let mut size = Size {
        height: image.height(),
        width: image.width(),
    };
    let converted = match image.color() == plan.color {
        true => 0,
        false => size.area(),
    };
    let mut most = 0;
    for step in &plan.steps {
        let to = step.size_after(size);
        let widened = Size {
            height: size.height,
            width: to.width,
        };
        // What would be more is refused.
        let limit = MAX_PIXELS.max(size.area());
        most = most.max(widened.area().min(limit) + to.area().min(limit));
        size = to;
    }
    (most + converted) * plan.color.channels() as u64 + size.area().min(MAX_INPUT) * 12
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
    if resampling != Resampling::Nearest {
        let Size { width, height } = pixels.size;
        if width.max(height) > MAX_SIDE {
            return Err(format!(
                "has a side of more than {MAX_SIDE} pixels and would be resized"
            ));
        }
        // The width comes first.
        if to.width > width {
            let width = to.width;
            check_area("widened", Size { height, width })?;
        }
    }
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
        let start = centered(have, want);
        // One of the two is zero.
        let [from, to] = [start.max(0), (-start).max(0)].map(|at| at.unsigned_abs() as usize);
        Self {
            from,
            to,
            length: have.min(want) as usize,
        }
    }
}

/// Each byte as f32: there are only 256 values per channel, so they come from a table, computed
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
