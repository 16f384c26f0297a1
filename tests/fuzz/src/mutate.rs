//! Reproducible mutations.

use crate::Target;

/// Numbers at the limits of integer types.
const EDGES: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];
/// The most bytes of an input.
const MAX_LENGTH: usize = 64 << 10;

/// An endless sequence of inputs that depends only on the target and `seed`.
pub struct Mutations {
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
    random: Random,
}

impl Mutations {
    /// The sequence of a target, which needs at least one seed.
    #[must_use]
    pub fn new(target: &Target, seed: u64) -> Self {
        let seeds = (target.seeds)().into_iter().map(|(_, bytes)| bytes);
        Self {
            seeds: seeds.collect(),
            words: target.words,
            random: Random(seed | 1),
        }
    }

    fn pick(&mut self) -> Vec<u8> {
        let at = self.random.below(self.seeds.len());
        self.seeds.get(at).cloned().unwrap_or_default()
    }

    /// A few bytes to insert into an input.
    fn piece(&mut self) -> Vec<u8> {
        match self.random.below(4) {
            0 => {
                let other = self.pick();
                let (from, to) = self.range(other.len(), 64);
                other.get(from..to).unwrap_or_default().to_vec()
            }
            1 => {
                let edge = EDGES.get(self.random.below(EDGES.len())).copied();
                let bytes = edge.unwrap_or_default().to_le_bytes();
                let length = 1 << self.random.below(4);
                bytes.get(..length).unwrap_or_default().to_vec()
            }
            2 => vec![self.random.byte()],
            _ => {
                let at = self.random.below(self.words.len());
                let word = self.words.get(at).copied().unwrap_or_default();
                word.as_bytes().to_vec()
            }
        }
    }

    /// A range within `length` bytes, of at most `longest` bytes.
    fn range(&mut self, length: usize, longest: usize) -> (usize, usize) {
        let from = self.random.below(length + 1);
        let size = self.random.below(longest.min(length - from) + 1);
        (from, from + size)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (from, to) = self.range(input.len(), 32);
        match self.random.below(6) {
            0 => {
                let bit = 1 << self.random.below(8);
                if let Some(byte) = input.get_mut(from) {
                    *byte ^= bit;
                }
            }
            1 => drop(input.drain(from..to)),
            2 => {
                let copy = input.get(from..to).unwrap_or_default().to_vec();
                let at = self.random.below(input.len() + 1);
                input.splice(at..at, copy);
            }
            3 => {
                let piece = self.piece();
                input.splice(from..from, piece);
            }
            4 => {
                let piece = self.piece();
                let end = (from + piece.len()).min(input.len());
                input.splice(from..end, piece);
            }
            // Rarely: the input is truncated.
            _ if self.random.below(8) == 0 => input.truncate(from),
            _ => {
                let byte = self.random.byte();
                if let Some(old) = input.get_mut(from) {
                    *old = byte;
                }
            }
        }
    }
}

impl Iterator for Mutations {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut input = self.pick();
        for _ in 0..=self.random.below(6) {
            self.change(&mut input);
        }
        input.truncate(MAX_LENGTH);
        Some(input)
    }
}

/// The generator xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 where there is none.
    fn below(&mut self, end: usize) -> usize {
        let number = self.next() >> 16;
        number.checked_rem(end as u64).unwrap_or_default() as usize
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::Mutations;
    use crate::PERMISSIONS;

    #[test]
    fn mutations_are_reproducible_and_differ_from_the_seeds() {
        let take = |seed| -> Vec<_> { Mutations::new(&PERMISSIONS, seed).take(200).collect() };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(9));
        let seeds: Vec<_> = (PERMISSIONS.seeds)().into_iter().map(|(_, s)| s).collect();
        let fresh = take(7).into_iter().filter(|input| !seeds.contains(input));
        assert!(fresh.count() > 150);
    }
}
