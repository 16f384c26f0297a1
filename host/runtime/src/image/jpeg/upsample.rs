//! From the samples of a component to a row of the image: libjpeg's "fancy" interpolation.

/// A component's samples: rows of `stride` bytes, of which `width` by `height` belong to the
/// image.
pub(super) struct Plane {
    pub(super) samples: Vec<u8>,
    pub(super) stride: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    /// How many columns and rows of the image a sample is for.
    pub(super) across: usize,
    pub(super) down: usize,
}

impl Plane {
    /// A row; the nearest one where there is none with this number.
    fn row(&self, y: isize) -> &[u8] {
        let y = y.clamp(0, self.height.max(1) as isize - 1) as usize;
        let start = y * self.stride;
        self.samples
            .get(start..start + self.width)
            .unwrap_or_default()
    }

    /// Writes the row `y` of the image.
    #[inline(always)]
    pub(super) fn upsample(&self, y: usize, sums: &mut Vec<i32>, line: &mut [u8]) {
        let near = (y / self.down) as isize;
        let other = match (self.down, y % 2) {
            (2, 0) => near - 1,
            _ => near + 1,
        };
        match (self.across, self.down) {
            (1, 1) => copy(self.row(near), line),
            (2, 1) if self.width > 2 => {
                fill(sums, self.row(near).iter().map(|&value| i32::from(value)));
                spread(sums, [1, 2], 2, line);
            }
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                let rows = self.row(near).iter().zip(self.row(other));
                for (to, (&near, &other)) in line.iter_mut().zip(rows) {
                    *to = ((i32::from(near) * 3 + i32::from(other) + bias) >> 2) as u8;
                }
            }
            (2, 2) if self.width > 2 => {
                let rows = self.row(near).iter().zip(self.row(other));
                fill(
                    sums,
                    rows.map(|(&near, &other)| i32::from(near) * 3 + i32::from(other)),
                );
                spread(sums, [8, 7], 4, line);
            }
            (each, _) => {
                let row = self.row(near);
                for (to, &value) in line.chunks_mut(each.max(1)).zip(row) {
                    to.fill(value);
                }
            }
        }
    }
}

#[inline(always)]
fn copy(row: &[u8], line: &mut [u8]) {
    let length = row.len().min(line.len());
    if let (Some(to), Some(from)) = (line.get_mut(..length), row.get(..length)) {
        to.copy_from_slice(from);
    }
}

/// Fills `sums` with values, and copies of the first and the last at its ends.
#[inline(always)]
fn fill(sums: &mut Vec<i32>, values: impl Iterator<Item = i32> + Clone) {
    sums.clear();
    sums.extend(values.clone().take(1));
    sums.extend(values);
    sums.extend_from_within(sums.len().saturating_sub(1)..);
}

/// Twice as many columns: three parts of the nearer value and one of the further. `values` has a
/// neighbour at each end; `bias` is what the left and the right half add before the shift.
#[inline(always)]
fn spread(values: &[i32], [left, right]: [i32; 2], shift: u32, line: &mut [u8]) {
    let count = values.len().saturating_sub(2);
    let part = |start: usize| values.get(start..start + count).unwrap_or_default();
    let (before, near, after) = (part(0), part(1), part(2));
    let mix = |near: i32, further: i32, bias: i32| ((near * 3 + further + bias) >> shift) as u8;
    let (pairs, rest) = line.as_chunks_mut::<2>();
    for (((pair, &before), &near), &after) in pairs.iter_mut().zip(before).zip(near).zip(after) {
        *pair = [mix(near, before, left), mix(near, after, right)];
    }
    if let ([to], Some(&before), Some(&near)) = (rest, before.last(), near.last()) {
        *to = mix(near, before, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(across: usize, down: usize) -> Plane {
        Plane {
            samples: vec![0, 100, 200, 9, 40, 80, 120, 9],
            stride: 4,
            width: 3,
            height: 2,
            across,
            down,
        }
    }

    fn row(plane: &Plane, y: usize, width: usize) -> Vec<u8> {
        let mut line = vec![0; width];
        plane.upsample(y, &mut Vec::new(), &mut line);
        line
    }

    #[test]
    fn neighbours_are_mixed_as_libjpeg_does() {
        assert_eq!(row(&plane(1, 1), 1, 3), [40, 80, 120]);
        assert_eq!(row(&plane(2, 1), 0, 5), [0, 25, 75, 125, 175]);
        assert_eq!(row(&plane(1, 2), 1, 3), [10, 95, 180]);
        assert_eq!(row(&plane(1, 2), 0, 3), [0, 100, 200]);
        assert_eq!(row(&plane(2, 2), 0, 6), [0, 25, 75, 125, 175, 200]);
        assert_eq!(row(&plane(2, 2), 1, 2), [10, 31]);
        assert_eq!(
            row(&plane(4, 1), 0, 9),
            [0, 0, 0, 0, 100, 100, 100, 100, 200]
        );
    }
}
