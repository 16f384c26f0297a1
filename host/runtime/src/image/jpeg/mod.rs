//! JPEG: sequential and progressive, of 8 bits and Huffman codes.
//!
//! Labels must agree with FiftyOne's, so the samples must be those of libjpeg-turbo, which Pillow
//! uses, to the bit: the same cosine transform, interpolation and colours, all of integers. It
//! also decides like libjpeg what is read of a damaged file: a file that ends within its pixels is
//! refused, one that has them all and no end marker is read where it has one scan, and pixels that
//! a marker cuts off are grey.

mod bits;
mod color;
mod header;
mod idct;
mod planes;
mod scan;
mod upsample;

use modelzoo_kernels::Isa;

use super::canvas::Canvas;
use super::reason::ImageReason;
use super::sample::inked;
use super::{DecodeLimits, Decoded};
use crate::plan::Color;
pub(super) use color::{Colors, ycbcr_to_rgb};
use header::{Headers, Next, Scan, damaged};
use planes::Planes;
use upsample::Plane;

/// How many times over the scans of an image may visit its blocks (those of common encoders do so
/// up to 10 times), and how many more visits each byte of the file pays for.
const VISITS: u64 = 24;
const VISITS_PER_BYTE: u64 = 64;

/// Decodes a JPEG.
///
/// # Errors
/// [`ImageReason`].
pub(super) fn decode(file: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImageReason> {
    let mut parser = Parser::new(file);
    let (size, scan) = parser.read_frame()?;
    let size = size.map(|side| side as u32);
    let frame = parser.headers.frame.as_ref();
    let (count, extra) = frame.map_or((0, 0), |frame| {
        (frame.components.len(), planes::bytes(frame))
    });
    let color = if count == 1 { Color::Gray } else { Color::Rgb };
    let mut canvas = Canvas::new(size, color, extra, limits)?;
    let planes = parser.read_scans(scan)?;
    let colors = parser.headers.colors();
    let mut rows = Rows::new(&planes, colors, size[0] as usize);
    let mut inks = vec![0; if count == 4 { size[0] as usize * 4 } else { 0 }];
    for (y, row) in canvas.rows().enumerate() {
        if count < 4 {
            rows.write(y, row);
            continue;
        }
        rows.write(y, &mut inks);
        let (pixels, _) = row.as_chunks_mut::<3>();
        for (to, &ink) in pixels.iter_mut().zip(inks.as_chunks::<4>().0) {
            // Adobe's files have 255 for no ink, and Pillow takes all files for Adobe's.
            *to = inked(ink.map(|value| 255 - value));
        }
    }
    canvas.finish()
}

/// Decodes a chunk of a TIFF, `width` by `height` pixels of interleaved samples. `tables` is
/// empty, or a JPEG of tables alone.
///
/// # Errors
/// [`ImageReason`].
pub(super) fn decode_chunk(
    tables: &[u8],
    file: &[u8],
    [width, height]: [usize; 2],
    colors: Colors,
) -> Result<Vec<u8>, ImageReason> {
    let mut headers = Headers::default();
    if !tables.is_empty() {
        let mut parser = Parser::new(tables);
        while !matches!(parser.next()?, Next::End) {}
        headers = parser.headers;
    }
    let mut parser = Parser::new(file);
    parser.headers = headers;
    let (size, scan) = parser.read_frame()?;
    if size[0] != width || size[1] < height || size[1] > height + 64 {
        return Err(damaged("a part of another size"));
    }
    let planes = parser.read_scans(scan)?;
    let mut rows = Rows::new(&planes, colors, width);
    let mut pixels = vec![0; width * height * planes.len()];
    for (y, row) in pixels
        .chunks_exact_mut((width * planes.len()).max(1))
        .enumerate()
    {
        rows.write(y, row);
    }
    Ok(pixels)
}

struct Parser<'a> {
    file: &'a [u8],
    at: usize,
    headers: Headers,
}

impl<'a> Parser<'a> {
    /// Starts behind the marker that a file begins with.
    fn new(file: &'a [u8]) -> Self {
        Self {
            file,
            at: 2,
            headers: Headers::default(),
        }
    }

    /// Reads the next segment.
    fn next(&mut self) -> Result<Next, ImageReason> {
        let mut bits = bits::Bits::new(self.file, self.at);
        let marker = bits.next_marker()?;
        self.at = bits.at;
        self.headers.segment(self.file, &mut self.at, marker)
    }

    /// Reads up to the next scan; none at the end.
    fn next_scan(&mut self) -> Result<Option<Scan>, ImageReason> {
        loop {
            match self.next()? {
                Next::Segment => {}
                Next::End => return Ok(None),
                Next::Scan(scan) => return Ok(Some(scan)),
            }
        }
    }

    /// Reads up to the first scan; returns the image's size and that scan.
    fn read_frame(&mut self) -> Result<([usize; 2], Scan), ImageReason> {
        let scan = self.next_scan()?.ok_or(ImageReason::CutOff)?;
        let frame = self.headers.frame.as_ref().ok_or(ImageReason::CutOff)?;
        Ok((frame.size, scan))
    }

    /// Reads all scans, from the first one on.
    fn read_scans(&mut self, first: Scan) -> Result<Vec<Plane>, ImageReason> {
        let Some(frame) = &self.headers.frame else {
            return Err(ImageReason::CutOff);
        };
        let mut planes = Planes::new(frame);
        let (components, progressive) = (frame.components.len(), frame.progressive);
        let blocks: u64 = (0..components)
            .map(|component| planes.count(component))
            .sum();
        let mut visits = VISITS * blocks + VISITS_PER_BYTE * self.file.len() as u64;
        let mut next = Some(first);
        while let Some(scan) = next {
            let visited = scan
                .parts
                .iter()
                .map(|part| planes.count(part.component))
                .sum();
            let left = visits.checked_sub(visited);
            visits = left.ok_or(ImageReason::TooMuchWork("the scans"))?;
            if let Some(frame) = &self.headers.frame {
                planes.set_quantization(frame);
            }
            let marker = scan::decode(self.file, &mut self.at, &self.headers, &scan, &mut planes)?;
            if !progressive && scan.parts.len() == components {
                // libjpeg needs no end where one scan has everything.
                break;
            }
            if marker.is_some() {
                // It is read again.
                self.at -= 2;
            }
            next = self.next_scan()?;
        }
        Ok(planes.finish())
    }
}

/// The rows of an image, from its planes.
struct Rows<'a> {
    isa: Isa,
    planes: &'a [Plane],
    colors: Colors,
    lines: Vec<Vec<u8>>,
    sums: Vec<i32>,
}

impl<'a> Rows<'a> {
    fn new(planes: &'a [Plane], colors: Colors, width: usize) -> Self {
        Self {
            isa: Isa::detect(),
            planes,
            colors,
            lines: planes.iter().map(|_| vec![0; width]).collect(),
            sums: Vec::new(),
        }
    }

    /// Writes the pixels of a row.
    fn write(&mut self, y: usize, row: &mut [u8]) {
        self.isa.run(
            #[inline(always)]
            || {
                for (plane, line) in self.planes.iter().zip(&mut self.lines) {
                    plane.upsample(y, &mut self.sums, line);
                }
                color::interleave(self.colors, &self.lines, row);
            },
        );
    }
}
