//! BMP: 1 to 32 bits, palettes, bit fields and run lengths, as Pillow reads them.

use super::bytes::{array, u16_le, u32_le};
use super::canvas::Canvas;
use super::reason::ImageReason;
use super::sample::{Palette, unpacked};
use super::{DecodeLimits, Decoded};
use crate::plan::Color;

/// The bytes before the header that has the size.
const FILE_HEADER: usize = 14;

/// Decodes a BMP.
///
/// # Errors
/// [`ImageReason`].
pub(super) fn decode(file: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImageReason> {
    let header = Header::read(file)?;
    let size = [header.width, header.height];
    let area = super::canvas::check(size, limits)?;
    let extra = if header.runs { area } else { 0 };
    let mut canvas = Canvas::new(size, Color::Rgb, extra, limits)?;
    let (data, pixels) = header.pixels(file)?;
    let indices;
    let (mut data, stride) = if header.runs {
        indices = unpack_runs(file, data, &header)?;
        (indices.as_slice(), header.width as usize)
    } else {
        (
            file.get(data..).ok_or(ImageReason::CutOff)?,
            header.stride(),
        )
    };
    let bytes = pixels.row_bytes(header.width as usize);
    for y in 0..header.height as usize {
        let row = data.get(..bytes).ok_or(ImageReason::CutOff)?;
        let y = if header.top_down {
            y
        } else {
            header.height as usize - 1 - y
        };
        pixels.convert(row, canvas.row(y).unwrap_or_default());
        data = data.get(stride..).unwrap_or_default();
    }
    canvas.finish()
}

struct Header {
    /// The length of the header that has the size.
    length: usize,
    width: u32,
    height: u32,
    top_down: bool,
    bits: u16,
    /// Whether the pixels are run lengths.
    runs: bool,
    /// Whether the colours have masks.
    masked: bool,
    colors: u32,
    /// Bytes per colour of the palette.
    padding: usize,
}

impl Header {
    fn read(file: &[u8]) -> Result<Self, ImageReason> {
        let at = |place: usize| FILE_HEADER + place;
        let length = u32_le(file, at(0))?;
        let mut header = match length {
            12 => Self {
                length: 12,
                width: u16_le(file, at(4))?.into(),
                height: u16_le(file, at(6))?.into(),
                top_down: false,
                bits: u16_le(file, at(10))?,
                runs: false,
                masked: false,
                colors: 0,
                padding: 3,
            },
            40 | 52 | 56 | 64 | 108 | 124 => {
                let height = u32_le(file, at(8))?;
                let top_down = height >> 24 == 0xff;
                let compression = u32_le(file, at(16))?;
                if compression > 3 {
                    let what = format!("a BMP of the compression {compression}");
                    return Err(ImageReason::Unsupported(what));
                }
                Self {
                    length: length as usize,
                    width: u32_le(file, at(4))?,
                    height: if top_down {
                        height.wrapping_neg()
                    } else {
                        height
                    },
                    top_down,
                    bits: u16_le(file, at(14))?,
                    runs: matches!(compression, 1 | 2),
                    masked: compression == 3,
                    colors: u32_le(file, at(32))?,
                    padding: 4,
                }
            }
            _ => {
                let what = format!("a BMP with a header of {length} bytes");
                return Err(ImageReason::Unsupported(what));
            }
        };
        let fits = match header.bits {
            4 | 8 => !header.masked,
            1 | 24 => !header.masked && !header.runs,
            16 | 32 => !header.runs,
            _ => false,
        };
        if !fits {
            let what = format!(
                "a BMP of {} bits per pixel in this compression",
                header.bits
            );
            return Err(ImageReason::Unsupported(what));
        }
        if header.colors == 0 && header.bits <= 8 {
            header.colors = 1 << header.bits;
        }
        Ok(header)
    }

    /// Bytes from one row to the next.
    fn stride(&self) -> usize {
        (self.width as usize * usize::from(self.bits)).div_ceil(32) * 4
    }

    /// Where the pixels start, and how they are stored.
    fn pixels(&self, file: &[u8]) -> Result<(usize, Pixels), ImageReason> {
        let start = FILE_HEADER + self.length;
        let mut data = u32_le(file, 10)? as usize;
        if self.bits <= 8 {
            // A writer's mistake that Pillow knows.
            let palette = self.padding * self.colors as usize;
            if data == start {
                data += palette;
            }
            let end = start.saturating_add(palette).min(file.len());
            let colors = file.get(start..end).unwrap_or_default();
            let colors = colors.chunks_exact(self.padding).take(256);
            let palette = Palette::new(colors.map(|color| match *color {
                [blue, green, red, ..] => [red, green, blue],
                _ => [0; 3],
            }));
            let bits = if self.runs { 8 } else { u32::from(self.bits) };
            let palette = Box::new(palette);
            return Ok((data, Pixels::Indexed { bits, palette }));
        }
        if data == 0 {
            data = start
                + if self.masked && self.length == 40 {
                    12
                } else {
                    0
                };
        }
        let pixels = match (self.bits, self.masked) {
            (16, false) => Pixels::Fields { green: 5 },
            (16, true) => match self.masks(file)? {
                [0xf800, 0x7e0, 0x1f] => Pixels::Fields { green: 6 },
                [0x7c00, 0x3e0, 0x1f] => Pixels::Fields { green: 5 },
                _ => return Err(odd_masks()),
            },
            (24, _) => Pixels::Bytes {
                each: 3,
                places: [2, 1, 0],
            },
            (_, false) => Pixels::Bytes {
                each: 4,
                places: [2, 1, 0],
            },
            (_, true) => {
                let masks = self.masks(file)?;
                let places = match masks {
                    [0, 0, 0] => [2, 1, 0],
                    _ => byte_places(masks).ok_or_else(odd_masks)?,
                };
                Pixels::Bytes { each: 4, places }
            }
        };
        Ok((data, pixels))
    }

    fn masks(&self, file: &[u8]) -> Result<[u32; 3], ImageReason> {
        // In the header where it is long enough, else right after it: the same place.
        let masks: [u8; 12] = array(file, FILE_HEADER + 40)?;
        let (masks, _) = masks.as_chunks::<4>();
        match *masks {
            [red, green, blue] => Ok([red, green, blue].map(u32::from_le_bytes)),
            _ => Err(ImageReason::CutOff),
        }
    }
}

/// The bytes of a pixel that the masks of red, green and blue are, if each is one byte.
fn byte_places(masks: [u32; 3]) -> Option<[usize; 3]> {
    let place = |mask: u32| (0..4).find(|&place| mask == 0xff << (8 * place));
    match masks.map(place) {
        [Some(red), Some(green), Some(blue)] => Some([red, green, blue]),
        _ => None,
    }
}

fn odd_masks() -> ImageReason {
    ImageReason::unsupported("a BMP with these masks of colours")
}

/// How the pixels of a row are stored.
enum Pixels {
    Indexed {
        bits: u32,
        palette: Box<Palette>,
    },
    /// 16 bits: blue in the lowest 5, then so many of green, then 5 of red.
    Fields {
        green: u32,
    },
    /// Whole bytes, and the places of red, green and blue among them.
    Bytes {
        each: usize,
        places: [usize; 3],
    },
}

impl Pixels {
    fn row_bytes(&self, width: usize) -> usize {
        match self {
            Self::Indexed { bits, .. } => (width * *bits as usize).div_ceil(8),
            Self::Fields { .. } => width * 2,
            Self::Bytes { each, .. } => width * each,
        }
    }

    fn convert(&self, row: &[u8], line: &mut [u8]) {
        let (line_pixels, _) = line.as_chunks_mut::<3>();
        match self {
            Self::Indexed { bits, palette } => palette.look_up(unpacked(row, *bits), line),
            Self::Fields { green } => {
                let (values, _) = row.as_chunks::<2>();
                for (to, &value) in line_pixels.iter_mut().zip(values) {
                    let value = u32::from(u16::from_le_bytes(value));
                    let field = |shift: u32, bits: u32| {
                        let most = (1 << bits) - 1;
                        (((value >> shift) & most) * 255 / most) as u8
                    };
                    *to = [field(5 + green, 5), field(5, *green), field(0, 5)];
                }
            }
            Self::Bytes { each, places } => {
                for (to, from) in line_pixels.iter_mut().zip(row.chunks_exact(*each)) {
                    *to = places.map(|place| from.get(place).copied().unwrap_or_default());
                }
            }
        }
    }
}

/// Unpacks run lengths to one byte per pixel, from the bottom row up, with what Pillow makes of
/// rows that are too long or too short.
fn unpack_runs(file: &[u8], mut at: usize, header: &Header) -> Result<Vec<u8>, ImageReason> {
    let (width, four) = (header.width as usize, header.bits == 4);
    let total = width * header.height as usize;
    let mut data = Vec::with_capacity(total);
    let mut x = 0;
    while data.len() < total {
        let Ok([count, value]) = array(file, at) else {
            break;
        };
        at += 2;
        match (count, value) {
            (0, 0) => {
                data.resize(data.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let Ok([right, up]) = array::<2>(file, at).map(|step| step.map(usize::from)) else {
                    break;
                };
                at += 2;
                data.resize(total.min(data.len() + right + up * width), 0);
                x = data.len() % width;
            }
            (0, _) => {
                let count = usize::from(value).min(total - data.len());
                let bytes = if four { count.div_ceil(2) } else { count };
                let rest = file.get(at..).unwrap_or_default();
                let literal = rest.get(..bytes.min(rest.len())).unwrap_or_default();
                let bits = if four { 4 } else { 8 };
                data.extend(unpacked(literal, bits).take(count));
                if literal.len() < bytes || data.len() == total {
                    break;
                }
                x += usize::from(value);
                // Runs start at even places of the file.
                at = (at + bytes).next_multiple_of(2);
            }
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(x));
                let two = if four {
                    [value >> 4, value & 15]
                } else {
                    [value; 2]
                };
                data.extend(two.into_iter().cycle().take(count));
                x += count;
            }
        }
    }
    if data.len() < total {
        return Err(ImageReason::CutOff);
    }
    Ok(data)
}
