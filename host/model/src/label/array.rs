//! Arrays in labels: masks, maps and vectors.

use serde::{Deserialize, Serialize};

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Element {
    /// `bool`, a byte each, 0 or 1.
    Bool,
    /// `int8`.
    I8,
    /// `uint8`.
    U8,
    /// `int16`.
    I16,
    /// `uint16`.
    U16,
    /// `int32`.
    I32,
    /// `uint32`.
    U32,
    /// `int64`.
    I64,
    /// `uint64`.
    U64,
    /// `float16`.
    F16,
    /// `float32`.
    F32,
    /// `float64`.
    F64,
}

impl Element {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Bool,
        Self::I8,
        Self::U8,
        Self::I16,
        Self::U16,
        Self::I32,
        Self::U32,
        Self::I64,
        Self::U64,
        Self::F16,
        Self::F32,
        Self::F64,
    ];

    /// numpy's name for it, in little-endian order: `<f4`.
    #[must_use]
    pub fn descr(self) -> &'static str {
        match self {
            Self::Bool => "|b1",
            Self::I8 => "|i1",
            Self::U8 => "|u1",
            Self::I16 => "<i2",
            Self::U16 => "<u2",
            Self::I32 => "<i4",
            Self::U32 => "<u4",
            Self::I64 => "<i8",
            Self::U64 => "<u8",
            Self::F16 => "<f2",
            Self::F32 => "<f4",
            Self::F64 => "<f8",
        }
    }

    /// Bytes of one.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Reads numpy's name; the second is whether the bytes are in big-endian order.
    pub(super) fn parse(descr: &str) -> Option<(Self, bool)> {
        let (order, kind) = descr.split_at_checked(1)?;
        let element = Self::ALL
            .into_iter()
            .find(|element| element.descr().get(1..) == Some(kind))?;
        match order {
            ">" => Some((element, element.width() > 1)),
            "<" | "=" => Some((element, false)),
            "|" => (element.width() == 1).then_some((element, false)),
            _ => None,
        }
    }

    /// One element as a number; 64-bit integers are rounded.
    #[allow(clippy::cast_precision_loss, reason = "documented")]
    fn number(self, bytes: &[u8]) -> f64 {
        macro_rules! read {
            ($type:ty) => {
                <$type>::from_le_bytes(bytes.first_chunk().copied().unwrap_or_default())
            };
        }
        match self {
            Self::Bool => f64::from(u8::from(read!(u8) != 0)),
            Self::I8 => f64::from(read!(i8)),
            Self::U8 => f64::from(read!(u8)),
            Self::I16 => f64::from(read!(i16)),
            Self::U16 => f64::from(read!(u16)),
            Self::I32 => f64::from(read!(i32)),
            Self::U32 => f64::from(read!(u32)),
            Self::I64 => read!(i64) as f64,
            Self::U64 => read!(u64) as f64,
            Self::F16 => f64::from(half(read!(u16))),
            Self::F32 => f64::from(read!(f32)),
            Self::F64 => read!(f64),
        }
    }
}

/// An array of numbers, the last index changing fastest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Array {
    element: Element,
    shape: Vec<usize>,
    /// Little-endian.
    bytes: Vec<u8>,
}

impl Array {
    /// An array from its elements' bytes, in little-endian order. [`None`] when their number is
    /// not that of the shape.
    #[must_use]
    pub fn new(element: Element, shape: Vec<usize>, bytes: Vec<u8>) -> Option<Self> {
        let mut sizes = shape.iter().copied().chain([element.width()]);
        let wanted = sizes.try_fold(1_usize, |all, size| all.checked_mul(size));
        (wanted == Some(bytes.len())).then_some(Self {
            element,
            shape,
            bytes,
        })
    }

    /// An array of `uint8`: a mask of classes, or of 0 and 255. [`None`] as for [`Array::new`].
    #[must_use]
    pub fn from_u8(shape: Vec<usize>, values: Vec<u8>) -> Option<Self> {
        Self::new(Element::U8, shape, values)
    }

    /// An array of `bool`: an instance's mask. [`None`] as for [`Array::new`].
    #[must_use]
    pub fn from_bool(shape: Vec<usize>, values: &[bool]) -> Option<Self> {
        let bytes = values.iter().map(|&value| u8::from(value)).collect();
        Self::new(Element::Bool, shape, bytes)
    }

    /// An array of `float32`: a map, or a vector. [`None`] as for [`Array::new`].
    #[must_use]
    pub fn from_f32(shape: Vec<usize>, values: &[f32]) -> Option<Self> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        Self::new(Element::F32, shape, bytes.collect())
    }

    /// The type of the elements.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// The sizes: `[height, width]` of a mask.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements' bytes, little-endian.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements as numbers, in order. 64-bit integers are rounded.
    pub fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        let chunks = self.bytes.chunks_exact(self.element.width());
        chunks.map(|bytes| self.element.number(bytes))
    }
}

/// An IEEE 754 half, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3ff);
    sign * match (bits >> 10) & 0x1f {
        0 => fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2.0_f32.powi(i32::from(exponent) - 15),
    }
}
