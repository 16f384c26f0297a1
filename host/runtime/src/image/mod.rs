//! Decoded images: 8 bits, grey or RGB, as Pillow's modes `L` and `RGB`.
//!
//! Labels must agree with those of FiftyOne, which reads images with Pillow, so the pixels are
//! those of `Image.open(file).convert("RGB")`: the orientation of a TIFF is applied and that of
//! EXIF data is not, alpha is dropped rather than blended, colour profiles are ignored, colours of
//! 16 bits keep their high byte, and grey of 16 bits is clipped at 255. A variant that Pillow
//! reads and this does not is refused by name.
//!
//! A decoder allocates what the size in the header needs, and the bytes of the file; metadata is
//! not unpacked. All threads share one budget (`canvas.rs`).

mod bmp;
mod bytes;
mod canvas;
mod format;
mod gif;
mod jpeg;
mod lzw;
mod png;
mod reason;
mod sample;
mod tiff;
mod webp;

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use modelzoo_base::budget::Share;
use modelzoo_base::file::open_regular;
use modelzoo_model::sample::MAX_IMAGE_BYTES;

use crate::error::Error;
use crate::plan::Color;
use format::Format;
pub use reason::ImageReason;

/// What an image may cost before it is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DecodeLimits {
    /// The largest file, in bytes. 1 GiB.
    pub max_bytes: u64,
    /// The most pixels (width times height). 178 956 970, where Pillow refuses images too.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_bytes: MAX_IMAGE_BYTES,
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

/// Decodes the bytes of an image file; the format is found by their content.
///
/// # Errors
/// [`ImageReason`]: too large, in no format that is read, or damaged.
pub fn decode_image_bytes(bytes: &[u8], limits: &DecodeLimits) -> Result<Image, ImageReason> {
    decode_shared(bytes, limits).map(|(image, _)| image)
}

/// An image, and the part of the budget for decoding that it was decoded in, for whoever goes on
/// working on the pixels. Nobody decodes another image while holding one.
pub(crate) type Decoded = (Image, Share);

/// As [`decode_image_bytes`].
///
/// # Errors
/// [`ImageReason`].
pub(crate) fn decode_shared(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImageReason> {
    check_bytes(bytes.len() as u64, limits)?;
    decode(bytes, limits)
}

fn read_file(path: &Path, limits: &DecodeLimits) -> Result<Image, ImageReason> {
    let file = open_regular(path)?;
    let length = file.metadata()?.len();
    check_bytes(length, limits)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    // The file may grow meanwhile.
    file.take(limits.max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    decode_image_bytes(&bytes, limits)
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

/// Decodes and contains panics: the decoders are fuzzed, but a panic in one must cost one sample
/// only.
fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImageReason> {
    catch_unwind(AssertUnwindSafe(|| decode_within(bytes, limits)))
        .unwrap_or(Err(ImageReason::Panic))
}

fn decode_within(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImageReason> {
    let decode = match Format::of(bytes)? {
        Format::Bmp => bmp::decode,
        Format::Gif => gif::decode,
        Format::Jpeg => jpeg::decode,
        Format::Png => png::decode,
        Format::Tiff => tiff::decode,
        Format::WebP => webp::decode,
    };
    decode(bytes, limits)
}
