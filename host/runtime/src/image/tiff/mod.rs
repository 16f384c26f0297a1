//! TIFF and BigTIFF: strips and tiles, planes, and the modes of Pillow's table.
//!
//! Of several images the first is read, and its orientation is applied, as Pillow does.
//!
//! Strips and tiles may share bytes of the file, as some writers let the empty ones; unpacking them
//! must not cost more than the file and the image explain.

mod compression;
mod directory;
mod mode;
mod predictor;

use super::canvas::Canvas;
use super::reason::ImageReason;
use super::{DecodeLimits, Decoded, jpeg};
use compression::{Chunk, Compression};
use directory::{Directory, Numbers};
use mode::Mode;

/// The tags that describe where the pixels are.
mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const ORIENTATION: u16 = 274;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTES: u16 = 279;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const T4_OPTIONS: u16 = 292;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_HEIGHT: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTES: u16 = 325;
    pub(super) const JPEG_TABLES: u16 = 347;
}

/// Decodes the first image of a TIFF.
///
/// # Errors
/// [`ImageReason`].
pub(super) fn decode(file: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImageReason> {
    let directory = Directory::read(file)?;
    let layout = Layout::read(file, &directory, limits)?;
    let size = [layout.size[0] as u32, layout.size[1] as u32];
    let color = layout.mode.color();
    let orientation = directory.number(tag::ORIENTATION).unwrap_or(1);
    let turned = match orientation {
        2..=8 => layout.size[0] * layout.size[1] * color.channels(),
        _ => 0,
    };
    let chunk = layout.mode.row_bytes(layout.chunk[0]) * layout.chunk[1];
    // A chunk with its planes, and what a JPEG in it needs.
    let extra = turned as u64 + (chunk as u64).saturating_mul(5);
    let mut canvas = Canvas::new(size, color, extra, limits)?;
    layout.fill(&mut canvas)?;
    finish(canvas, size, orientation)
}

/// How many times over the chunks may read the bytes of the file.
const READINGS: u64 = 4;

/// Where the pixels of an image are.
struct Layout<'a> {
    file: &'a [u8],
    mode: Mode,
    compression: Compression,
    /// Columns and rows.
    size: [usize; 2],
    /// Columns and rows of a strip or tile.
    chunk: [usize; 2],
    tiled: bool,
    /// Whether each sample has a plane of its own.
    planar: bool,
    offsets: Numbers<'a>,
    lengths: Numbers<'a>,
    reversed: bool,
    predictor: u64,
    order: directory::Order,
    jpeg_tables: &'a [u8],
}

impl<'a> Layout<'a> {
    fn read(
        file: &'a [u8],
        directory: &Directory<'a>,
        limits: &DecodeLimits,
    ) -> Result<Self, ImageReason> {
        let side = |tag: u16| u32::try_from(directory.number(tag)?).ok();
        let (Some(width), Some(height)) = (side(tag::WIDTH), side(tag::HEIGHT)) else {
            return Err(ImageReason::damaged("TIFF", "no size"));
        };
        super::canvas::check([width, height], limits)?;
        let compression = directory.number(tag::COMPRESSION).unwrap_or(1);
        let compression = Compression::of(compression)?;
        if compression == Compression::Group3
            && directory.number(tag::T4_OPTIONS).unwrap_or(0) & 1 == 1
        {
            return Err(ImageReason::unsupported(
                "a fax with rows that depend on each other",
            ));
        }
        let mode = Mode::of(directory, compression)?;
        let tiled = directory.bytes(tag::STRIP_OFFSETS).is_none();
        let (chunk, offsets, lengths) = if tiled {
            let (Some(across), Some(down)) = (side(tag::TILE_WIDTH), side(tag::TILE_HEIGHT)) else {
                return Err(ImageReason::damaged("TIFF", "neither strips nor tiles"));
            };
            check_tiles([width, height], [across, down], limits)?;
            ([across, down], tag::TILE_OFFSETS, tag::TILE_BYTES)
        } else {
            let rows = side(tag::ROWS_PER_STRIP).unwrap_or(height).clamp(1, height);
            ([width, rows], tag::STRIP_OFFSETS, tag::STRIP_BYTES)
        };
        let planar = directory.number(tag::PLANAR) == Some(2) && mode.samples > 1;
        if planar && mode.jpeg_colors() == jpeg::Colors::YCbCrToRgb {
            return Err(ImageReason::unsupported("a TIFF with planes of YCbCr"));
        }
        if planar && mode.bits < 8 {
            return Err(ImageReason::unsupported(
                "a TIFF with planes of less than 8 bits",
            ));
        }
        Ok(Self {
            file,
            mode,
            compression,
            size: [width as usize, height as usize],
            chunk: chunk.map(|side| side as usize),
            tiled,
            planar,
            offsets: directory.numbers(offsets),
            lengths: directory.numbers(lengths),
            reversed: directory.number(tag::FILL_ORDER) == Some(2),
            predictor: directory.number(tag::PREDICTOR).unwrap_or(1),
            order: directory.order,
            jpeg_tables: directory.bytes(tag::JPEG_TABLES).unwrap_or_default(),
        })
    }

