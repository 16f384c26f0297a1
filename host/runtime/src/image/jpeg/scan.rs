//! The blocks of a scan.

use super::bits::{Bits, Codes};
use super::header::{Headers, Part, Scan, ZIGZAG, damaged};
use super::planes::Planes;
use crate::image::reason::ImageReason;

/// The coefficients of a block, row by row.
pub(super) type Block = [i16; 64];

/// Decodes the blocks of a scan into `planes`. `at` is where its bits are, and is moved behind
/// them. Returns the marker that was met, if any.
pub(super) fn decode(
    file: &[u8],
    at: &mut usize,
    headers: &Headers,
    scan: &Scan,
    planes: &mut Planes,
) -> Result<Option<u8>, ImageReason> {
    let frame = headers
        .frame
        .as_ref()
        .ok_or_else(|| damaged("a scan before the frame"))?;
    let mut decoder = Decoder {
        bits: Bits::new(file, *at),
        scan,
        headers,
        progressive: frame.progressive,
        before: [0; 4],
        blocks_to_end: 0,
        restart: 0,
        to_restart: headers.restart,
    };
    decoder.check_tables()?;
    let [columns, rows] = match scan.parts.as_slice() {
        // A component alone has no more blocks than it needs.
        [part] => planes.blocks(part.component),
        _ => frame.units(),
    };
    'scan: for row in 0..rows {
        for column in 0..columns {
            decoder.restart_if_due()?;
            if !decoder.bits.starved {
                decoder.unit(planes, [column, row])?;
            } else if headers.restart == 0 {
                // Zeros have been read already: the blocks that are left stay as they are.
                break 'scan;
            }
        }
    }
    *at = decoder.bits.at;
    Ok(decoder.bits.marker)
}

struct Decoder<'a> {
    bits: Bits<'a>,
    scan: &'a Scan,
    headers: &'a Headers,
    progressive: bool,
    /// The last DC coefficient of each part.
    before: [i32; 4],
    /// Blocks, from this one on, that have no more coefficients of the scan.
    blocks_to_end: u32,
    /// The number of the next restart marker.
    restart: u8,
    /// Units until then.
    to_restart: usize,
}

