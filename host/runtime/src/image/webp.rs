//! WebP: still images, and the first frame of animations.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::canvas::Canvas;
use super::reason::ImageReason;
use super::{DecodeLimits, Image};
use crate::plan::Color;

/// Decodes a WebP; alpha is dropped.
///
/// # Errors
/// [`ImageReason`].
pub(super) fn decode(file: &[u8], limits: &DecodeLimits) -> Result<Image, ImageReason> {
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let area = super::canvas::check([width, height], limits)?;
    let channels: u64 = if decoder.has_alpha() { 4 } else { 3 };
    // The decoder's planes and its frame, and the pixels with alpha.
    let extra = area.saturating_mul(4 + channels) + file.len() as u64;
    decoder.set_memory_limit(usize::try_from(extra).unwrap_or(usize::MAX));
    let mut canvas = Canvas::new([width, height], Color::Rgb, extra, limits)?;
    if channels == 3 && !decoder.is_animated() {
        decoder.read_image(canvas.pixels()).map_err(refused)?;
        return canvas.finish();
    }
    let mut pixels = vec![0; decoder.output_buffer_size().unwrap_or_default()];
    if decoder.is_animated() {
        // Pillow's canvas is transparent black, whatever the file says.
        decoder.set_background_color([0; 4]).map_err(refused)?;
        decoder.read_frame(&mut pixels).map_err(refused)?;
    } else {
        decoder.read_image(&mut pixels).map_err(refused)?;
    }
    let from = pixels.chunks_exact(channels as usize);
    for (to, pixel) in canvas.pixels().chunks_exact_mut(3).zip(from) {
        to.copy_from_slice(pixel.get(..3).unwrap_or_default());
    }
    canvas.finish()
}

fn refused(error: DecodingError) -> ImageReason {
    match error {
        DecodingError::IoError(_) => ImageReason::CutOff,
        error => ImageReason::damaged("WebP", error.to_string()),
    }
}
