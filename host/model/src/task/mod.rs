//! Tasks: what a network's outputs mean. One file per task, in which its part of the plan, the
//! checks of it, and the way from an output to a label stand together.
//!
//! A new task is a file with a type that implements `Definition`, and a line in the list below.
//! What several tasks share lies beneath them: the names of classes and which of them are given
//! (`classes`), the way from scores to confidences (`scores`), which candidate boxes are objects
//! (`objects`), and the way back to the pixels of the original image (`places`).

mod classes;
mod classification;
mod depth;
mod detection;
mod instance_segmentation;
mod keypoints;
mod multi_label;
mod objects;
mod oriented_boxes;
mod places;
mod scores;
mod semantic_segmentation;
mod zero_shot;

use serde::{Deserialize, Serialize};

pub use classification::Classification;
pub use depth::Depth;
pub use detection::Detection;
pub use instance_segmentation::InstanceSegmentation;
pub use keypoints::Keypoints;
pub use multi_label::MultiLabel;
pub use objects::Nms;
pub use oriented_boxes::OrientedBoxes;
pub use scores::Scoring;
pub use semantic_segmentation::SemanticSegmentation;
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

            fn definition_mut(&mut self) -> &mut dyn Definition {
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
    /// Objects in an image: boxes.
    Detection,
    /// Objects in an image: boxes with masks.
    InstanceSegmentation,
    /// Objects in an image: groups of points.
    Keypoints,
    /// Objects in an image: rotated boxes.
    OrientedBoxes,
    /// A class for each pixel of an image.
    SemanticSegmentation,
    /// A depth for each pixel of an image.
    Depth,
}

/// What each task defines.
trait Definition {
    /// Its name in a plan.
    fn name(&self) -> &'static str;

    /// Checks the task alone.
    fn validate(&self) -> Result<(), PlanError>;

    /// The classes, in the order of the network's outputs.
    fn classes(&self) -> &[String];

    /// The same, where a plan may leave them to the weights.
    fn classes_mut(&mut self) -> Option<&mut Vec<String>> {
        None
    }

    /// The texts that samples are compared with, where there are any.
    fn prompts(&self) -> Option<&[String]> {
        None
    }

    /// The kind of output that it reads.
    fn output(&self) -> OutputKind;

    /// The type of label that it gives.
    fn label_type(&self) -> LabelType;

    /// The names of the numbers in a mask, where it gives masks.
    fn mask_targets(&self) -> Vec<(usize, &str)> {
        Vec::new()
    }

    /// What the points of an object are, where it gives points.
    fn skeleton(&self) -> Option<Skeleton<'_>> {
        None
    }

    /// The task with the user's options.
    fn decoder<'a>(&'a self, options: &PredictOptions)
    -> Result<Box<dyn Decode + 'a>, OptionError>;
}

/// What the points of an object are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skeleton<'a> {
    /// The names of the points, in their order.
    pub labels: &'a [String],
    /// The lines between them, each the numbers of the points that it connects.
    pub edges: &'a [Vec<u32>],
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

    /// Refuses to store logits, of a task whose labels have none.
    fn no_logits(&self) -> Result<(), OptionError> {
        match self.store_logits {
            true => Err(OptionError {
                option: "store_logits",
                reason: "only classifications have logits".to_owned(),
            }),
            false => Ok(()),
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
    /// A box has a class that the task does not have.
    #[error("the task has {classes} classes, but the network gives the class {class}")]
    Class {
        /// Classes of the task.
        classes: usize,
        /// The number of the class, from 0 on.
        class: u32,
    },
    /// Objects have another number of points than the task.
    #[error("the task has {points} points, but the network gives {outputs}")]
    PointCount {
        /// Points of the task.
        points: usize,
        /// Points of the network's objects.
        outputs: usize,
    },
    /// A map has another number of channels than the task reads.
    #[error("the network gives {found} channels, and the task reads {wanted}")]
    Channels {
        /// What the task reads.
        wanted: usize,
        /// What the network gives.
        found: usize,
    },
    /// Boxes lack what the task reads of each.
    #[error("the network gives boxes without {what}")]
    Part {
        /// What is missing.
        what: &'static str,
    },
    /// The masks of an image would take more memory than they are worth.
    #[error("the masks of the objects have {pixels} pixels together; at most {limit} are kept")]
    MaskPixels {
        /// Pixels of all masks.
        pixels: u64,
        /// The most that are kept.
        limit: u64,
    },
    /// The sample is not an image.
    #[error("places can only be found in images")]
    NoImage,
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

    /// Whether the weights have to name the classes, because the plan does not.
    #[must_use]
    pub fn lacks_classes(&self) -> bool {
        self.classes().is_empty() && self.clone().definition_mut().classes_mut().is_some()
    }

    /// The same task with the classes that the weights name.
    ///
    /// # Errors
    /// [`PlanError`] where they do not fit the task, or there are none.
    pub fn with_classes(mut self, names: &[String]) -> Result<Self, PlanError> {
        if let Some(classes) = self.definition_mut().classes_mut() {
            names.clone_into(classes);
        }
        let is_empty = self.lacks_classes();
        if is_empty {
            let reason = "is empty, and the weight files name no classes";
            let field = PlanError::new("classes", reason).within(self.name());
            return Err(field.within("head"));
        }
        self.validate().map_err(|e| e.within("head"))?;
        Ok(self)
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

    /// The names of the numbers in its masks; none where it gives no [`Segmentation`]s.
    ///
    /// [`Segmentation`]: crate::label::Segmentation
    #[must_use]
    pub fn mask_targets(&self) -> Vec<(usize, &str)> {
        self.definition().mask_targets()
    }

    /// What the points of an object are, where it gives points.
    #[must_use]
    pub fn skeleton(&self) -> Option<Skeleton<'_>> {
        self.definition().skeleton()
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
mod objects_tests;
#[cfg(test)]
mod tests;
