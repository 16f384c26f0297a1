//! Windows that slide over feature maps: the geometry that convolutions and pools share, and
//! where each tap of a window is in memory.

use std::collections::TryReserveError;

use super::chunks;

/// The shape of a feature map, `[batch, height, width, channels]`, contiguous.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    pub(crate) batch: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Shape {
    pub(crate) const fn len(self) -> usize {
        self.batch * self.height * self.width * self.channels
    }
}

/// A window: `[along the height, along the width]` throughout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Window {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// On each of the two sides.
    pub(crate) padding: [usize; 2],
    pub(crate) dilation: [usize; 2],
}

impl Window {
    pub(crate) const POINT: Self = Self {
        kernel: [1; 2],
        stride: [1; 2],
        padding: [0; 2],
        dilation: [1; 2],
    };

    /// The number of places along one side (0: height, 1: width) of `length`; none if the window
    /// does not fit.
    pub(crate) fn places(&self, axis: usize, length: usize) -> usize {
        let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
        match (length + 2 * self.padding[axis]).checked_sub(reach) {
            Some(room) => room / self.stride[axis] + 1,
            None => 0,
        }
    }

    /// Where tap `tap` of the window at place `place` is along one side; none in the padding.
    pub(super) fn tap(
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
/// of runs: slices of the same length that together hold what the window covers.
pub(crate) struct Windows<'a> {
    input: &'a [f32],
    shape: Shape,
    window: Window,
    out: [usize; 2],
    /// What a run in the padding reads.
    zeros: Vec<f32>,
    /// Whether all taps of one row of the window are one run.
    whole_rows: bool,
    groups: usize,
}

impl<'a> Windows<'a> {
    /// `input` has the shape `shape`, and its channels are divided into `groups`.
    pub(crate) fn new(input: &'a [f32], shape: Shape, window: Window, groups: usize) -> Self {
        assert_eq!(input.len(), shape.len());
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

    /// Each of some rows of `width` elements by itself.
    pub(crate) fn rows(input: &'a [f32], width: usize) -> Self {
        let shape = Shape {
            batch: input.len() / width.max(1),
            height: 1,
            width: 1,
            channels: width,
        };
        Self::new(input, shape, Window::POINT, 1)
    }

    /// With neither padding nor dilation along the width, the taps of a row are side by side.
    pub(crate) fn takes_whole_rows(window: &Window, groups: usize) -> bool {
        groups == 1 && window.padding[1] == 0 && (window.dilation[1] == 1 || window.kernel[1] == 1)
    }

    /// Places in all images of the batch.
    pub(super) fn count(&self) -> usize {
        self.shape.batch * self.out[0] * self.out[1]
    }

    /// Runs a window.
    pub(super) fn runs(&self) -> usize {
        let [height, width] = self.window.kernel;
        if self.whole_rows {
            height
        } else {
            height * width
        }
    }

    /// Elements a run.
    pub(super) fn run_length(&self) -> usize {
        self.zeros.len()
    }

    /// Elements of the input that one place brings into the cache for the first time, about.
    pub(super) fn fresh_elements(&self) -> usize {
        let per_pixel = self.shape.channels / self.groups;
        let [down, across] =
            [0, 1].map(|axis| self.window.stride[axis].min(self.window.kernel[axis]));
        per_pixel * down * across
    }

    /// Whether neighbouring places are so far apart that the same elements of all of them share
    /// one set of a first-level cache, which holds 8 lines (sets repeat every 4 KiB).
    pub(super) fn collide(&self) -> bool {
        let apart = self.shape.channels * self.window.stride[1] * size_of::<f32>();
        self.run_length() >= 64 && apart.is_multiple_of(4096)
    }

    /// The runs of the window at place `row`, in the order of the weights.
    pub(super) fn runs_at(&self, row: usize, group: usize) -> impl Iterator<Item = &[f32]> {
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

/// A copy with `padding` columns of zeros on either side of each row.
///
/// # Errors
/// There is no memory for it.
pub(crate) fn pad_width(
    input: &[f32],
    shape: Shape,
    padding: usize,
) -> Result<(Vec<f32>, Shape), TryReserveError> {
    let padded = Shape {
        width: shape.width + 2 * padding,
        ..shape
    };
    let mut copy = chunks::zeros(padded.len())?;
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
