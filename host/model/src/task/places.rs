//! From places of the network's input to those of the original image.

use super::DecodeError;
use crate::geometry::{Size, Transform};
use crate::output::{Map, Output, OutputKind};
use crate::sample::Origin;

/// How the sample became the network's input.
pub(super) fn transform(origin: &Origin) -> Result<Transform, DecodeError> {
    origin.transform.ok_or(DecodeError::NoImage)
}

/// The map of an output.
pub(super) fn map(output: Output) -> Result<Map, DecodeError> {
    let found = output.kind();
    let Output::Map(map) = output else {
        let wanted = OutputKind::Map;
        return Err(DecodeError::WrongOutput { wanted, found });
    };
    Ok(map)
}

/// The height and the width of a map.
pub(super) fn sides(map: &Map) -> [usize; 2] {
    let [_, height, width] = map.shape();
    [height, width]
}

/// The values of a map, `[height, width, channels]`.
pub(super) fn channels_last(map: &Map) -> Vec<f32> {
    let [channels, height, width] = map.shape();
    let mut values = vec![0.0; map.values().len()];
    let area = height.saturating_mul(width).max(1);
    for (channel, from) in map.values().chunks_exact(area).enumerate() {
        let places = values.chunks_exact_mut(channels.max(1));
        for (place, value) in places.zip(from) {
            if let Some(place) = place.get_mut(channel) {
                *place = *value;
            }
        }
    }
    values
}

/// A rectangle of pixels of the original image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Region {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) size: Size,
}

impl Region {
    /// All of an image.
    pub(super) fn whole(size: Size) -> Self {
        Self {
            left: 0,
            top: 0,
            size,
        }
    }

    /// The pixels of a box `[left, top, width, height]` that is relative to an image and lies in
    /// it, its edges rounded to whole pixels; at least one pixel.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    pub(super) fn of_box([left, top, width, height]: [f64; 4], image: Size) -> Self {
        let span = |start: f64, length: f64, side: u32| {
            let edge = |at: f64| (at * f64::from(side)).round_ties_even() as u32;
            let first = edge(start).min(side.saturating_sub(1));
            let end = edge(start + length).clamp(first + 1, side.max(first + 1));
            (first, end - first)
        };
        let (left, width) = span(left, width, image.width);
        let (top, height) = span(top, height, image.height);
        Self {
            left,
            top,
            size: Size { height, width },
        }
    }
}

/// Between which two places of one axis of a map a value lies, and how near to the second one.
#[derive(Clone, Copy, Debug)]
struct Tap {
    first: usize,
    second: usize,
    part: f32,
}

/// Where pixels of the original image lie in a map that covers the network's input.
pub(super) struct Sampler {
    /// One per column of the result; none where the pixel is not in the input.
    columns: Vec<Option<Tap>>,
    rows: Vec<Option<Tap>>,
    /// The columns of the map.
    width: usize,
}

impl Sampler {
    /// The pixels of a part of the original image, in a map of a shape `[height, width]`.
    pub(super) fn new(transform: &Transform, region: Region, [height, width]: [usize; 2]) -> Self {
        Self::scaled(transform, (region, transform.original()), [height, width])
    }

    /// As [`new`](Self::new), for a region of the image after it is resized to `size`.
    pub(super) fn scaled(
        transform: &Transform,
        (region, size): (Region, Size),
        [height, width]: [usize; 2],
    ) -> Self {
        let (original, input) = (transform.original(), transform.input());
        let ratio = |of: u32, to: u32| f64::from(of) / f64::from(to.max(1));
        let across = ratio(original.width, size.width);
        let down = ratio(original.height, size.height);
        let column = |x: u32| {
            let at = (f64::from(region.left + x) + 0.5) * across;
            tap(transform.point_to_input([at, 0.0])[0], input.width, width)
        };
        let row = |y: u32| {
            let at = (f64::from(region.top + y) + 0.5) * down;
            tap(transform.point_to_input([0.0, at])[1], input.height, height)
        };
        Self {
            columns: (0..region.size.width).map(column).collect(),
            rows: (0..region.size.height).map(row).collect(),
            width,
        }
    }

    /// The rows of the result, each where it lies in the map.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|&row| Row { sampler: self, row })
    }
}

/// One row of a [`Sampler`]'s result.
pub(super) struct Row<'a> {
    sampler: &'a Sampler,
    row: Option<Tap>,
}

