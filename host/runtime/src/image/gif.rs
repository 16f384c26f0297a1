//! GIF: the first frame, on its canvas.
//!
//! As in Pillow, a frame that is smaller than the canvas lies on the transparent index, or on
//! index 0, and the canvas grows with a frame that is larger.

use weezl::BitOrder;
use weezl::decode::Decoder;

use super::bytes::{array, u16_le};
use super::canvas::Canvas;
use super::reason::ImageReason;
use super::sample::Palette;
use super::{DecodeLimits, Decoded, lzw};
use crate::plan::Color;

/// Decodes the first frame of a GIF.
///
/// # Errors
/// [`ImageReason`].
pub(super) fn decode(file: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImageReason> {
    let screen = [u16_le(file, 6)?, u16_le(file, 8)?];
    let [flags] = array(file, 10)?;
    let mut parser = Parser { file, at: 13 };
    let shared = parser.palette(flags)?;
    let (frame, transparent) = parser.first_frame()?;
    let (screen, start, size) = (
        screen.map(u32::from),
        frame.start.map(u32::from),
        frame.size.map(u32::from),
    );
    let size = [
        screen[0].max(start[0] + size[0]),
        screen[1].max(start[1] + size[1]),
    ];
    let area = super::canvas::check(size, limits)?;
    let [columns, rows] = frame.size.map(usize::from);
    if columns == 0 || rows == 0 {
        return Err(ImageReason::NoPixels);
    }
    let palette = frame.palette.unwrap_or(shared).map(Palette::from_rgb);
    let color = if palette.is_some() {
        Color::Rgb
    } else {
        Color::Gray
    };
    let mut canvas = Canvas::new(size, color, area, limits)?;
    let indices = unpack(&mut parser, frame.code_size, columns * rows)?;

    let background = transparent.unwrap_or(0);
    let [left, top] = frame.start.map(usize::from);
    let mut line = vec![background; size[0] as usize];
    let show = |line: &[u8], row: &mut [u8]| match &palette {
        Some(palette) => palette.look_up(line.iter().copied(), row),
        None => row.copy_from_slice(line),
    };
    canvas.rows().for_each(|row| show(&line, row));
    let order = frame.row_order(rows);
    for (y, row) in order.zip(indices.chunks_exact(columns)) {
        if let Some(part) = line.get_mut(left..left + columns) {
            part.copy_from_slice(row);
        }
        show(&line, canvas.row(top + y).unwrap_or_default());
    }
    canvas.finish()
}

/// What comes before the pixels of a frame.
struct Frame<'a> {
    /// The left column and the top row.
    start: [u16; 2],
    /// Columns and rows.
    size: [u16; 2],
    interlaced: bool,
    /// The frame's own colours; the inner `None` for greys.
    palette: Option<Option<&'a [u8]>>,
    code_size: u8,
}

impl Frame<'_> {
    /// The rows in the order of the file.
    fn row_order(&self, rows: usize) -> Box<dyn Iterator<Item = usize>> {
        if !self.interlaced {
            return Box::new(0..rows);
        }
        let passes = [(0, 8), (4, 8), (2, 4), (1, 2)];
        Box::new(
            passes
                .into_iter()
                .flat_map(move |(first, step)| (first..rows).step_by(step)),
        )
    }
}

struct Parser<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ImageReason> {
        let end = self.at.saturating_add(count);
        let taken = self.file.get(self.at..end).ok_or(ImageReason::CutOff)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, ImageReason> {
        let [byte] = array(self.file, self.at)?;
        self.at += 1;
        Ok(byte)
    }

    /// The colours that follow, if the flags say so; `None` for a ramp of greys too.
    fn palette(&mut self, flags: u8) -> Result<Option<&'a [u8]>, ImageReason> {
        if flags & 0x80 == 0 {
            return Ok(None);
        }
        let colors = self.take(3 << ((flags & 7) + 1))?;
        let (entries, _) = colors.as_chunks::<3>();
        let is_ramp = entries
            .iter()
            .zip(0..=u8::MAX)
            .all(|(entry, index)| *entry == [index; 3]);
        Ok((!is_ramp).then_some(colors))
    }

    /// The first frame, with its transparent index.
    fn first_frame(&mut self) -> Result<(Frame<'a>, Option<u8>), ImageReason> {
        let mut transparent = None;
        loop {
            match self.byte()? {
                b',' => break,
                b'!' => {
                    let label = self.byte()?;
                    let block = self.block();
                    if let (0xf9, Some([flags, _, _, index, ..])) = (label, block)
                        && flags & 1 == 1
                    {
                        transparent = Some(*index);
                    }
                    if block.is_some() {
                        while self.block().is_some() {}
                    }
                }
                b';' => return Err(ImageReason::CutOff),
                _ => {}
            }
        }
        let head = self.take(9)?;
        let flags = head.last().copied().unwrap_or_default();
        let palette = match flags & 0x80 {
            0 => None,
            _ => Some(self.palette(flags)?),
        };
        let frame = Frame {
            start: [u16_le(head, 0)?, u16_le(head, 2)?],
            size: [u16_le(head, 4)?, u16_le(head, 6)?],
            interlaced: flags & 0x40 != 0,
            palette,
            code_size: self.byte()?,
        };
        Ok((frame, transparent))
    }

    /// A block of data; `None` for the empty one that ends a run of them, or at the end.
    fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.byte().ok()?;
        let end = self.at.saturating_add(length.into()).min(self.file.len());
        let block = self.file.get(self.at..end)?;
        self.at = end;
        (!block.is_empty()).then_some(block)
    }
}

/// Unpacks exactly `total` indices from the blocks that follow.
fn unpack(parser: &mut Parser<'_>, code_size: u8, total: usize) -> Result<Vec<u8>, ImageReason> {
    if !(1..=11).contains(&code_size) {
        return Err(ImageReason::damaged(
            "GIF",
            format!("codes of {code_size} bits"),
        ));
    }
    let decoder = Decoder::new(BitOrder::Lsb, code_size);
    lzw::unpack("GIF", decoder, std::iter::from_fn(|| parser.block()), total)
}
