//! Boxes as distributions of the distances of their edges.

/// From the logits of a box's four distributions to distances and boxes.
#[derive(Clone, Debug)]
pub(super) struct Distances {
    /// The distance of each bin.
    values: Vec<f32>,
    scale: f32,
    /// The probabilities of each edge that tell how sure a box is.
    top: usize,
}

impl Distances {
    /// `bins` is even and at least 4: there are as many values and one more.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a few bins, and distances that are f32"
    )]
    pub(super) fn new(bins: usize, up: f32, scale: f32, top: usize) -> Self {
        let upper = f64::from(up.abs()) * f64::from(scale.abs());
        let step = (upper + 1.0).powf(2.0 / (bins as f64 - 2.0));
        let half = bins / 2;
        let power = |at: usize| step.powf(at as f64) - 1.0;
        let right: Vec<f64> = (1..half).map(power).chain([2.0 * upper]).collect();
        let left = right.iter().rev().map(|value| -value);
        let values = left.chain([0.0]).chain(right.iter().copied());
        Self {
            values: values.map(|value| value as f32).collect(),
            scale: scale.abs(),
            top,
        }
    }

    /// The logits of one query, `[4, bins + 1]`, whose distances are counted from the edges of a
    /// first box, in parts of its sides; the center, the width and the height that follow, relative
    /// to the image.
    pub(super) fn decode(&self, logits: &[f32], [x, y, width, height]: [f32; 4]) -> [f32; 4] {
        let mut distances = [0.0; 4];
        let edges = logits.chunks_exact(self.values.len().max(1));
        for (distance, logits) in distances.iter_mut().zip(edges) {
            let shares = softmax(logits);
            let pairs = shares.iter().zip(&self.values);
            *distance = pairs.map(|(share, value)| share * value).sum();
        }
        let [left, top, right, bottom] = distances.map(|distance| 0.5 * self.scale + distance);
        let (across, down) = (width / self.scale, height / self.scale);
        let (left, right) = (x - left * across, x + right * across);
        let (top, bottom) = (y - top * down, y + bottom * down);
        [
            left.midpoint(right),
            top.midpoint(bottom),
            right - left,
            bottom - top,
        ]
    }

    /// How sure the logits of one query are: of each edge its largest probabilities, and their mean.
    pub(super) fn sureness(&self, logits: &[f32]) -> Vec<f32> {
        let mut sureness = Vec::with_capacity(4 * (self.top + 1));
        for logits in logits.chunks_exact(self.values.len().max(1)) {
            let mut shares = softmax(logits);
            shares.sort_by(|a, b| b.total_cmp(a));
            shares.truncate(self.top);
            #[allow(clippy::cast_precision_loss, reason = "a few probabilities")]
            let mean = shares.iter().sum::<f32>() / shares.len().max(1) as f32;
            sureness.extend(shares);
            sureness.push(mean);
        }
        sureness
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_grow_to_both_sides() {
        let distances = Distances::new(6, 0.5, 4.0, 1);
        // step = 3 ** 0.5; 3 ** 0.5 - 1 and 3 - 1, and twice two at the ends.
        let want = [-4.0, -2.0, -0.732_05, 0.0, 0.732_05, 2.0, 4.0];
        for (got, want) in distances.values.iter().zip(want) {
            assert!((got - want).abs() < 1e-4, "{:?}", distances.values);
        }
        assert_eq!(distances.values.len(), 7);
    }

    #[test]
    fn distances_move_the_edges() {
        let distances = Distances::new(6, 0.5, 4.0, 2);
        // No distance at all, except two parts of eight at the right.
        let mut logits = vec![0.0; 4 * 7];
        let sure = |logits: &mut [f32], edge: usize, bin: usize| logits[edge * 7 + bin] = 100.0;
        for (edge, bin) in [(0, 3), (1, 3), (2, 5), (3, 3)] {
            sure(&mut logits, edge, bin);
        }
        let edges = distances.decode(&logits, [0.5, 0.5, 0.4, 0.2]);
        let want = [0.6, 0.5, 0.6, 0.2];
        for (got, want) in edges.iter().zip(want) {
            assert!((got - want).abs() < 1e-5, "{edges:?}");
        }
        let sureness = distances.sureness(&logits);
        assert_eq!(sureness.len(), 12);
        assert!((sureness[0] - 1.0).abs() < 1e-6);
        assert!((sureness[2] - 0.5).abs() < 1e-6);
    }
}
