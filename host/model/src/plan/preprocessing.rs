use serde::{Deserialize, Serialize};

use crate::check::{self, PlanError};
use crate::geometry::{Letterbox, Size, Transform};

/// The longest side that preprocessing may give an image, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The most steps.
const STEPS: usize = 64;

/// The colours of the images that a model was trained on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// Three channels: red, green, blue.
    Rgb,
    /// One channel: luma (ITU-R 601), as Pillow's mode `L`.
    Gray,
}

impl Color {
    /// How many channels an image of this kind has: 3 or 1.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Gray => 1,
        }
    }
}

/// How pixels are resampled; antialiased when the image gets smaller, as in Pillow, except
/// `Nearest`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// The pixel nearest to the centre.
    Nearest,
    /// A triangle.
    Bilinear,
    /// Keys' cubic with a = -0.5.
    Bicubic,
    /// A windowed sinc of three lobes.
    Lanczos,
}

/// One step on the way from a decoded image to the network's input.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Resizing to exactly a size; the aspect ratio may change.
    Resize {
        /// The size afterwards.
        to: Size,
        /// How pixels are resampled.
        resampling: Resampling,
    },
    /// Resizing so that the shorter side has a length; the longer one is
    /// `to * longer / shorter`, rounded down, as in torchvision.
    ResizeShortest {
        /// The shorter side afterwards, in pixels.
        to: u32,
        /// How pixels are resampled.
        resampling: Resampling,
    },
    /// Resizing so that the shorter side has a length, or the longer one another where it would be
    /// longer, as DETR's processor does it.
    ResizeWithin {
        /// The shorter side afterwards, in pixels.
        shortest: u32,
        /// The most that the longer side has.
        longest: u32,
        /// How pixels are resampled.
        resampling: Resampling,
    },
    /// Resizing so that one side, the one that changes less, has a length, and the aspect ratio
    /// nearly stays: both sides are rounded to multiples, as DPT's processor does it.
    ResizeToMultiple {
        /// The size of which one side is fitted.
        to: Size,
        /// What the sides are multiples of.
        multiple: u32,
        /// How pixels are resampled.
        resampling: Resampling,
    },
    /// Cuts the middle out; where the image is smaller, it is padded with black.
    CenterCrop(Size),
    /// Enlarges an image that is smaller than `to` on one side or both, keeping the aspect ratio,
    /// until it is not; others stay as they are.
    ResizeMin {
        /// The least size.
        to: Size,
        /// How pixels are resampled.
        resampling: Resampling,
    },
    /// Shrinks an image that is larger than `to` on one side or both, keeping the aspect ratio,
    /// until it is not; others stay as they are.
    ResizeMax {
        /// The largest size.
        to: Size,
        /// How pixels are resampled.
        resampling: Resampling,
    },
    /// Cuts the middle out whose sides are multiples of so many pixels; an image that is smaller
    /// than that is padded to it with black.
    CropToMultiple(u32),
    /// Resizes until the image fits into a frame, keeping the aspect ratio, and pads around it with
    /// gray (114), as Ultralytics does; resampled as OpenCV's `INTER_LINEAR`, without antialiasing.
    Letterbox {
        /// The size of the frame.
        to: Size,
        /// Where it is given, the frame is cut to the least padding that leaves multiples of so
        /// many pixels between its sides and those of `to`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        multiple: Option<u32>,
    },
}

impl Step {
    /// The size of an image after it, which may be more than can be computed.
    #[must_use]
    pub fn size_after(self, size: Size) -> Size {
        match self {
            Self::Resize { to, .. } | Self::CenterCrop(to) => to,
            Self::ResizeShortest { to, .. } => size.with_shortest(to),
            Self::ResizeWithin {
                shortest, longest, ..
            } => size.within(shortest, longest),
            Self::ResizeToMultiple { to, multiple, .. } => size.near_multiple(to, multiple),
            Self::ResizeMin { to, .. } => size.at_least(to),
            Self::ResizeMax { to, .. } => size.at_most(to),
            Self::CropToMultiple(of) => size.multiple(of),
            Self::Letterbox { to, multiple } => Letterbox::new(size, to, multiple).frame,
        }
    }

