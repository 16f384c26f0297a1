//! The imports and exports of components that the guest SDK's export macro builds.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

/// The interfaces of `modelzoo:source` that a component imports and exports, without the package
/// and its version, each sorted.
fn interfaces(wasm: &str) -> [BTreeSet<String>; 2] {
    let bytes = std::fs::read(wasm).unwrap();
    let [mut imports, mut exports] = [BTreeSet::new(), BTreeSet::new()];
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(
                    section
                        .into_iter()
                        .filter_map(|i| ours(i.unwrap().name.name)),
                );
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(
                    section
                        .into_iter()
                        .filter_map(|e| ours(e.unwrap().name.name)),
                );
            }
            _ => {}
        }
    }
    [imports, exports]
}

fn ours(name: &str) -> Option<String> {
    let interface = name.strip_prefix("modelzoo:source/")?;
    interface.strip_suffix("@0.1.0").map(str::to_owned)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn component_with_both_hooks_imports_what_it_calls() {
    let [imports, exports] = interfaces(test_artifacts::OK_FETCH);
    assert_eq!(imports, set(&["deployment", "fetch", "log", "types"]));
    assert_eq!(exports, set(&["downloader", "loader"]));
}

#[test]
fn download_only_component_imports_no_deployment() {
    let [imports, exports] = interfaces(test_artifacts::OK_DOWNLOAD_ONLY);
    assert_eq!(imports, set(&["artifacts", "types"]));
    assert_eq!(exports, set(&["downloader"]));
}

#[test]
fn load_only_component_imports_no_network() {
    let [imports, exports] = interfaces(test_artifacts::OK_LOAD_ONLY);
    assert_eq!(imports, set(&["deployment", "types"]));
    assert_eq!(exports, set(&["loader"]));
}
