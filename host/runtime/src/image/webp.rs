//! WebP: still images, and the first frame of animations.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::canvas::Canvas;
use super::reason::ImageReason;
use super::{DecodeLimits, Decoded};
use crate::plan::Color;

/// The bytes before the first chunk, and those of a frame before its pictures.
const RIFF_HEADER: usize = 12;
const FRAME_HEADER: usize = 16;

/// Decodes a WebP; alpha is dropped.
///
/// # Errors
/// [`ImageReason`].
pub(super) fn decode(file: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImageReason> {
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let area = super::canvas::check([width, height], limits)?;
    check_pictures(file, [width, height])?;
    let channels: u64 = if decoder.has_alpha() { 4 } else { 3 };
    // The decoder's planes of colours and of alpha, its canvas and its frame, and the pixels with
    // alpha.
    let each = match (decoder.is_animated(), decoder.has_alpha()) {
        (true, _) => 19,
        (false, true) => 11,
        (false, false) => 6,
    };
    let extra = area.saturating_mul(each) + file.len() as u64;
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

/// Checks that the pictures of a file have the sizes that the file says, as libwebp does: the
/// decoder would make room for what a picture itself says.
fn check_pictures(file: &[u8], canvas: [u32; 2]) -> Result<(), ImageReason> {
    let fits = |place: &[u8], size: [u32; 2]| {
        Chunks(place)
            .filter_map(|(kind, data)| picture_size(kind, data))
            .all(|picture| picture == size)
    };
    let outer = file.get(RIFF_HEADER..).unwrap_or_default();
    let mut fitting = fits(outer, canvas);
    if let Some((_, frame)) = Chunks(outer).find(|(kind, _)| *kind == b"ANMF") {
        let side = |at: usize| match frame.get(at..at + 3) {
            Some(&[a, b, c]) => u32::from_le_bytes([a, b, c, 0]),
            _ => 0,
        };
        let size = [side(6) + 1, side(9) + 1];
        fitting &= fits(frame.get(FRAME_HEADER..).unwrap_or_default(), size);
    }
    match fitting {
        true => Ok(()),
        false => Err(ImageReason::damaged("WebP", "a picture of another size")),
    }
}

/// The columns and rows that a picture itself says; none for other chunks.
fn picture_size(kind: &[u8; 4], data: &[u8]) -> Option<[u32; 2]> {
    match (kind, data) {
        (b"VP8 ", &[_, _, _, 0x9d, 0x01, 0x2a, a, b, c, d, ..]) => {
            let side = |bytes: [u8; 2]| u32::from(u16::from_le_bytes(bytes) & 0x3fff);
            Some([side([a, b]), side([c, d])])
        }
        (b"VP8L", &[0x2f, a, b, c, d, ..]) => {
            let bits = u32::from_le_bytes([a, b, c, d]);
            Some([(bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1])
        }
        _ => None,
    }
}

/// The chunks in a part of a file, each with its kind; the last one may be cut off.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, rest) = self.0.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let data = rest.get(..length).unwrap_or(rest);
        self.0 = rest.get(length.next_multiple_of(2)..).unwrap_or_default();
        Some((kind, data))
    }
}

fn refused(error: DecodingError) -> ImageReason {
    match error {
        DecodingError::IoError(_) => ImageReason::CutOff,
        error => ImageReason::damaged("WebP", error.to_string()),
    }
}
