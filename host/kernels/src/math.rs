//! Activation functions over slices, written so that the compiler vectorises them: no branches,
//! no calls, and f32 throughout. The tests measure their errors against f64.

use crate::activation::Activation;
use crate::isa::{Isa, MultiplyAdd};

/// Applies `activation` to each value.
pub fn activate(isa: Isa, activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        // NaN stays NaN in both: a comparison with it is false.
        Activation::Relu => each(isa, values, |_, x| if x < 0.0 { 0.0 } else { x }),
        Activation::Relu6 => each(isa, values, |_, x| clamp::<6>(x)),
        Activation::LeakyRelu { negative_slope } => {
            each(
                isa,
                values,
                move |_, x| if x < 0.0 { x * negative_slope } else { x },
            );
        }
        Activation::Elu { alpha } => {
            each(isa, values, move |fma, x| {
                if x < 0.0 {
                    alpha * exp_minus_one(fma, x)
                } else {
                    x
                }
            });
        }
        Activation::Gelu => each(isa, values, |fma, x| {
            let half = 0.5 * x;
            fma.of(half, erf(fma, x * std::f32::consts::FRAC_1_SQRT_2), half)
        }),
        Activation::GeluTanh => each(isa, values, |fma, x| {
            let inner = 0.797_884_6 * fma.of(0.044_715 * x * x, x, x);
            let half = 0.5 * x;
            fma.of(half, tanh(fma, inner), half)
        }),
        Activation::QuickGelu => each(isa, values, |fma, x| x * sigmoid(fma, 1.702 * x)),
        Activation::Silu => each(isa, values, |fma, x| x * sigmoid(fma, x)),
        Activation::Sigmoid => each(isa, values, sigmoid),
        Activation::Tanh => each(isa, values, tanh),
        Activation::Hardsigmoid => each(isa, values, |_, x| clamp::<6>(x + 3.0) / 6.0),
        Activation::Hardswish => each(isa, values, |_, x| x * clamp::<6>(x + 3.0) / 6.0),
    }
}

#[inline]
fn each(isa: Isa, values: &mut [f32], function: impl Fn(MultiplyAdd, f32) -> f32) {
    isa.run_with(
        #[inline(always)]
        |fma| {
            for value in values {
                *value = function(fma, *value);
            }
        },
    );
}

/// Partial results of a fold, computed side by side.
const LANES: usize = 16;

