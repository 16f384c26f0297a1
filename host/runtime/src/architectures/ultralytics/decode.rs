//! From the numbers of a head to boxes in pixels.

use std::f32::consts::PI;

use modelzoo_model::nms::by_confidence;
use modelzoo_model::output::{Boxes, OutputError, Points};

/// Candidates below this confidence are left out, as Ultralytics' validation does.
const MIN_CONFIDENCE: f32 = 0.001;
/// The most objects of a head that gives one box per object.
const MAX_OBJECTS: usize = 300;

/// What a head gives of each box besides its class.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extra {
    None,
    /// The factors of prototypes.
    Masks,
    /// An angle: in radians, or (of older heads) a logit.
    Angle {
        is_direct: bool,
    },
    /// So many points, each of so many numbers.
    Points {
        count: usize,
        numbers: usize,
        /// Whether places are relative to the middle of their cell; to its corner, and twice as
        /// large, in older heads.
        is_direct: bool,
    },
}

/// Reads the numbers of one image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Decoder {
    classes: usize,
    /// The places of the distribution of each side's distance; 1 where it is the distance itself.
    places: usize,
    /// The numbers that follow those of the classes.
    more: usize,
    extra: Extra,
    /// Whether there is one box per object.
    end2end: bool,
}

/// One candidate.
struct Candidate<'a> {
    /// The numbers of the box.
    sides: &'a [f32],
    /// The logits of the classes.
    logits: &'a [f32],
    more: &'a [f32],
    cell: [f32; 3],
}

