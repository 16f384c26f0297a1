//! Where the parts of a file lie: the documents of a list, or the rows of a file of texts.
//!
//! A file can consist of millions of parts of two bytes, and its index must not cost many times
//! the file. So a part takes a byte or a few: its length, and what is between it and the part
//! before where that is not what it was the last time. Of every [`BLOCK`]th part, all is known.

/// Parts from one that is found at once to the next.
const BLOCK: usize = 64;

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first byte.
    pub(crate) start: u64,
    /// Bytes.
    pub(crate) length: u64,
    /// The line, from 1, where the file has lines.
    pub(crate) line: u64,
}

/// The parts of a file in order, none of which overlaps another.
#[derive(Debug, Default)]
pub(crate) struct Extents {
    codes: Vec<u8>,
    blocks: Vec<Place>,
    len: usize,
    last: Place,
}

/// A place between two parts.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// In the codes.
    code: usize,
    /// Where the part before ends, and its line.
    end: u64,
    line: u64,
    /// The bytes and lines from the part before that one.
    gap: u64,
    lines: u64,
}

impl Extents {
    /// The number of parts.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a part, which starts where the last one ends or later.
    pub(crate) fn push(&mut self, extent: Extent) {
        if self.len.is_multiple_of(BLOCK) {
            self.blocks.push(self.last);
        }
        let gap = extent.start.saturating_sub(self.last.end);
        let lines = extent.line.saturating_sub(self.last.line);
        let differs = (gap, lines) != (self.last.gap, self.last.lines);
        write(&mut self.codes, extent.length << 1 | u64::from(differs));
        if differs {
            write(&mut self.codes, gap);
            write(&mut self.codes, lines);
        }
        self.len += 1;
        self.last = Place {
            code: self.codes.len(),
            end: extent.start + extent.length,
            line: extent.line,
            gap,
            lines,
        };
    }

    /// A part, by its number.
    pub(crate) fn get(&self, index: usize) -> Option<Extent> {
        if index >= self.len {
            return None;
        }
        let mut place = *self.blocks.get(index / BLOCK)?;
        for _ in 0..index % BLOCK {
            self.read(&mut place)?;
        }
        self.read(&mut place)
    }

    /// All parts, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        let mut place = Place::default();
        (0..self.len).map_while(move |_| self.read(&mut place))
    }

    /// The part at a place, which moves behind it.
    fn read(&self, place: &mut Place) -> Option<Extent> {
        let length = read(&self.codes, &mut place.code)?;
        if length & 1 == 1 {
            place.gap = read(&self.codes, &mut place.code)?;
            place.lines = read(&self.codes, &mut place.code)?;
        }
        let extent = Extent {
            start: place.end + place.gap,
            length: length >> 1,
            line: place.line + place.lines,
        };
        (place.end, place.line) = (extent.start + extent.length, extent.line);
        Some(extent)
    }
}

/// Appends a number: seven bits per byte, the lowest first; the highest bit says that more follow.
fn write(codes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            codes.push(low);
            return;
        }
        codes.push(low | 0x80);
    }
}

/// The number at a place, which moves behind it.
fn read(codes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *codes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn parts_of_all_lengths_and_gaps_are_found_again() {
        let (mut extents, mut all, mut end) = (Extents::default(), Vec::new(), 0);
        for number in 0..1000_u64 {
            let part = Extent {
                start: end + [1, 1, 1, 2, 0, 300][number as usize % 6],
                length: [0, 1, 127, 64, 1 << 40, 5][number as usize * 7 % 6],
                line: number + 1 + number / 100,
            };
            end = part.start + part.length;
            extents.push(part);
            all.push(part);
        }
        assert_eq!(extents.iter().collect::<Vec<_>>(), all);
        for (index, part) in all.iter().enumerate() {
            assert_eq!(extents.get(index).as_ref(), Some(part), "{index}");
        }
        assert_eq!((extents.len(), extents.get(1000)), (1000, None));
        assert_eq!(Extents::default().get(0), None);
    }

    #[test]
    fn line_of_two_bytes_takes_less_than_two() {
        let mut extents = Extents::default();
        for line in 0..10_000 {
            extents.push(Extent {
                start: line * 2,
                length: 1,
                line: line + 1,
            });
        }
        assert!(extents.codes.len() < 10_010, "{}", extents.codes.len());
        assert!(extents.blocks.len() * size_of::<Place>() < 10_000);
    }
}
