//! The first directory of a TIFF or BigTIFF.

use crate::image::reason::ImageReason;

/// The most entries of a directory; those of real files have about 20.
const MAX_ENTRIES: u64 = 4096;

/// The order of the bytes of numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// An unsigned number of as many bytes as there are, at most 8.
    pub(super) fn number(self, bytes: &[u8]) -> u64 {
        let join = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, join),
            Self::Big => bytes.iter().fold(0, join),
        }
    }
}

/// The first directory of a file.
pub(super) struct Directory<'a> {
    pub(super) order: Order,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    tag: u16,
    /// Bytes per value.
    size: usize,
    values: &'a [u8],
}

impl<'a> Directory<'a> {
    /// Reads the first directory of `file`. Entries of unknown types are left out; values are
    /// parts of the file, so that nothing is allocated for them.
    ///
    /// # Errors
    /// [`ImageReason::CutOff`], [`ImageReason::Damaged`].
    pub(super) fn read(file: &'a [u8]) -> Result<Self, ImageReason> {
        let order = match file.first() {
            Some(b'M') => Order::Big,
            _ => Order::Little,
        };
        let number = |at: u64, size: u64| part(file, at, size).map(|bytes| order.number(bytes));
        let big = number(2, 2)? == 43;
        // Bytes of a count or an offset, and of an entry.
        let (word, length) = if big { (8, 20) } else { (4, 12) };
        let start = number(word, word)?;
        let head = if big { 8 } else { 2 };
        let count = number(start, head)?;
        if count > MAX_ENTRIES {
            let reason = format!("{count} entries in the directory");
            return Err(ImageReason::damaged("TIFF", reason));
        }
        let mut entries = Vec::new();
        for index in 0..count {
            let at = start.saturating_add(head + index * length);
            let tag = number(at, 2)? as u16;
            let Some(size) = size_of(number(at + 2, 2)?) else {
                continue;
            };
            let total = number(at + 4, word)?.saturating_mul(size);
            let place = at + 4 + word;
            let place = if total <= word {
                place
            } else {
                number(place, word)?
            };
            // A tag that nobody asks for may lie anywhere.
            if let Ok(values) = part(file, place, total) {
                let size = size as usize;
                entries.push(Entry { tag, size, values });
            }
        }
        Ok(Self { order, entries })
    }

    /// The bytes of a tag's values.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        let entry = self.entries.iter().rfind(|entry| entry.tag == tag);
        entry.map(|entry| entry.values)
    }

    /// The numbers of a tag; none where it is not there.
    pub(super) fn numbers(&self, tag: u16) -> Numbers<'a> {
        let entry = self.entries.iter().rfind(|entry| entry.tag == tag);
        let (size, values) = entry.map_or((1, &[][..]), |entry| (entry.size, entry.values));
        Numbers {
            order: self.order,
            size,
            values,
        }
    }

    /// The first number of a tag.
    pub(super) fn number(&self, tag: u16) -> Option<u64> {
        self.numbers(tag).get(0)
    }
}

/// The numbers of a tag, where they lie in the file: there may be as many as it has bytes.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a> {
    order: Order,
    /// Bytes per number.
    size: usize,
    values: &'a [u8],
}

impl<'a> Numbers<'a> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len() / self.size
    }

    /// One of them.
    pub(super) fn get(&self, index: usize) -> Option<u64> {
        let start = index.checked_mul(self.size)?;
        let value = self.values.get(start..start.checked_add(self.size)?)?;
        Some(self.order.number(value))
    }

    /// All of them, in order.
    pub(super) fn iter(self) -> impl Iterator<Item = u64> + 'a {
        let values = self.values.chunks_exact(self.size);
        values.map(move |value| self.order.number(value))
    }
}

/// Bytes of a value, by its type; none for types that no tag of ours has.
fn size_of(kind: u64) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 13 => Some(4),
        16..=18 => Some(8),
        _ => None,
    }
}

/// `length` bytes of the file at `at`.
fn part(file: &[u8], at: u64, length: u64) -> Result<&[u8], ImageReason> {
    let range = || {
        let start = usize::try_from(at).ok()?;
        Some(start..start.checked_add(usize::try_from(length).ok()?)?)
    };
    let bytes = range().and_then(|range| file.get(range));
    bytes.ok_or(ImageReason::CutOff)
}
