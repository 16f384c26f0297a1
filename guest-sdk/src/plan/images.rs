//! Preprocessing: from an image to the network's input.

use crate::bindings::modelzoo::source::deployment as wit;

/// The channel means of CLIP's training images.
const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Their standard deviations.
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// The color mode of the images that the model was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// Three channels: red, green, blue.
    #[default]
    Rgb,
    /// One channel: luma (ITU-R 601), the same as Pillow's mode `L`.
    Gray,
}

/// The resampling filter. All filters except `Nearest` are antialiased when the image becomes
/// smaller, as in Pillow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Resampling {
    Nearest,
    #[default]
    Bilinear,
    Bicubic,
    Lanczos,
}

/// A size in pixels; a number converts into a square, and so does `(height, width)` into any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl From<u32> for Size {
    fn from(side: u32) -> Self {
        Self {
            height: side,
            width: side,
        }
    }
}

impl From<(u32, u32)> for Size {
    fn from((height, width): (u32, u32)) -> Self {
        Self { height, width }
    }
}

/// One preprocessing step, from a decoded image to the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Resizes to exactly this size; the aspect ratio may change.
    Resize(Size, Resampling),
    /// Resizes so that the shorter side has this length; the aspect ratio stays.
    ResizeShortest(u32, Resampling),
    /// Resizes so that the shorter side has the first length, or the longer one the second where it
    /// would be longer; the aspect ratio stays. As DETR's processor.
    ResizeWithin(u32, u32, Resampling),
    /// Resizes so that one side, the one that changes less, has this length, and rounds both to
    /// multiples of the number; the aspect ratio nearly stays. As DPT's processor.
    ResizeToMultiple(Size, u32, Resampling),
    /// Crops the center; an image that is smaller is padded with black.
    CenterCrop(Size),
    /// Enlarges an image that is smaller than this size on one side or both until it is not, keeping
    /// the aspect ratio; other images stay as they are.
    ResizeMin(Size, Resampling),
    /// Shrinks an image that is larger than this size on one side or both until it is not, keeping
    /// the aspect ratio; other images stay as they are.
    ResizeMax(Size, Resampling),
    /// Crops the center to sides that are multiples of this many pixels; an image with a smaller
    /// side is padded to it with black.
    CropToMultiple(u32),
    /// Resizes until the image fits into a frame, keeping the aspect ratio, and pads around it with
    /// gray, as Ultralytics does. With a number, the frame is cut to the least padding that leaves
    /// multiples of so many pixels between its sides and those of the full frame.
    Letterbox(Size, Option<u32>),
}

/// The mean and standard deviation per channel: `(value - mean) / std`, with values of 0 to 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Normalization {
    /// One value per channel.
    pub mean: Vec<f32>,
    /// One value per channel, none of them zero.
    pub std: Vec<f32>,
}

/// The preprocessing of an image to a tensor of shape `[channels, height, width]`. The default is
/// the unchanged RGB image, with values of 0 to 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Preprocessing {
    /// The color mode.
    pub color: Color,
    /// The steps, in this order.
    pub steps: Vec<Step>,
    /// Applied last; without it the values are 0 to 1.
    pub normalize: Option<Normalization>,
}

impl Preprocessing {
    /// Three channels, no steps yet.
    #[must_use]
    pub fn rgb() -> Self {
        Self::default()
    }

    /// One channel, no steps yet.
    #[must_use]
    pub fn gray() -> Self {
        Self {
            color: Color::Gray,
            ..Self::default()
        }
    }

    /// The preprocessing of torchvision's classifiers: the shorter side to 256 pixels, the center
    /// 224 × 224, and the mean and standard deviation of ImageNet.
    #[must_use]
    pub fn imagenet() -> Self {
        Self::rgb()
            .resize_shortest(256)
            .center_crop(224)
            .normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    }

