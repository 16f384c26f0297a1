//! Every kernel, on every instruction set that this CPU has, against direct sums in f64.

use super::*;
use crate::activation::Activation;

/// A reproducible stream of numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `least` to `most`.
    pub(crate) fn size(&mut self, least: usize, most: usize) -> usize {
        least + (self.next() % (most - least + 1) as u64) as usize
    }

    fn sides(&mut self, least: usize, most: usize) -> [usize; 2] {
        [self.size(least, most), self.size(least, most)]
    }

    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32 - 0.5)
            .collect()
    }
}

/// A convolution of some shape, with its data.
#[derive(Debug)]
struct Case {
    shape: Shape,
    window: Window,
    groups: usize,
    outputs: usize,
}

impl Case {
    fn random(random: &mut Random) -> Self {
        loop {
            let groups = [1, 1, 1, 2, 3][random.size(0, 4)];
            // Small and odd sizes meet all the edges; some are large enough for many tiles.
            let most = if random.size(0, 3) == 0 { 40 } else { 9 };
            let shape = Shape {
                batch: random.size(1, 3),
                height: random.size(1, most),
                width: random.size(1, most),
                channels: groups * random.size(1, 21),
            };
            let window = Window {
                kernel: random.sides(1, 4),
                stride: random.sides(1, 3),
                padding: random.sides(0, 3),
                dilation: random.sides(1, 2),
            };
            let case = Self {
                shape,
                window,
                groups,
                outputs: groups * random.size(1, 70),
            };
            if case.places().iter().all(|&places| places > 0) {
                return case;
            }
        }
    }

    fn places(&self) -> [usize; 2] {
        [
            self.window.places(0, self.shape.height),
            self.window.places(1, self.shape.width),
        ]
    }

    fn result_len(&self) -> usize {
        let [rows, columns] = self.places();
        self.shape.batch * rows * columns * self.outputs
    }

    fn depth(&self) -> usize {
        let [height, width] = self.window.kernel;
        height * width * self.shape.channels / self.groups
    }

    /// The sums in f64; `weight` is `[outputs, height, width, channels / groups]`.
    fn direct(&self, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f64> {
        let Shape {
            batch,
            height,
            width,
            channels,
        } = self.shape;
        let [rows, columns] = self.places();
        let (inputs, outputs) = (channels / self.groups, self.outputs / self.groups);
        let mut result = Vec::new();
        for place in 0..batch * rows * columns {
            let (image, y, x_place) = (
                place / (rows * columns),
                place / columns % rows,
                place % columns,
            );
            for output in 0..self.outputs {
                let group = output / outputs;
                let mut sum = f64::from(bias[output]);
                for tap in 0..self.window.kernel[0] * self.window.kernel[1] {
                    let (down, across) = (tap / self.window.kernel[1], tap % self.window.kernel[1]);
                    let at = |axis: usize, place: usize, tap: usize| {
                        (place * self.window.stride[axis] + tap * self.window.dilation[axis])
                            as isize
                            - self.window.padding[axis] as isize
                    };
                    let (at_y, at_x) = (at(0, y, down), at(1, x_place, across));
                    if at_y < 0 || at_x < 0 || at_y >= height as isize || at_x >= width as isize {
                        continue;
                    }
                    let pixel = (image * height + at_y as usize) * width + at_x as usize;
                    for input in 0..inputs {
                        let value = x[pixel * channels + group * inputs + input];
                        let weight = weight[(output * self.depth()) + tap * inputs + input];
                        sum += f64::from(value) * f64::from(weight);
                    }
                }
                result.push(sum);
            }
        }
        result
    }
}

#[track_caller]
pub(crate) fn assert_close(got: &[f32], want: &[f64], what: &dyn std::fmt::Debug) {
    assert_eq!(got.len(), want.len(), "{what:?}");
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(
            error <= 2e-5 * want.abs().max(1.0),
            "{what:?}: element {at} is {got}, not {want}"
        );
    }
}

