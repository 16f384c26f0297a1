//! TIFF and BigTIFF: strips and tiles, planes, and the modes of Pillow's table.
//!
//! Of several images the first is read, and its orientation is applied, as Pillow does.

mod compression;
mod directory;
mod mode;
mod predictor;

use super::canvas::Canvas;
use super::reason::ImageReason;
use super::{DecodeLimits, Image, jpeg};
use crate::plan::Color;
use compression::{Chunk, Compression};
use directory::Directory;
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
pub(super) fn decode(file: &[u8], limits: &DecodeLimits) -> Result<Image, ImageReason> {
    let directory = Directory::read(file)?;
    let layout = Layout::read(file, &directory, limits)?;
    let size = [layout.size[0] as u32, layout.size[1] as u32];
    let color = layout.mode.color();
    let orientation = directory.number(tag::ORIENTATION).unwrap_or(1);
    let turned = if orientation > 1 {
        layout.size[0] * layout.size[1] * color.channels()
    } else {
        0
    };
    let chunk = layout.mode.row_bytes(layout.chunk[0]) * layout.chunk[1];
    // A chunk with its planes, and what a JPEG in it needs.
    let extra = turned as u64 + (chunk as u64).saturating_mul(5);
    let mut canvas = Canvas::new(size, color, extra, limits)?;
    layout.fill(&mut canvas)?;
    let image = canvas.finish()?;
    turn(image, orientation)
}

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
    offsets: Vec<u64>,
    lengths: Vec<u64>,
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
            super::canvas::check([across, down], limits)?;
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
            offsets: directory.numbers(offsets).collect(),
            lengths: directory.numbers(lengths).collect(),
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
        for index in 0..per_plane {
            let (left, top) = (index % columns * across, index / columns * down);
            // The last strip is as short as the image; a tile always has its whole size.
            let rows = if self.tiled {
                down
            } else {
                down.min(height - top)
            };
            let samples = self.samples(index, per_plane, rows)?;
            let is_rgb = self.compression == Compression::Jpeg;
            let stride = self.mode.row_bytes(across).max(1);
            for (row, y) in samples.chunks_exact(stride).zip(top..height) {
                let line = canvas.row(y).unwrap_or_default();
                let end = (left + across).min(width) * channels;
                let line = line.get_mut(left * channels..end).unwrap_or_default();
                self.mode.convert(row, is_rgb, line);
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

    /// The chunk `index` of `total`, of so many samples per pixel.
    fn unpacked(
        &self,
        index: usize,
        rows: usize,
        samples: usize,
        total: usize,
    ) -> Result<Vec<u8>, ImageReason> {
        // Of several offsets of one chunk, Pillow takes the last.
        let index = if total == 1 {
            self.offsets.len().saturating_sub(1)
        } else {
            index
        };
        let row_bytes = (self.chunk[0] * samples * self.mode.bits).div_ceil(8);
        let start = self
            .offsets
            .get(index)
            .and_then(|&start| usize::try_from(start).ok());
        let rest = start.and_then(|start| self.file.get(start..));
        let rest = rest.ok_or(ImageReason::CutOff)?;
        let length = match (self.compression, self.lengths.get(index)) {
            // Pillow reads what is there, whatever the file says about its length.
            (Compression::None, _) => row_bytes.saturating_mul(rows),
            (_, Some(&length)) => usize::try_from(length).unwrap_or(usize::MAX),
            (_, None) => rest.len(),
        };
        let mut packed = std::borrow::Cow::Borrowed(rest.get(..length).unwrap_or(rest));
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

/// Turns an image as the tag `Orientation` says.
fn turn(image: Image, orientation: u64) -> Result<Image, ImageReason> {
    let [width, height] = [image.width() as usize, image.height() as usize];
    // From the place in the turned image to that in the file.
    let place: fn([usize; 2], [usize; 2]) -> [usize; 2] = match orientation {
        2 => |[x, y], [width, _]| [width - 1 - x, y],
        3 => |[x, y], [width, height]| [width - 1 - x, height - 1 - y],
        4 => |[x, y], [_, height]| [x, height - 1 - y],
        5 => |[x, y], _| [y, x],
        6 => |[x, y], [_, height]| [y, height - 1 - x],
        7 => |[x, y], [width, height]| [width - 1 - y, height - 1 - x],
        8 => |[x, y], [width, _]| [width - 1 - y, x],
        _ => return Ok(image),
    };
    let size = if orientation < 5 {
        [width, height]
    } else {
        [height, width]
    };
    let channels = image.color().channels();
    let mut pixels = Vec::with_capacity(image.pixels().len());
    for y in 0..size[1] {
        for x in 0..size[0] {
            let [column, row] = place([x, y], [width, height]);
            let start = (row * width + column) * channels;
            pixels.extend_from_slice(
                image
                    .pixels()
                    .get(start..start + channels)
                    .unwrap_or_default(),
            );
        }
    }
    let color: Color = image.color();
    Image::from_pixels(size[0] as u32, size[1] as u32, color, pixels).ok_or(ImageReason::NoPixels)
}
