//! Output heads: from a network's outputs to what they mean.

use std::collections::HashSet;

use modelzoo_model::task::{Head, Scoring};

use crate::error::Error;
use crate::precision::Precision;

/// How predictions are to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PredictOptions {
    /// Below this confidence (0 to 1) no label is given; instead of the plan's own threshold.
    pub confidence_thresh: Option<f32>,
    /// The classes that are given as labels, instead of the plan's own filter; [`None`] for that.
    pub classes: Option<Vec<String>>,
    /// Whether the predictions carry the network's outputs.
    pub store_logits: bool,
}

/// What a model says about one sample.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Prediction {
    /// One label.
    Classification {
        /// The class with the largest probability; none if that is below the threshold, or the
        /// class is not among those that were asked for.
        label: Option<String>,
        /// Its probability, 0 to 1; none where there is no label.
        confidence: Option<f32>,
        /// The network's outputs, one a class, before the softmax; where they were asked for.
        logits: Option<Vec<f32>>,
    },
    /// Any number of labels.
    Classifications {
        /// The classes whose probability reaches the threshold, each with it (0 to 1), in the
        /// order of the classes.
        labels: Vec<(String, f32)>,
        /// The network's outputs, one a class, before the sigmoid; where they were asked for.
        logits: Option<Vec<f32>>,
    },
}

/// What a head gives for a sample: labels of this kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PredictionKind {
    /// [`Prediction::Classification`].
    Classification,
    /// [`Prediction::Classifications`].
    Classifications,
}

impl PredictionKind {
    /// What a head gives for a sample.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        match head {
            Head::Classification(_) | Head::ZeroShot(_) => Self::Classification,
            Head::MultiLabel(_) => Self::Classifications,
        }
    }
}

/// A head, ready to read outputs.
pub(crate) struct Reader {
    classes: Vec<String>,
    threshold: Option<f32>,
    filter: Option<HashSet<String>>,
    rule: Rule,
    /// What the outputs are computed in.
    precision: Precision,
}

/// Options that were checked against a head's classes.
pub(crate) struct Question<'a> {
    options: &'a PredictOptions,
    classes: Option<HashSet<&'a str>>,
}

/// How outputs become labels.
#[derive(Clone, Copy)]
enum Rule {
    Best(Scoring),
    Each,
}

impl Reader {
    pub(crate) fn new(head: &Head, precision: Precision) -> Self {
        let (classes, threshold, filter, rule) = match head {
            Head::Classification(head) => (
                &head.classes,
                head.confidence_thresh,
                &head.filter_classes,
                Rule::Best(Scoring::Softmax),
            ),
            Head::MultiLabel(head) => (
                &head.classes,
                Some(head.confidence_thresh),
                &head.filter_classes,
                Rule::Each,
            ),
            Head::ZeroShot(head) => (
                &head.classes,
                head.confidence_thresh,
                &head.filter_classes,
                Rule::Best(head.scoring),
            ),
        };
        Self {
            classes: classes.clone(),
            threshold,
            filter: (!filter.is_empty()).then(|| filter.iter().cloned().collect()),
            rule,
            precision,
        }
    }

    /// Checks that the head fits a network of so many outputs.
    pub(crate) fn check_outputs(&self, outputs: usize) -> Result<(), Error> {
        if self.classes.len() == outputs {
            return Ok(());
        }
        Err(Error::ClassCount {
            classes: self.classes.len(),
            outputs,
        })
    }

    /// Checks the options against the classes.
    pub(crate) fn ask<'a>(&self, options: &'a PredictOptions) -> Result<Question<'a>, Error> {
        options.validate()?;
        let Some(asked) = &options.classes else {
            return Ok(Question {
                options,
                classes: None,
            });
        };
        let known: HashSet<&str> = self.classes.iter().map(String::as_str).collect();
        match asked.iter().find(|class| !known.contains(class.as_str())) {
            Some(unknown) => Err(Error::BadOption {
                option: "classes",
                reason: format!("the model has no class `{}`", unknown.escape_debug()),
            }),
            None => Ok(Question {
                options,
                classes: Some(asked.iter().map(String::as_str).collect()),
            }),
        }
    }

    /// Reads one row of outputs, that of input `index`.
    pub(crate) fn read(
        &self,
        index: usize,
        outputs: Vec<f32>,
        question: &Question<'_>,
    ) -> Result<Prediction, Error> {
        let options = question.options;
        if outputs.is_empty() || outputs.iter().any(|output| !output.is_finite()) {
            let precision = self.precision;
            return Err(Error::NotFinite { index, precision });
        }
        let threshold = options.confidence_thresh.or(self.threshold);
        let asked = |class: &String, confidence: f32| {
            let wanted = match &question.classes {
                Some(classes) => classes.contains(class.as_str()),
                None => self.filter.as_ref().is_none_or(|set| set.contains(class)),
            };
            wanted && threshold.is_none_or(|threshold| confidence >= threshold)
        };
        match self.rule {
            Rule::Best(scoring) => {
                let (best, confidence) = top(&outputs, scoring);
                let class = self.classes.get(best);
                let label = class.filter(|class| asked(class, confidence)).cloned();
                Ok(Prediction::Classification {
                    confidence: label.is_some().then_some(confidence),
                    label,
                    logits: options.store_logits.then_some(outputs),
                })
            }
            Rule::Each => {
                let scored = self
                    .classes
                    .iter()
                    .zip(outputs.iter().copied().map(sigmoid));
                let labels = scored.filter(|&(class, confidence)| asked(class, confidence));
                Ok(Prediction::Classifications {
                    labels: labels
                        .map(|(class, confidence)| (class.clone(), confidence))
                        .collect(),
                    logits: options.store_logits.then_some(outputs),
                })
            }
        }
    }
}

