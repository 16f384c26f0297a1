//! Describing a component.

use modelzoo_sandbox::{Hooks, Limits};

use super::{InspectedComponent, RefusedComponent};
use crate::sources::component::ComponentFile;

/// Describes a component, refused or not.
pub(super) fn describe(
    file: &ComponentFile,
    declared: Option<&str>,
    limits: &Limits,
) -> InspectedComponent {
    let mut component = InspectedComponent {
        file: file.name.clone(),
        size: file.size,
        sha256: file.sha256.clone(),
        declared_sha256: declared.map(str::to_owned),
        wit_version: None,
        hooks: Hooks::default(),
        imports: Vec::new(),
        exports: Vec::new(),
        refused: None,
    };
    match file.check(declared, limits) {
        Ok(info) => {
            component.wit_version = info.wit_version;
            component.hooks = info.hooks;
            component.imports = info.imports;
            component.exports = info.exports;
        }
        Err(error) => {
            component.refused = Some(RefusedComponent {
                reason: error.to_string(),
                remedy: error.remedy(),
            });
        }
    }
    component
}
