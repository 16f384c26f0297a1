//! What torchvision's detectors do with an image before their network: mean and deviation, a resize,
//! and a padding; and the way back.

use modelzoo_kernels::Activation;
use serde::{Deserialize, Serialize};

use crate::architectures::shared::config::ConfigChecker;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{BatchNorm, ChannelScale, FeatureMap, Sampling};

/// Sides are padded to multiples of this.
const MULTIPLE: usize = 32;

/// The sizes of images within a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrameConfig {
    /// The shorter side that images are resized to, in pixels.
    pub min_size: usize,
    /// The most that the longer side may have then; otherwise both are smaller.
    pub max_size: usize,
    /// What is subtracted from the values, 0 to 1, of each channel.
    pub image_mean: [f64; 3],
    /// What they are divided by then.
    pub image_std: [f64; 3],
}

impl Default for FrameConfig {
    fn default() -> Self {
        Self {
            min_size: 800,
            max_size: 1333,
            image_mean: [0.485, 0.456, 0.406],
            image_std: [0.229, 0.224, 0.225],
        }
    }
}

impl FrameConfig {
    pub(super) fn check(&self, checker: &ConfigChecker) -> Result<(), Error> {
        checker.check_sides("min_size", [self.min_size; 2])?;
        checker.check_sides("max_size", [self.max_size; 2])?;
        if self.image_mean.iter().any(|mean| !mean.is_finite()) {
            return Err(checker.error("image_mean", "must be three numbers"));
        }
        let positive = |std: &f64| std.is_finite() && *std > 0.0;
        if !self.image_std.iter().all(positive) {
            return Err(checker.error("image_std", "must be three positive numbers"));
        }
        Ok(())
    }
}

/// The steps before a network.
pub(super) struct Frame {
    normalize: ChannelScale,
    config: FrameConfig,
}

/// An image within a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framed {
    /// `[height, width]` before.
    pub(super) original: [usize; 2],
    /// After the resize, without the padding.
    pub(super) resized: [usize; 2],
    /// With the padding.
    pub(super) padded: [usize; 2],
}

impl Framed {
    /// A point or an edge `[x, y]` of the resized image, on the original one.
    #[allow(clippy::cast_precision_loss, reason = "sides of images")]
    pub(super) fn back(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let [height, width] = [0, 1].map(|axis: usize| {
            let side = |sides: [usize; 2]| sides.get(axis).copied().unwrap_or(1) as f32;
            side(self.original) / side(self.resized)
        });
        [x * width, y * height]
    }

    /// A box `[left, top, right, bottom]` of the resized image, on the original one.
    pub(super) fn box_back(&self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        let ([left, top], [right, bottom]) = (self.back([left, top]), self.back([right, bottom]));
        [left, top, right, bottom]
    }
}

impl Frame {
    pub(super) fn new(config: FrameConfig, device: &Device) -> Result<Self, Error> {
        let channels = config.image_mean.into_iter().zip(config.image_std);
        let scale = config.image_std.map(|std| 1.0 / std).to_vec();
        let shift = channels.map(|(mean, std)| -mean / std).collect();
        let norm = BatchNorm::of(scale, shift);
        Ok(Self {
            normalize: norm.into_layer("transform", Activation::Identity, device)?,
            config,
        })
    }

    pub(super) fn forward(&self, x: &FeatureMap) -> Result<(FeatureMap, Framed), Error> {
        let shape = x.shape()?;
        let original = [shape.height, shape.width];
        let resized = self.size(original);
        let padded = resized.map(|side| side.next_multiple_of(MULTIPLE));
        let x = self.normalize.forward(x)?;
        let x = x.resized(resized, Sampling::Bilinear)?;
        let [bottom, right] = [padded[0] - resized[0], padded[1] - resized[1]];
        let framed = Framed {
            original,
            resized,
            padded,
        };
        Ok((x.pad([[0, bottom], [0, right]])?, framed))
    }

    /// The size after the resize, rounded down; at least one pixel.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sides of images"
    )]
    fn size(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let (short, long) = (height.min(width), height.max(width));
        let (least, most) = (self.config.min_size as f64, self.config.max_size as f64);
        let scale = (least / short as f64).min(most / long as f64);
        [height, width].map(|side| ((side as f64 * scale) as usize).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_match_torchvision() {
        let frame = Frame::new(FrameConfig::default(), &Device::cpu()).unwrap();
        assert_eq!(frame.size([480, 640]), [800, 1066]);
        assert_eq!(frame.size([1000, 100]), [1333, 133]);
        assert_eq!(frame.size([1, 10_000]), [1, 1333]);
    }
}
