//! What the samples of a TIFF mean: Pillow's table of modes.

use super::compression::Compression;
use super::directory::{Directory, Order};
use crate::image::jpeg;
use crate::image::reason::ImageReason;
use crate::image::sample::{
    Palette, clipped, divided, floored, inked, scaled, unpacked, ycbcr_to_rgb,
};
use crate::plan::Color;

/// The most samples per pixel, as in Pillow.
const MAX_SAMPLES: u64 = 6;

/// The tags that describe samples.
mod tag {
    pub(super) const BITS: u16 = 258;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const COLORS: u16 = 320;
    pub(super) const EXTRA: u16 = 338;
    pub(super) const FORMAT: u16 = 339;
    pub(super) const SUBSAMPLING: u16 = 530;
}

/// The kind of a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Number {
    Unsigned,
    Signed,
    Real,
}

/// What the samples of a pixel are.
enum Kind {
    Gray { white_is_zero: bool, number: Number },
    Rgb { premultiplied: bool },
    Indexed(Box<Palette>),
    Cmyk,
    YCbCr(Converter),
}

/// Who converts luma and differences to red, green and blue.
#[derive(Clone, Copy)]
enum Converter {
    /// The decoder of the JPEGs in the file.
    Jpeg,
    /// libtiff, where the pixels are packed otherwise.
    Libtiff,
    /// Pillow itself, where they are not packed.
    Pillow,
}

/// How the pixels of a file are stored, and what they mean.
pub(super) struct Mode {
    kind: Kind,
    order: Order,
    /// Bits per sample: 1, 2, 4, 8, 12, 16 or 32.
    pub(super) bits: usize,
    /// Samples per pixel, extra ones included.
    pub(super) samples: usize,
}

impl Mode {
    /// The mode of an image, if it is one that Pillow reads.
    ///
    /// # Errors
    /// [`ImageReason::Unsupported`], [`ImageReason::Damaged`].
    pub(super) fn of(
        directory: &Directory<'_>,
        compression: Compression,
    ) -> Result<Self, ImageReason> {
        let photometric = directory.number(tag::PHOTOMETRIC).unwrap_or(0);
        let samples = directory.number(tag::SAMPLES).unwrap_or(1);
        let extra: Vec<u64> = directory.numbers(tag::EXTRA).iter().take(8).collect();
        let mut depths = directory
            .numbers(tag::BITS)
            .iter()
            .take(8)
            .take(samples.min(8) as usize);
        let bits = depths.next().unwrap_or(1);
        let even = depths.all(|other| other == bits);
        let mut formats = directory.numbers(tag::FORMAT).iter().take(8);
        let format = formats.next().unwrap_or(1);
        let even = even && formats.all(|other| other == format);
        let refused = |what: &str| {
            Err(ImageReason::Unsupported(format!(
                "a TIFF of {what} (photometric interpretation {photometric}, {samples} samples of {bits} bits, format {format}, extra {extra:?})"
            )))
        };
        if !even || !(1..=MAX_SAMPLES).contains(&samples) {
            return refused("such samples");
        }
        let number = match format {
            1 => Number::Unsigned,
            2 => Number::Signed,
            3 => Number::Real,
            _ => return refused("such numbers"),
        };
        let colors = samples.saturating_sub(extra.len() as u64);
        let is_whole = number == Number::Unsigned;
        let kind = match (photometric, colors, bits) {
            (1, 1, 8) if extra.len() == 1 && extra.first() != Some(&1) && is_whole => Kind::Gray {
                white_is_zero: false,
                number,
            },
            (0 | 1, 1, _) if extra.is_empty() && is_gray(bits, number) => Kind::Gray {
                // Pillow inverts no more than 8 bits.
                white_is_zero: photometric == 0 && bits <= 8,
                number,
            },
            (2, 3, 8 | 16) | (2, 4, 8 | 16) if is_whole => Kind::Rgb {
                premultiplied: extra.first() == Some(&1),
            },
            (3, 1, 1 | 2 | 4 | 8) if is_whole && (extra.is_empty() || bits == 8) => {
                Kind::Indexed(Box::new(palette(directory, bits as u32)))
            }
            (5, 4, 8 | 16) if is_whole => Kind::Cmyk,
            (6, 1, 8) if is_whole && extra.is_empty() => Kind::Gray {
                white_is_zero: false,
                number,
            },
            (6, 3, 8) if is_whole && extra.is_empty() => {
                let subsampled = directory
                    .numbers(tag::SUBSAMPLING)
                    .iter()
                    .any(|factor| factor != 1);
                let said = directory.number(tag::SUBSAMPLING).is_some();
                // Pillow takes colours that are not packed for whole ones where nothing is said.
                Kind::YCbCr(match compression {
                    Compression::Jpeg => Converter::Jpeg,
                    _ if subsampled => return refused("subsampled colours"),
                    Compression::None => Converter::Pillow,
                    _ if !said => return refused("subsampled colours"),
                    _ => Converter::Libtiff,
                })
            }
            (8, ..) => return refused("CIE L*a*b* colours"),
            _ => return refused("such pixels"),
        };
        Ok(Self {
            kind,
            order: directory.order,
            bits: bits as usize,
            samples: samples as usize,
        })
    }

