//! The bits of a scan, and the codes in them.
//!
//! Everything that decides how much of a damaged file is read follows libjpeg, whose answers are
//! Pillow's: bits are fetched until there are 57, a marker ends them and zeros follow it, and the
//! end of the file is an error only when bits must be fetched.

use crate::image::reason::ImageReason;

/// Bits that are fetched together.
const FETCHED: u32 = 57;
/// Bits of the table of short codes.
const SHORT: u32 = 8;

/// A table of Huffman codes.
#[derive(Clone)]
pub(super) struct Codes {
    /// For each 8 bits: the length of the code that they begin with, and its symbol; 0 for a
    /// longer code.
    short: [(u8, u8); 1 << SHORT],
    /// The largest code of each length, -1 where there is none; at 17 a value above all codes.
    largest: [i32; 18],
    /// From a code of each length to its place among the symbols.
    offset: [i32; 18],
    symbols: [u8; 256],
}

impl Codes {
    /// A table from the number of codes of each length, 1 to 16, and their symbols. None when
    /// there are more codes of a length than can be.
    pub(super) fn new(counts: [u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut codes = Self {
            short: [(0, 0); 1 << SHORT],
            largest: [-1; 18],
            offset: [0; 18],
            symbols: [0; 256],
        };
        for (to, &symbol) in codes.symbols.iter_mut().zip(symbols) {
            *to = symbol;
        }
        let (mut code, mut place) = (0_i32, 0_i32);
        for (length, count) in (1_u32..).zip(counts) {
            let count = i32::from(count);
            if code + count > 1 << length {
                return None;
            }
            if let (Some(largest), Some(offset)) = (
                codes.largest.get_mut(length as usize),
                codes.offset.get_mut(length as usize),
            ) && count > 0
            {
                *offset = place - code;
                *largest = code + count - 1;
            }
            for at in 0..count {
                codes.add_short(code + at, length, place + at);
            }
            code = (code + count) << 1;
            place += count;
        }
        if let Some(last) = codes.largest.last_mut() {
            *last = i32::MAX;
        }
        Some(codes)
    }

    fn add_short(&mut self, code: i32, length: u32, place: i32) {
        let Some(free) = SHORT.checked_sub(length) else {
            return;
        };
        let symbol = self
            .symbols
            .get(place as usize)
            .copied()
            .unwrap_or_default();
        let start = (code as usize) << free;
        let entries = self.short.get_mut(start..start + (1 << free));
        entries.unwrap_or_default().fill((length as u8, symbol));
    }

    /// Whether all symbols are at most `most`.
    pub(super) fn within(&self, most: u8) -> bool {
        self.symbols.iter().all(|&symbol| symbol <= most)
    }
}

/// The bits of a scan.
pub(super) struct Bits<'a> {
    file: &'a [u8],
    /// Where the next byte is.
    pub(super) at: usize,
    buffer: u64,
    /// How many of the lowest bits of the buffer are still to be read.
    left: u32,
    /// The marker that ended the bits.
    pub(super) marker: Option<u8>,
    /// Whether zeros were read in place of bits: what follows is not decoded.
    pub(super) starved: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(file: &'a [u8], at: usize) -> Self {
        Self {
            file,
            at,
            buffer: 0,
            left: 0,
            marker: None,
            starved: false,
        }
    }

    /// Forgets the bits that were fetched.
    pub(super) fn clear(&mut self) {
        (self.buffer, self.left) = (0, 0);
    }

    fn byte(&mut self) -> Result<u8, ImageReason> {
        let byte = self.file.get(self.at).copied().ok_or(ImageReason::CutOff)?;
        self.at += 1;
        Ok(byte)
    }

    /// Skips to the next marker.
    pub(super) fn next_marker(&mut self) -> Result<u8, ImageReason> {
        loop {
            while self.byte()? != 0xff {}
            let mut code = self.byte()?;
            while code == 0xff {
                code = self.byte()?;
            }
            if code != 0 {
                self.marker = Some(code);
                return Ok(code);
            }
        }
    }