    /// How pixels are resampled; [`None`] for a step that cuts the middle out, or pads around it,
    /// and for the letterbox, which has a way of its own.
    #[must_use]
    pub fn resampling(self) -> Option<Resampling> {
        match self {
            Self::Resize { resampling, .. }
            | Self::ResizeShortest { resampling, .. }
            | Self::ResizeWithin { resampling, .. }
            | Self::ResizeToMultiple { resampling, .. }
            | Self::ResizeMin { resampling, .. }
            | Self::ResizeMax { resampling, .. } => Some(resampling),
            Self::CenterCrop(_) | Self::CropToMultiple(_) | Self::Letterbox { .. } => None,
        }
    }

    fn place(self, transform: Transform) -> Transform {
        let to = self.size_after(transform.input());
        match self {
            Self::Resize { .. }
            | Self::ResizeShortest { .. }
            | Self::ResizeWithin { .. }
            | Self::ResizeToMultiple { .. }
            | Self::ResizeMin { .. }
            | Self::ResizeMax { .. } => transform.resized(to),
            Self::CenterCrop(_) | Self::CropToMultiple(_) => transform.center_cut(to),
            Self::Letterbox { to, multiple } => {
                transform.letterboxed(&Letterbox::new(transform.input(), to, multiple))
            }
        }
    }

    /// The sides that it asks for, height first.
    fn sides(self) -> [u32; 3] {
        match self {
            Self::Resize { to, .. }
            | Self::ResizeMin { to, .. }
            | Self::ResizeMax { to, .. }
            | Self::CenterCrop(to) => [to.height, to.width, to.width],
            Self::ResizeShortest { to, .. } | Self::CropToMultiple(to) => [to; 3],
            Self::ResizeWithin {
                shortest, longest, ..
            } => [shortest, longest, longest],
            Self::ResizeToMultiple { to, multiple, .. } => [to.height, to.width, multiple],
            Self::Letterbox { to, multiple } => [to.height, to.width, multiple.unwrap_or(to.width)],
        }
    }
}

/// What is subtracted from, and then divides, each channel's values, which are 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// One value per channel.
    pub mean: Vec<f32>,
    /// One value per channel, none of them zero.
    pub std: Vec<f32>,
}

/// From an image to a tensor with values 0 to 1, or normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The colours that the network takes.
    pub color: Color,
    /// The steps, in this order.
    pub steps: Vec<Step>,
    /// Applied last; without it the values stay 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalization>,
}

impl Preprocessing {
    /// Checks the sides of the steps and the numbers of the normalization.
    pub(super) fn validate(&self) -> Result<(), PlanError> {
        check::count("steps", self.steps.len(), STEPS, "steps")?;
        for (index, step) in self.steps.iter().enumerate() {
            if let Some(side) = step
                .sides()
                .into_iter()
                .find(|side| !(1..=MAX_SIDE).contains(side))
            {
                let reason = format!("has a side of {side} pixels; 1 to {MAX_SIDE} are allowed");
                return Err(PlanError::new(format!("steps[{index}]"), reason));
            }
        }
        let Some(normalization) = &self.normalize else {
            return Ok(());
        };
        let checked = normalization.validate(self.color.channels());
        checked.map_err(|e| e.within("normalize"))
    }

    /// How an image of a size becomes the network's input.
    #[must_use]
    pub fn transform(&self, original: Size) -> Transform {
        let identity = Transform::identity(original);
        self.steps
            .iter()
            .fold(identity, |transform, step| step.place(transform))
    }

    /// The size of every input, where the steps fix it.
    #[must_use]
    pub fn fixed_size(&self) -> Option<Size> {
        match *self.steps.last()? {
            Step::Resize { to, .. }
            | Step::CenterCrop(to)
            | Step::Letterbox { to, multiple: None } => Some(to),
            Step::Letterbox { .. }
            | Step::ResizeShortest { .. }
            | Step::ResizeWithin { .. }
            | Step::ResizeToMultiple { .. }
            | Step::ResizeMin { .. }
            | Step::ResizeMax { .. }
            | Step::CropToMultiple(_) => None,
        }
    }
}

impl Normalization {
    fn validate(&self, channels: usize) -> Result<(), PlanError> {
        for (field, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != channels {
                let reason = format!("has {} values for {channels} channels", values.len());
                return Err(PlanError::new(field, reason));
            }
            if values.iter().any(|value| !value.is_finite()) {
                let reason = "has a value that is not a finite number";
                return Err(PlanError::new(field, reason));
            }
        }
        if self.std.contains(&0.0) {
            return Err(PlanError::new("std", "must not contain zero"));
        }
        Ok(())
    }
}
