//! Larger feature maps from smaller ones: repeated pixels.

use super::cpu;
use super::map::FeatureMap;
use super::size::check_size;
use crate::device::Kernels;
use crate::error::Error;

impl FeatureMap {
    /// Repeats each pixel `times` times along both sides: PyTorch's `Upsample` by a whole factor,
    /// `nearest`.
    pub(crate) fn repeat_pixels(&self, times: usize) -> Result<Self, Error> {
        if times == 1 {
            return Ok(self.clone());
        }
        let shape = self.shape()?;
        let (height, width) = (
            shape.height.saturating_mul(times),
            shape.width.saturating_mul(times),
        );
        let dims = [shape.batch, height, width, shape.channels];
        check_size("upsample", &dims)?;
        let tensor = match self.kernels() {
            Kernels::Candle => self.tensor().upsample_nearest2d(height, width)?,
            Kernels::Own => cpu::unary("upsample", self.tensor(), &dims, |x| {
                let mut result = Vec::new();
                result.try_reserve_exact(dims.iter().product())?;
                for row in x.chunks_exact((shape.width * shape.channels).max(1)) {
                    let start = result.len();
                    for pixel in row.chunks_exact(shape.channels.max(1)) {
                        (0..times).for_each(|_| result.extend_from_slice(pixel));
                    }
                    let end = result.len();
                    (1..times).for_each(|_| result.extend_from_within(start..end));
                }
                Ok(result)
            })?,
        };
        Ok(self.with(tensor))
    }
}