    /// Writes all chunks.
    fn fill(&self, canvas: &mut Canvas) -> Result<(), ImageReason> {
        let [width, height] = self.size;
        let [across, down] = self.chunk;
        let columns = width.div_ceil(across);
        let per_plane = columns * height.div_ceil(down);
        let channels = self.mode.color().channels();
        self.check_work(per_plane)?;
        for index in 0..per_plane {
            let (left, top) = (index % columns * across, index / columns * down);
            // The last strip is as short as the image; a tile always has its whole size.
            let rows = if self.tiled {
                down
            } else {
                down.min(height - top)
            };
            let samples = self.samples(index, per_plane, rows)?;
            let stride = self.mode.row_bytes(across).max(1);
            for (row, y) in samples.chunks_exact(stride).zip(top..height) {
                let line = canvas.row(y).unwrap_or_default();
                let end = (left + across).min(width) * channels;
                let line = line.get_mut(left * channels..end).unwrap_or_default();
                self.mode.convert(row, line);
            }
        }
        Ok(())
    }

    /// The samples of a chunk, pixel by pixel, in the file's order of bytes.
    fn samples(&self, index: usize, per_plane: usize, rows: usize) -> Result<Vec<u8>, ImageReason> {
        if !self.planar {
            return self.unpacked(index, rows, self.mode.samples, per_plane);
        }
        let (count, bytes) = (self.mode.samples, self.mode.bits / 8);
        let mut samples = vec![0; self.mode.row_bytes(self.chunk[0]) * rows];
        for plane in 0..count {
            let part = self.unpacked(plane * per_plane + index, rows, 1, per_plane * count)?;
            let places = samples.chunks_exact_mut(bytes).skip(plane).step_by(count);
            for (to, from) in places.zip(part.chunks_exact(bytes)) {
                to.copy_from_slice(from);
            }
        }
        Ok(samples)
    }

