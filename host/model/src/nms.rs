//! Non-maximum suppression: of boxes that overlap too much, the most confident one remains.
//!
//! Greedy, with the results of `torchvision.ops.nms` and `batched_nms`: boxes in the order of
//! their confidence, equal ones in the order in which they are given; a box goes where its
//! intersection over union with one that remains is larger than the threshold.

use std::collections::HashMap;

/// The boxes `[left, top, right, bottom]` that remain, most confident first, at most `most`.
///
/// `groups` has the number of each box's group (its class): boxes of different groups do not
/// suppress each other. Without it, all do. A confidence that is missing is 0.
#[must_use]
pub fn suppress(
    edges: &[[f32; 4]],
    confidences: &[f32],
    groups: Option<&[u32]>,
    threshold: f32,
    most: usize,
) -> Vec<usize> {
    let group = |index: usize| groups.and_then(|groups| groups.get(index));
    let mut kept = Vec::new();
    // What remains, by group: only these are compared with.
    let mut remaining: HashMap<Option<&u32>, Vec<([f32; 4], f32)>> = HashMap::new();
    for index in by_confidence(confidences, edges.len()) {
        if kept.len() >= most {
            break;
        }
        let Some(&edges) = edges.get(index) else {
            continue;
        };
        let candidate = (edges, area(edges));
        let rivals = remaining.entry(group(index)).or_default();
        if !rivals
            .iter()
            .any(|&rival| overlap(rival, candidate) > threshold)
        {
            rivals.push(candidate);
            kept.push(index);
        }
    }
    kept
}

/// The most rotated boxes that are compared, the most confident ones: each is compared with all
/// that are more confident.
const MAX_ROTATED: usize = 8192;

/// The boxes `([left, top, right, bottom], angle in radians)`, rotated around their centers, that
/// remain, as [`suppress`] has it; `groups` too.
///
/// They are compared as Gaussian distributions (arXiv 2106.06072), and a box also goes because of
/// one that goes itself (Fast NMS, arXiv 1904.02689), as Ultralytics does it.
#[must_use]
pub fn suppress_rotated(
    boxes: &[([f32; 4], f32)],
    confidences: &[f32],
    groups: Option<&[u32]>,
    threshold: f32,
    most: usize,
) -> Vec<usize> {
    let group = |index: usize| groups.and_then(|groups| groups.get(index));
    let mut kept = Vec::new();
    let mut before: HashMap<Option<&u32>, Vec<Gaussian>> = HashMap::new();
    let order = by_confidence(confidences, boxes.len());
    for index in order.into_iter().take(MAX_ROTATED) {
        if kept.len() >= most {
            break;
        }
        let Some(&(edges, angle)) = boxes.get(index) else {
            continue;
        };
        let candidate = Gaussian::new(edges, angle);
        let rivals = before.entry(group(index)).or_default();
        if !rivals
            .iter()
            .any(|rival| rival.overlap(&candidate) > threshold)
        {
            kept.push(index);
        }
        rivals.push(candidate);
    }
    kept
}

/// The numbers `0..count`, by confidence: the largest first, equal ones in their order.
#[must_use]
pub fn by_confidence(confidences: &[f32], count: usize) -> Vec<usize> {
    let confidence = |index: usize| confidences.get(index).copied().unwrap_or_default();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| confidence(b).total_cmp(&confidence(a)));
    order
}

fn area([left, top, right, bottom]: [f32; 4]) -> f32 {
    (right - left) * (bottom - top)
}

/// The intersection over union of two boxes, each with its area; not a number where both have
/// none.
fn overlap((a, area_a): ([f32; 4], f32), (b, area_b): ([f32; 4], f32)) -> f32 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let both = width * height;
    both / (area_a + area_b - both)
}

/// A rotated box as a normal distribution: its middle and its covariances.
struct Gaussian {
    x: f32,
    y: f32,
    a: f32,
    b: f32,
    c: f32,
}