    /// Fetches bits; afterwards there are at least `needed`.
    #[cold]
    fn fetch(&mut self, needed: u32) -> Result<(), ImageReason> {
        while self.marker.is_none() && self.left < FETCHED {
            let byte = self.byte()?;
            if byte == 0xff {
                let mut next = self.byte()?;
                while next == 0xff {
                    next = self.byte()?;
                }
                if next != 0 {
                    self.marker = Some(next);
                    break;
                }
            }
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.left += 8;
        }
        if needed > self.left {
            self.starved = true;
            self.buffer <<= FETCHED - self.left;
            self.left = FETCHED;
        }
        Ok(())
    }

    fn peek(&self, count: u32) -> u32 {
        (self.buffer >> (self.left - count)) as u32 & ((1 << count) - 1)
    }

    /// The next bits, at most 16.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<i32, ImageReason> {
        if self.left < count {
            self.fetch(count)?;
        }
        let bits = self.peek(count);
        self.left -= count;
        Ok(bits as i32)
    }

    /// A number of so many bits, of which those below half the range are negative.
    #[inline]
    pub(super) fn signed(&mut self, count: u32) -> Result<i32, ImageReason> {
        if count == 0 {
            return Ok(0);
        }
        let bits = self.take(count)?;
        let half = 1 << (count - 1);
        Ok(if bits < half {
            bits - 2 * half + 1
        } else {
            bits
        })
    }

    /// The symbol of the next code; 0 for a code that is none.
    #[inline]
    pub(super) fn symbol(&mut self, codes: &Codes) -> Result<u8, ImageReason> {
        if self.left < SHORT {
            self.fetch(0)?;
        }
        if self.left >= SHORT {
            let short = codes.short.get(self.peek(SHORT) as usize);
            let (length, symbol) = short.copied().unwrap_or_default();
            if length > 0 {
                self.left -= u32::from(length);
                return Ok(symbol);
            }
            return self.long_symbol(codes, SHORT + 1);
        }
        self.long_symbol(codes, 1)
    }

    fn long_symbol(&mut self, codes: &Codes, shortest: u32) -> Result<u8, ImageReason> {
        let mut code = self.take(shortest)?;
        for (&largest, &offset) in codes
            .largest
            .iter()
            .zip(&codes.offset)
            .skip(shortest as usize)
        {
            if code <= largest {
                let symbol = codes.symbols.get((code + offset) as usize);
                return Ok(if largest == i32::MAX {
                    0
                } else {
                    symbol.copied().unwrap_or_default()
                });
            }
            code = code << 1 | self.take(1)?;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_all_lengths_are_read() {
        // 0, 10, 110, … and one of 12 bits.
        let mut counts = [0; 16];
        counts[..12].fill(1);
        let symbols: Vec<u8> = (1..=12).collect();
        let codes = Codes::new(counts, &symbols).unwrap();
        // 0, 110, 111111111110, 10, and a marker.
        let file = [0b0110_1111, 0b1111_1110, 0b1000_0000, 0xff, 0xd9];
        let mut bits = Bits::new(&file, 0);
        let read: Vec<u8> = (0..4).map(|_| bits.symbol(&codes).unwrap()).collect();
        assert_eq!(read, [1, 3, 12, 2]);
        assert_eq!(bits.marker, Some(0xd9));
        assert!(!bits.starved);
        assert!(Codes::new([3; 16], &[]).is_none());
    }

    #[test]
    fn numbers_are_signed_as_in_the_standard() {
        let mut bits = Bits::new(&[0b0111_0010, 0xff, 0xd9], 0);
        let mut signed = |count| bits.signed(count).unwrap();
        assert_eq!(
            [signed(1), signed(1), signed(2), signed(3), signed(0)],
            [-1, 1, 3, -6, 0]
        );
    }

    #[test]
    fn zeros_follow_a_marker_and_the_end_is_an_error() {
        let mut bits = Bits::new(&[0xff, 0xd9], 0);
        assert_eq!(bits.take(5).unwrap(), 0);
        assert!(bits.starved);
        assert!(matches!(
            Bits::new(&[0xff], 0).take(1),
            Err(ImageReason::CutOff)
        ));
    }
}
