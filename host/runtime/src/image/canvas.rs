//! The pixels of an image while it is decoded.

use super::budget::Share;
use super::reason::ImageReason;
use super::{DecodeLimits, Image};
use crate::plan::Color;

/// Rows of 1 or 3 bytes per pixel, with the part of the decoding budget that they use.
pub(super) struct Canvas {
    width: u32,
    height: u32,
    color: Color,
    pixels: Vec<u8>,
    _share: Share,
}

impl Canvas {
    /// Black pixels. `extra` are the bytes that the decoder needs besides them.
    ///
    /// # Errors
    /// [`ImageReason::TooManyPixels`], [`ImageReason::NoPixels`].
    pub(super) fn new(
        [width, height]: [u32; 2],
        color: Color,
        extra: u64,
        limits: &DecodeLimits,
    ) -> Result<Self, ImageReason> {
        let area = check([width, height], limits)?;
        let bytes = area.saturating_mul(color.channels() as u64);
        let share = Share::take(bytes.saturating_add(extra));
        Ok(Self {
            width,
            height,
            color,
            pixels: vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)],
            _share: share,
        })
    }

    /// All rows, from top to bottom.
    pub(super) fn rows(&mut self) -> std::slice::ChunksExactMut<'_, u8> {
        let stride = self.stride();
        self.pixels.chunks_exact_mut(stride)
    }

    /// A row, if there is one with this number.
    pub(super) fn row(&mut self, y: usize) -> Option<&mut [u8]> {
        let stride = self.stride();
        let start = y.checked_mul(stride)?;
        self.pixels.get_mut(start..start.checked_add(stride)?)
    }

    /// All pixels, row by row.
    pub(super) fn pixels(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    fn stride(&self) -> usize {
        self.width as usize * self.color.channels()
    }

    /// The image.
    pub(super) fn finish(self) -> Result<Image, ImageReason> {
        Image::from_pixels(self.width, self.height, self.color, self.pixels)
            .ok_or(ImageReason::NoPixels)
    }
}

/// Checks a size and returns its area.
///
/// # Errors
/// [`ImageReason::TooManyPixels`], [`ImageReason::NoPixels`].
pub(super) fn check([width, height]: [u32; 2], limits: &DecodeLimits) -> Result<u64, ImageReason> {
    let area = u64::from(width) * u64::from(height);
    if area > limits.max_pixels {
        return Err(ImageReason::TooManyPixels {
            width,
            height,
            limit: limits.max_pixels,
        });
    }
    if area == 0 {
        return Err(ImageReason::NoPixels);
    }
    Ok(area)
}