/// Folds values with `step` from `neutral` on, in [`LANES`] partial results, and then these with
/// `combine`: in one order that vectorises, the same on every instruction set.
#[inline(always)]
pub(crate) fn fold(
    values: &[f32],
    neutral: f32,
    step: impl Fn(f32, f32) -> f32,
    combine: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [neutral; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for chunk in whole {
        for lane in 0..LANES {
            lanes[lane] = step(lanes[lane], chunk[lane]);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = step(*lane, value);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = combine(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn clamp<const HIGH: u8>(x: f32) -> f32 {
    let high = f32::from(HIGH);
    let x = if x < 0.0 { 0.0 } else { x };
    if x > high { high } else { x }
}

#[inline(always)]
fn sigmoid(fma: MultiplyAdd, x: f32) -> f32 {
    1.0 / (1.0 + exp(fma, -x))
}

/// Below this, e^x is not a normal number.
const LOWEST: f32 = -87.336_54;

/// e^x. Zero far below, infinite far above.
#[inline(always)]
fn exp(fma: MultiplyAdd, x: f32) -> f32 {
    let clamped = if x > 88.376_26 { 88.376_26 } else { x };
    let value = exp_below(fma, clamped);
    let value = if x < LOWEST { 0.0 } else { value };
    if x > 88.722_84 { f32::INFINITY } else { value }
}

/// e^x for x at most 88, from a polynomial on [-ln 2 / 2, ln 2 / 2] (the coefficients are Cephes')
/// and a shift of the exponent. Far below, the smallest normal number.
#[inline(always)]
pub(crate) fn exp_below(fma: MultiplyAdd, x: f32) -> f32 {
    let (power, rest) = reduce(fma, if x < LOWEST { LOWEST } else { x });
    scale(1.0 + tail(fma, rest), power)
}

/// e^x - 1 for x at most 0, exact where x is small too.
#[inline(always)]
fn exp_minus_one(fma: MultiplyAdd, x: f32) -> f32 {
    let (power, rest) = reduce(fma, if x < LOWEST { LOWEST } else { x });
    let scaled = scale(1.0, power);
    fma.of(scaled, tail(fma, rest), scaled - 1.0)
}

/// Writes x as power * ln 2 + rest.
#[inline(always)]
fn reduce(fma: MultiplyAdd, x: f32) -> (f32, f32) {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let power = fma.of(x, std::f32::consts::LOG2_E, ROUND) - ROUND;
    // ln 2 in two parts, the first with few enough bits for the product to be exact.
    let rest = fma.of(power, -0.693_359_4, x);
    (power, fma.of(power, 2.121_944_4e-4, rest))
}

/// e^rest - 1 for a small rest.
#[inline(always)]
fn tail(fma: MultiplyAdd, rest: f32) -> f32 {
    let coefficients = [
        1.987_569_2e-4,
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_66,
        0.5,
    ];
    fma.of(fma.polynomial(rest, coefficients), rest * rest, rest)
}

/// value * 2^power, for an integral power of -126 to 127.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an integer by construction"
)]
fn scale(value: f32, power: f32) -> f32 {
    // The low bits of the sum are the integer; unlike a checked conversion, this vectorises.
    let bits = (power + (12_582_912.0 + 127.0)).to_bits();
    value * f32::from_bits(bits << 23)
}

/// The hyperbolic tangent, from e^(-2|x|) - 1, which is exact for small x.
#[inline(always)]
fn tanh(fma: MultiplyAdd, x: f32) -> f32 {
    let down = exp_minus_one(fma, -2.0 * x.abs());
    (-down / (2.0 + down)).copysign(x)
}

/// The error function, from a rational function (the coefficients are Eigen's).
#[inline(always)]
fn erf(fma: MultiplyAdd, x: f32) -> f32 {
    // From here on, the nearest f32 is 1.
    let bound = 4.0;
    let (below_all, above_all) = (x < -bound, x > bound);
    let x = if below_all { -bound } else { x };
    let x = if above_all { bound } else { x };
    let square = x * x;
    let above = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_6e-5,
        -7.349_906e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    let below = [
        -1.456_607_2e-5,
        -2.133_740_6e-4,
        -1.682_827e-3,
        -7.373_329e-3,
        -1.426_473_9e-2,
    ];
    let value = x * fma.polynomial(square, above) / fma.polynomial(square, below);
    let value = if below_all { -1.0 } else { value };
    if above_all { 1.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error function to double precision: the power series, which converges everywhere.
    fn erf_exactly(x: f64) -> f64 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-18 * sum.abs() && n < 300.0 {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    fn exactly(activation: Activation, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match activation {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::LeakyRelu { negative_slope } => {
                if x < 0.0 {
                    x * f64::from(negative_slope)
                } else {
                    x
                }
            }
            Activation::Elu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x.exp_m1()
                } else {
                    x
                }
            }
            Activation::Gelu => {
                0.5 * x
                    * (1.0
                        + if x.abs() > 5.5 {
                            x.signum()
                        } else {
                            erf_exactly(x / 2f64.sqrt())
                        })
            }
            Activation::GeluTanh => {
                0.5 * x
                    * (1.0
                        + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
            }
            Activation::QuickGelu => x * sigmoid(1.702 * x),
            Activation::Silu => x * sigmoid(x),
            Activation::Sigmoid => sigmoid(x),
            Activation::Tanh => x.tanh(),
            Activation::Hardsigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Activation::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        }
    }

    #[test]
    fn activations_match_f64_on_every_instruction_set() {
        let xs: Vec<f32> = (-24_000..=24_000).map(|i| i as f32 * 1e-3).collect();
        for isa in Isa::available() {
            for &activation in Activation::EXAMPLES {
                let mut values = xs.clone();
                activate(isa, activation, &mut values);
                for (&x, &got) in xs.iter().zip(&values) {
                    let want = exactly(activation, f64::from(x));
                    let error = (f64::from(got) - want).abs();
                    assert!(
                        error <= 1e-6 * want.abs().max(1.0),
                        "{isa:?} {activation:?}({x}) = {got}, not {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn activations_handle_nan_and_infinity() {
        for isa in Isa::available() {
            for &activation in Activation::EXAMPLES {
                let mut values = [f32::NAN, 1e30, -1e30, f32::INFINITY, 0.0];
                activate(isa, activation, &mut values);
                assert!(values[0].is_nan(), "{activation:?}(NaN) = {}", values[0]);
                for (got, x) in values[1..3].iter().zip([1e30, -1e30]) {
                    let want = exactly(activation, x) as f32;
                    assert!(
                        *got == want || (got - want).abs() < 1e-6 * want.abs().max(1.0),
                        "{activation:?}({x}) = {got}"
                    );
                }
                assert!(!values[3].is_nan(), "{activation:?}(inf)");
                assert_eq!(
                    values[4],
                    exactly(activation, 0.0) as f32,
                    "{activation:?}(0)"
                );
            }
        }
    }

    #[test]
    fn exp_saturates_at_both_ends() {
        for isa in Isa::available() {
            let of = |x: f32| isa.run_with(|fma| exp(fma, x));
            assert_eq!(of(-200.0), 0.0);
            assert_eq!(of(200.0), f32::INFINITY);
            assert_eq!(of(0.0), 1.0);
            for i in -870..=880 {
                let x = i as f32 * 0.1;
                let want = f64::from(x).exp();
                let error = (f64::from(of(x)) - want).abs();
                assert!(error <= 3e-7 * want, "{isa:?} exp({x}) = {}", of(x));
            }
        }
    }
}
