//! Files that a plan names.

use std::path::{Component, Path, PathBuf};

use crate::error::Error;

/// The file `name` of `dir`, which the plan names in `field`. The name comes from a guest. The
/// validation of the plan has checked it, and so does this, where the file is opened.
pub(crate) fn inside(dir: &Path, field: &str, name: &str) -> Result<PathBuf, Error> {
    let normal = |component| matches!(component, Component::Normal(_));
    if name.is_empty() || !Path::new(name).components().all(normal) {
        return Err(Error::bad_plan(
            field,
            format!("{name:?} is not a name inside the model's directory"),
        ));
    }
    Ok(dir.join(name))
}
