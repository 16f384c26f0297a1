//! One tensor of a file: its type, its shape and the place of its bytes.

use std::borrow::Cow;
use std::ops::Range;

/// A type of element.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Type {
    Bool,
    U8,
    I8,
    F8E5M2,
    F8E4M3,
    I16,
    U16,
    F16,
    Bf16,
    I32,
    U32,
    F32,
    I64,
    U64,
    F64,
    C64,
}

/// The types by their names in safetensors.
const TYPES: &[(&str, Type)] = &[
    ("BOOL", Type::Bool),
    ("U8", Type::U8),
    ("I8", Type::I8),
    ("F8_E5M2", Type::F8E5M2),
    ("F8_E4M3", Type::F8E4M3),
    ("I16", Type::I16),
    ("U16", Type::U16),
    ("F16", Type::F16),
    ("BF16", Type::Bf16),
    ("I32", Type::I32),
    ("U32", Type::U32),
    ("F32", Type::F32),
    ("I64", Type::I64),
    ("U64", Type::U64),
    ("F64", Type::F64),
    ("C64", Type::C64),
];

impl Type {
    /// The type of this name in safetensors.
    pub(super) fn named(name: &str) -> Option<Self> {
        let known = TYPES.iter().find(|(known, _)| *known == name);
        known.map(|&(_, dtype)| dtype)
    }

    /// The name in safetensors.
    pub(super) fn name(self) -> &'static str {
        let known = TYPES.iter().find(|(_, dtype)| *dtype == self);
        known.map_or("", |&(name, _)| name)
    }

    /// Bytes per element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 | Self::F8E5M2 | Self::F8E4M3 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 | Self::C64 => 8,
        }
    }
}

/// The number of elements of a shape.
///
/// A shape is also refused if its nonzero sides overflow, so that computations with them do not.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    let fits = |product: usize, &dim: &usize| product.checked_mul(dim.max(1));
    let product = shape.iter().try_fold(1, fits)?;
    // The largest type is 8 bytes long.
    product.checked_mul(8)?;
    Some(if shape.contains(&0) { 0 } else { product })
}

/// One tensor of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) dtype: Type,
    pub(super) shape: Vec<usize>,
    /// The strides, in elements; none if the elements are contiguous.
    pub(super) strides: Option<Vec<usize>>,
    /// The source of the bytes: 0 is the file itself, the others are its unpacked parts.
    pub(super) source: usize,
    /// The place of its bytes in the source, from the first element to the end of the last.
    pub(super) bytes: Range<usize>,
}

impl Entry {
    /// The elements, contiguous, from the bytes of the source.
    ///
    /// The entry was checked to be inside of the source; a part that is not is skipped.
    pub(super) fn gather<'a>(&self, source: &'a [u8]) -> Cow<'a, [u8]> {
        let bytes = source.get(self.bytes.clone()).unwrap_or_default();
        match &self.strides {
            None => Cow::Borrowed(bytes),
            Some(strides) => Cow::Owned(self.gather_strided(bytes, strides)),
        }
    }

    fn gather_strided(&self, bytes: &[u8], strides: &[usize]) -> Vec<u8> {
        let size = self.dtype.size();
        let count = elements(&self.shape).unwrap_or(0);
        let mut gathered = Vec::with_capacity(count * size);
        let mut index = vec![0_usize; self.shape.len()];
        let mut at = 0;
        for _ in 0..count {
            let from = at * size;
            gathered.extend_from_slice(bytes.get(from..from + size).unwrap_or_default());
            // Counts up, starting with the last dimension.
            let dims = index.iter_mut().zip(&self.shape).zip(strides).rev();
            for ((index, &dim), &stride) in dims {
                *index += 1;
                if *index < dim {
                    at += stride;
                    break;
                }
                *index = 0;
                at -= stride * (dim - 1);
            }
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(shape: &[usize], strides: &[usize], bytes: Range<usize>) -> Entry {
        Entry {
            dtype: Type::U16,
            shape: shape.to_vec(),
            strides: Some(strides.to_vec()),
            source: 0,
            bytes,
        }
    }

    #[test]
    fn strided_elements_are_gathered() {
        let bytes: Vec<u8> = (0..6_u16).flat_map(u16::to_le_bytes).collect();
        let gathered = |entry: Entry| {
            let bytes = entry.gather(&bytes).into_owned();
            bytes.chunks(2).map(|pair| pair[0]).collect::<Vec<_>>()
        };
        assert_eq!(gathered(entry(&[3, 2], &[1, 3], 0..12)), [0, 3, 1, 4, 2, 5]);
        assert_eq!(gathered(entry(&[2, 2], &[0, 2], 2..8)), [1, 3, 1, 3]);
        assert_eq!(gathered(entry(&[], &[], 4..6)), [2]);
        assert!(gathered(entry(&[0, 2], &[2, 1], 0..0)).is_empty());
    }

    #[test]
    fn overflowing_shape_is_refused_even_if_empty() {
        assert_eq!(elements(&[2, 3]), Some(6));
        assert_eq!(elements(&[]), Some(1));
        assert_eq!(elements(&[0, 3]), Some(0));
        assert_eq!(elements(&[0, usize::MAX, 2]), None);
        assert_eq!(elements(&[usize::MAX / 4]), None);
    }
}
