//! Decoded images: 8 bits, grey or RGB, as Pillow's modes `L` and `RGB`.
//!
//! Labels must agree with those of FiftyOne, which reads images with Pillow, so the odd corners
//! are Pillow's: the orientation in the EXIF data is not applied, alpha is dropped rather than
//! blended, colour profiles are ignored, 16-bit colours keep their high byte, and 16-bit grey is
//! clipped at 255.

use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::{Error, ImageReason};
use crate::plan::Color;

/// What an image may cost before it is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// The largest file, in bytes. 1 GiB.
    pub max_bytes: u64,
    /// The most pixels (width times height). 178 956 970, where Pillow refuses images too.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            max_pixels: 178_956_970,
        }
    }
}

/// A decoded image: rows from top to bottom, 1 or 3 bytes a pixel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    width: u32,
    height: u32,
    color: Color,
    pixels: Vec<u8>,
}

impl Image {
    /// An image from its pixels: rows from top to bottom, `color.channels()` bytes a pixel.
    /// `None` when the number of bytes is not that of the size, or a side is zero.
    #[must_use]
    pub fn from_pixels(width: u32, height: u32, color: Color, pixels: Vec<u8>) -> Option<Self> {
        let area = (width as usize).checked_mul(height as usize)?;
        let bytes = area.checked_mul(color.channels())?;
        (area > 0 && bytes == pixels.len()).then_some(Self {
            width,
            height,
            color,
            pixels,
        })
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Grey or RGB, as in the file.
    #[must_use]
    pub fn color(&self) -> Color {
        self.color
    }

    /// The pixels: rows from top to bottom, `color().channels()` bytes a pixel.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

/// Reads and decodes an image file; the format is found by its content, not its name.
///
/// # Errors
/// [`Error::UnreadableImage`] names the file: it is missing, not a regular file, too large, in no
/// known format, or damaged.
pub fn decode_image(path: &Path, limits: &DecodeLimits) -> Result<Image, Error> {
    read_file(path, limits).map_err(|reason| Error::UnreadableImage {
        name: path.display().to_string(),
        reason,
    })
}

/// Decodes an image in memory; the format is found by its content.
///
/// # Errors
/// [`Error::UnreadableImage`]: too large, in no known format, or damaged.
pub fn decode_image_bytes(bytes: &[u8], limits: &DecodeLimits) -> Result<Image, Error> {
    let decoded = check_bytes(bytes.len() as u64, limits).and_then(|()| decode(bytes, limits));
    decoded.map_err(|reason| Error::UnreadableImage {
        name: "(in memory)".to_owned(),
        reason,
    })
}

fn read_file(path: &Path, limits: &DecodeLimits) -> Result<Image, ImageReason> {
    // Asked before opening, because opening a pipe waits for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(ImageReason::NotAFile);
    }
    let file = File::open(path)?;
    check_bytes(file.metadata()?.len(), limits)?;
    let mut bytes = Vec::new();
    // The file may grow meanwhile.
    file.take(limits.max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    check_bytes(bytes.len() as u64, limits)?;
    decode(&bytes, limits)
}

fn check_bytes(bytes: u64, limits: &DecodeLimits) -> Result<(), ImageReason> {
    if bytes > limits.max_bytes {
        return Err(ImageReason::TooManyBytes {
            bytes,
            limit: limits.max_bytes,
        });
    }
    Ok(())
}

/// Decodes behind a wall: the decoders are fuzzed, but a panic in one must cost one sample only.
fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Image, ImageReason> {
    catch_unwind(AssertUnwindSafe(|| decode_within(bytes, limits)))
        .unwrap_or(Err(ImageReason::Panic))
}

fn decode_within(bytes: &[u8], limits: &DecodeLimits) -> Result<Image, ImageReason> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    match reader.format() {
        None => return Err(ImageReason::UnknownFormat),
        // The decoder would fill what is missing with grey; Pillow refuses it.
        Some(ImageFormat::Jpeg) if !jpeg_has_end(bytes) => return Err(ImageReason::CutOff),
        Some(_) => {}
    }
    let mut allowed = Limits::default();
    // The decoder's own buffers and its result, at four bytes a pixel.
    allowed.max_alloc = Some(limits.max_pixels.saturating_mul(4).saturating_add(64 << 20));
    reader.limits(allowed);
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(ImageReason::TooManyPixels {
            width,
            height,
            limit: limits.max_pixels,
        });
    }
    let (color, pixels) = to_8_bit(DynamicImage::from_decoder(decoder)?)?;
    Image::from_pixels(width, height, color, pixels)
        .ok_or_else(|| ImageReason::Pixels("no pixels at all".to_owned()))
}

/// Whether the marker that ends a JPEG is there, outside of any segment (a preview in the EXIF data
/// has one too).
fn jpeg_has_end(bytes: &[u8]) -> bool {
    if bytes.ends_with(&[0xff, 0xd9]) {
        return true;
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == 0xff) {
        rest = rest.get(at + 1..).unwrap_or_default();
        let after = match *rest {
            [0xd9, ..] => return true,
            // Padding before a marker.
            [0xff, ..] => 0,
            // Not a marker, or one without a segment.
            [0x00 | 0x01 | 0xd0..=0xd8, ..] => 1,
            [_, high, low, ..] => 1 + usize::from(u16::from_be_bytes([high, low])),
            _ => return false,
        };
        rest = rest.get(after..).unwrap_or_default();
    }
    false
}

/// The pixels as Pillow's `convert("RGB")` or `convert("L")` sees them.
fn to_8_bit(image: DynamicImage) -> Result<(Color, Vec<u8>), ImageReason> {
    let high = |value: u16| value.to_be_bytes()[0];
    match image {
        DynamicImage::ImageLuma8(image) => Ok((Color::Gray, image.into_raw())),
        DynamicImage::ImageLumaA8(image) => Ok((
            Color::Gray,
            image.pixels().map(|pixel| pixel.0[0]).collect(),
        )),
        DynamicImage::ImageRgb8(image) => Ok((Color::Rgb, image.into_raw())),
        DynamicImage::ImageRgba8(image) => Ok((Color::Rgb, without_alpha(image.as_raw()))),
        // Pillow keeps 16-bit grey in its mode `I;16`, whose way to 8 bits is to clip.
        DynamicImage::ImageLuma16(image) => {
            let clipped = image
                .as_raw()
                .iter()
                .map(|&value| u8::try_from(value).unwrap_or(u8::MAX));
            Ok((Color::Gray, clipped.collect()))
        }
        DynamicImage::ImageLumaA16(image) => Ok((
            Color::Gray,
            image.pixels().map(|pixel| high(pixel.0[0])).collect(),
        )),
        DynamicImage::ImageRgb16(image) => Ok((
            Color::Rgb,
            image.as_raw().iter().map(|&value| high(value)).collect(),
        )),
        DynamicImage::ImageRgba16(image) => {
            let colors: Vec<u8> = image.as_raw().iter().map(|&value| high(value)).collect();
            Ok((Color::Rgb, without_alpha(&colors)))
        }
        other => Err(ImageReason::Pixels(format!("{:?}", other.color()))),
    }
}

fn without_alpha(pixels: &[u8]) -> Vec<u8> {
    let (pixels, _) = pixels.as_chunks::<4>();
    pixels
        .iter()
        .flat_map(|&[red, green, blue, _]| [red, green, blue])
        .collect()
}