impl Row<'_> {
    /// Writes the row's values, interpolated between those of `channel`; pixels that are not in
    /// the network's input have the value `outside`.
    pub(super) fn sample(&self, channel: &[f32], outside: f32, into: &mut [f32]) {
        let Some(row) = self.row else {
            into.fill(outside);
            return;
        };
        let width = self.sampler.width;
        let line = |row: usize| {
            let start = row.saturating_mul(width);
            channel
                .get(start..start.saturating_add(width))
                .unwrap_or_default()
        };
        let (above, below) = (line(row.first), line(row.second));
        let at = |line: &[f32], place: usize| line.get(place).copied().unwrap_or(outside);
        for (value, column) in into.iter_mut().zip(&self.sampler.columns) {
            *value = column.map_or(outside, |column| {
                let between = |line: &[f32]| {
                    let (first, second) = (at(line, column.first), at(line, column.second));
                    first + (second - first) * column.part
                };
                let (upper, lower) = (between(above), between(below));
                upper + (lower - upper) * row.part
            });
        }
    }

    /// Tells `each` the values of all channels of a map, `[height, width, channels]`, at each pixel
    /// of the row; none where it is not in the network's input. `line` is memory that rows share.
    pub(super) fn pixels(
        &self,
        values: &[f32],
        channels: usize,
        line: &mut Vec<f32>,
        mut each: impl FnMut(Option<&[f32]>),
    ) {
        let Some(row) = self.row else {
            self.sampler.columns.iter().for_each(|_| each(None));
            return;
        };
        let length = self.sampler.width.saturating_mul(channels);
        let part = |from: &[f32], at: usize, length: usize| {
            let start = at.saturating_mul(length);
            start..start.saturating_add(length).min(from.len())
        };
        let of = |at: usize| values.get(part(values, at, length)).unwrap_or_default();
        line.clear();
        let pairs = of(row.first).iter().zip(of(row.second));
        line.extend(pairs.map(|(upper, lower)| upper + (lower - upper) * row.part));
        let mut pixel = vec![0.0; channels];
        for column in &self.sampler.columns {
            let Some(column) = column else {
                each(None);
                continue;
            };
            let of = |at: usize| line.get(part(line, at, channels)).unwrap_or_default();
            let pairs = of(column.first).iter().zip(of(column.second));
            for (value, (left, right)) in pixel.iter_mut().zip(pairs) {
                *value = left + (right - left) * column.part;
            }
            each(Some(&pixel));
        }
    }
}

/// Where a place of an input of a length lies in a map of another, as PyTorch's `interpolate` has
/// it with `align_corners=False`; none where it is outside of the input.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "lengths are those of images"
)]
fn tap(at: f64, input: u32, map: usize) -> Option<Tap> {
    if map == 0 || !(0.0..=f64::from(input)).contains(&at) {
        return None;
    }
    let last = map - 1;
    let place = (at * map as f64 / f64::from(input) - 0.5).clamp(0.0, last as f64);
    let first = place.floor();
    Some(Tap {
        first: first as usize,
        second: (first as usize + 1).min(last),
        part: (place - first) as f32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    #[test]
    fn region_has_at_least_one_pixel_inside_the_image() {
        let region = |edges| Region::of_box(edges, size(10, 20));
        let all = region([0.0, 0.0, 1.0, 1.0]);
        assert_eq!(all, Region::whole(size(10, 20)));
        let one = region([0.999, 0.999, 0.001, 0.001]);
        assert_eq!((one.left, one.top, one.size), (19, 9, size(1, 1)));
        let part = region([0.26, 0.5, 0.25, 0.26]);
        assert_eq!((part.left, part.top, part.size), (5, 5, size(3, 5)));
    }

    #[test]
    fn values_lie_between_those_of_the_map() {
        // 2x4 pixels, of which the map has half as many along each axis.
        let transform = Transform::identity(size(2, 4));
        let sampler = Sampler::new(&transform, Region::whole(size(2, 4)), [1, 2]);
        let mut row = [0.0; 4];
        for line in sampler.rows() {
            line.sample(&[1.0, 3.0], -1.0, &mut row);
            assert_eq!(row, [1.0, 1.5, 2.5, 3.0]);
        }
    }

    #[test]
    fn what_was_cut_off_has_no_value() {
        let transform = Transform::identity(size(2, 4)).center_cut(size(2, 2));
        let sampler = Sampler::new(&transform, Region::whole(size(2, 4)), [2, 2]);
        let mut row = [0.0; 4];
        let line = sampler.rows().next().unwrap();
        line.sample(&[1.0, 3.0, 5.0, 7.0], -1.0, &mut row);
        assert_eq!(row, [-1.0, 1.0, 3.0, -1.0]);
        let (mut line, mut seen) = (Vec::new(), Vec::new());
        let row = sampler.rows().next().unwrap();
        row.pixels(&[1.0, 3.0, 5.0, 7.0], 1, &mut line, |pixel| {
            seen.push(pixel.map(<[f32]>::to_vec));
        });
        assert_eq!(seen, [None, Some(vec![1.0]), Some(vec![3.0]), None]);
    }
}
