//! The names of classes, which several tasks have.

use std::collections::HashSet;

use super::{OptionError, PredictOptions};
use crate::check::{self, PlanError};

/// The most classes of a network.
pub(super) const MAX_CLASSES: usize = 1_000_000;
/// The most bytes of all names together.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Checks the classes of a task: there are some, and at most `most`.
pub(super) fn check(classes: &[String], most: usize) -> Result<(), PlanError> {
    if classes.is_empty() {
        return Err(PlanError::new("classes", "is empty"));
    }
    check_names("classes", classes, "names", most)
}

/// As [`check`], of a task whose classes the weights may name: there may be none.
pub(super) fn check_or_none(classes: &[String]) -> Result<(), PlanError> {
    check_names("classes", classes, "names", MAX_CLASSES)
}

/// Checks which classes are given as labels: the confidence that they need, and the filter, whose
/// classes are some of the task's.
pub(super) fn check_choice(
    classes: &[String],
    threshold: Option<f32>,
    filter: &[String],
) -> Result<(), PlanError> {
    if let Some(threshold) = threshold {
        check::confidence("confidence_thresh", threshold)?;
    }
    check_names("filter_classes", filter, "names", MAX_CLASSES)?;
    if filter.is_empty() || classes.is_empty() {
        return Ok(());
    }
    let known: HashSet<&String> = classes.iter().collect();
    match filter.iter().find(|class| !known.contains(class)) {
        Some(unknown) => {
            let reason = format!("{} is not one of the classes", check::shown(unknown));
            Err(PlanError::new("filter_classes", reason))
        }
        None => Ok(()),
    }
}

/// Checks how many names there are, and how long they are.
pub(super) fn check_names(
    field: &str,
    names: &[String],
    what: &str,
    most: usize,
) -> Result<(), PlanError> {
    check::count(field, names.len(), most, what)?;
    let bytes: usize = names.iter().map(String::len).sum();
    if bytes > MAX_BYTES {
        let reason = format!("has {bytes} bytes; at most {MAX_BYTES} are allowed");
        return Err(PlanError::new(field, reason));
    }
    Ok(())
}

/// Which classes are given as labels, and from which confidence on.
pub(super) struct Filter<'a> {
    classes: &'a [String],
    threshold: Option<f32>,
    /// Whether each class is given; all of them without it.
    given: Option<Vec<bool>>,
}

impl<'a> Filter<'a> {
    /// The task's own threshold and classes, where the user's options do not say others.
    pub(super) fn new(
        classes: &'a [String],
        filter: &[String],
        threshold: Option<f32>,
        options: &PredictOptions,
    ) -> Result<Self, OptionError> {
        options.check_threshold()?;
        let wanted = match &options.classes {
            Some(asked) => {
                let known: HashSet<&String> = classes.iter().collect();
                if let Some(unknown) = asked.iter().find(|class| !known.contains(class)) {
                    return Err(OptionError {
                        option: "classes",
                        reason: format!("the model has no class {}", check::shown(unknown)),
                    });
                }
                Some(asked.as_slice())
            }
            None => (!filter.is_empty()).then_some(filter),
        };
        let given = wanted.map(|wanted| {
            let wanted: HashSet<&String> = wanted.iter().collect();
            classes.iter().map(|class| wanted.contains(class)).collect()
        });
        Ok(Self {
            classes,
            threshold: options.confidence_thresh.or(threshold),
            given,
        })
    }

    /// All classes of the task.
    pub(super) fn classes(&self) -> &'a [String] {
        self.classes
    }

    /// Whether anything depends on confidences.
    pub(super) fn has_threshold(&self) -> bool {
        self.threshold.is_some()
    }

    /// The name of a class, where it is given as a label with this confidence.
    pub(super) fn label(&self, class: usize, confidence: f32) -> Option<&'a str> {
        let given = match &self.given {
            Some(given) => given.get(class).copied().unwrap_or_default(),
            None => true,
        };
        let reached = self
            .threshold
            .is_none_or(|threshold| confidence >= threshold);
        let name = self.classes.get(class).filter(|_| given && reached);
        name.map(String::as_str)
    }
}
