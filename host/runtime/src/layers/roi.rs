//! The parts of feature maps under boxes.

use candle_core::Tensor;
use modelzoo_kernels::{self as kernels, Isa, Region, RegionLevel};

use super::cpu;
use super::map::FeatureMap;
use super::size::check_size;
use crate::device::{Device, Kernels};
use crate::error::Error;
use crate::precision::full;

/// Places per pixel of the result and side, of which the mean is taken.
const SAMPLES: usize = 2;

/// The parts of feature maps under boxes, with `side` rows and columns each, as torchvision's
/// `roi_align` with two samples per side. `levels` are feature maps of one number of channels, each
/// with its pixels per pixel of the image. There is at least one region.
///
/// On other devices than the CPU the regions are still cut out there.
pub(crate) fn roi_align(
    levels: &[(FeatureMap, f32)],
    regions: &[Region],
    side: usize,
    device: &Device,
) -> Result<FeatureMap, Error> {
    let mut shapes = Vec::with_capacity(levels.len());
    let mut values = Vec::with_capacity(levels.len());
    for (map, scale) in levels {
        let shape = map.shape()?;
        shapes.push((shape, *scale));
        values.push(match map.kernels() {
            Kernels::Own => map.tensor().clone(),
            Kernels::Candle => full(&map.to_tokens()?)?
                .to_device(&candle_core::Device::Cpu)?
                .contiguous()?,
        });
    }
    let first = shapes.first().map(|(shape, _)| *shape);
    let fits = |region: &Region| {
        let of_level = shapes.get(region.level);
        of_level.is_some_and(|(shape, _)| region.image < shape.batch)
    };
    let Some(first) = first.filter(|_| !regions.is_empty() && regions.iter().all(fits)) else {
        return Err(Error::bad_input("roi_align", "regions of no feature map"));
    };
    if shapes
        .iter()
        .any(|(shape, _)| shape.channels != first.channels)
    {
        let reason = "feature maps of different channels";
        return Err(Error::bad_input("roi_align", reason));
    }
    let dims = [regions.len(), side, side, first.channels];
    check_size("roi_align", &dims)?;
    let tensors: Vec<&Tensor> = values.iter().collect();
    let aligned = cpu::many(&tensors, &dims, |values| {
        let levels = values.iter().zip(&shapes);
        let levels: Vec<_> = levels
            .map(|(values, &(shape, scale))| RegionLevel {
                values,
                shape,
                scale,
            })
            .collect();
        kernels::roi_align(Isa::detect(), &levels, regions, side, SAMPLES)
    })?;
    let tokens = aligned.reshape((regions.len(), side * side, first.channels))?;
    FeatureMap::from_tokens(&device.place(&tokens)?, [side; 2], device)
}