impl Gaussian {
    fn new([left, top, right, bottom]: [f32; 4], angle: f32) -> Self {
        let (width, height) = (right - left, bottom - top);
        let (along, across) = (width * width / 12.0, height * height / 12.0);
        let (sin, cos) = angle.sin_cos();
        Self {
            x: left.midpoint(right),
            y: top.midpoint(bottom),
            a: along * cos * cos + across * sin * sin,
            b: along * sin * sin + across * cos * cos,
            c: (along - across) * cos * sin,
        }
    }

    /// One minus the Hellinger distance of two distributions.
    fn overlap(&self, other: &Self) -> f32 {
        const EPS: f32 = 1e-7;
        let (a, b, c) = (self.a + other.a, self.b + other.b, self.c + other.c);
        let (dx, dy) = (self.x - other.x, self.y - other.y);
        let spread = a * b - c * c;
        let near = (a * dy * dy + b * dx * dx) / (spread + EPS) * 0.25;
        let skew = c * -dx * dy / (spread + EPS) * 0.5;
        let own = |of: &Self| (of.a * of.b - of.c * of.c).max(0.0);
        let size = (spread / (4.0 * (own(self) * own(other)).sqrt() + EPS) + EPS).ln() * 0.5;
        let distance = (near + skew + size).clamp(EPS, 100.0);
        1.0 - (1.0 - (-distance).exp() + EPS).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [[f32; 4]; 4] = [
        [0.0, 0.0, 10.0, 10.0],
        [0.0, 0.0, 10.0, 9.0],
        [20.0, 20.0, 30.0, 30.0],
        [0.0, 0.0, 5.0, 10.0],
    ];

    #[test]
    fn most_confident_of_overlapping_boxes_remains() {
        let confidences = [0.5, 0.9, 0.1, 0.4];
        let kept = |threshold| suppress(&EDGES, &confidences, None, threshold, 10);
        assert_eq!(kept(0.5), [1, 3, 2]);
        // The overlap of the second and the fourth is 45 of 95.
        assert_eq!(kept(0.4), [1, 2]);
        assert_eq!(kept(0.95), [1, 0, 3, 2]);
        assert_eq!(suppress(&EDGES, &confidences, None, 0.95, 2), [1, 0]);
        assert!(suppress(&EDGES, &confidences, None, 0.5, 0).is_empty());
    }

    #[test]
    fn box_at_the_threshold_remains() {
        // 50 of 100.
        let edges = [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 5.0, 10.0]];
        assert_eq!(suppress(&edges, &[0.9, 0.8], None, 0.5, 10), [0, 1]);
        assert_eq!(suppress(&edges, &[0.9, 0.8], None, 0.49, 10), [0]);
    }

    #[test]
    fn classes_do_not_suppress_each_other() {
        let groups = [0, 1, 0, 0];
        let kept = suppress(&EDGES, &[0.5, 0.9, 0.1, 0.4], Some(&groups), 0.4, 10);
        assert_eq!(kept, [1, 0, 2]);
    }

    #[test]
    fn equal_confidences_stay_in_their_order() {
        let kept = suppress(&EDGES, &[0.5; 4], None, 0.95, 10);
        assert_eq!(kept, [0, 1, 2, 3]);
    }

    #[test]
    fn boxes_without_area_remain() {
        let edges = [[1.0, 1.0, 1.0, 1.0]; 2];
        assert_eq!(suppress(&edges, &[0.5, 0.4], None, 0.5, 10), [0, 1]);
    }

    #[test]
    fn rotated_boxes_are_compared_by_their_angles() {
        let long = [0.0, 4.0, 10.0, 6.0];
        let quarter = std::f32::consts::FRAC_PI_2;
        let boxes = [(long, 0.0), (long, quarter), (long, 0.01)];
        let kept = suppress_rotated(&boxes, &[0.9, 0.8, 0.7], None, 0.7, 10);
        assert_eq!(kept, [0, 1]);
    }
}
