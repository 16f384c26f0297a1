//! Tasks: what a network's outputs mean. One file per task.

mod classes;
mod classification;
mod multi_label;
mod zero_shot;

use serde::{Deserialize, Serialize};

pub use classification::Classification;
pub use multi_label::MultiLabel;
pub use zero_shot::{Scoring, ZeroShot};

use crate::plan::PlanError;

/// What a network's output means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// One label per image.
    Classification(Classification),
    /// Any number of labels per image.
    MultiLabel(MultiLabel),
    /// One label per image, of classes that the network was not trained for.
    ZeroShot(ZeroShot),
}

impl Head {
    /// Its name in a plan.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Classification(_) => "classification",
            Self::MultiLabel(_) => "multi_label",
            Self::ZeroShot(_) => "zero_shot",
        }
    }

    /// The classes, in the order of the outputs.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Classification(task) => &task.classes,
            Self::MultiLabel(task) => &task.classes,
            Self::ZeroShot(task) => &task.classes,
        }
    }

    /// The texts that images are compared with, one per class; only for
    /// [`ZeroShot`](Self::ZeroShot).
    #[must_use]
    pub fn prompts(&self) -> Option<&[String]> {
        match self {
            Self::Classification(_) | Self::MultiLabel(_) => None,
            Self::ZeroShot(task) => Some(&task.prompts),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), PlanError> {
        match self {
            Self::Classification(task) => task.validate(),
            Self::MultiLabel(task) => task.validate(),
            Self::ZeroShot(task) => task.validate(),
        }
        .map_err(|e| e.within(self.name()))
    }
}

#[cfg(test)]
mod tests;
