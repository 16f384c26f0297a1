//! Boxes that networks move: anchors, and what torchvision makes of them.

/// The most that the logarithm of a box's size changes.
const MOST_LOG: f32 = 4.135_166_6;

/// Anchors around the middle of a place, for the sides and the ratios of height to width of a
/// feature map, rounded as torchvision does.
#[allow(clippy::cast_precision_loss, reason = "sides of a few hundred pixels")]
pub(super) fn around(sides: &[f32], ratios: &[f32]) -> Vec<[f32; 4]> {
    let mut anchors = Vec::with_capacity(sides.len() * ratios.len());
    for ratio in ratios {
        let tall = ratio.sqrt();
        let wide = 1.0 / tall;
        for side in sides {
            let [width, height] = [wide * side, tall * side];
            let edges = [-width, -height, width, height];
            anchors.push(edges.map(|edge| (edge / 2.0).round_ties_even()));
        }
    }
    anchors
}

/// A box that was moved by a network's four numbers, each divided by its weight: the middle by
/// multiples of the sides, the sides by exponentials.
pub(super) fn moved(
    [left, top, right, bottom]: [f32; 4],
    by: [f32; 4],
    weights: [f32; 4],
) -> [f32; 4] {
    let (width, height) = (right - left, bottom - top);
    let (x, y) = (left + 0.5 * width, top + 0.5 * height);
    let [across, down, wider, taller] = by;
    let [of_across, of_down, of_wider, of_taller] = weights;
    let x = across / of_across * width + x;
    let y = down / of_down * height + y;
    let width = (wider / of_wider).min(MOST_LOG).exp() * width;
    let height = (taller / of_taller).min(MOST_LOG).exp() * height;
    let (half_width, half_height) = (0.5 * width, 0.5 * height);
    [
        x - half_width,
        y - half_height,
        x + half_width,
        y + half_height,
    ]
}

/// The part of a box that is on an image of `[height, width]` pixels.
#[allow(clippy::cast_precision_loss, reason = "sides of images")]
pub(super) fn clipped(
    [left, top, right, bottom]: [f32; 4],
    [height, width]: [usize; 2],
) -> [f32; 4] {
    let (height, width) = (height as f32, width as f32);
    [
        left.clamp(0.0, width),
        top.clamp(0.0, height),
        right.clamp(0.0, width),
        bottom.clamp(0.0, height),
    ]
}

/// Whether both sides of a box have at least this length.
pub(super) fn at_least([left, top, right, bottom]: [f32; 4], side: f32) -> bool {
    right - left >= side && bottom - top >= side
}

/// The anchors of a feature map of these rows and columns, row by row: those around each place.
pub(super) struct AnchorGrid<'a> {
    pub(super) around: &'a [[f32; 4]],
    pub(super) columns: usize,
    /// Pixels of the image per row and column.
    pub(super) stride: [usize; 2],
}

impl AnchorGrid<'_> {
    /// The anchor of a number.
    #[allow(clippy::cast_precision_loss, reason = "positions of pixels")]
    pub(super) fn get(&self, index: usize) -> Option<[f32; 4]> {
        let count = self.around.len().max(1);
        let (place, [down, across]) = (index / count, self.stride);
        let [left, top, right, bottom] = *self.around.get(index % count)?;
        let columns = self.columns.max(1);
        let (x, y) = (
            (place % columns * across) as f32,
            (place / columns * down) as f32,
        );
        Some([left + x, top + y, right + x, bottom + y])
    }
}

/// The numbers of the `most` largest scores of those above a threshold, the largest first.
pub(super) fn largest(
    scores: impl Iterator<Item = f32>,
    threshold: f32,
    most: usize,
) -> Vec<(usize, f32)> {
    let above = |(_, score): &(usize, f32)| !score.is_nan() && *score > threshold;
    let mut found: Vec<_> = scores.enumerate().filter(above).collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.truncate(most);
    found
}

/// Whether all values are numbers.
pub(super) fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

pub(super) fn sigmoid(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_match_torchvision() {
        // AnchorGenerator.generate_anchors((32,), (0.5, 1.0, 2.0))
        let want = [
            [-23.0, -11.0, 23.0, 11.0],
            [-16.0, -16.0, 16.0, 16.0],
            [-11.0, -23.0, 11.0, 23.0],
        ];
        let found = around(&[32.0], &[0.5, 1.0, 2.0]);
        assert_eq!(found, want);
        let grid = AnchorGrid {
            around: &found,
            columns: 2,
            stride: [8, 16],
        };
        // The second place of the second row.
        assert_eq!(grid.get(3 * 3 + 1), Some([0.0, -8.0, 32.0, 24.0]));
    }

    #[test]
    fn boxes_are_moved_and_cut() {
        let zero = moved([0.0, 0.0, 10.0, 20.0], [0.0; 4], [1.0; 4]);
        assert_eq!(zero, [0.0, 0.0, 10.0, 20.0]);
        let doubled = moved(
            [0.0, 0.0, 10.0, 20.0],
            [1.0, -0.5, 2f32.ln(), 100.0],
            [1.0; 4],
        );
        assert!((doubled[0] - 5.0).abs() < 1e-4 && (doubled[2] - 25.0).abs() < 1e-4);
        // Not more than 1000 / 16 times as large.
        assert!((doubled[3] - doubled[1] - 20.0 * 62.5).abs() < 0.1);
        assert_eq!(
            clipped([-5.0, 3.0, 50.0, 9.0], [8, 40]),
            [0.0, 3.0, 40.0, 8.0]
        );
        assert!(at_least([0.0, 0.0, 1.0, 2.0], 1.0) && !at_least([0.0, 0.0, 0.5, 2.0], 1.0));
    }

    #[test]
    fn largest_scores_come_first() {
        let scores = [0.1, f32::NAN, 0.9, 0.5, 0.9];
        assert_eq!(largest(scores.into_iter(), 0.2, 2), [(2, 0.9), (4, 0.9)]);
    }
}