impl PredictOptions {
    fn validate(&self) -> Result<(), Error> {
        match self.confidence_thresh {
            Some(value) if !(0.0..=1.0).contains(&value) => Err(Error::BadOption {
                option: "confidence_thresh",
                reason: format!("{value} is not between 0 and 1"),
            }),
            _ => Ok(()),
        }
    }
}

/// The first of the largest outputs, which are finite, and its probability.
///
/// The largest is taken away from each before the exponential, so that none overflows; the sum
/// is f64, so that thousands of classes do not round it away.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a probability fits into f32"
)]
fn top(outputs: &[f32], scoring: Scoring) -> (usize, f32) {
    let (mut best, mut largest) = (0, f32::NEG_INFINITY);
    for (index, &output) in outputs.iter().enumerate() {
        if output > largest {
            (best, largest) = (index, output);
        }
    }
    match scoring {
        Scoring::Sigmoid => (best, sigmoid(largest)),
        Scoring::Softmax => {
            let sum: f64 = outputs
                .iter()
                .map(|&output| (f64::from(output) - f64::from(largest)).exp())
                .sum();
            (best, (1.0 / sum) as f32)
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a probability fits into f32"
)]
fn sigmoid(output: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(output)).exp())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelzoo_model::task::{Classification, MultiLabel, ZeroShot};

    fn full(head: &Head) -> Reader {
        Reader::new(head, Precision::Full)
    }

    fn reader(classes: usize, confidence_thresh: Option<f32>) -> Reader {
        let classes = (0..classes).map(|class| format!("class {class}")).collect();
        full(&Head::Classification(Classification {
            classes,
            confidence_thresh,
            filter_classes: Vec::new(),
        }))
    }

    fn read(
        reader: &Reader,
        outputs: &[f32],
        options: &PredictOptions,
    ) -> (Option<String>, Option<f32>) {
        let question = reader.ask(options).unwrap();
        let prediction = reader.read(0, outputs.to_vec(), &question).unwrap();
        let Prediction::Classification {
            label, confidence, ..
        } = prediction
        else {
            panic!("{prediction:?}");
        };
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
            classes: None,
            store_logits: true,
        };
        let options = with(None);
        let question = reader.ask(&options).unwrap();
        let prediction = reader.read(0, vec![0.0, 1.0], &question).unwrap();
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
            let (reader, options) = (reader(2, None), PredictOptions::default());
            let question = reader.ask(&options).unwrap();
            let error = reader.read(7, outputs.to_vec(), &question).unwrap_err();
            assert!(
                matches!(error, Error::NotFinite { index: 7, .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn classes_that_were_not_asked_for_are_no_labels() {
        let head = Head::Classification(Classification {
            classes: vec!["cat".to_owned(), "dog".to_owned()],
            confidence_thresh: None,
            filter_classes: vec!["cat".to_owned()],
        });
        let reader = full(&head);
        let mut options = PredictOptions::default();
        assert_eq!(read(&reader, &[0.0, 9.0], &options), (None, None));
        assert!(read(&reader, &[9.0, 0.0], &options).0.is_some());
        // The user's list goes before the plan's.
        options.classes = Some(vec!["dog".to_owned()]);
        assert_eq!(
            read(&reader, &[0.0, 9.0], &options).0.as_deref(),
            Some("dog")
        );
        options.classes = Some(vec!["cow".to_owned()]);
        let Err(error) = reader.ask(&options) else {
            panic!("there is no such class")
        };
        assert!(error.to_string().contains("`cow`"), "{error}");
    }

    /// Searching a list for each class would take hours.
    #[test]
    fn many_classes_are_checked_against_as_many() {
        let classes: Vec<String> = (0..1_000_000).map(|class| class.to_string()).collect();
        let last = classes.iter().rev().cloned().collect::<Vec<_>>();
        let reader = full(&Head::MultiLabel(MultiLabel {
            classes,
            confidence_thresh: 0.5,
            filter_classes: Vec::new(),
        }));
        let options = PredictOptions {
            classes: Some(last),
            ..PredictOptions::default()
        };
        let question = reader.ask(&options).unwrap();
        let outputs = vec![0.0; 1_000_000];
        let Prediction::Classifications { labels, .. } =
            reader.read(0, outputs, &question).unwrap()
        else {
            panic!("one label of many")
        };
        assert_eq!(labels.len(), 1_000_000);
    }

    #[test]
    fn each_of_many_labels_has_its_own_confidence() {
        let reader = full(&Head::MultiLabel(MultiLabel {
            classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
            confidence_thresh: 0.5,
            filter_classes: Vec::new(),
        }));
        let options = PredictOptions::default();
        let question = reader.ask(&options).unwrap();
        let got = reader.read(0, vec![0.0, -1.0, 100.0], &question).unwrap();
        let labels = vec![("a".to_owned(), 0.5), ("c".to_owned(), 1.0)];
        let logits = None;
        assert_eq!(got, Prediction::Classifications { labels, logits });
    }

    #[test]
    fn a_sigmoid_takes_no_notice_of_the_other_classes() {
        let reader = full(&Head::ZeroShot(ZeroShot {
            classes: ["a", "b"].map(str::to_owned).to_vec(),
            scoring: Scoring::Sigmoid,
            ..ZeroShot::default()
        }));
        let got = read(&reader, &[-1.0, 0.0], &PredictOptions::default());
        assert_eq!(got, (Some("b".to_owned()), Some(0.5)));
    }
}