impl Decoder {
    /// Of a head whose box branch gives `sides` numbers.
    pub(super) fn new(
        classes: usize,
        sides: usize,
        more: usize,
        extra: Extra,
        end2end: bool,
    ) -> Result<Self, &'static str> {
        if sides == 0 || !sides.is_multiple_of(4) {
            return Err("has boxes that do not have four sides");
        }
        let fits = match extra {
            Extra::None => more == 0,
            Extra::Masks => more > 0,
            Extra::Angle { .. } => more == 1,
            Extra::Points { count, numbers, .. } => more == count * numbers,
        };
        if !fits {
            return Err("gives other numbers per box than the module has");
        }
        Ok(Self {
            classes,
            places: sides / 4,
            more,
            extra,
            end2end,
        })
    }

    pub(super) fn classes(self) -> usize {
        self.classes
    }

    pub(super) fn more(self) -> usize {
        self.more
    }

    /// The middle of each cell of feature maps of these sizes, in cells, and the pixels of a cell's
    /// side, which are a power of two.
    #[allow(clippy::cast_precision_loss, reason = "numbers of cells and pixels")]
    pub(super) fn grid([height, _]: [usize; 2], sizes: &[[usize; 2]]) -> Vec<[f32; 3]> {
        let mut cells = Vec::new();
        for &[rows, columns] in sizes {
            let stride = height.div_ceil(rows.max(1)).next_power_of_two() as f32;
            for row in 0..rows {
                for column in 0..columns {
                    cells.push([column as f32 + 0.5, row as f32 + 0.5, stride]);
                }
            }
        }
        cells
    }

    /// The boxes of an image, and the factors of their masks, if there are any. `rows` has the
    /// numbers of each cell of the grid.
    pub(super) fn decode(
        self,
        rows: &[f32],
        grid: &[[f32; 3]],
    ) -> Result<(Boxes, Vec<f32>), OutputError> {
        let numbers = 4 * self.places + self.classes + self.more;
        let cells = rows.chunks_exact(numbers.max(1)).zip(grid);
        let candidates = cells.filter_map(|(row, cell)| self.split(row, *cell));
        let candidates: Vec<Candidate<'_>> = candidates.collect();
        // What is not a number would be less than anything, and be lost.
        if rows.iter().any(|value| !value.is_finite()) {
            return Err(OutputError::NotFinite);
        }
        let chosen = match self.end2end {
            true => best_pairs(&candidates),
            false => best_classes(&candidates),
        };
        let mut found = Found::default();
        for (index, class, confidence) in chosen {
            if let Some(candidate) = candidates.get(index) {
                found.confidences.push(confidence);
                found.classes.push(class);
                self.add(candidate, &mut found);
            }
        }
        self.finish(found)
    }

    /// The numbers of a cell.
    fn split(self, row: &[f32], cell: [f32; 3]) -> Option<Candidate<'_>> {
        let (sides, rest) = row.split_at_checked(4 * self.places)?;
        let (logits, more) = rest.split_at_checked(self.classes)?;
        Some(Candidate {
            sides,
            logits,
            more,
            cell,
        })
    }

    /// Adds the box of a candidate, and what there is of it.
    fn add(self, candidate: &Candidate<'_>, found: &mut Found) {
        let [x, y, stride] = candidate.cell;
        let distances = self.distances(candidate.sides);
        let [left, top, right, bottom] = distances;
        match self.extra {
            Extra::None => {}
            Extra::Masks => found.factors.extend_from_slice(candidate.more),
            Extra::Angle { is_direct } => {
                let number = candidate.more.first().copied().unwrap_or_default();
                let angle = match is_direct {
                    true => number,
                    false => (sigmoid(number) - 0.25) * PI,
                };
                let (sin, cos) = angle.sin_cos();
                let (along, across) = ((right - left) / 2.0, (bottom - top) / 2.0);
                let middle = [
                    x + along * cos - across * sin,
                    y + along * sin + across * cos,
                ];
                let (width, height) = ((left + right) / 2.0, (top + bottom) / 2.0);
                let [x, y] = middle;
                found.angles.push(angle);
                found
                    .edges
                    .push([x - width, y - height, x + width, y + height].map(|edge| edge * stride));
                return;
            }
            Extra::Points {
                numbers, is_direct, ..
            } => {
                for point in candidate.more.chunks_exact(numbers.max(1)) {
                    let [across, down, ..] = *point else { continue };
                    let place = |number: f32, middle: f32| match is_direct {
                        true => (number + middle) * stride,
                        false => (number * 2.0 + (middle - 0.5)) * stride,
                    };
                    found.points.push([place(across, x), place(down, y)]);
                    let seen = point.get(2).copied().map_or(1.0, sigmoid);
                    found.seen.push(seen);
                }
            }
        }
        let edges = [x - left, y - top, x + right, y + bottom];
        found.edges.push(edges.map(|edge| edge * stride));
    }

    /// The distances of a box's sides from the middle of its cell, in cells: the means of their
    /// distributions (arXiv 2006.04388).
    #[allow(clippy::cast_precision_loss, reason = "a few places")]
    fn distances(self, sides: &[f32]) -> [f32; 4] {
        let mut means = [0.0; 4];
        for (mean, side) in means.iter_mut().zip(sides.chunks_exact(self.places.max(1))) {
            if let [distance] = side {
                *mean = *distance;
                continue;
            }
            let largest = side.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let (mut sum, mut weighted) = (0.0, 0.0);
            for (place, value) in side.iter().enumerate() {
                let weight = (value - largest).exp();
                sum += weight;
                weighted += weight * place as f32;
            }
            *mean = weighted / sum;
        }
        means
    }

    fn finish(self, found: Found) -> Result<(Boxes, Vec<f32>), OutputError> {
        let boxes = Boxes::new(found.edges, found.confidences, found.classes)?;
        let boxes = match self.extra {
            Extra::None | Extra::Masks => boxes,
            Extra::Angle { .. } => boxes.with_angles(found.angles)?,
            Extra::Points { count, .. } => {
                boxes.with_points(Points::new(count, found.points, found.seen)?)?
            }
        };
        Ok((boxes, found.factors))
    }
}

/// What was decoded.
#[derive(Default)]
struct Found {
    edges: Vec<[f32; 4]>,
    confidences: Vec<f32>,
    classes: Vec<u32>,
    factors: Vec<f32>,
    angles: Vec<f32>,
    points: Vec<[f32; 2]>,
    /// The confidence of each point.
    seen: Vec<f32>,
}

/// The number of the largest logit, the first of several, and its value.
fn largest(logits: &[f32]) -> (u32, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &logit) in (0..).zip(logits) {
        if logit > best.1 {
            best = (class, logit);
        }
    }
    best
}

