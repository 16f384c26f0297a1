//! The imports and exports of components that the guest SDK's export macro builds.

use std::collections::BTreeSet;

use modelzoo_sandbox::{Limits, inspect};

/// The interfaces of `modelzoo:source` that a component imports and exports, without the package
/// and its version, each sorted.
fn interfaces(wasm: &str) -> [BTreeSet<String>; 2] {
    let info = inspect(&std::fs::read(wasm).unwrap(), &Limits::default()).unwrap();
    let imports = info.imports.iter().filter_map(|import| ours(&import.name));
    let exports = info.exports.iter().filter_map(|name| ours(name));
    [imports.collect(), exports.collect()]
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