/// Miri is slow, and a few cases reach all of the unsafe code.
const CASES: usize = if cfg!(miri) { 3 } else { 150 };

#[test]
fn convolutions_match_f64() {
    let mut random = Random(1);
    for _ in 0..CASES {
        let case = Case::random(&mut random);
        let x = random.values(case.shape.elements());
        let weight = random.values(case.outputs * case.depth());
        let bias = random.values(case.outputs);
        let residual = random.values(case.result_len());
        let sums = case.direct(&x, &weight, &bias);
        for isa in Isa::available() {
            let packed = Packed::new(isa, &weight, &bias, case.groups).unwrap();
            let run = |residual, activation| {
                let windows = Windows::new(&x, case.shape, case.window, case.groups);
                matmul(
                    &windows,
                    &packed,
                    Epilogue {
                        residual,
                        activation,
                    },
                )
                .unwrap()
            };
            let what = (isa, &case);
            assert_close(&run(None, Activation::Identity), &sums, &what);
            let added: Vec<f64> = sums
                .iter()
                .zip(&residual)
                .map(|(sum, more)| sum + f64::from(*more))
                .collect();
            let relu: Vec<f64> = added.iter().map(|value| value.max(0.0)).collect();
            assert_close(&run(Some(&residual), Activation::Relu), &relu, &what);
            let silu: Vec<f64> = added
                .iter()
                .map(|value| value / (1.0 + (-value).exp()))
                .collect();
            assert_close(&run(Some(&residual), Activation::Silu), &silu, &what);
        }
    }
}

#[test]
fn depthwise_convolutions_match_f64() {
    let mut random = Random(2);
    for _ in 0..CASES {
        let mut case = Case::random(&mut random);
        case.shape.channels = random.size(1, 80);
        (case.groups, case.outputs) = (case.shape.channels, case.shape.channels);
        let x = random.values(case.shape.elements());
        let weight = random.values(case.outputs * case.depth());
        let bias = random.values(case.outputs);
        let residual = random.values(case.result_len());
        let sums = case.direct(&x, &weight, &bias);
        let added: Vec<f64> = sums
            .iter()
            .zip(&residual)
            .map(|(sum, more)| (sum + f64::from(*more)).max(0.0))
            .collect();
        for isa in Isa::available() {
            let weights = Depthwise::new(isa, case.window, &weight, bias.clone());
            let what = (isa, &case);
            assert_close(
                &depthwise(&x, case.shape, &weights, None, Activation::Identity).unwrap(),
                &sums,
                &what,
            );
            assert_close(
                &depthwise(&x, case.shape, &weights, Some(&residual), Activation::Relu).unwrap(),
                &added,
                &what,
            );
        }
    }
}

#[test]
fn winograd_convolutions_match_f64() {
    let mut random = Random(5);
    for _ in 0..if cfg!(miri) { 1 } else { CASES / 3 } {
        let shape = Shape {
            batch: random.size(1, 3),
            height: random.size(1, 19),
            width: random.size(1, 19),
            channels: 16 * random.size(1, 3),
        };
        let window = Window {
            kernel: [3; 2],
            stride: [1; 2],
            padding: random.sides(0, 2),
            dilation: [1; 2],
        };
        let case = Case {
            shape,
            window,
            groups: 1,
            outputs: 16 * random.size(1, 5),
        };
        let x = random.values(shape.elements());
        let weight = random.values(case.outputs * case.depth());
        let bias = random.values(case.outputs);
        let residual = random.values(case.result_len());
        let sums = case.direct(&x, &weight, &bias);
        let added = sums
            .iter()
            .zip(&residual)
            .map(|(sum, more)| (sum + f64::from(*more)).max(0.0));
        let added: Vec<f64> = added.collect();
        for isa in Isa::available() {
            let weights = Winograd::new(isa, &window, 1, &weight, &bias).unwrap();
            let run = |residual, activation| {
                winograd(
                    &x,
                    shape,
                    &weights,
                    Epilogue {
                        residual,
                        activation,
                    },
                )
                .unwrap()
            };
            let what = (isa, &case);
            assert_close(&run(None, Activation::Identity), &sums, &what);
            assert_close(&run(Some(&residual), Activation::Relu), &added, &what);
        }
    }
}

