//! Labels for a dataset.

use std::path::PathBuf;

use modelzoo_data::{Classification, Classifications, Dataset, Label, LabelType, Sample};
use modelzoo_runtime::{Input, PredictOptions, Prediction, PredictionKind};

use crate::error::Error;
use crate::models::loaded::LoadedModel;
use crate::runs::run::{Applied, Place, Watch, Work, image, run};

/// How to apply a model.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// The field that the labels are written to; `predictions` by default.
    pub label_field: String,
    /// Samples a batch; [`None`] for the default.
    pub batch_size: Option<usize>,
    /// Below this confidence (0 to 1) a sample gets no label; [`None`] for the model's own.
    pub confidence_thresh: Option<f32>,
    /// The classes that are given as labels; [`None`] for the model's own choice.
    pub classes: Option<Vec<String>>,
    /// Keep the logits with each label.
    pub store_logits: bool,
    /// Where the labels go: a `.jsonl` file, or a directory for a new dataset. [`None`] for the
    /// dataset itself.
    pub output: Option<PathBuf>,
    /// Replace an output that is there.
    pub overwrite_output: bool,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self {
            label_field: "predictions".to_owned(),
            batch_size: None,
            confidence_thresh: None,
            classes: None,
            store_logits: false,
            output: None,
            overwrite_output: false,
        }
    }
}

impl LoadedModel {
    /// Applies the model to every sample of a dataset and writes the labels.
    ///
    /// A sample that cannot be read fails alone: it keeps what it had. Labels become visible all
    /// at once, at the end; a run that was interrupted goes on where it stopped.
    ///
    /// # Errors
    /// [`Error::Data`] when the dataset cannot be read or the labels written; [`Error::Runtime`] when the
    /// model fails on every sample of a batch.
    pub fn apply(
        &self,
        dataset: &Dataset,
        options: &ApplyOptions,
        watch: &dyn Watch,
    ) -> Result<Applied, Error> {
        let head = self.plan().head.as_ref().ok_or_else(|| Error::NoLabels {
            model: self.record.name(),
        })?;
        if dataset.is_of_texts() {
            return Err(Error::WrongSamples {
                model: self.record.name(),
                takes: "images",
                gives: dataset.kind(),
            });
        }
        let work = Labels {
            model: self,
            kind: match PredictionKind::of(head) {
                PredictionKind::Classifications => LabelType::Classifications,
                _ => LabelType::Classification,
            },
            options: PredictOptions {
                confidence_thresh: options.confidence_thresh,
                classes: options.classes.clone(),
                store_logits: options.store_logits,
            },
        };
        let place = Place {
            field: &options.label_field,
            batch_size: options.batch_size,
            output: options.output.as_deref(),
            overwrite: options.overwrite_output,
        };
        run(self, &work, dataset, &place, watch)
    }
}

/// Images to labels.
struct Labels<'a> {
    model: &'a LoadedModel,
    kind: LabelType,
    options: PredictOptions,
}

impl Work for Labels<'_> {
    type Input = Input;

    fn kind(&self) -> LabelType {
        self.kind
    }

    fn fingerprint(&self) -> serde_json::Value {
        let PredictOptions {
            confidence_thresh,
            classes,
            store_logits,
        } = &self.options;
        serde_json::json!([confidence_thresh, store_logits, classes])
    }

    fn prepare(&self, sample: Sample) -> Result<Input, String> {
        image(self.model, sample)
    }

    fn forward(&self, inputs: &[Input]) -> Result<Vec<Option<Label>>, Error> {
        let predictions = self.model.model.predict(inputs, &self.options)?;
        Ok(predictions.into_iter().map(label_of).collect())
    }
}

/// The label of a prediction; none where the model was not confident enough of any class and
/// nothing else was asked for.
fn label_of(prediction: Prediction) -> Option<Label> {
    match prediction {
        Prediction::Classification {
            label: None,
            logits: None,
            ..
        } => None,
        Prediction::Classification {
            label,
            confidence,
            logits,
        } => Some(Label::Classification(Classification {
            label,
            confidence: confidence.map(f64::from),
            logits,
            ..Classification::default()
        })),
        Prediction::Classifications { labels, logits } => {
            let one = |(label, confidence): (String, f32)| Classification {
                label: Some(label),
                confidence: Some(f64::from(confidence)),
                ..Classification::default()
            };
            Some(Label::Classifications(Classifications {
                classifications: labels.into_iter().map(one).collect(),
                logits,
            }))
        }
        _ => None,
    }
}
