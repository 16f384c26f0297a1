//! From the scores and boxes of queries to candidates.

use candle_core::Tensor;
use modelzoo_model::output::{Boxes, Output, OutputError, OutputKind};

use crate::architectures::shared::network::{ImageTower, Network};
use crate::error::Error;
use crate::layers::FeatureMap;
use crate::precision::full;
use crate::trace::Trace;

/// A network that looks for a number of objects, and gives a box for each.
pub(super) trait QueryTower: Send + Sync {
    fn candidates(&self, x: &FeatureMap, trace: &mut Trace<'_>) -> Result<Candidates, Error>;
}

/// The outputs of such a network.
struct Queries<T>(T);

impl<T: QueryTower> ImageTower for Queries<T> {
    /// `[batch, queries, classes + 4]`: the scores and the box of each query.
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error> {
        let Candidates { logits, boxes, .. } = self.0.candidates(&x, trace)?;
        Ok(Tensor::cat(&[full(&logits)?, full(&boxes)?], 2)?)
    }

    fn gives(&self) -> OutputKind {
        OutputKind::Boxes
    }

    fn outputs(&self, x: FeatureMap) -> Result<Vec<Result<Output, OutputError>>, Error> {
        let shape = x.shape()?;
        let found = self.0.candidates(&x, &mut Trace::off())?;
        found.outputs([shape.height, shape.width])
    }
}

/// The network of such a tower.
pub(super) fn network(tower: impl QueryTower + 'static, layers: &[&str]) -> Network {
    let layers = layers.iter().map(|&layer| layer.to_owned()).collect();
    Network::of_images(Queries(tower), layers, None)
}

/// How the scores of a query become a class and its confidence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scores {
    /// A softmax over the classes and a last one, that of no object; the best class of each query.
    SoftmaxWithNone,
    /// A sigmoid per class; the best pairs of query and class, as many as there are queries.
    SigmoidOfPairs,
}

/// What a network says of its queries.
pub(super) struct Candidates {
    /// `[batch, queries, classes]`
    pub(super) logits: Tensor,
    /// `[batch, queries, 4]`: the middle, the width and the height, relative to the input.
    pub(super) boxes: Tensor,
    pub(super) scores: Scores,
}

impl Candidates {
    /// The candidates of each image, for inputs of `[height, width]` pixels.
    fn outputs(&self, size: [usize; 2]) -> Result<Vec<Result<Output, OutputError>>, Error> {
        let logits = full(&self.logits)?.to_vec3::<f32>()?;
        let boxes = full(&self.boxes)?.to_vec3::<f32>()?;
        let images = logits.iter().zip(&boxes);
        Ok(images
            .map(|(logits, boxes)| self.output(logits, boxes, size))
            .collect())
    }

    fn output(
        &self,
        logits: &[Vec<f32>],
        boxes: &[Vec<f32>],
        size: [usize; 2],
    ) -> Result<Output, OutputError> {
        let chosen = match self.scores {
            Scores::SoftmaxWithNone => best_of_each(logits),
            Scores::SigmoidOfPairs => best_pairs(logits),
        };
        let (mut edges, mut confidences, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        for (query, class, confidence) in chosen {
            if let Some(place) = boxes.get(query) {
                edges.push(to_edges(place, size));
                confidences.push(confidence);
                classes.push(class);
            }
        }
        Ok(Output::Boxes(Boxes::new(edges, confidences, classes)?))
    }
}

/// `[left, top, right, bottom]` in pixels.
#[allow(clippy::cast_precision_loss, reason = "sides of images")]
fn to_edges(place: &[f32], [height, width]: [usize; 2]) -> [f32; 4] {
    let [x, y, across, down] = place else {
        return [0.0; 4];
    };
    let (height, width) = (height as f32, width as f32);
    [
        (x - across / 2.0) * width,
        (y - down / 2.0) * height,
        (x + across / 2.0) * width,
        (y + down / 2.0) * height,
    ]
}

/// The best class of each query, without the last one: query, class, confidence.
fn best_of_each(logits: &[Vec<f32>]) -> Vec<(usize, u32, f32)> {
    let best = |(query, row): (usize, &Vec<f32>)| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exponential = |score: &f32| f64::from(score - largest).exp();
        let sum: f64 = row.iter().map(exponential).sum();
        let (_, classes) = row.split_last()?;
        let (class, score) = first_largest(classes)?;
        Some((query, class, share(exponential(&score) / sum)))
    };
    logits.iter().enumerate().filter_map(best).collect()
}

/// The first of the largest values, and its place.
fn first_largest(values: &[f32]) -> Option<(u32, f32)> {
    let mut best: Option<(u32, f32)> = None;
    for (class, &score) in (0..).zip(values) {
        if best.is_none_or(|(_, largest)| score > largest || score.is_nan()) {
            best = Some((class, score));
        }
    }
    best
}

/// The pairs of query and class with the largest scores, as many as there are queries, the best
/// first.
fn best_pairs(logits: &[Vec<f32>]) -> Vec<(usize, u32, f32)> {
    let mut pairs: Vec<(usize, u32, f32)> = logits
        .iter()
        .enumerate()
        .flat_map(|(query, row)| {
            let scored = (0..).zip(row);
            scored.map(move |(class, &score)| (query, class, score))
        })
        .collect();
    pairs.sort_by(|a, b| b.2.total_cmp(&a.2));
    pairs.truncate(logits.len());
    for pair in &mut pairs {
        pair.2 = share(1.0 / (1.0 + (-f64::from(pair.2)).exp()));
    }
    pairs
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a confidence has no more digits"
)]
fn share(value: f64) -> f32 {
    value as f32
}
