//! PyTorch's `AdaptiveAvgPool2d`.

use candle_core::Tensor;
use modelzoo_kernels::{self as kernels, Isa, adaptive_range};

use super::cpu;
use super::map::FeatureMap;
use super::pool::global_average;
use super::size::check_size;
use crate::device::Kernels;
use crate::error::Error;
use crate::precision::in_full;

/// The means of `height` x `width` windows that cover the feature map.
pub(crate) fn adaptive_average(
    x: &FeatureMap,
    [height, width]: [usize; 2],
) -> Result<FeatureMap, Error> {
    let shape = x.shape()?;
    if [height, width] == [1, 1] {
        return global_average(x);
    }
    if [height, width] == [shape.height, shape.width] {
        return Ok(x.clone());
    }
    let dims = [shape.batch, height, width, shape.channels];
    check_size("adaptive_average", &dims)?;
    let tensor = match x.kernels() {
        Kernels::Own => cpu::unary("adaptive_average", x.tensor(), &dims, |x| {
            kernels::adaptive_average(Isa::detect(), x, shape, [height, width])
        })?,
        // Along each side it is a product with a matrix of weights.
        Kernels::Candle => in_full(x.tensor(), |x| {
            let across = along_last(x, width)?;
            along_last(&across.transpose(2, 3)?.contiguous()?, height)?
                .transpose(2, 3)?
                .contiguous()
        })?,
    };
    Ok(x.with(tensor))
}

/// Averages windows of the last of four dimensions.
fn along_last(x: &Tensor, places: usize) -> candle_core::Result<Tensor> {
    let (batch, channels, height, length) = x.dims4()?;
    let mut weights = Vec::with_capacity(places * length);
    for at in 0..length {
        weights.extend((0..places).map(|place| {
            let range = adaptive_range(length, places, place);
            if range.contains(&at) {
                1.0 / range.len() as f32
            } else {
                0.0
            }
        }));
    }
    let weights = Tensor::from_vec(weights, (length, places), x.device())?;
    x.reshape((batch * channels * height, length))?
        .matmul(&weights)?
        .reshape((batch, channels, height, places))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use candle_core::Device as Candle;

    use super::*;
    use crate::device::Device;

    /// Window by window, by PyTorch's definition: from the floor of its start to the ceiling of its
    /// end.
    fn by_definition(x: &Tensor, [rows, columns]: [usize; 2]) -> Vec<f32> {
        let (batch, channels, height, width) = x.dims4().unwrap();
        let window = |length: usize, places: usize, place: usize| {
            let step = length as f64 / places as f64;
            let from = (place as f64 * step).floor() as usize;
            (from, ((place + 1) as f64 * step).ceil() as usize - from)
        };
        let mut values = Vec::new();
        for index in 0..batch * channels * rows * columns {
            let (image, place) = (index / (rows * columns), index % (rows * columns));
            let (top, down) = window(height, rows, place / columns);
            let (left, across) = window(width, columns, place % columns);
            let mean = x
                .narrow(0, image / channels, 1)
                .and_then(|x| x.narrow(1, image % channels, 1))
                .and_then(|x| x.narrow(2, top, down))
                .and_then(|x| x.narrow(3, left, across))
                .and_then(|x| x.mean_all()?.to_scalar::<f32>());
            values.push(mean.unwrap());
        }
        values
    }

    #[test]
    fn averages_match_pytorch() {
        let cases = [
            ([2, 3, 14, 14], [7, 7]),
            ([1, 2, 8, 5], [7, 7]),
            ([2, 20, 1, 3], [6, 6]),
            ([1, 17, 9, 13], [2, 5]),
            ([2, 3, 4, 6], [1, 1]),
            ([1, 2, 3, 4], [3, 4]),
        ];
        for (dims, out) in cases {
            let x = Tensor::rand(-1f32, 1f32, &dims, &Candle::Cpu).unwrap();
            let want = by_definition(&x, out);
            for device in [Device::cpu(), Device::cpu_reference()] {
                let map = FeatureMap::from_channels_first(&x, &device).unwrap();
                let y = adaptive_average(&map, out).unwrap();
                let y = y.to_channels_first().unwrap();
                assert_eq!(y.dims(), [dims[0], dims[1], out[0], out[1]]);
                let ours = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for (ours, theirs) in ours.into_iter().zip(&want) {
                    assert!((ours - theirs).abs() <= 1e-6, "{dims:?} {out:?}");
                }
            }
        }
    }
}
