//! How the chunks of a TIFF are packed.

use std::cmp::Ordering;
use std::io::Read;

use fax::Color as Ink;
use weezl::BitOrder;
use weezl::decode::Decoder;

use crate::image::reason::ImageReason;
use crate::image::{jpeg, lzw};

/// A way to pack chunks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Compression {
    None,
    Group3,
    Group4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Zstd,
}

impl Compression {
    /// The way that the number of the tag means.
    ///
    /// # Errors
    /// [`ImageReason::Unsupported`], by name.
    pub(super) fn of(number: u64) -> Result<Self, ImageReason> {
        let name = match number {
            1 => return Ok(Self::None),
            3 => return Ok(Self::Group3),
            4 => return Ok(Self::Group4),
            5 => return Ok(Self::Lzw),
            7 => return Ok(Self::Jpeg),
            8 | 32_946 => return Ok(Self::Deflate),
            32_773 => return Ok(Self::PackBits),
            50_000 => return Ok(Self::Zstd),
            2 => "CCITT run lengths".to_owned(),
            6 => "the old form of JPEG".to_owned(),
            33_003 | 33_005 | 34_712 => "JPEG 2000".to_owned(),
            34_887 => "LERC".to_owned(),
            34_925 => "LZMA".to_owned(),
            50_001 => "WebP".to_owned(),
            other => format!("the compression {other}"),
        };
        Err(ImageReason::Unsupported(format!(
            "a TIFF packed with {name}"
        )))
    }
}

/// A chunk to unpack.
pub(super) struct Chunk<'a> {
    pub(super) packed: &'a [u8],
    /// Columns and rows that it has in the image.
    pub(super) size: [usize; 2],
    /// Bytes of a row, unpacked.
    pub(super) row_bytes: usize,
    /// The tables that the JPEGs of a file share.
    pub(super) jpeg_tables: &'a [u8],
    pub(super) jpeg_colors: jpeg::Colors,
}

impl Chunk<'_> {
    /// Unpacks to `rows` times `row_bytes` bytes, never more. What is missing at the end of the
    /// last rows is an error.
    ///
    /// # Errors
    /// [`ImageReason`].
    pub(super) fn unpack(&self, compression: Compression) -> Result<Vec<u8>, ImageReason> {
        let total = self.row_bytes * self.size[1];
        let unpacked = match compression {
            Compression::None => {
                let bytes = self.packed.get(..total).ok_or(ImageReason::CutOff)?;
                return Ok(bytes.to_vec());
            }
            Compression::Group3 | Compression::Group4 => self.fax(compression)?,
            Compression::Lzw => unpack_lzw(self.packed, total)?,
            Compression::Jpeg => {
                jpeg::decode_chunk(self.jpeg_tables, self.packed, self.size, self.jpeg_colors)?
            }
            Compression::Deflate => read(flate2::read::ZlibDecoder::new(self.packed), total)?,
            Compression::PackBits => pack_bits(self.packed, total),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(self.packed);
                read(decoder.map_err(|_| damaged("Zstandard"))?, total)?
            }
        };
        match unpacked.len().cmp(&total) {
            Ordering::Equal => Ok(unpacked),
            Ordering::Less => Err(ImageReason::CutOff),
            Ordering::Greater => Err(damaged("JPEG")),
        }
    }

    /// Runs of black and white: 1 is black.
    fn fax(&self, compression: Compression) -> Result<Vec<u8>, ImageReason> {
        let [width, height] = self.size.map(u16::try_from);
        let (Ok(width), Ok(height)) = (width, height) else {
            return Err(ImageReason::unsupported(
                "a fax of more than 65535 columns or rows",
            ));
        };
        let mut rows = Vec::with_capacity(self.row_bytes * usize::from(height));
        let line = |changes: &[u16]| {
            if rows.len() >= self.row_bytes * usize::from(height) {
                return;
            }
            let mut row = vec![0_u8; self.row_bytes];
            for (column, ink) in fax::decoder::pels(changes, width).enumerate() {
                if ink == Ink::Black
                    && let Some(byte) = row.get_mut(column / 8)
                {
                    *byte |= 0x80 >> (column % 8);
                }
            }
            rows.extend(row);
        };
        // The strips of a TIFF lack the end of lines that the decoder waits for.
        let bytes = self.packed.iter().chain(ENDS_OF_LINES).copied();
        let done = match compression {
            Compression::Group3 => fax::decoder::decode_g3(bytes, line).map(|_| ()),
            _ => fax::decoder::decode_g4(bytes, width, Some(height), line),
        };
        match done {
            Some(()) => Ok(rows),
            // What comes after the last row does not matter.
            None if rows.len() == self.row_bytes * usize::from(height) => Ok(rows),
            None => Err(damaged("fax")),
        }
    }
}

/// Seven ends of lines in a row, the end of a page.
const ENDS_OF_LINES: &[u8] = &[0, 1, 0, 0x10, 1, 0, 0x10, 1, 0, 0x10, 1];

/// Reads at most `total` bytes.
fn read(reader: impl Read, total: usize) -> Result<Vec<u8>, ImageReason> {
    let mut unpacked = Vec::with_capacity(total);
    let read = reader.take(total as u64).read_to_end(&mut unpacked);
    match read {
        Ok(_) => Ok(unpacked),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(ImageReason::CutOff),
        Err(error) => Err(ImageReason::damaged("TIFF", error.to_string())),
    }
}

fn unpack_lzw(packed: &[u8], total: usize) -> Result<Vec<u8>, ImageReason> {
    if let [0, second, ..] = packed
        && second & 1 == 1
    {
        return Err(ImageReason::unsupported(
            "a TIFF packed with the old form of LZW",
        ));
    }
    let decoder = Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    lzw::unpack("TIFF", decoder, std::iter::once(packed), total)
}

fn pack_bits(mut packed: &[u8], total: usize) -> Vec<u8> {
    let mut unpacked = Vec::with_capacity(total);
    while let [control, rest @ ..] = packed
        && unpacked.len() < total
    {
        let left = total - unpacked.len();
        packed = match (*control as i8, rest) {
            (-128, _) => rest,
            (count @ 0.., _) => {
                let (literal, after) = rest.split_at(rest.len().min(count as usize + 1));
                unpacked.extend(literal.iter().take(left));
                after
            }
            (count, [value, after @ ..]) => {
                let count = left.min(usize::from(count.unsigned_abs()) + 1);
                unpacked.resize(unpacked.len() + count, *value);
                after
            }
            (_, []) => &[],
        };
    }
    unpacked
}

fn damaged(what: &str) -> ImageReason {
    ImageReason::damaged("TIFF", format!("malformed {what} data"))
}
