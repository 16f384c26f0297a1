//! Colours of a JPEG.

/// What is done with the components of a JPEG.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::image) enum Colors {
    /// They stay as they are.
    AsStored,
    /// Luma and two differences become red, green and blue.
    YCbCrToRgb,
    /// Luma, two differences and black become inks, of which 255 is none.
    YcckToInk,
}

/// Constants of ITU-R 601, with 16 bits after the point.
const HALF: i32 = 1 << 15;
const RED_OF_CR: i32 = 91_881;
const GREEN_OF_CB: i32 = -22_554;
const GREEN_OF_CR: i32 = -46_802;
const BLUE_OF_CB: i32 = 116_130;

/// Red, green and blue, by libjpeg's integers.
#[inline(always)]
pub(in crate::image) fn ycbcr_to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((RED_OF_CR * cr + HALF) >> 16);
    let green = y + ((GREEN_OF_CB * cb + GREEN_OF_CR * cr + HALF) >> 16);
    let blue = y + ((BLUE_OF_CB * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}

/// Writes the pixels of a row from its components.
#[inline(always)]
pub(super) fn interleave(colors: Colors, components: &[Vec<u8>], row: &mut [u8]) {
    match (colors, components) {
        (Colors::YCbCrToRgb, [y, cb, cr]) => {
            let (pixels, _) = row.as_chunks_mut::<3>();
            for (((pixel, &y), &cb), &cr) in pixels.iter_mut().zip(y).zip(cb).zip(cr) {
                *pixel = ycbcr_to_rgb(y, cb, cr);
            }
        }
        (Colors::YcckToInk, [y, cb, cr, black]) => {
            let (pixels, _) = row.as_chunks_mut::<4>();
            let inputs = y.iter().zip(cb).zip(cr).zip(black);
            for (pixel, (((&y, &cb), &cr), &black)) in pixels.iter_mut().zip(inputs) {
                let [red, green, blue] = ycbcr_to_rgb(y, cb, cr);
                *pixel = [255 - red, 255 - green, 255 - blue, black];
            }
        }
        (Colors::AsStored | Colors::YCbCrToRgb | Colors::YcckToInk, components) => {
            let count = components.len().max(1);
            for (place, component) in components.iter().enumerate() {
                let places = row.iter_mut().skip(place).step_by(count);
                places.zip(component).for_each(|(to, &value)| *to = value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_stays_and_colours_are_clipped() {
        assert_eq!(ycbcr_to_rgb(77, 128, 128), [77; 3]);
        assert_eq!(ycbcr_to_rgb(255, 128, 255), [255, 164, 255]);
        assert_eq!(ycbcr_to_rgb(0, 0, 255), [178, 0, 0]);
    }
}