    /// Grey or RGB.
    pub(super) fn color(&self) -> Color {
        match self.kind {
            Kind::Gray { .. } => Color::Gray,
            Kind::Rgb { .. } | Kind::Indexed(_) | Kind::Cmyk | Kind::YCbCr(_) => Color::Rgb,
        }
    }

    /// What a JPEG in the file converts its colours to.
    pub(super) fn jpeg_colors(&self) -> jpeg::Colors {
        match self.kind {
            Kind::YCbCr(_) => jpeg::Colors::YCbCrToRgb,
            Kind::Gray { .. } | Kind::Rgb { .. } | Kind::Indexed(_) | Kind::Cmyk => {
                jpeg::Colors::AsStored
            }
        }
    }

    /// Bytes of a row of so many pixels.
    pub(super) fn row_bytes(&self, width: usize) -> usize {
        (width * self.samples * self.bits).div_ceil(8)
    }

    /// Converts a row of samples, in the file's order of bytes, to one of the canvas.
    pub(super) fn convert(&self, row: &[u8], line: &mut [u8]) {
        let (bits, samples) = (self.bits as u32, self.samples);
        match &self.kind {
            Kind::Gray {
                white_is_zero,
                number,
            } => {
                if bits <= 8 {
                    let values = unpacked(row, bits).step_by(samples);
                    for (to, value) in line.iter_mut().zip(values) {
                        let value = scaled(value, bits);
                        *to = if *white_is_zero { 255 - value } else { value };
                    }
                } else {
                    self.wide_gray(*number, row, line);
                }
            }
            Kind::Indexed(palette) => palette.look_up(unpacked(row, bits).step_by(samples), line),
            Kind::Rgb {
                premultiplied: false,
            }
            | Kind::YCbCr(Converter::Jpeg) => {
                self.pixels(row, line, |[red, green, blue, _]| [red, green, blue]);
            }
            Kind::Rgb {
                premultiplied: true,
            } => {
                self.pixels(row, line, |[red, green, blue, alpha]| {
                    divided([red, green, blue], alpha)
                });
            }
            Kind::Cmyk => self.pixels(row, line, inked),
            Kind::YCbCr(Converter::Libtiff) => {
                self.pixels(row, line, |[y, cb, cr, _]| jpeg::ycbcr_to_rgb(y, cb, cr));
            }
            Kind::YCbCr(Converter::Pillow) => {
                self.pixels(row, line, |[y, cb, cr, _]| ycbcr_to_rgb([y, cb, cr]));
            }
        }
    }

    /// Converts pixels of 3 to 6 samples of 8 or 16 bits, of which the high byte counts.
    fn pixels(&self, row: &[u8], line: &mut [u8], convert: impl Fn([u8; 4]) -> [u8; 3]) {
        let bytes = self.bits / 8;
        let high = match self.order {
            Order::Little => bytes - 1,
            Order::Big => 0,
        };
        let (line, _) = line.as_chunks_mut::<3>();
        for (to, pixel) in line.iter_mut().zip(row.chunks_exact(self.samples * bytes)) {
            let sample = |index: usize| pixel.get(index * bytes + high).copied();
            let samples = [0, 1, 2, 3].map(|index| sample(index).unwrap_or_default());
            *to = convert(samples);
        }
    }

    /// Converts grey of 12, 16 or 32 bits.
    fn wide_gray(&self, number: Number, row: &[u8], line: &mut [u8]) {
        if self.bits == 12 {
            let values = row.chunks(3).flat_map(|pair| {
                let byte = |at: usize| i64::from(pair.get(at).copied().unwrap_or_default());
                [byte(0) << 4 | byte(1) >> 4, (byte(1) & 15) << 8 | byte(2)]
            });
            line.iter_mut()
                .zip(values)
                .for_each(|(to, value)| *to = clipped(value));
            return;
        }
        for (to, value) in line.iter_mut().zip(row.chunks_exact(self.bits / 8)) {
            let value = self.order.number(value);
            *to = match (number, self.bits) {
                (Number::Real, _) => floored(f32::from_bits(value as u32)),
                (Number::Unsigned, 16) => clipped(value as i64),
                (Number::Signed, 16) => clipped((value as i16).into()),
                // Pillow's mode `I` is signed.
                (Number::Unsigned | Number::Signed, _) => clipped((value as i32).into()),
            };
        }
    }
}

/// Whether there is a grey of so many bits.
fn is_gray(bits: u64, number: Number) -> bool {
    match number {
        Number::Unsigned => matches!(bits, 1 | 2 | 4 | 8 | 12 | 16 | 32),
        Number::Signed => matches!(bits, 8 | 16 | 32),
        Number::Real => bits == 32,
    }
}

/// The colours: all reds, all greens, all blues, of 16 bits each.
fn palette(directory: &Directory<'_>, bits: u32) -> Palette {
    let values: Vec<u8> = directory
        .numbers(tag::COLORS)
        .iter()
        .take(3 << bits)
        .map(|value| (value >> 8) as u8)
        .collect();
    let entries = values.len() / 3;
    let value = |index: usize| values.get(index).copied().unwrap_or_default();
    Palette::new((0..entries).map(|index| [0, 1, 2].map(|band| value(index + band * entries))))
}
