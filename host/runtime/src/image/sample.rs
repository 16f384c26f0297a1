//! Samples of other kinds than 8 bits, and pixels of other kinds than grey and RGB, as Pillow
//! converts them.

/// The colours of an indexed image. An index without a colour is black, as in Pillow.
pub(super) struct Palette([[u8; 3]; 256]);

impl Palette {
    /// A palette of the colours that are given, at most 256.
    pub(super) fn new(colors: impl Iterator<Item = [u8; 3]>) -> Self {
        let mut table = [[0; 3]; 256];
        for (entry, color) in table.iter_mut().zip(colors) {
            *entry = color;
        }
        Self(table)
    }

    /// A palette of red, green and blue in turn.
    pub(super) fn from_rgb(colors: &[u8]) -> Self {
        Self::new(colors.as_chunks::<3>().0.iter().copied())
    }

    /// Writes the colours of the indices of a row.
    pub(super) fn look_up(&self, indices: impl Iterator<Item = u8>, row: &mut [u8]) {
        let (pixels, _) = row.as_chunks_mut::<3>();
        for (pixel, index) in pixels.iter_mut().zip(indices) {
            *pixel = self.0.get(usize::from(index)).copied().unwrap_or_default();
        }
    }
}

/// The samples of a row of 1, 2 or 4 bits each, the first one in the highest bits, or of 8.
pub(super) fn unpacked(row: &[u8], bits: u32) -> impl Iterator<Item = u8> + '_ {
    let each = 8 / bits.clamp(1, 8);
    row.iter().flat_map(move |&byte| {
        (0..each).map(move |place| {
            let shifted = u32::from(byte) >> (8 - bits * (place + 1));
            (shifted & ((1 << bits) - 1)) as u8
        })
    })
}

/// A sample of 1, 2, 4 or 8 bits, scaled to 0 to 255.
pub(super) fn scaled(value: u8, bits: u32) -> u8 {
    let most = ((1_u16 << bits) - 1).max(1);
    (u16::from(value) * (255 / most)).min(255) as u8
}

/// A whole number as Pillow's way from its mode `I` or `I;16` to `L` has it: clipped.
pub(super) fn clipped(value: i64) -> u8 {
    value.clamp(0, 255) as u8
}

/// A real number as Pillow's way from its mode `F` to `L` has it: clipped and rounded down; what
/// is no number is 0.
pub(super) fn floored(value: f32) -> u8 {
    // The conversion saturates, and makes NaN 0.
    value as u8
}

/// A colour without the alpha that it was multiplied with.
pub(super) fn divided([red, green, blue]: [u8; 3], alpha: u8) -> [u8; 3] {
    let divide = |value: u8| match alpha {
        0 => 0,
        _ => (u16::from(value) * 255 / u16::from(alpha)).min(255) as u8,
    };
    [divide(red), divide(green), divide(blue)]
}

/// Red, green and blue of luma and two differences, as Pillow's mode `YCbCr` becomes `RGB`: with 6
/// bits after the point, where JPEGs have 16.
pub(super) fn ycbcr_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let part =
        |constant: f32, value: u8| (constant * 64.0 * (f32::from(value) - 128.0) + 0.5) as i32;
    let green = (part(-0.34414, cb) + part(-0.71414, cr)) >> 6;
    let parts = [part(1.402, cr) >> 6, green, part(1.772, cb) >> 6];
    parts.map(|part| (i32::from(y) + part).clamp(0, 255) as u8)
}

/// A colour in inks: 0 is no ink.
pub(super) fn inked([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let rest = i32::from(255 - black);
    let ink = |value: u8| {
        let product = i32::from(value) * rest + 128;
        (rest - ((product >> 8) + product) / 256).clamp(0, 255) as u8
    };
    [ink(cyan), ink(magenta), ink(yellow)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_unpacked_from_the_highest() {
        let bits = |bits| unpacked(&[0b1011_0001], bits).collect::<Vec<_>>();
        assert_eq!(bits(1), [1, 0, 1, 1, 0, 0, 0, 1]);
        assert_eq!(bits(2), [2, 3, 0, 1]);
        assert_eq!(bits(4), [11, 1]);
        assert_eq!(bits(8), [0xb1]);
        assert_eq!([1, 2, 4, 8].map(|bits| scaled(1, bits)), [255, 85, 17, 1]);
    }

    #[test]
    fn numbers_are_clipped_and_floored() {
        assert_eq!([-5, 3, 256, i64::MAX].map(clipped), [0, 3, 255, 255]);
        let reals = [-1.0, 254.999, 256.0, f32::NAN, f32::INFINITY];
        assert_eq!(reals.map(floored), [0, 254, 255, 0, 255]);
    }
}
