//! What a component is and asks for, without compiling or running any of it.

use std::collections::BTreeSet;

use modelzoo_base::text::excerpt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmparser::{BinaryReaderError, Chunk, Encoding, Parser, Payload, Validator};

use crate::compile::config::FEATURES;
use crate::error::Error;
use crate::interfaces::name::{InterfaceName, SUPPORTED};
use crate::interfaces::table::ImportAnswer;
use crate::limits::Limits;

/// The most bytes of one name that an error or a [`ComponentInfo`] shows.
const NAME_BYTES: usize = 256;
/// The most imports, and the most exports, of a component itself.
const NAMES: usize = 10_000;
/// The most types, imports, exports and the like of a component and of all that is nested in it:
/// each takes many times its bytes while it is checked. A JavaScript engine has some thousands.
const ITEMS: u64 = 1_000_000;

/// What a component is and asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// The size of the file in bytes.
    pub size: u64,
    /// The SHA-256 digest of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The version of `modelzoo:source` that the component is for.
    pub wit_version: Option<String>,
    /// The hooks that it exports.
    pub hooks: Hooks,
    /// The interfaces that it imports, in the file's order.
    pub imports: Vec<Import>,
    /// The names of what it exports, in the file's order, control characters escaped.
    pub exports: Vec<String>,
}

/// An interface that a component imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its name, with its version; control characters are escaped.
    pub name: String,
    /// Who answers its calls.
    pub answer: ImportAnswer,
}

/// The hooks that a component exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// `downloader.download-model`.
    pub download: bool,
    /// `loader.load-model`.
    pub load: bool,
}

/// Checks a whole component: that it is one, that it is well-formed to the last instruction, that
/// it is for a version that this host supports, and that it imports nothing that its hooks do not
/// have. Every import of WASI passes; functions that the host does not offer trap when the guest
/// calls them.
///
/// # Errors
///
/// Every variant of [`Error`] that is about the component's bytes: not `Io`, `Engine`, `Unusable`
/// and those of compiling.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<ComponentInfo, Error> {
    let info = scan(bytes, limits)?;
    check_items(bytes)?;
    Validator::new_with_features(FEATURES)
        .validate_all(bytes)
        .map_err(|e| malformed(&e, bytes))?;
    Ok(info)
}

/// [`inspect`] without the contents: reads the outermost component's imports and exports and skips
/// everything that is nested in it. Compiling validates the rest.
pub(crate) fn scan(bytes: &[u8], limits: &Limits) -> Result<ComponentInfo, Error> {
    let size = bytes.len() as u64;
    if size > limits.component_bytes {
        return Err(Error::TooLarge {
            size,
            limit: limits.component_bytes,
        });
    }
    check_header(bytes)?;
    let (imports, exports) = outer_names(bytes)?;
    let wit_version = check_versions(imports.iter().chain(&exports))?;
    let exports_hook = |interface: &str| {
        exports
            .iter()
            .filter_map(|name| InterfaceName::parse(name))
            .any(|name| name.is_ours() && name.interface == interface)
    };
    let hooks = Hooks {
        download: exports_hook("downloader"),
        load: exports_hook("loader"),
    };
    let imports = imports
        .into_iter()
        .map(|name| check_import(name, hooks))
        .collect::<Result<_, _>>()?;
    if !hooks.download && !hooks.load {
        return Err(Error::NoHook { exports });
    }
    Ok(ComponentInfo {
        size,
        sha256: hex::encode(Sha256::digest(bytes)),
        wit_version,
        hooks,
        imports,
        exports,
    })
}

/// Distinguishes a component from other files by its first bytes.
fn check_header(bytes: &[u8]) -> Result<(), Error> {
    const MAGIC: &[u8] = b"\0asm";
    let what = |what: &str| Error::NotWasm {
        what: what.to_owned(),
    };
    if bytes.is_empty() {
        return Err(what("the file is empty"));
    }
    if !bytes.starts_with(MAGIC) {
        if MAGIC.starts_with(bytes) {
            return Err(Error::Truncated {
                size: bytes.len() as u64,
            });
        }
        let start = bytes.trim_ascii_start();
        return Err(match start {
            _ if start.starts_with(b"(component") || start.starts_with(b"(module") => {
                what("the file is WebAssembly text, which has to be assembled first")
            }
            _ if start.starts_with(b"<") => what("the file looks like a web page"),
            _ if start.starts_with(b"PK") => what("the file is a zip archive"),
            _ => what("the file does not start as WebAssembly does"),
        });
    }
    match bytes.get(4..8) {
        None => Err(Error::Truncated {
            size: bytes.len() as u64,
        }),
        Some([1, 0, 0, 0]) => Err(Error::CoreModule),
        Some([13, 0, 1, 0]) => Ok(()),
        Some(other) => Err(Error::NotWasm {
            what: format!(
                "binary format {} is not the one of components",
                hex::encode(other)
            ),
        }),
    }
}

