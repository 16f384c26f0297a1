//! Sizes of images, and the way from the network's input back to the original image.

use serde::{Deserialize, Serialize};

/// A size in pixels.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl Size {
    /// The number of pixels.
    #[must_use]
    pub fn area(self) -> u64 {
        u64::from(self.height) * u64::from(self.width)
    }

    /// The size whose shorter side is `to`, as torchvision computes it: the longer one is rounded
    /// down.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounds down and saturates"
    )]
    pub fn with_shortest(self, to: u32) -> Self {
        let (short, long) = (self.height.min(self.width), self.height.max(self.width));
        let longer = (f64::from(to) * f64::from(long) / f64::from(short)) as u32;
        if self.width <= self.height {
            Self {
                width: to,
                height: longer,
            }
        } else {
            Self {
                width: longer,
                height: to,
            }
        }
    }

    /// The size whose shorter side is `shortest`, or whose longer one is `longest` where it would be
    /// longer, as transformers' `get_size_with_aspect_ratio` computes it.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounds down and saturates"
    )]
    pub fn within(self, shortest: u32, longest: u32) -> Self {
        let (short, long) = (self.height.min(self.width), self.height.max(self.width));
        let [short_side, long_side] = [short, long].map(f64::from);
        if long_side / short_side * f64::from(shortest) <= f64::from(longest) {
            return self.with_shortest(shortest);
        }
        let shorter = f64::from(longest) * short_side / long_side;
        let rounded = shorter.round_ties_even() as u32;
        if rounded == short {
            return self;
        }
        let longer = ((shorter * long_side / short_side) as u32).max(1);
        let shorter = rounded.max(1);
        if self.width < self.height {
            Self {
                width: shorter,
                height: longer,
            }
        } else {
            Self {
                width: longer,
                height: shorter,
            }
        }
    }

    /// The size of about the same aspect ratio, one of whose sides is that of `to`, the one that
    /// changes less; both are rounded to multiples of `multiple`, as transformers' processor of DPT
    /// computes it, and are at least one multiple.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    pub fn near_multiple(self, to: Self, multiple: u32) -> Self {
        let [height, width] = self.ratios(to);
        let by = if (1.0 - width).abs() < (1.0 - height).abs() {
            width
        } else {
            height
        };
        let of = multiple.max(1);
        let side = |side: u32| {
            let multiples = (f64::from(side) * by / f64::from(of)).round_ties_even() as u32;
            multiples.max(1).saturating_mul(of)
        };
        Self {
            height: side(self.height),
            width: side(self.width),
        }
    }

    /// The size of the same aspect ratio that covers `least`; `self` where it does already.
    #[must_use]
    pub fn at_least(self, least: Self) -> Self {
        if self.height >= least.height && self.width >= least.width {
            return self;
        }
        let [height, width] = self.ratios(least);
        self.scaled(height.max(width))
    }

    /// The size of the same aspect ratio that `most` covers; `self` where it does already.
    #[must_use]
    pub fn at_most(self, most: Self) -> Self {
        if self.height <= most.height && self.width <= most.width {
            return self;
        }
        let [height, width] = self.ratios(most);
        self.scaled(height.min(width))
    }

    /// The size whose sides are the largest multiples of `of` that are not larger than these, but
    /// at least one multiple.
    #[must_use]
    pub fn multiple(self, of: u32) -> Self {
        let of = of.max(1);
        let side = |side: u32| (side / of * of).max(of);
        Self {
            height: side(self.height),
            width: side(self.width),
        }
    }

    fn ratios(self, to: Self) -> [f64; 2] {
        [
            f64::from(to.height) / f64::from(self.height),
            f64::from(to.width) / f64::from(self.width),
        ]
    }

    /// Sides times a factor, halves rounded to even as Python's `round` does; at least 1.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    fn scaled(self, by: f64) -> Self {
        let side = |side: u32| ((f64::from(side) * by).round_ties_even() as u32).max(1);
        Self {
            height: side(self.height),
            width: side(self.width),
        }
    }
}

/// An image that is resized by one factor until it fits into a frame, and padded around.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Letterbox {
    /// By what the sides are multiplied, before they are rounded.
    pub scale: f64,
    /// The size of the image in the frame.
    pub image: Size,
    /// The columns of padding on its left.
    pub left: u32,
    /// The rows of padding above it.
    pub top: u32,
    /// The size of the frame.
    pub frame: Size,
}

impl Letterbox {
    /// An image of a size in a frame of the size `to`, as Ultralytics puts it there; with
    /// `multiple`, the frame is cut to the least padding whose sides differ from those of `to` by
    /// multiples of so many pixels.
    #[must_use]
    pub fn new(size: Size, to: Size, multiple: Option<u32>) -> Self {
        let [height, width] = size.ratios(to);
        let scale = height.min(width);
        let scaled = size.scaled(scale);
        let image = Size {
            height: scaled.height.min(to.height),
            width: scaled.width.min(to.width),
        };
        let padding = |to: u32, image: u32| {
            let all = to - image;
            let all = multiple.map_or(all, |multiple| all % multiple.max(1));
            // The odd pixel goes to the right and to the bottom.
            (all / 2, image + all)
        };
        let (top, height) = padding(to.height, image.height);
        let (left, width) = padding(to.width, image.width);
        Self {
            scale,
            image,
            left,
            top,
            frame: Size { height, width },
        }
    }
}

