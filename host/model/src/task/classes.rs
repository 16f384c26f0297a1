//! The names of classes, which several tasks have.

use std::collections::HashSet;

use crate::plan::{PlanError, check};

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

/// Checks the classes that are given as labels, which are some of the task's.
pub(super) fn check_filter(classes: &[String], filter: &[String]) -> Result<(), PlanError> {
    check_names("filter_classes", filter, "names", MAX_CLASSES)?;
    if filter.is_empty() {
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