impl Decoder<'_> {
    fn check_tables(&self) -> Result<(), ImageReason> {
        for part in &self.scan.parts {
            let (dc, ac) = match (self.progressive, self.scan.first, self.scan.high) {
                (false, _, _) => (true, true),
                (true, 0, high) => (high == 0, false),
                (true, _, _) => (false, true),
            };
            if dc {
                self.codes(&self.headers.dc, part.dc)?;
            }
            if ac {
                self.codes(&self.headers.ac, part.ac)?;
            }
        }
        Ok(())
    }

    fn codes<'t>(
        &self,
        tables: &'t [Option<Codes>; 4],
        number: usize,
    ) -> Result<&'t Codes, ImageReason> {
        let table = tables.get(number).and_then(Option::as_ref);
        table.ok_or_else(|| damaged("a scan without its table of codes"))
    }

    /// Passes a restart marker where one is due.
    fn restart_if_due(&mut self) -> Result<(), ImageReason> {
        if self.headers.restart == 0 {
            return Ok(());
        }
        if self.to_restart > 0 {
            self.to_restart -= 1;
            return Ok(());
        }
        self.bits.clear();
        let wanted = self.restart;
        let mut marker = match self.bits.marker {
            Some(marker) => marker,
            None => self.bits.next_marker()?,
        };
        // libjpeg's way to find its place again: what is behind is skipped, what is ahead waits.
        loop {
            let ahead = marker.wrapping_sub(wanted) & 7;
            match (marker, ahead) {
                (0xd0..=0xd7, 1 | 2) | (0xc0..=0xcf | 0xd8..=0xff, _) => break,
                (0xd0..=0xd7, 0 | 3..=5) => {
                    self.bits.marker = None;
                    break;
                }
                _ => marker = self.bits.next_marker()?,
            }
        }
        self.restart = (wanted + 1) & 7;
        self.before = [0; 4];
        self.blocks_to_end = 0;
        self.to_restart = self.headers.restart - 1;
        if self.bits.marker.is_none() {
            self.bits.starved = false;
        }
        Ok(())
    }

    /// Decodes the blocks of a unit: one of a component alone, or all those of each component.
    fn unit(&mut self, planes: &mut Planes, [column, row]: [usize; 2]) -> Result<(), ImageReason> {
        let scan = self.scan;
        let alone = scan.parts.len() == 1;
        for (index, part) in scan.parts.iter().enumerate() {
            let [across, down] = if alone {
                [1; 2]
            } else {
                planes.factors(part.component)
            };
            for y in row * down..(row + 1) * down {
                for x in column * across..(column + 1) * across {
                    if self.progressive {
                        if let Some(block) = planes.coefficients(part.component, [x, y]) {
                            self.refine(index, part, block)?;
                        }
                    } else {
                        let mut block = [0; 64];
                        self.sequential(index, part, &mut block)?;
                        planes.put(part.component, [x, y], &block);
                    }
                }
            }
        }
        Ok(())
    }

    fn difference(&mut self, index: usize, part: &Part) -> Result<i32, ImageReason> {
        let headers = self.headers;
        let codes = self.codes(&headers.dc, part.dc)?;
        let size = self.bits.symbol(codes)?;
        let difference = self.bits.signed(size.into())?;
        let Some(before) = self.before.get_mut(index) else {
            return Ok(0);
        };
        *before = before.wrapping_add(difference);
        Ok(*before)
    }

    /// All coefficients of a block.
    fn sequential(
        &mut self,
        index: usize,
        part: &Part,
        block: &mut Block,
    ) -> Result<(), ImageReason> {
        block[0] = self.difference(index, part)? as i16;
        let headers = self.headers;
        let codes = self.codes(&headers.ac, part.ac)?;
        let mut at = 1;
        while at < 64 {
            let symbol = self.bits.symbol(codes)?;
            let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                if zeros < 15 {
                    break;
                }
                at += 16;
                continue;
            }
            at += zeros;
            let value = self.bits.signed(size)?;
            put(block, at, value as i16);
            at += 1;
        }
        Ok(())
    }

    /// The coefficients and bits of a block that a progressive scan has.
    fn refine(&mut self, index: usize, part: &Part, block: &mut Block) -> Result<(), ImageReason> {
        match (self.scan.first, self.scan.high) {
            (0, 0) => {
                block[0] = (self.difference(index, part)? << self.scan.low) as i16;
                Ok(())
            }
            (0, _) => {
                if self.bits.take(1)? == 1 {
                    block[0] |= 1 << self.scan.low;
                }
                Ok(())
            }
            (_, 0) => self.first_bits(part, block),
            (_, _) => self.further_bits(part, block),
        }
    }

    /// How many blocks, this one included, have nothing more, from a symbol.
    fn run_of_blocks(&mut self, size: u32) -> Result<u32, ImageReason> {
        Ok(match size {
            0 => 1,
            size => (1 << size) + self.bits.take(size)? as u32,
        })
    }

    fn first_bits(&mut self, part: &Part, block: &mut Block) -> Result<(), ImageReason> {
        if self.blocks_to_end > 0 {
            self.blocks_to_end -= 1;
            return Ok(());
        }
        let headers = self.headers;
        let codes = self.codes(&headers.ac, part.ac)?;
        let mut at = self.scan.first;
        while at <= self.scan.last {
            let symbol = self.bits.symbol(codes)?;
            let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            match (size, zeros) {
                (0, 15) => at += 16,
                (0, _) => {
                    self.blocks_to_end = self.run_of_blocks(zeros)? - 1;
                    break;
                }
                _ => {
                    at += zeros as usize;
                    let value = self.bits.signed(size)?;
                    put(block, at, (value << self.scan.low) as i16);
                    at += 1;
                }
            }
        }
        Ok(())
    }

    fn further_bits(&mut self, part: &Part, block: &mut Block) -> Result<(), ImageReason> {
        let bit: i16 = 1 << self.scan.low;
        let headers = self.headers;
        let codes = self.codes(&headers.ac, part.ac)?;
        let mut at = self.scan.first;
        if self.blocks_to_end == 0 {
            while at <= self.scan.last {
                let symbol = self.bits.symbol(codes)?;
                let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
                let mut new = 0;
                if size > 0 {
                    new = if self.bits.take(1)? == 1 { bit } else { -bit };
                } else if zeros < 15 {
                    self.blocks_to_end = self.run_of_blocks(zeros)?;
                    break;
                }
                while at <= self.scan.last {
                    let place = natural(at);
                    if block.get(place).is_some_and(|&value| value != 0) {
                        self.correct(block, place, bit)?;
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    at += 1;
                }
                if new != 0 {
                    put(block, at, new);
                }
                at += 1;
            }
        }
        if self.blocks_to_end > 0 {
            for at in at..=self.scan.last {
                let place = natural(at);
                if block.get(place).is_some_and(|&value| value != 0) {
                    self.correct(block, place, bit)?;
                }
            }
            self.blocks_to_end -= 1;
        }
        Ok(())
    }

    /// Reads one more bit of a coefficient that is not zero.
    fn correct(&mut self, block: &mut Block, place: usize, bit: i16) -> Result<(), ImageReason> {
        let more = self.bits.take(1)? == 1;
        if let Some(value) = block.get_mut(place)
            && more
            && *value & bit == 0
        {
            *value = value.wrapping_add(if *value >= 0 { bit } else { -bit });
        }
        Ok(())
    }
}

/// The place in a block of the coefficient `at` of the order that they are stored in.
fn natural(at: usize) -> usize {
    ZIGZAG.get(at).map_or(63, |&place| place.into())
}

fn put(block: &mut Block, at: usize, value: i16) {
    if let Some(to) = block.get_mut(natural(at)) {
        *to = value;
    }
}