#[test]
fn runs_that_collide_in_the_cache_match_f64() {
    let mut random = Random(3);
    let shape = Shape {
        batch: 1,
        height: 5,
        width: 7,
        channels: 1024,
    };
    let case = Case {
        shape,
        window: Window::POINT,
        groups: 1,
        outputs: 33,
    };
    let (x, weight, bias) = (
        random.values(shape.elements()),
        random.values(33 * 1024),
        random.values(33),
    );
    for isa in Isa::available() {
        let packed = Packed::new(isa, &weight, &bias, 1).unwrap();
        let windows = Windows::new(&x, shape, case.window, 1);
        let epilogue = Epilogue {
            residual: None,
            activation: Activation::Identity,
        };
        assert_close(
            &matmul(&windows, &packed, epilogue).unwrap(),
            &case.direct(&x, &weight, &bias),
            &isa,
        );
    }
}

#[test]
fn a_batch_equals_its_singles_to_the_last_bit() {
    let mut random = Random(4);
    let shape = Shape {
        batch: 5,
        height: 6,
        width: 9,
        channels: 24,
    };
    let one = Shape { batch: 1, ..shape };
    let window = Window {
        kernel: [3; 2],
        stride: [1; 2],
        padding: [1; 2],
        dilation: [1; 2],
    };
    let (x, weight, bias) = (
        random.values(shape.elements()),
        random.values(40 * 9 * 24),
        random.values(40),
    );
    for isa in Isa::available() {
        let packed = Packed::new(isa, &weight, &bias, 1).unwrap();
        let epilogue = Epilogue {
            residual: None,
            activation: Activation::Gelu,
        };
        let batch = matmul(&Windows::new(&x, shape, window, 1), &packed, epilogue).unwrap();
        let singles: Vec<f32> = x
            .chunks(one.elements())
            .flat_map(|x| matmul(&Windows::new(x, one, window, 1), &packed, epilogue).unwrap())
            .collect();
        assert!(
            batch
                .iter()
                .zip(&singles)
                .all(|(a, b)| a.to_bits() == b.to_bits()),
            "{isa:?}"
        );
    }
}

#[test]
fn relu_keeps_nan() {
    let shape = Shape {
        batch: 1,
        height: 1,
        width: 2,
        channels: 1,
    };
    for isa in Isa::available() {
        let packed = Packed::new(isa, &[1.0; 20], &[0.0; 20], 1).unwrap();
        let windows = Windows::new(&[f32::NAN, -1.0], shape, Window::POINT, 1);
        let epilogue = Epilogue {
            residual: None,
            activation: Activation::Relu6,
        };
        let result = matmul(&windows, &packed, epilogue).unwrap();
        assert!(
            result[..20].iter().all(|value| value.is_nan()),
            "{isa:?}: {result:?}"
        );
        assert!(
            result[20..].iter().all(|value| *value == 0.0),
            "{isa:?}: {result:?}"
        );
    }
}

#[test]
fn padding_the_width_keeps_the_rows() {
    let shape = Shape {
        batch: 1,
        height: 2,
        width: 2,
        channels: 2,
    };
    let x: Vec<f32> = (1..=8).map(|value| value as f32).collect();
    let (padded, shape) = pad_width(&x, shape, 1).unwrap();
    assert_eq!(shape.width, 4);
    assert_eq!(
        padded,
        [
            0., 0., 1., 2., 3., 4., 0., 0., 0., 0., 5., 6., 7., 8., 0., 0.
        ]
    );
}