/// Where the middle `want` pixels of `have` begin; negative where there are fewer and the image is
/// padded instead, the odd pixel at the end.
///
/// Half of an odd margin is rounded to even when cropping, as Python's `round` does.
#[must_use]
pub fn centered(have: u32, want: u32) -> i64 {
    let (have, want) = (i64::from(have), i64::from(want));
    if have < want {
        return -((want - have) / 2);
    }
    let margin = have - want;
    let half = margin / 2;
    if margin % 2 == 1 {
        half + half % 2
    } else {
        half
    }
}

/// How an image became the network's input, so that what is found there can be mapped back.
///
/// Along each axis, `input = original * scale + offset`, in pixels that are counted from the outer
/// edge of the first one: the middle of the first pixel is at 0.5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    original: Size,
    input: Size,
    x: Axis,
    y: Axis,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    scale: f64,
    offset: f64,
}

impl Axis {
    const SAME: Self = Self {
        scale: 1.0,
        offset: 0.0,
    };

    fn scaled(self, by: f64) -> Self {
        Self {
            scale: self.scale * by,
            offset: self.offset * by,
        }
    }

    fn moved(self, by: f64) -> Self {
        Self {
            offset: self.offset + by,
            ..self
        }
    }

    fn back(self, at: f64) -> f64 {
        (at - self.offset) / self.scale
    }

    fn there(self, at: f64) -> f64 {
        at * self.scale + self.offset
    }
}

impl Transform {
    /// An image that the network is given as it is.
    #[must_use]
    pub fn identity(size: Size) -> Self {
        Self {
            original: size,
            input: size,
            x: Axis::SAME,
            y: Axis::SAME,
        }
    }

    /// After resizing what there is to a size.
    #[must_use]
    pub fn resized(self, to: Size) -> Self {
        let [height, width] = self.input.ratios(to);
        self.resized_by([height, width], to)
    }

    /// After resizing to a size by factors (height, width) that are not exactly its ratios: a
    /// letterbox scales both axes by one factor and rounds the sides.
    #[must_use]
    pub fn resized_by(self, [height, width]: [f64; 2], to: Size) -> Self {
        Self {
            original: self.original,
            input: to,
            x: self.x.scaled(width),
            y: self.y.scaled(height),
        }
    }

    /// After cutting an image of the size `to` out, whose first pixel is the one at `left` and
    /// `top`. Where these are negative, or the image ends before, it is padded.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "positions are those of pixels")]
    pub fn cut(self, left: i64, top: i64, to: Size) -> Self {
        Self {
            original: self.original,
            input: to,
            x: self.x.moved(-(left as f64)),
            y: self.y.moved(-(top as f64)),
        }
    }

    /// After cutting the middle out, or padding around it; see [`centered`].
    #[must_use]
    pub fn center_cut(self, to: Size) -> Self {
        let left = centered(self.input.width, to.width);
        let top = centered(self.input.height, to.height);
        self.cut(left, top, to)
    }

    /// After putting what there is into a frame.
    #[must_use]
    pub fn letterboxed(self, letterbox: &Letterbox) -> Self {
        let Letterbox {
            scale,
            image,
            left,
            top,
            frame,
        } = *letterbox;
        let resized = self.resized_by([scale, scale], image);
        resized.cut(-i64::from(left), -i64::from(top), frame)
    }

    /// The size of the original image.
    #[must_use]
    pub fn original(&self) -> Size {
        self.original
    }

    /// The size of the network's input.
    #[must_use]
    pub fn input(&self) -> Size {
        self.input
    }

    /// A point `[x, y]` of the original image, in pixels, in the network's input. Outside of it
    /// where the point was cut off.
    #[must_use]
    pub fn point_to_input(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.x.there(x), self.y.there(y)]
    }

    /// A point `[x, y]` of the network's input, in pixels, as FiftyOne stores it: relative to the
    /// original image, whose sides are 1. Outside of 0 to 1 where the point is in a padding.
    #[must_use]
    pub fn point_to_original(&self, [x, y]: [f32; 2]) -> [f64; 2] {
        [
            self.x.back(f64::from(x)) / f64::from(self.original.width),
            self.y.back(f64::from(y)) / f64::from(self.original.height),
        ]
    }

    /// A box `[left, top, right, bottom]` of the network's input, in pixels, as FiftyOne stores
    /// it: `[left, top, width, height]`, relative to the original image and cut at its edges.
    /// [`None`] where nothing of it is inside.
    #[must_use]
    pub fn box_to_original(&self, [left, top, right, bottom]: [f32; 4]) -> Option<[f64; 4]> {
        let [left, top] = self.point_to_original([left, top]);
        let [right, bottom] = self.point_to_original([right, bottom]);
        let [left, top, right, bottom] =
            [left, top, right, bottom].map(|edge| edge.clamp(0.0, 1.0));
        let (width, height) = (right - left, bottom - top);
        (width > 0.0 && height > 0.0).then_some([left, top, width, height])
    }
}

#[cfg(test)]
mod tests;
