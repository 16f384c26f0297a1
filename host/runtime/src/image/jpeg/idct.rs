//! The inverse cosine transform of libjpeg's `jidctint.c`: the same sums of the same integers in
//! the same order, so that the samples are the same to the bit.

#![allow(
    clippy::indexing_slicing,
    reason = "arrays of 8 and 64 values, indexed by what counts to 8"
)]

/// Bits after the point of the constants.
const CONST_BITS: i32 = 13;
/// Bits after the point that the values have between the passes.
const PASS1_BITS: i32 = 2;

/// Eight values that are computed together.
type Lanes = [i32; 8];

#[inline(always)]
fn sum(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|lane| a[lane].wrapping_add(b[lane]))
}

#[inline(always)]
fn difference(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|lane| a[lane].wrapping_sub(b[lane]))
}

#[inline(always)]
fn product(a: Lanes, constant: i32) -> Lanes {
    a.map(|value| value.wrapping_mul(constant))
}

/// One pass over eight rows of values, scaled by 2^[`CONST_BITS`] and divided by 2^`bits`.
#[inline(always)]
fn pass([in0, in1, in2, in3, in4, in5, in6, in7]: [Lanes; 8], bits: i32) -> [Lanes; 8] {
    // The even part.
    let z1 = product(sum(in2, in6), 4433);
    let even2 = difference(z1, product(in6, 15137));
    let even3 = sum(z1, product(in2, 6270));
    let even0 = sum(in0, in4).map(|value| value << CONST_BITS);
    let even1 = difference(in0, in4).map(|value| value << CONST_BITS);
    let tmp10 = sum(even0, even3);
    let tmp13 = difference(even0, even3);
    let tmp11 = sum(even1, even2);
    let tmp12 = difference(even1, even2);

    // The odd part.
    let z1 = product(sum(in7, in1), -7373);
    let z2 = product(sum(in5, in3), -20995);
    let z3 = sum(in7, in3);
    let z4 = sum(in5, in1);
    let z5 = product(sum(z3, z4), 9633);
    let z3 = sum(product(z3, -16069), z5);
    let z4 = sum(product(z4, -3196), z5);
    let tmp0 = sum(sum(product(in7, 2446), z1), z3);
    let tmp1 = sum(sum(product(in5, 16819), z2), z4);
    let tmp2 = sum(sum(product(in3, 25172), z2), z3);
    let tmp3 = sum(sum(product(in1, 12299), z1), z4);

    let divided = |values: Lanes| values.map(|value| descale(value, bits));
    [
        divided(sum(tmp10, tmp3)),
        divided(sum(tmp11, tmp2)),
        divided(sum(tmp12, tmp1)),
        divided(sum(tmp13, tmp0)),
        divided(difference(tmp13, tmp0)),
        divided(difference(tmp12, tmp1)),
        divided(difference(tmp11, tmp2)),
        divided(difference(tmp10, tmp3)),
    ]
}

/// Divides by a power of two, rounding.
#[inline(always)]
fn descale(value: i32, bits: i32) -> i32 {
    value.wrapping_add(1 << (bits - 1)) >> bits
}

#[inline(always)]
fn transposed(rows: [Lanes; 8]) -> [Lanes; 8] {
    std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
}

#[inline(always)]
fn sample(value: i32) -> u8 {
    (value + 128).clamp(0, 255) as u8
}

/// From the coefficients of a block, in rows, to its samples, at the start of each `stride` bytes
/// of `output`.
#[inline(always)]
pub(super) fn transform(block: &[i16; 64], quant: &[u16; 64], output: &mut [u8], stride: usize) {
    let rows = output.chunks_mut(stride.max(8)).take(8);
    let [first, rest @ ..] = block;
    if rest.iter().fold(0, |any, &value| any | value) == 0 {
        let value = i32::from(first.wrapping_mul(quant[0] as i16));
        let value = sample(descale(value << PASS1_BITS, PASS1_BITS + 3));
        for to in rows.filter_map(|row| row.first_chunk_mut::<8>()) {
            *to = [value; 8];
        }
        return;
    }
    let input: [Lanes; 8] = std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let at = row * 8 + column;
            // As libjpeg's vector code has it, in 16 bits.
            i32::from(block[at].wrapping_mul(quant[at] as i16))
        })
    });
    let columns = pass(input, CONST_BITS - PASS1_BITS);
    let values = pass(transposed(columns), CONST_BITS + PASS1_BITS + 3);
    for (row, values) in rows.zip(transposed(values)) {
        if let Some(to) = row.first_chunk_mut() {
            *to = values.map(sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transform by its definition.
    fn exact(block: &[i16; 64]) -> Vec<f64> {
        let basis = |at: usize, frequency: usize| {
            let scale = if frequency == 0 { 0.5_f64.sqrt() } else { 1.0 };
            let angle = (2 * at + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0;
            scale * angle.cos() / 2.0
        };
        let sample = |place: usize| {
            let terms = (0..64).map(|index| {
                f64::from(block[index]) * basis(place / 8, index / 8) * basis(place % 8, index % 8)
            });
            (terms.sum::<f64>() + 128.0).clamp(0.0, 255.0)
        };
        (0..64).map(sample).collect()
    }

    #[test]
    fn samples_are_within_one_of_the_definition() {
        let mut state = 1_u32;
        for round in 0..200 {
            let block: [i16; 64] = std::array::from_fn(|index| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let most = 400 / (1 + index as i32 * (round % 4));
                ((state >> 8) as i32 % (2 * most + 1) - most) as i16
            });
            let mut samples = [0; 64];
            transform(&block, &[1; 64], &mut samples, 8);
            for (&got, want) in samples.iter().zip(exact(&block)) {
                assert!((f64::from(got) - want).abs() <= 1.0, "{got} for {want}");
            }
        }
    }

    #[test]
    fn a_block_of_one_value_is_flat() {
        let mut block = [0; 64];
        block[0] = -100;
        let mut samples = [7; 8 * 10];
        transform(&block, &[2; 64], &mut samples, 10);
        assert!(
            samples
                .chunks(10)
                .all(|row| row[..8] == [103; 8] && row[8..] == [7; 2])
        );
    }
}
