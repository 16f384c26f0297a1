//! Counts over all samples.

use std::collections::BTreeMap;

use modelzoo_model::label::{Detection, Label};
use serde_json::{Value, json};

use crate::matching::pairs;

/// Columns of a histogram of confidence.
const BINS: usize = 20;
/// The most classes of one field that are counted; the labels of others are counted together.
const MAX_CLASSES: usize = 2000;
/// The most rows and columns of a confusion matrix that are shown.
const MAX_MATRIX: usize = 30;
/// The most cells of a confusion matrix that are counted.
const MAX_CELLS: usize = 100_000;

/// Labels counted, per field.
pub(crate) struct Statistics {
    truth: Option<String>,
    fields: BTreeMap<String, Counts>,
}

/// The labels of one field.
#[derive(Default)]
struct Counts {
    /// Samples that have the field.
    samples: usize,
    classes: BTreeMap<String, usize>,
    /// Labels of classes beyond the most that are counted.
    others: usize,
    histogram: [usize; BINS],
    /// How often a true class was predicted as another: `(true, predicted)`; [`None`] where there
    /// is no such label.
    confusion: BTreeMap<(Class, Class), usize>,
}

type Class = Option<String>;

impl Statistics {
    /// Counts, with a confusion matrix of each field against `truth`.
    pub(crate) fn new(truth: Option<&str>) -> Self {
        Self {
            truth: truth.map(str::to_owned),
            fields: BTreeMap::new(),
        }
    }

    /// Counts the labels of one sample.
    pub(crate) fn count(&mut self, labels: &[(String, Label)]) {
        let truth = self.truth.as_deref().and_then(|truth| {
            let mut fields = labels.iter();
            fields
                .find(|(field, _)| *field == truth)
                .map(|(_, label)| label)
        });
        for (field, label) in labels {
            let counts = self.fields.entry(field.clone()).or_default();
            counts.samples += 1;
            for (class, confidence) in classes(label) {
                counts.add(class, confidence);
            }
            if let Some(truth) = truth
                && self.truth.as_deref() != Some(field.as_str())
            {
                counts.compare(truth, label);
            }
        }
    }

    /// The counts as the page's script reads them.
    pub(crate) fn to_json(&self) -> Value {
        let fields = self.fields.iter();
        Value::Object(
            fields
                .map(|(field, counts)| (field.clone(), counts.to_json()))
                .collect(),
        )
    }
}

impl Counts {
    fn add(&mut self, class: Option<&str>, confidence: Option<f64>) {
        if let Some(class) = class {
            let known = self.classes.len();
            match self.classes.get_mut(class) {
                Some(count) => *count += 1,
                None if known < MAX_CLASSES => {
                    self.classes.insert(class.to_owned(), 1);
                }
                None => self.others += 1,
            }
        }
        if let Some(confidence) = confidence.filter(|value| (0.0..=1.0).contains(value)) {
            let bin = ((confidence * BINS as f64) as usize).min(BINS - 1);
            if let Some(count) = self.histogram.get_mut(bin) {
                *count += 1;
            }
        }
    }

    fn compare(&mut self, truth: &Label, label: &Label) {
        if let (Label::Classification(truth), Label::Classification(label)) = (truth, label) {
            self.confuse(truth.label.clone(), label.label.clone());
        } else if let (Label::Detections(truth), Label::Detections(labels)) = (truth, label) {
            for (truth, label) in pairs(truth, labels) {
                let class = |label: Option<&Detection>| label.and_then(|label| label.label.clone());
                self.confuse(class(truth), class(label));
            }
        }
    }

    fn confuse(&mut self, truth: Class, predicted: Class) {
        let cell = (truth, predicted);
        if self.confusion.len() < MAX_CELLS || self.confusion.contains_key(&cell) {
            *self.confusion.entry(cell).or_default() += 1;
        }
    }

    fn to_json(&self) -> Value {
        let mut classes: Vec<(&String, &usize)> = self.classes.iter().collect();
        classes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        json!({
            "samples": self.samples,
            "classes": classes,
            "others": self.others,
            "histogram": self.histogram,
            "confusion": (!self.confusion.is_empty()).then(|| self.matrix()),
        })
    }

    /// The confusion matrix of the most frequent classes.
    fn matrix(&self) -> Value {
        let mut totals: BTreeMap<&Class, usize> = BTreeMap::new();
        for ((truth, predicted), count) in &self.confusion {
            *totals.entry(truth).or_default() += count;
            *totals.entry(predicted).or_default() += count;
        }
        let mut names: Vec<(&Class, usize)> = totals.into_iter().collect();
        names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let left_out = names.len().saturating_sub(MAX_MATRIX);
        names.truncate(MAX_MATRIX);
        let mut names: Vec<&Class> = names.into_iter().map(|(name, _)| name).collect();
        // No label comes last.
        names.sort_by_key(|name| (name.is_none(), name.as_deref()));
        let rows: Vec<Vec<usize>> = names
            .iter()
            .map(|&truth| {
                let cell = |&predicted: &&Class| {
                    let key = (truth.clone(), predicted.clone());
                    self.confusion.get(&key).copied().unwrap_or_default()
                };
                names.iter().map(cell).collect()
            })
            .collect();
        let correct: usize = self
            .confusion
            .iter()
            .filter(|((truth, predicted), _)| truth == predicted && truth.is_some())
            .map(|(_, count)| count)
            .sum();
        let all: usize = self.confusion.values().sum();
        json!({ "names": names, "rows": rows, "left_out": left_out, "correct": correct, "all": all })
    }
}

/// The class and the confidence of each thing that a label names.
fn classes(label: &Label) -> Vec<(Option<&str>, Option<f64>)> {
    match label {
        Label::Classification(label) => vec![(label.label.as_deref(), label.confidence)],
        Label::Classifications(labels) => labels
            .classifications
            .iter()
            .map(|label| (label.label.as_deref(), label.confidence))
            .collect(),
        Label::Detection(label) => vec![(label.label.as_deref(), label.confidence)],
        Label::Detections(labels) => labels
            .detections
            .iter()
            .map(|label| (label.label.as_deref(), label.confidence))
            .collect(),
        Label::Polyline(label) => vec![(label.label.as_deref(), label.confidence)],
        Label::Polylines(labels) => labels
            .polylines
            .iter()
            .map(|label| (label.label.as_deref(), label.confidence))
            .collect(),
        Label::Keypoint(label) => vec![(label.label.as_deref(), None)],
        Label::Keypoints(labels) => labels
            .keypoints
            .iter()
            .map(|label| (label.label.as_deref(), None))
            .collect(),
        Label::Text(text) if text.len() <= 80 => vec![(Some(text), None)],
        Label::Segmentation(_)
        | Label::Heatmap(_)
        | Label::Regression(_)
        | Label::TemporalDetection(_)
        | Label::TemporalDetections(_)
        | Label::GeoLocation(_)
        | Label::GeoLocations(_)
        | Label::Text(_)
        | Label::Number(_)
        | Label::Vector(_) => Vec::new(),
    }
}
