//! Describing a component.

use modelzoo_sandbox::{Hooks, Limits};

use super::{ImportAnswer, InspectedComponent, InspectedImport, RefusedComponent};
use crate::sources::component::ComponentFile;

/// Our WIT package, as imports name it.
const OURS: &str = "modelzoo:source/";

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
            component.imports = info.imports.into_iter().map(import).collect();
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

fn import(name: String) -> InspectedImport {
    let answer = match name.strip_prefix(OURS) {
        Some(rest) if rest.starts_with("fetch@") || rest.starts_with("artifacts@") => {
            ImportAnswer::DownloadOnly
        }
        Some(_) => ImportAnswer::Host,
        None if modelzoo_sandbox::is_linked(&name) => ImportAnswer::Host,
        None => ImportAnswer::Trap,
    };
    InspectedImport { name, answer }
}