/// The names of the outermost component's imports and exports.
fn outer_names(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), Error> {
    let mut imports = Vec::new();
    let mut exports = Vec::new();
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    let mut rest = bytes;
    loop {
        let chunk = parser.parse(rest, true).map_err(|e| malformed(&e, bytes))?;
        // With the last argument true, the parser never asks for more.
        let Chunk::Parsed { consumed, payload } = chunk else {
            return Err(Error::Truncated {
                size: bytes.len() as u64,
            });
        };
        let mut taken = consumed;
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } => return Err(Error::CoreModule),
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => taken += unchecked_range.len(),
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(|e| malformed(&e, bytes))?;
                    imports.push(excerpt(import.name.name, NAME_BYTES));
                    check_count("imports", imports.len() as u64, NAMES as u64)?;
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(|e| malformed(&e, bytes))?;
                    exports.push(excerpt(export.name.name, NAME_BYTES));
                    check_count("exports", exports.len() as u64, NAMES as u64)?;
                }
            }
            Payload::End(_) => return Ok((imports, exports)),
            _ => {}
        }
        rest = rest.get(taken..).ok_or(Error::Truncated {
            size: bytes.len() as u64,
        })?;
    }
}

/// Checks how many things a component consists of, before something is made of each.
fn check_items(bytes: &[u8]) -> Result<(), Error> {
    let mut items = 0_u64;
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    for payload in parser.parse_all(bytes) {
        let count = match payload.map_err(|e| malformed(&e, bytes))? {
            Payload::TypeSection(section) => section.count(),
            Payload::ImportSection(section) => section.count(),
            Payload::ExportSection(section) => section.count(),
            Payload::CoreTypeSection(section) => section.count(),
            Payload::InstanceSection(section) => section.count(),
            Payload::ComponentTypeSection(section) => section.count(),
            Payload::ComponentInstanceSection(section) => section.count(),
            Payload::ComponentAliasSection(section) => section.count(),
            Payload::ComponentCanonicalSection(section) => section.count(),
            Payload::ComponentImportSection(section) => section.count(),
            Payload::ComponentExportSection(section) => section.count(),
            _ => 0,
        };
        items += u64::from(count);
        check_count("types, imports and exports", items, ITEMS)?;
    }
    Ok(())
}

fn check_count(what: &str, count: u64, limit: u64) -> Result<(), Error> {
    if count > limit {
        return Err(Error::Malformed {
            reason: format!("more than {limit} {what}"),
        });
    }
    Ok(())
}

fn malformed(error: &BinaryReaderError, bytes: &[u8]) -> Error {
    if error.message().starts_with("unexpected end") {
        return Error::Truncated {
            size: bytes.len() as u64,
        };
    }
    Error::Malformed {
        reason: excerpt(
            &format!("{} (at byte {})", error.message(), error.offset()),
            crate::limits::ERROR_BYTES,
        ),
    }
}

/// The version of `modelzoo:source` that the names have.
fn check_versions<'a>(names: impl Iterator<Item = &'a String>) -> Result<Option<String>, Error> {
    let found: BTreeSet<&str> = names
        .filter_map(|name| InterfaceName::parse(name))
        .filter(InterfaceName::is_ours)
        .map(|name| name.version.unwrap_or("(none)"))
        .collect();
    if found.iter().any(|version| !SUPPORTED.contains(version)) {
        return Err(Error::UnknownVersion {
            found: found.into_iter().map(str::to_owned).collect(),
        });
    }
    // Newest first; the newest has everything that the older ones have.
    Ok(SUPPORTED
        .iter()
        .find(|version| found.contains(*version))
        .map(|version| (*version).to_owned()))
}

/// Checks that an import is WASI's, or an interface that one of the component's hooks has.
fn check_import(name: String, hooks: Hooks) -> Result<Import, Error> {
    let answer = ImportAnswer::of(&name);
    match answer {
        ImportAnswer::Host => {}
        // A component without hooks is refused for that.
        ImportAnswer::DownloadOnly if hooks.download || !hooks.load => {}
        ImportAnswer::DownloadOnly => {
            return Err(Error::PhaseImport {
                import: name,
                hooks: "`load-model`, its only hook".to_owned(),
            });
        }
        ImportAnswer::Trap if InterfaceName::parse(&name).is_some_and(|n| n.is_wasi()) => {}
        ImportAnswer::Trap => return Err(Error::ForeignImport { import: name }),
    }
    Ok(Import { name, answer })
}