/// The best class of each candidate that is confident enough: the candidate, the class, and the
/// confidence.
fn best_classes(candidates: &[Candidate<'_>]) -> Vec<(usize, u32, f32)> {
    let each = candidates.iter().enumerate().map(|(index, candidate)| {
        let (class, logit) = largest(candidate.logits);
        (index, class, sigmoid(logit))
    });
    each.filter(|(.., confidence)| *confidence >= MIN_CONFIDENCE)
        .collect()
}

/// The pairs of a candidate and a class with the largest confidences, among the candidates whose
/// best classes have the largest; of each so many at most.
fn best_pairs(candidates: &[Candidate<'_>]) -> Vec<(usize, u32, f32)> {
    let best: Vec<f32> = candidates.iter().map(|own| largest(own.logits).1).collect();
    let first: Vec<usize> = by_confidence(&best, best.len())
        .into_iter()
        .take(MAX_OBJECTS)
        .collect();
    let pairs = first.into_iter().flat_map(|index| {
        let logits = candidates.get(index).map_or(&[][..], |own| own.logits);
        (0..)
            .zip(logits)
            .map(move |(class, &logit)| (index, class, logit))
    });
    let pairs: Vec<(usize, u32, f32)> = pairs.collect();
    let logits: Vec<f32> = pairs.iter().map(|(.., logit)| *logit).collect();
    let order = by_confidence(&logits, logits.len())
        .into_iter()
        .take(MAX_OBJECTS);
    let pair = |at: usize| {
        pairs
            .get(at)
            .map(|&(index, class, logit)| (index, class, sigmoid(logit)))
    };
    order.filter_map(pair).collect()
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder(places: usize, extra: Extra, more: usize, end2end: bool) -> Decoder {
        Decoder::new(2, 4 * places, more, extra, end2end).unwrap()
    }

    #[test]
    fn cells_have_the_pixels_of_a_power_of_two() {
        let grid = Decoder::grid([64, 32], &[[8, 4], [2, 1]]);
        assert_eq!(grid.len(), 34);
        assert_eq!(grid.first(), Some(&[0.5, 0.5, 8.0]));
        assert_eq!(grid.last(), Some(&[0.5, 1.5, 32.0]));
        // Rows that a stride of 32 does not divide.
        let grid = Decoder::grid([33, 33], &[[2, 2]]);
        assert_eq!(grid.first(), Some(&[0.5, 0.5, 32.0]));
    }

    #[test]
    fn sides_are_the_means_of_their_distributions() {
        let decoder = decoder(3, Extra::None, 0, false);
        let sides = [0.0, 0.0, 0.0, 9e3, 0.0, 0.0, 0.0, 9e3, 0.0, 0.0, 0.0, 9e3];
        assert_eq!(decoder.distances(&sides), [1.0, 0.0, 1.0, 2.0]);
        let rows = [&sides[..], &[0.0, 2.0]].concat();
        let (boxes, _) = decoder.decode(&rows, &[[1.5, 2.5, 8.0]]).unwrap();
        assert_eq!(boxes.edges(), [[4.0, 20.0, 20.0, 36.0]]);
        assert_eq!(boxes.classes(), [1]);
        assert_eq!(boxes.confidences(), [sigmoid(2.0)]);
    }

    #[test]
    fn heads_without_nms_may_give_a_box_two_classes() {
        let decoder = decoder(1, Extra::None, 0, true);
        let rows = [0.0, 0.0, 1.0, 1.0, 3.0, 2.0, 0.0, 0.0, 1.0, 1.0, -9.0, -8.0];
        let grid = [[0.5, 0.5, 8.0], [1.5, 0.5, 8.0]];
        let (boxes, _) = decoder.decode(&rows, &grid).unwrap();
        assert_eq!(boxes.classes(), [0, 1, 1, 0]);
        assert_eq!(boxes.edges().first(), boxes.edges().get(1));
    }

    #[test]
    fn turned_boxes_are_moved_along_their_own_axes() {
        let decoder = decoder(1, Extra::Angle { is_direct: false }, 1, false);
        // An angle of a quarter turn: sigmoid(ln 3) is three quarters.
        let rows = [0.0, 0.0, 2.0, 4.0, 5.0, 0.0, 3_f32.ln()];
        let (boxes, _) = decoder.decode(&rows, &[[0.5, 0.5, 1.0]]).unwrap();
        let angle = boxes.angles().unwrap().first().copied().unwrap();
        assert!((angle - PI / 2.0).abs() < 1e-6, "{angle}");
        let edges = boxes.edges().first().copied().unwrap();
        for (edge, want) in edges.into_iter().zip([-2.5, -0.5, -0.5, 3.5]) {
            assert!((edge - want).abs() < 1e-5, "{edges:?}");
        }
    }

    #[test]
    fn numbers_that_are_none_are_an_error() {
        let decoder = decoder(1, Extra::None, 0, false);
        let rows = [0.0, 0.0, 1.0, 1.0, f32::NAN, 0.0];
        let error = decoder.decode(&rows, &[[0.5, 0.5, 8.0]]);
        assert_eq!(error.err(), Some(OutputError::NotFinite));
        assert!(Decoder::new(2, 6, 0, Extra::None, false).is_err());
        assert!(Decoder::new(2, 4, 1, Extra::None, false).is_err());
    }
}
