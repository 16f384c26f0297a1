//! Output heads: from a network's outputs to what they mean.

use crate::error::Error;
use crate::plan::{Classification, Head};

/// How predictions are to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PredictOptions {
    /// Below this confidence (0 to 1) no label is given; instead of the plan's own threshold.
    pub confidence_thresh: Option<f32>,
    /// Whether the predictions carry the network's outputs.
    pub store_logits: bool,
}

/// What a model says about one image.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Prediction {
    /// One label.
    Classification {
        /// The class with the largest probability; none if that is below the threshold.
        label: Option<String>,
        /// Its softmax probability, 0 to 1; none where there is no label.
        confidence: Option<f32>,
        /// The network's outputs, one a class, before the softmax; where they were asked for.
        logits: Option<Vec<f32>>,
    },
}

/// A head, ready to read outputs.
pub(crate) enum Reader {
    Classification(Classification),
}

impl Reader {
    pub(crate) fn new(head: &Head) -> Self {
        match head {
            Head::Classification(head) => Self::Classification(head.clone()),
        }
    }

    /// Checks that the head fits a network of so many outputs.
    pub(crate) fn check_outputs(&self, outputs: usize) -> Result<(), Error> {
        match self {
            Self::Classification(Classification { classes, .. }) if classes.len() != outputs => {
                Err(Error::ClassCount {
                    classes: classes.len(),
                    outputs,
                })
            }
            Self::Classification(_) => Ok(()),
        }
    }

    /// Reads one row of outputs, that of input `index`.
    pub(crate) fn read(
        &self,
        index: usize,
        outputs: Vec<f32>,
        options: &PredictOptions,
    ) -> Result<Prediction, Error> {
        let Self::Classification(head) = self;
        let (best, confidence) = top(&outputs).ok_or(Error::NotFinite { index })?;
        let threshold = options.confidence_thresh.or(head.confidence_thresh);
        let confident = threshold.is_none_or(|threshold| confidence >= threshold);
        Ok(Prediction::Classification {
            label: head.classes.get(best).filter(|_| confident).cloned(),
            confidence: confident.then_some(confidence),
            logits: options.store_logits.then_some(outputs),
        })
    }
}

impl PredictOptions {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        match self.confidence_thresh {
            Some(value) if !(0.0..=1.0).contains(&value) => Err(Error::BadOption {
                option: "confidence_thresh",
                reason: format!("{value} is not between 0 and 1"),
            }),
            _ => Ok(()),
        }
    }
}

/// The first of the largest outputs and its softmax probability; none unless all are finite.
///
/// The largest is taken away from each before the exponential, so that none overflows; the sum
/// is f64, so that thousands of classes do not round it away.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a probability fits into f32"
)]
fn top(outputs: &[f32]) -> Option<(usize, f32)> {
    let (mut best, mut largest) = (0, *outputs.first()?);
    for (index, &output) in outputs.iter().enumerate() {
        if !output.is_finite() {
            return None;
        }
        if output > largest {
            (best, largest) = (index, output);
        }
    }
    let sum: f64 = outputs
        .iter()
        .map(|&output| (f64::from(output) - f64::from(largest)).exp())
        .sum();
    Some((best, (1.0 / sum) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(classes: usize, confidence_thresh: Option<f32>) -> Reader {
        let classes = (0..classes).map(|class| format!("class {class}")).collect();
        Reader::Classification(Classification {
            classes,
            confidence_thresh,
        })
    }

    fn read(
        reader: &Reader,
        outputs: &[f32],
        options: &PredictOptions,
    ) -> (Option<String>, Option<f32>) {
        let prediction = reader.read(0, outputs.to_vec(), options).unwrap();
        let Prediction::Classification {
            label, confidence, ..
        } = prediction;
        (label, confidence)
    }

    #[test]
    fn the_softmax_is_right_and_does_not_overflow() {
        let reader = reader(3, None);
        let options = PredictOptions::default();
        let (label, confidence) = read(&reader, &[1.0, 3.0, 2.0], &options);
        assert_eq!(label.as_deref(), Some("class 1"));
        let want = 3f64.exp() / (1f64.exp() + 2f64.exp() + 3f64.exp());
        assert!((f64::from(confidence.unwrap()) - want).abs() < 1e-7);
        // The plain formula gives NaN from 89 on.
        let (_, confidence) = read(&reader, &[1001.0, 1003.0, 1002.0], &options);
        assert!((f64::from(confidence.unwrap()) - want).abs() < 1e-7);
        assert_eq!(read(&reader, &[-3e38, 3e38, 0.0], &options).1, Some(1.0));
    }

    #[test]
    fn equal_outputs_go_to_the_first() {
        let (label, confidence) = read(&reader(2, None), &[0.5, 0.5], &PredictOptions::default());
        assert_eq!((label.as_deref(), confidence), (Some("class 0"), Some(0.5)));
    }

    #[test]
    fn below_the_threshold_there_is_no_label_but_logits_stay() {
        let reader = reader(2, Some(0.9));
        let with = |confidence_thresh| PredictOptions {
            confidence_thresh,
            store_logits: true,
        };
        let prediction = reader.read(0, vec![0.0, 1.0], &with(None)).unwrap();
        let logits = Some(vec![0.0, 1.0]);
        assert_eq!(
            prediction,
            Prediction::Classification {
                label: None,
                confidence: None,
                logits
            }
        );
        // The user's threshold wins, zero included.
        assert!(read(&reader, &[0.0, 1.0], &with(Some(0.0))).0.is_some());
        // At the threshold there is a label.
        assert!(read(&reader, &[1.0, 1.0], &with(Some(0.5))).0.is_some());
    }

    #[test]
    fn outputs_that_are_no_numbers_are_an_error() {
        for outputs in [
            [0.0, f32::NAN],
            [f32::NAN, 0.0],
            [f32::INFINITY, 0.0],
            [0.0, f32::NEG_INFINITY],
        ] {
            let error = reader(2, None)
                .read(7, outputs.to_vec(), &PredictOptions::default())
                .unwrap_err();
            assert!(matches!(error, Error::NotFinite { index: 7 }), "{error}");
        }
    }
}
