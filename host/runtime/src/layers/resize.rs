//! Feature maps at other sizes: PyTorch's `interpolate`.

use candle_core::Tensor;
use modelzoo_kernels::{self as kernels, Isa, Sampling, taps};

use super::cpu;
use super::map::FeatureMap;
use super::size::check_size;
use crate::device::Kernels;
use crate::error::Error;
use crate::precision::in_full;

impl FeatureMap {
    /// The feature map with `[height, width]` pixels.
    pub(crate) fn resized(&self, to: [usize; 2], sampling: Sampling) -> Result<Self, Error> {
        let shape = self.shape()?;
        if to == [shape.height, shape.width] {
            return Ok(self.clone());
        }
        let [height, width] = to;
        let dims = [shape.batch, height, width, shape.channels];
        check_size("resize", &dims)?;
        if height == 0 || width == 0 {
            let reason = format!("a feature map cannot have {height}x{width} pixels");
            return Err(Error::bad_input("resize", reason));
        }
        let tensor = match self.kernels() {
            Kernels::Own => cpu::unary("resize", self.tensor(), &dims, |x| {
                kernels::resize(Isa::detect(), x, shape, to, sampling)
            })?,
            Kernels::Candle
                if sampling == Sampling::Nearest
                    && height.is_multiple_of(shape.height)
                    && width.is_multiple_of(shape.width) =>
            {
                self.tensor().upsample_nearest2d(height, width)?
            }
            // Along each side it is a product with a matrix of weights.
            Kernels::Candle => in_full(self.tensor(), |x| {
                let across = along_last(x, width, sampling)?;
                along_last(&across.transpose(2, 3)?.contiguous()?, height, sampling)?
                    .transpose(2, 3)?
                    .contiguous()
            })?,
        };
        Ok(self.with(tensor))
    }

    /// With `factor` times as many rows and columns, each pixel repeated.
    pub(crate) fn repeated(&self, factor: usize) -> Result<Self, Error> {
        let shape = self.shape()?;
        let side = |side: usize| side.saturating_mul(factor);
        self.resized([side(shape.height), side(shape.width)], Sampling::Nearest)
    }
}

/// Resizes the last of four dimensions.
fn along_last(x: &Tensor, to: usize, sampling: Sampling) -> candle_core::Result<Tensor> {
    let (batch, channels, height, length) = x.dims4()?;
    let mut weights = vec![0f32; length * to];
    for (at, tap) in taps(sampling, length, to).into_iter().enumerate() {
        let [first, second] = tap.places;
        for (place, share) in [(first, 1.0 - tap.second), (second, tap.second)] {
            if let Some(weight) = weights.get_mut(place * to + at) {
                *weight += share;
            }
        }
    }
    let weights = Tensor::from_vec(weights, (length, to), x.device())?;
    x.reshape((batch * channels * height, length))?
        .matmul(&weights)?
        .reshape((batch, channels, height, to))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use candle_core::Device as Candle;

    use super::*;
    use crate::device::Device;

    #[test]
    fn kernels_match_candle() {
        let cases = [
            ([2, 3, 5, 7], [9, 4]),
            ([1, 20, 8, 8], [16, 16]),
            ([1, 1, 1, 3], [4, 1]),
        ];
        let samplings = [
            Sampling::Nearest,
            Sampling::Bilinear,
            Sampling::BilinearCorners,
        ];
        for (dims, to) in cases {
            let x = Tensor::rand(-1f32, 1f32, &dims, &Candle::Cpu).unwrap();
            for sampling in samplings {
                let values = [Device::cpu(), Device::cpu_reference()].map(|device| {
                    let map = FeatureMap::from_channels_first(&x, &device).unwrap();
                    let y = map.resized(to, sampling).unwrap();
                    let y = y.to_channels_first().unwrap();
                    assert_eq!(y.dims(), [dims[0], dims[1], to[0], to[1]]);
                    y.flatten_all().unwrap().to_vec1::<f32>().unwrap()
                });
                let [ours, theirs] = values;
                for (ours, theirs) in ours.into_iter().zip(theirs) {
                    assert!((ours - theirs).abs() <= 1e-6, "{dims:?} {to:?}");
                }
            }
        }
    }

    #[test]
    fn size_of_zero_is_refused() {
        let x = Tensor::zeros((1, 2, 3, 3), candle_core::DType::F32, &Candle::Cpu).unwrap();
        let map = FeatureMap::from_channels_first(&x, &Device::cpu()).unwrap();
        assert!(map.resized([0, 3], Sampling::Nearest).is_err());
    }
}
