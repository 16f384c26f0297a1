//! From the scores of classes to labels, which several tasks share.

use serde::{Deserialize, Serialize};

use super::classes::Filter;
use super::{Decode, DecodeError};
use crate::label::{Classification, Label};
use crate::output::{Output, OutputKind, Scores};
use crate::sample::Origin;

/// How similarities become confidences.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// All classes share one: CLIP.
    #[default]
    Softmax,
    /// Each class for itself: as SigLIP was trained.
    Sigmoid,
}

/// The scores of an output, one per class.
pub(super) fn scores(output: Output, classes: usize) -> Result<Scores, DecodeError> {
    match output {
        Output::Scores(scores) if scores.values().len() == classes => Ok(scores),
        Output::Scores(scores) => Err(DecodeError::ClassCount {
            classes,
            outputs: scores.values().len(),
        }),
        Output::Boxes(_)
        | Output::Masks(_)
        | Output::Points(_)
        | Output::Map(_)
        | Output::Texts(_)
        | Output::Vectors(_) => Err(DecodeError::WrongOutput {
            wanted: OutputKind::Scores,
            found: output.kind(),
        }),
    }
}

/// Gives the class with the largest score.
pub(super) struct BestClass<'a> {
    pub(super) filter: Filter<'a>,
    pub(super) scoring: Scoring,
    pub(super) store_logits: bool,
}

impl Decode for BestClass<'_> {
    fn decode(&self, output: Output, _: &Origin) -> Result<Option<Label>, DecodeError> {
        let scores = scores(output, self.filter.classes().len())?;
        let (best, confidence) = top(scores.values(), self.scoring);
        let label = self.filter.label(best, confidence);
        if label.is_none() && !self.store_logits {
            return Ok(None);
        }
        Ok(Some(Label::Classification(Classification {
            label: label.map(str::to_owned),
            confidence: label.map(|_| f64::from(confidence)),
            logits: self.store_logits.then(|| scores.into_values()),
            ..Classification::default()
        })))
    }
}

/// The first of the largest scores, which are finite, and its probability.
///
/// The largest is subtracted from each before the exponential, so that none overflows; the sum is
/// f64, so that thousands of classes do not round it away.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a probability fits into f32"
)]
fn top(scores: &[f32], scoring: Scoring) -> (usize, f32) {
    let (mut best, mut largest) = (0, f32::NEG_INFINITY);
    for (index, &score) in scores.iter().enumerate() {
        if score > largest {
            (best, largest) = (index, score);
        }
    }
    match scoring {
        Scoring::Sigmoid => (best, sigmoid(largest)),
        Scoring::Softmax => {
            let sum: f64 = scores
                .iter()
                .map(|&score| (f64::from(score) - f64::from(largest)).exp())
                .sum();
            (best, (1.0 / sum) as f32)
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a probability fits into f32"
)]
pub(super) fn sigmoid(score: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(score)).exp())) as f32
}