    /// The bytes of the chunk `index` of `total` in the file.
    fn packed(&self, index: usize, total: usize) -> Option<&'a [u8]> {
        // Of several offsets of one chunk, Pillow takes the last.
        let index = match total {
            1 => self.offsets.len().saturating_sub(1),
            _ => index,
        };
        let start = self.offsets.get(index)?;
        let rest = self.file.get(usize::try_from(start).ok()?..)?;
        let length = match (self.compression, self.lengths.get(index)) {
            // Pillow reads what is there, whatever the file says about its length.
            (Compression::None, _) => None,
            (_, Some(length)) => Some(length),
            (_, None) => {
                let next = self.offsets.get(index + 1);
                next.and_then(|next| next.checked_sub(start))
            }
        };
        let length = length.and_then(|length| usize::try_from(length).ok());
        Some(length.and_then(|length| rest.get(..length)).unwrap_or(rest))
    }

    /// Checks, before anything is unpacked, that chunks do not read the same bytes again and
    /// again. Those that are not packed have as many bytes as pixels.
    fn check_work(&self, per_plane: usize) -> Result<(), ImageReason> {
        if self.compression == Compression::None {
            return Ok(());
        }
        let total = match self.planar {
            true => per_plane * self.mode.samples,
            false => per_plane,
        };
        let pixels = (self.mode.row_bytes(self.size[0]) as u64).saturating_mul(self.size[1] as u64);
        let mut left = (self.file.len() as u64 * READINGS).saturating_add(pixels);
        for index in 0..total {
            let packed = self.packed(index, total).ok_or(ImageReason::CutOff)?;
            let read = packed.len() + self.jpeg_tables.len();
            let rest = left.checked_sub(read as u64);
            left = rest.ok_or(ImageReason::TooMuchWork("the strips or tiles"))?;
        }
        Ok(())
    }

    /// The chunk `index` of `total`, of so many samples per pixel.
    fn unpacked(
        &self,
        index: usize,
        rows: usize,
        samples: usize,
        total: usize,
    ) -> Result<Vec<u8>, ImageReason> {
        let row_bytes = (self.chunk[0] * samples * self.mode.bits).div_ceil(8);
        let packed = self.packed(index, total).ok_or(ImageReason::CutOff)?;
        let packed = match self.compression {
            Compression::None => packed.get(..row_bytes.saturating_mul(rows)),
            _ => None,
        }
        .unwrap_or(packed);
        let mut packed = std::borrow::Cow::Borrowed(packed);
        if self.reversed {
            packed
                .to_mut()
                .iter_mut()
                .for_each(|byte| *byte = byte.reverse_bits());
        }
        let chunk = Chunk {
            packed: &packed,
            size: [self.chunk[0], rows],
            row_bytes,
            jpeg_tables: self.jpeg_tables,
            jpeg_colors: self.mode.jpeg_colors(),
        };
        let mut unpacked = chunk.unpack(self.compression)?;
        if self.predicted() {
            let rows = unpacked.chunks_exact_mut(row_bytes.max(1));
            predictor::undo(self.predictor, rows, samples, self.mode.bits, self.order)?;
        }
        Ok(unpacked)
    }

    /// Whether the samples were predicted: only three of the ways to pack them know that.
    fn predicted(&self) -> bool {
        matches!(
            self.compression,
            Compression::Lzw | Compression::Deflate | Compression::Zstd
        )
    }
}

/// Checks that the tiles do not have many more pixels than the image, which lies in them.
fn check_tiles(image: [u32; 2], tile: [u32; 2], limits: &DecodeLimits) -> Result<(), ImageReason> {
    super::canvas::check(tile, limits)?;
    let whole = |side: u32, tile: u32| side.checked_next_multiple_of(tile).unwrap_or(u32::MAX);
    let padded = [whole(image[0], tile[0]), whole(image[1], tile[1])];
    super::canvas::check(padded, limits).map(|_| ())
}

/// The image, turned as the tag `Orientation` says.
fn finish(
    canvas: Canvas,
    [width, height]: [u32; 2],
    orientation: u64,
) -> Result<Decoded, ImageReason> {
    let (right, bottom) = (width as usize - 1, height as usize - 1);
    let (upright, turned) = ([width, height], [height, width]);
    match orientation {
        2 => canvas.finish_as(upright, |[x, y]| [right - x, y]),
        3 => canvas.finish_as(upright, |[x, y]| [right - x, bottom - y]),
        4 => canvas.finish_as(upright, |[x, y]| [x, bottom - y]),
        5 => canvas.finish_as(turned, |[x, y]| [y, x]),
        6 => canvas.finish_as(turned, |[x, y]| [y, bottom - x]),
        7 => canvas.finish_as(turned, |[x, y]| [right - y, bottom - x]),
        8 => canvas.finish_as(turned, |[x, y]| [right - y, x]),
        _ => canvas.finish(),
    }
}
