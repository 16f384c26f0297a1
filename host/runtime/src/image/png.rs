//! PNG.
//!
//! As in Pillow, transparency is dropped, colours of 16 bits keep their high byte and grey of 16
//! bits is clipped; of an animation the default image is read. Before the pixels, checksums must
//! be right; in them and after them, none is looked at, and the end may be missing.

use std::io::Cursor;

use png::{ColorType, DecodeOptions, Decoder, DecodingError, Limits, Reader};

use super::canvas::Canvas;
use super::reason::ImageReason;
use super::sample::{Palette, clipped, scaled, unpacked};
use super::{DecodeLimits, Decoded};
use crate::plan::Color;

const SIGNATURE: usize = 8;
/// An empty `IEND` chunk.
const END: &[u8] = b"\0\0\0\0IEND\xaeB`\x82";

/// Decodes a PNG.
///
/// # Errors
/// [`ImageReason`].
pub(super) fn decode(file: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImageReason> {
    let needed = needed_chunks(file)?;
    let mut options = DecodeOptions::default();
    options.set_ignore_crc(true);
    options.set_ignore_adler32(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(&needed), options);
    decoder.set_limits(Limits { bytes: usize::MAX });
    let header = decoder.read_header_info().map_err(refused)?;
    let size = [header.width, header.height];
    super::canvas::check(size, limits)?;
    let mut reader = decoder.read_info().map_err(refused)?;
    let (kind, depth) = (reader.info().color_type, reader.info().bit_depth);
    let palette = reader.info().palette.as_deref();
    let pixels = Pixels {
        kind,
        bits: depth as u32,
        palette: Palette::from_rgb(palette.unwrap_or_default()),
    };
    let extra = needed.len() as u64 + row_bytes(&reader);
    let mut canvas = Canvas::new(size, pixels.color(), extra, limits)?;
    if reader.info().interlaced {
        read_interlaced(&mut reader, &pixels, &mut canvas)?;
    } else {
        for line in canvas.rows() {
            let row = reader.next_row().map_err(refused)?;
            pixels.convert(row.ok_or(ImageReason::CutOff)?.data(), line);
        }
    }
    match reader.finish() {
        Err(DecodingError::IoError(_)) | Ok(()) => canvas.finish(),
        Err(error) => Err(refused(error)),
    }
}

/// The header, the palette and the pixels' chunks alone, with an end: metadata, which can be
/// large once it is unpacked, is not looked at.
fn needed_chunks(file: &[u8]) -> Result<Vec<u8>, ImageReason> {
    let (signature, mut rest) = file
        .split_at_checked(SIGNATURE)
        .ok_or(ImageReason::CutOff)?;
    let mut needed = Vec::with_capacity(file.len() + END.len());
    needed.extend_from_slice(signature);
    let mut in_pixels = false;
    while let Some((chunk, kind, after)) = next_chunk(rest) {
        if in_pixels && kind != *b"IDAT" {
            break;
        }
        in_pixels = kind == *b"IDAT";
        if !in_pixels && !checksum_is_right(chunk) {
            let reason = "a checksum is wrong";
            return Err(ImageReason::damaged("PNG", reason));
        }
        if matches!(&kind, b"IHDR" | b"PLTE" | b"IDAT") {
            append(&mut needed, chunk);
        }
        rest = after;
    }
    if !in_pixels {
        return Err(ImageReason::CutOff);
    }
    needed.extend_from_slice(END);
    Ok(needed)
}

/// Appends a chunk; one that the file does not hold to its end gets the length that is there.
fn append(needed: &mut Vec<u8>, chunk: &[u8]) {
    let length = chunk
        .first_chunk()
        .map_or(0, |&bytes| u32::from_be_bytes(bytes)) as usize;
    if chunk.len() >= length.saturating_add(12) {
        needed.extend_from_slice(chunk);
    } else if let Some((_, after)) = chunk.split_at_checked(4) {
        // The kind, the data, and perhaps a part of the checksum.
        let data = after.get(..after.len().min(length + 4)).unwrap_or(after);
        needed.extend_from_slice(&(data.len().saturating_sub(4) as u32).to_be_bytes());
        needed.extend_from_slice(data);
        needed.extend_from_slice(&[0; 4]);
    }
}

/// The chunk at the start of `rest`, its kind, and what follows it.
fn next_chunk(rest: &[u8]) -> Option<(&[u8], [u8; 4], &[u8])> {
    let (length, after) = rest.split_first_chunk()?;
    let (&kind, _) = after.split_first_chunk::<4>()?;
    let length = (u32::from_be_bytes(*length) as usize).saturating_add(12);
    let (chunk, after) = rest.split_at(length.min(rest.len()));
    Some((chunk, kind, after))
}

fn checksum_is_right(chunk: &[u8]) -> bool {
    let Some((data, checksum)) = chunk.split_last_chunk() else {
        return false;
    };
    let mut crc = flate2::Crc::new();
    crc.update(data.get(4..).unwrap_or_default());
    crc.sum() == u32::from_be_bytes(*checksum)
}

/// The bytes of a row, doubled for the row before it.
fn row_bytes<R: std::io::BufRead + std::io::Seek>(reader: &Reader<R>) -> u64 {
    let line = reader.output_line_size(reader.info().width);
    line.map_or(0, |bytes| bytes as u64 * 2)
}

/// The columns and rows of the seven passes of an interlaced image: the first, and the distance.
const PASSES: [[usize; 4]; 7] = [
    [0, 8, 0, 8],
    [4, 8, 0, 8],
    [0, 4, 4, 8],
    [2, 4, 0, 4],
    [0, 2, 2, 4],
    [1, 2, 0, 2],
    [0, 1, 1, 2],
];

fn read_interlaced<R: std::io::BufRead + std::io::Seek>(
    reader: &mut Reader<R>,
    pixels: &Pixels,
    canvas: &mut Canvas,
) -> Result<(), ImageReason> {
    let channels = pixels.color().channels();
    let [width, height] = [reader.info().width as usize, reader.info().height as usize];
    let mut line = Vec::new();
    for [left, across, top, down] in PASSES {
        let columns = width.saturating_sub(left).div_ceil(across);
        if columns == 0 {
            continue;
        }
        line.resize(columns * channels, 0);
        for y in (top..height).step_by(down) {
            let row = reader.next_row().map_err(refused)?;
            pixels.convert(row.ok_or(ImageReason::CutOff)?.data(), &mut line);
            let target = canvas.row(y).unwrap_or_default();
            let target = target.chunks_exact_mut(channels).skip(left).step_by(across);
            for (to, from) in target.zip(line.chunks_exact(channels)) {
                to.copy_from_slice(from);
            }
        }
    }
    Ok(())
}

/// How the pixels of a file are stored.
struct Pixels {
    kind: ColorType,
    bits: u32,
    palette: Palette,
}

impl Pixels {
    fn color(&self) -> Color {
        match self.kind {
            ColorType::Grayscale | ColorType::GrayscaleAlpha => Color::Gray,
            ColorType::Rgb | ColorType::Indexed | ColorType::Rgba => Color::Rgb,
        }
    }

    /// Converts a row of the file into one of the canvas.
    fn convert(&self, row: &[u8], line: &mut [u8]) {
        match (self.kind, self.bits) {
            (ColorType::Grayscale, 16) => {
                let (values, _) = row.as_chunks::<2>();
                for (to, &value) in line.iter_mut().zip(values) {
                    *to = clipped(u16::from_be_bytes(value).into());
                }
            }
            (ColorType::Grayscale, bits) => {
                for (to, value) in line.iter_mut().zip(unpacked(row, bits)) {
                    *to = scaled(value, bits);
                }
            }
            (ColorType::Indexed, bits) => self.palette.look_up(unpacked(row, bits), line),
            (ColorType::GrayscaleAlpha, bits) => copy_channels(row, bits, 2, 1, line),
            (ColorType::Rgb, bits) => copy_channels(row, bits, 3, 3, line),
            (ColorType::Rgba, bits) => copy_channels(row, bits, 4, 3, line),
        }
    }
}

/// Copies the first `kept` of `channels` samples of each pixel, of 16 bits the high byte.
fn copy_channels(row: &[u8], bits: u32, channels: usize, kept: usize, line: &mut [u8]) {
    let bytes = bits as usize / 8;
    if bytes == 1 && channels == kept {
        line.copy_from_slice(row.get(..line.len()).unwrap_or_default());
        return;
    }
    let pixels = row.chunks_exact(channels * bytes);
    for (to, pixel) in line.chunks_exact_mut(kept).zip(pixels) {
        for (to, &value) in to.iter_mut().zip(pixel.iter().step_by(bytes)) {
            *to = value;
        }
    }
}

fn refused(error: DecodingError) -> ImageReason {
    match error {
        DecodingError::IoError(_) => ImageReason::CutOff,
        error => ImageReason::damaged("PNG", error.to_string()),
    }
}
