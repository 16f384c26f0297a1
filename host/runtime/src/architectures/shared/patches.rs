//! Patches: how vision transformers divide an image into tokens.

use modelzoo_model::plan::Size;

use super::config::ConfigChecker;
use crate::device::Device;
use crate::error::Error;
use crate::layers::{Activation, Conv2d, ConvGeometry};
use crate::weights::Scope;

/// Which sizes of images a network accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ImageSizes {
    /// One size, `[height, width]`.
    Fixed([usize; 2]),
    /// Sides that are multiples of the patch's.
    Multiples,
    /// Sides of at least a patch; pixels beyond the last whole patch are ignored.
    Any,
}

/// The patches of a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patches {
    /// Channels of the image.
    pub(crate) channels: usize,
    /// `[height, width]` of a patch, in pixels.
    pub(crate) size: [usize; 2],
    pub(crate) images: ImageSizes,
}

impl Patches {
    /// `[rows, columns]` of patches of an image of `[height, width]` pixels.
    pub(crate) fn grid(&self, image: [usize; 2]) -> Result<[usize; 2], Error> {
        let [[height, width], [down, across]] = [image, self.size];
        let bad = |reason| Err(Error::bad_input("patches", reason));
        match self.images {
            ImageSizes::Fixed([want_height, want_width]) if image != [want_height, want_width] => {
                bad(format!(
                    "takes images of {want_height}x{want_width}, got {height}x{width}: its position embeddings are for that size only"
                ))
            }
            ImageSizes::Multiples if height % down != 0 || width % across != 0 => bad(format!(
                "takes images whose sides are multiples of {down}x{across}, got {height}x{width}"
            )),
            ImageSizes::Fixed(_) | ImageSizes::Multiples | ImageSizes::Any
                if height < down || width < across =>
            {
                bad(format!(
                    "takes images of at least {down}x{across}, got {height}x{width}"
                ))
            }
            ImageSizes::Fixed(_) | ImageSizes::Multiples | ImageSizes::Any => {
                Ok([height / down, width / across])
            }
        }
    }

    /// The grid of the size that the network was configured for; an error of the configuration
    /// where a patch is larger than the image.
    pub(crate) fn configured_grid(
        &self,
        config: &ConfigChecker,
        image: [usize; 2],
    ) -> Result<[usize; 2], Error> {
        let [[height, width], [down, across]] = [image, self.size];
        if height < down || width < across {
            return Err(config.error("patch_size", "is larger than `image_size`"));
        }
        Ok([height / down, width / across])
    }

    /// Checks the size that a plan gives to images, where it does.
    pub(crate) fn check_plan(&self, size: Option<Size>) -> Result<(), Error> {
        let Some(size) = size else {
            return Ok(());
        };
        let side = |side: u32| usize::try_from(side).unwrap_or(usize::MAX);
        self.grid([side(size.height), side(size.width)]).map(|_| ())
    }

    /// The convolution that makes tokens of patches.
    pub(crate) fn load(
        &self,
        scope: &Scope<'_>,
        width: usize,
        bias: bool,
        device: &Device,
    ) -> Result<Conv2d, Error> {
        let geometry = ConvGeometry::patches([self.channels, width], self.size);
        Conv2d::load(scope, geometry, bias, None, Activation::Identity, device)
    }
}
