//! Windows that slide over feature maps: the geometry that convolutions and pools share, and the
//! place of each tap in memory.

use std::collections::TryReserveError;

use crate::chunks;

/// The shape of a feature map, `[batch, height, width, channels]`, contiguous.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shape {
    /// Images.
    pub batch: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
}

impl Shape {
    /// The number of elements; the largest `usize` where that is more.
    #[must_use]
    pub const fn elements(self) -> usize {
        self.batch
            .saturating_mul(self.height)
            .saturating_mul(self.width)
            .saturating_mul(self.channels)
    }
}

/// A window: `[along the height, along the width]` throughout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// Taps.
    pub kernel: [usize; 2],
    /// Pixels from one place to the next.
    pub stride: [usize; 2],
    /// Zeros on each of the two sides.
    pub padding: [usize; 2],
    /// Pixels from one tap to the next.
    pub dilation: [usize; 2],
}

impl Window {
    /// A window of one pixel.
    pub const POINT: Self = Self {
        kernel: [1; 2],
        stride: [1; 2],
        padding: [0; 2],
        dilation: [1; 2],
    };

    /// The number of places along one side (0: height, 1: width) of `length`; zero where the window
    /// does not fit.
    pub fn places(&self, axis: usize, length: usize) -> usize {
        let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
        match (length + 2 * self.padding[axis]).checked_sub(reach) {
            Some(room) => room / self.stride[axis] + 1,
            None => 0,
        }
    }

    /// The position of tap `tap` of the window at place `place` along one side; none in the padding.
    pub(crate) fn tap(
        &self,
        axis: usize,
        length: usize,
        place: usize,
        tap: usize,
    ) -> Option<usize> {
        let at = place * self.stride[axis] + tap * self.dilation[axis];
        at.checked_sub(self.padding[axis]).filter(|&at| at < length)
    }
}

/// All places of a window on a feature map, in the order of the output's pixels, each as a list
/// of runs: slices of equal length that together are what the window covers.
pub struct Windows<'a> {
    input: &'a [f32],
    shape: Shape,
    window: Window,
    out: [usize; 2],
    /// The run of a tap in the padding.
    zeros: Vec<f32>,
    /// Whether all taps of one row of the window are one run.
    whole_rows: bool,
    groups: usize,
}

impl<'a> Windows<'a> {
    /// `input` has the shape `shape`, and its channels are divided into `groups`.
    pub fn new(input: &'a [f32], shape: Shape, window: Window, groups: usize) -> Self {
        assert_eq!(input.len(), shape.elements());
        let out = [
            window.places(0, shape.height),
            window.places(1, shape.width),
        ];
        let whole_rows = Self::takes_whole_rows(&window, groups);
        let run = if whole_rows {
            window.kernel[1] * shape.channels
        } else {
            shape.channels / groups
        };
        Self {
            input,
            shape,
            window,
            out,
            zeros: vec![0.0; run],
            whole_rows,
            groups,
        }
    }

    /// The rows of a matrix `[rows, width]`, as a linear layer reads them.
    pub fn rows(input: &'a [f32], width: usize) -> Self {
        let shape = Shape {
            batch: input.len() / width.max(1),
            height: 1,
            width: 1,
            channels: width,
        };
        Self::new(input, shape, Window::POINT, 1)
    }

    /// Whether the taps of a row are contiguous: without padding and dilation along the width.
    pub fn takes_whole_rows(window: &Window, groups: usize) -> bool {
        groups == 1 && window.padding[1] == 0 && (window.dilation[1] == 1 || window.kernel[1] == 1)
    }

    /// Places in all images of the batch; the largest `usize` where that is more.
    pub(crate) fn count(&self) -> usize {
        self.shape
            .batch
            .saturating_mul(self.out[0])
            .saturating_mul(self.out[1])
    }

    /// Runs per window.
    pub(crate) fn runs(&self) -> usize {
        let [height, width] = self.window.kernel;
        if self.whole_rows {
            height
        } else {
            height * width
        }
    }

    /// Elements per run.
    pub(crate) fn run_length(&self) -> usize {
        self.zeros.len()
    }

    /// About how many elements of the input one place reads for the first time.
    pub(crate) fn fresh_elements(&self) -> usize {
        let per_pixel = self.shape.channels / self.groups;
        let [down, across] =
            [0, 1].map(|axis| self.window.stride[axis].min(self.window.kernel[axis]));
        per_pixel * down * across
    }

    /// Whether neighbouring places are so far apart that the same elements of all of them fall into
    /// one set of a first-level cache, which holds 8 lines (sets repeat every 4 KiB).
    pub(crate) fn collide(&self) -> bool {
        let apart = self.shape.channels * self.window.stride[1] * size_of::<f32>();
        self.run_length() >= 64 && apart.is_multiple_of(4096)
    }

    /// The runs of the window at place `row`, in the order of the weights.
    pub(crate) fn runs_at(&self, row: usize, group: usize) -> impl Iterator<Item = &[f32]> {
        let Shape {
            height,
            width,
            channels,
            ..
        } = self.shape;
        let (rest, x) = (row / self.out[1], row % self.out[1]);
        let (image, y) = (rest / self.out[0], rest % self.out[0]);
        let across = if self.whole_rows {
            1
        } else {
            self.window.kernel[1]
        };
        let first_channel = group * (channels / self.groups);
        (0..self.window.kernel[0]).flat_map(move |down| {
            let at_y = self.window.tap(0, height, y, down);
            (0..across).map(move |tap| {
                let at_x = self.window.tap(1, width, x, tap);
                let Some((y, x)) = at_y.zip(at_x) else {
                    return &self.zeros[..];
                };
                let start = ((image * height + y) * width + x) * channels + first_channel;
                &self.input[start..start + self.run_length()]
            })
        })
    }
}

/// A copy with `padding` columns of zeros on either side of each row, and its shape.
///
/// # Errors
/// There is no memory for it.
pub fn pad_width(
    input: &[f32],
    shape: Shape,
    padding: usize,
) -> Result<(Vec<f32>, Shape), TryReserveError> {
    let padded = Shape {
        width: shape.width + 2 * padding,
        ..shape
    };
    let mut copy = chunks::zeros(padded.elements())?;
    let margin = padding * shape.channels;
    let row = shape.width * shape.channels;
    if row > 0 {
        let targets = copy.chunks_exact_mut(padded.width * shape.channels);
        for (source, target) in input.chunks_exact(row).zip(targets) {
            target[margin..margin + row].copy_from_slice(source);
        }
    }
    Ok((copy, padded))
}
