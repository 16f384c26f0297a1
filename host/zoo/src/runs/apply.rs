//! Labels for a dataset.

use std::path::PathBuf;

use modelzoo_data::{Dataset, FieldNames, Label, LabelType};
use modelzoo_model::Model;
use modelzoo_model::sample::Prepared;
use modelzoo_model::task::{Decode, PredictOptions, Task};
use serde_json::Value;

use crate::error::Error;
use crate::runs::run::{Applied, Place, Runner, Watch, Work};

/// How to apply a model.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// The field that the labels are written to; `predictions` by default.
    pub label_field: String,
    /// Samples per batch; [`None`] for the default.
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

impl Runner<'_> {
    /// Applies the model to every sample of a dataset and writes the labels.
    ///
    /// A sample that cannot be read fails alone: it keeps what it had. Labels become visible all
    /// at once, at the end; a run that was interrupted is resumed where it stopped.
    ///
    /// # Errors
    /// [`Error::NoLabels`] and [`Error::WrongSamples`] when the model does not give labels of such
    /// samples, [`Error::Options`] for options that its task does not allow, [`Error::Data`] when
    /// the dataset cannot be read or the labels written; [`Error::Model`] when the model fails on
    /// every sample of a batch.
    pub fn apply(
        &self,
        dataset: &Dataset,
        options: &ApplyOptions,
        watch: &dyn Watch,
    ) -> Result<Applied, Error> {
        let task = self.model.task().ok_or_else(|| Error::NoLabels {
            model: self.name.clone(),
        })?;
        self.check_samples(dataset, |kind| self.model.predicts(kind))?;
        let options_of_task = PredictOptions {
            confidence_thresh: options.confidence_thresh,
            classes: options.classes.clone(),
            store_logits: options.store_logits,
        };
        let work = Labels {
            model: self.model,
            kind: task.label_type(),
            names: names(task),
            decoder: task.decoder(&options_of_task)?,
            options: &options_of_task,
        };
        let place = Place {
            field: &options.label_field,
            batch_size: options.batch_size,
            output: options.output.as_deref(),
            overwrite: options.overwrite_output,
        };
        self.run(&work, dataset, &place, watch)
    }
}

/// What the parts of a task's labels are called.
fn names(task: &Task) -> FieldNames {
    let targets = task.mask_targets().into_iter();
    let skeleton = task.skeleton();
    FieldNames {
        mask_targets: targets
            .map(|(number, name)| (number, name.to_owned()))
            .collect(),
        points: skeleton
            .map(|skeleton| skeleton.labels.to_vec())
            .unwrap_or_default(),
        edges: skeleton
            .map(|skeleton| skeleton.edges.to_vec())
            .unwrap_or_default(),
    }
}

/// From samples to labels, through the model's task.
struct Labels<'a> {
    model: &'a dyn Model,
    kind: LabelType,
    names: FieldNames,
    decoder: Box<dyn Decode + 'a>,
    options: &'a PredictOptions,
}

impl Work for Labels<'_> {
    fn kind(&self) -> LabelType {
        self.kind
    }

    fn names(&self) -> FieldNames {
        self.names.clone()
    }

    fn fingerprint(&self) -> Value {
        let PredictOptions {
            confidence_thresh,
            classes,
            store_logits,
        } = self.options;
        serde_json::json!([confidence_thresh, store_logits, classes])
    }

    fn forward(&self, samples: &[Prepared]) -> Result<Vec<Option<Label>>, Error> {
        let outputs = self.model.predict(samples)?;
        let labels = outputs.into_iter().zip(samples);
        labels
            .map(|(output, sample)| Ok(self.decoder.decode(output, &sample.origin)?))
            .collect()
    }
}
