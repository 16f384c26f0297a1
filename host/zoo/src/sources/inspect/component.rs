//! Describing a component.

use std::path::Path;

use modelzoo_sandbox::Hooks;

use super::{ImportAnswer, InspectedComponent, InspectedImport, RefusedComponent};
use crate::error::Error;
use crate::sources::Registry;
use crate::store::files::hash_file;

/// Our WIT package, as imports name it.
const OURS: &str = "modelzoo:source/";

impl Registry<'_> {
    /// Looks at a component as registering does.
    pub(super) fn look_at(
        &self,
        file: String,
        path: &Path,
        declared_sha256: Option<String>,
    ) -> Result<InspectedComponent, Error> {
        let (size, sha256) = hash_file(path)?;
        let mut component = InspectedComponent {
            file: file.clone(),
            size,
            sha256,
            declared_sha256: declared_sha256.clone(),
            wit_version: None,
            hooks: Hooks::default(),
            imports: Vec::new(),
            exports: Vec::new(),
            refused: None,
        };
        match self.check_component(file, path, declared_sha256) {
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
        Ok(component)
    }
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
