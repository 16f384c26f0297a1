//! Tasks: what a network's outputs mean. One file per task, in which its part of the plan, the
//! checks of it, and the way from an output to a label stand together.
//!
//! A new task is a file with a type that implements `Definition`, and a line in the list below.
//! What several tasks share lies beneath them: the names of classes and which of them are given
//! (`classes`), and the way from scores to confidences (`scores`).

mod classes;
mod classification;
mod multi_label;
mod scores;
mod zero_shot;

use serde::{Deserialize, Serialize};

pub use classification::Classification;
pub use multi_label::MultiLabel;
pub use scores::Scoring;
pub use zero_shot::ZeroShot;

use crate::check::PlanError;
use crate::label::{Label, LabelType};
use crate::output::{Output, OutputKind};
use crate::sample::Origin;

/// Makes [`Task`] from the list of tasks.
macro_rules! tasks {
    ($( $(#[$doc:meta])* $name:ident, )*) => {
        /// What a network's output means.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Task {
            $( $(#[$doc])* $name($name), )*
        }

        impl Task {
            fn definition(&self) -> &dyn Definition {
                match self {
                    $( Self::$name(task) => task, )*
                }
            }
        }
    };
}

tasks! {
    /// One label per sample.
    Classification,
    /// Any number of labels per sample.
    MultiLabel,
    /// One label per image, of classes that the network was not trained for.
    ZeroShot,
}

/// What each task defines.
trait Definition {
    /// Its name in a plan.
    fn name(&self) -> &'static str;

    /// Checks the task alone.
    fn validate(&self) -> Result<(), PlanError>;

    /// The classes, in the order of the network's outputs.
    fn classes(&self) -> &[String];

    /// The texts that samples are compared with, where there are any.
    fn prompts(&self) -> Option<&[String]> {
        None
    }

    /// The kind of output that it reads.
    fn output(&self) -> OutputKind;

    /// The type of label that it gives.
    fn label_type(&self) -> LabelType;

    /// The task with the user's options.
    fn decoder<'a>(&'a self, options: &PredictOptions)
    -> Result<Box<dyn Decode + 'a>, OptionError>;
}

/// A task with the user's options: from outputs to labels.
pub trait Decode: Send + Sync {
    /// The label of one sample, whose places are those of the original; [`None`] where the model
    /// is not confident enough of any and nothing else was asked for.
    ///
    /// # Errors
    /// [`DecodeError`] when the output is not one that the task reads.
    fn decode(&self, output: Output, origin: &Origin) -> Result<Option<Label>, DecodeError>;
}

/// How labels are to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PredictOptions {
    /// Below this confidence (0 to 1) no label is given; instead of the task's own threshold.
    pub confidence_thresh: Option<f32>,
    /// The classes that are given as labels, instead of the task's own filter; [`None`] for that.
    pub classes: Option<Vec<String>>,
    /// Whether the labels carry the network's scores.
    pub store_logits: bool,
}

impl PredictOptions {
    fn check_threshold(&self) -> Result<(), OptionError> {
        match self.confidence_thresh {
            Some(value) if !(0.0..=1.0).contains(&value) => Err(OptionError {
                option: "confidence_thresh",
                reason: format!("{value} is not between 0 and 1"),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// An option that a task does not allow.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{option}: {reason}")]
pub struct OptionError {
    /// The field of [`PredictOptions`].
    pub option: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// Why an output has no label.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The network gives another kind of output than the task reads.
    #[error("the network gives {}, and the task reads {}", .found.name(), .wanted.name())]
    WrongOutput {
        /// What the task reads.
        wanted: OutputKind,
        /// What the network gives.
        found: OutputKind,
    },
    /// The number of scores is not the number of classes.
    #[error("the task has {classes} classes, but the network has {outputs} outputs")]
    ClassCount {
        /// Classes of the task.
        classes: usize,
        /// Outputs of the network.
        outputs: usize,
    },
}

impl Task {
    /// Its name in a plan.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.definition().name()
    }

    /// The classes, in the order of the network's outputs.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        self.definition().classes()
    }

    /// The texts that samples are compared with, one per class; only where the task compares.
    #[must_use]
    pub fn prompts(&self) -> Option<&[String]> {
        self.definition().prompts()
    }

    /// The kind of output that it reads.
    #[must_use]
    pub fn output(&self) -> OutputKind {
        self.definition().output()
    }

    /// The type of label that it gives.
    #[must_use]
    pub fn label_type(&self) -> LabelType {
        self.definition().label_type()
    }

    /// The task with the user's options, ready to read outputs.
    ///
    /// # Errors
    /// [`OptionError`] for a threshold that is none, or a class that the task does not have.
    pub fn decoder(&self, options: &PredictOptions) -> Result<Box<dyn Decode + '_>, OptionError> {
        self.definition().decoder(options)
    }

    pub(crate) fn validate(&self) -> Result<(), PlanError> {
        let task = self.definition();
        task.validate().map_err(|e| e.within(task.name()))
    }
}

#[cfg(test)]
mod tests;