    /// The preprocessing of CLIP: the shorter side to this many pixels, bicubic, the center of it,
    /// and CLIP's mean and standard deviation.
    #[must_use]
    pub fn clip(side: u32) -> Self {
        Self::rgb()
            .step(Step::ResizeShortest(side, Resampling::Bicubic))
            .center_crop(side)
            .normalize(CLIP_MEAN, CLIP_STD)
    }

    /// The preprocessing of Ultralytics: a frame of `side` × `side` pixels, cut to the least
    /// padding that leaves sides that are multiples of 32 where `side` is one.
    #[must_use]
    pub fn letterbox(side: u32) -> Self {
        Self::rgb().step(Step::Letterbox(side.into(), Some(32)))
    }

    /// Adds a step: resizes to exactly this size, bilinearly.
    #[must_use]
    pub fn resize(self, to: impl Into<Size>) -> Self {
        self.step(Step::Resize(to.into(), Resampling::Bilinear))
    }

    /// Adds a step: resizes so that the shorter side has this length, bilinear.
    #[must_use]
    pub fn resize_shortest(self, to: u32) -> Self {
        self.step(Step::ResizeShortest(to, Resampling::Bilinear))
    }

    /// Adds a step: crops the center.
    #[must_use]
    pub fn center_crop(self, to: impl Into<Size>) -> Self {
        self.step(Step::CenterCrop(to.into()))
    }

    /// Adds any step.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Sets the mean and the standard deviation of each channel.
    #[must_use]
    pub fn normalize(mut self, mean: impl Into<Vec<f32>>, std: impl Into<Vec<f32>>) -> Self {
        self.normalize = Some(Normalization {
            mean: mean.into(),
            std: std.into(),
        });
        self
    }
}

impl From<Preprocessing> for wit::Preprocessing {
    fn from(preprocessing: Preprocessing) -> Self {
        Self {
            color: match preprocessing.color {
                Color::Rgb => wit::Color::Rgb,
                Color::Gray => wit::Color::Gray,
            },
            steps: preprocessing.steps.into_iter().map(Into::into).collect(),
            normalize: preprocessing
                .normalize
                .map(|Normalization { mean, std }| wit::Normalization { mean, std }),
        }
    }
}

impl From<Step> for wit::Step {
    fn from(step: Step) -> Self {
        match step {
            Step::Resize(to, resampling) => Self::Resize(wit::Resize {
                to: to.into(),
                resampling: resampling.into(),
            }),
            Step::ResizeShortest(to, resampling) => Self::ResizeShortest(wit::ResizeShortest {
                to,
                resampling: resampling.into(),
            }),
            Step::ResizeWithin(shortest, longest, resampling) => {
                Self::ResizeWithin(wit::ResizeWithin {
                    shortest,
                    longest,
                    resampling: resampling.into(),
                })
            }
            Step::ResizeToMultiple(to, multiple, resampling) => {
                Self::ResizeToMultiple(wit::ResizeToMultiple {
                    to: to.into(),
                    multiple,
                    resampling: resampling.into(),
                })
            }
            Step::CenterCrop(to) => Self::CenterCrop(to.into()),
            Step::ResizeMin(to, resampling) => Self::ResizeMin(wit::Resize {
                to: to.into(),
                resampling: resampling.into(),
            }),
            Step::ResizeMax(to, resampling) => Self::ResizeMax(wit::Resize {
                to: to.into(),
                resampling: resampling.into(),
            }),
            Step::CropToMultiple(of) => Self::CropToMultiple(of),
            Step::Letterbox(to, multiple) => Self::Letterbox(wit::Letterbox {
                to: to.into(),
                multiple,
            }),
        }
    }
}

impl From<Size> for wit::Size {
    fn from(Size { height, width }: Size) -> Self {
        Self { height, width }
    }
}

impl From<Resampling> for wit::Resampling {
    fn from(resampling: Resampling) -> Self {
        match resampling {
            Resampling::Nearest => Self::Nearest,
            Resampling::Bilinear => Self::Bilinear,
            Resampling::Bicubic => Self::Bicubic,
            Resampling::Lanczos => Self::Lanczos,
        }
    }
}
