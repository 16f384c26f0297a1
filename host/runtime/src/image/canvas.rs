//! The pixels of an image while it is decoded.

use modelzoo_base::budget::{Budget, Share};

use super::reason::ImageReason;
use super::{DecodeLimits, Image};
use crate::plan::Color;

/// The memory that all threads together may use to decode images.
static BUDGET: Budget = Budget::new(1 << 30);

/// Rows of 1 or 3 bytes per pixel, with the part of the budget that decoding them uses.
pub(super) struct Canvas {
    width: u32,
    height: u32,
    color: Color,
    pixels: Vec<u8>,
    share: Share,
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
        let share = BUDGET.take(bytes.saturating_add(extra));
        Ok(Self {
            width,
            height,
            color,
            pixels: vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)],
            share,
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

    /// The image, with the part of the budget that it was decoded in.
    pub(super) fn finish(self) -> Result<(Image, Share), ImageReason> {
        let Self {
            width,
            height,
            color,
            pixels,
            share,
        } = self;
        let image = Image::from_pixels(width, height, color, pixels);
        Ok((image.ok_or(ImageReason::NoPixels)?, share))
    }

    /// The image of another size whose pixels are those at the places of this one that `place`
    /// gives: column and row from column and row.
    pub(super) fn finish_as(
        self,
        [width, height]: [u32; 2],
        place: impl Fn([usize; 2]) -> [usize; 2],
    ) -> Result<(Image, Share), ImageReason> {
        let (stride, channels) = (self.stride(), self.color.channels());
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..height as usize {
            for x in 0..width as usize {
                let [column, row] = place([x, y]);
                let start = row * stride + column * channels;
                let pixel = self.pixels.get(start..start + channels);
                pixels.extend_from_slice(pixel.unwrap_or_default());
            }
        }
        let image = Image::from_pixels(width, height, self.color, pixels);
        Ok((image.ok_or(ImageReason::NoPixels)?, self.share))
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
