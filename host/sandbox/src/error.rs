//! Why a component cannot be used at all. A failure of a hook is a [`HookError`](crate::HookError).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use modelzoo_base::Remedy;
use serde::Serialize;

use crate::interfaces::name::SUPPORTED;
use crate::limits::ERROR_BYTES;
use modelzoo_base::text::excerpt;

/// Why a component is refused, or could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is larger than [`Limits::component_bytes`](crate::Limits::component_bytes).
    #[error("the component has {size} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },

    /// The file is something else than WebAssembly.
    #[error("not a WebAssembly component: {what}")]
    NotWasm {
        /// What it seems to be.
        what: String,
    },

    /// A core module, which has no typed interfaces.
    #[error("not a WebAssembly component: the file is a core module")]
    CoreModule,

    /// The file ends too early.
    #[error("the component is cut off after {size} bytes")]
    Truncated {
        /// How many bytes are there.
        size: u64,
    },

    /// The bytes break the rules of WebAssembly.
    #[error("malformed component: {reason}")]
    Malformed {
        /// What is wrong, and where.
        reason: String,
    },

    /// The component was built for another version of `modelzoo:source`.
    #[error("the component is for modelzoo:source {}; this modelzoo supports {}", .found.join(", "), SUPPORTED.join(", "))]
    UnknownVersion {
        /// The versions that it imports and exports; `(none)` for a name without one.
        found: Vec<String>,
    },

    /// The component imports an interface that is neither WASI's nor `modelzoo:source`'s.
    #[error("the component imports `{import}`, which modelzoo does not have")]
    ForeignImport {
        /// The import's name.
        import: String,
    },

    /// The component imports an interface of `modelzoo:source` that none of its hooks has.
    #[error("the component imports `{import}`, which is not available to {hooks}")]
    PhaseImport {
        /// The import's name.
        import: String,
        /// The hooks that it exports.
        hooks: String,
    },

    /// The component exports none of the hooks.
    #[error("the component exports no hook of modelzoo:source; it exports {}", list(.exports))]
    NoHook {
        /// What it exports.
        exports: Vec<String>,
    },

    /// The component is well-formed, but cannot be compiled or linked.
    #[error("the component cannot be used: {reason}")]
    Unusable {
        /// Why not.
        reason: String,
    },

    /// Compiling the component reached a limit.
    #[error("compiling the component takes more than {limit}")]
    CompileLimit {
        /// The limit, with its value.
        limit: CompileLimit,
    },

    /// The process that compiles the component crashed: a defect of the compiler, or an attack on
    /// it.
    #[error("compiling the component crashed: {how}")]
    CompilerCrashed {
        /// How the process ended.
        how: String,
    },

    /// The process that compiles components cannot be started, or gives an invalid answer.
    #[error("the compiler of components cannot be run: {source}")]
    NoCompiler {
        /// Why not.
        source: std::io::Error,
    },

    /// The component file could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// The WebAssembly engine could not be started on this machine.
    #[error("the WebAssembly engine cannot be started: {reason}")]
    Engine {
        /// Why not.
        reason: String,
    },
}

impl Error {
    /// [`Unusable`](Self::Unusable), for wasmtime's reason.
    pub(crate) fn unusable(error: &wasmtime::Error) -> Self {
        Self::Unusable {
            reason: Self::reason_of(error),
        }
    }

    /// wasmtime's reason, on one line and of bounded length.
    pub(crate) fn reason_of(error: &wasmtime::Error) -> String {
        excerpt(&format!("{error:#}"), ERROR_BYTES)
    }

    /// What to do about it, where there is something.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::CoreModule | Self::NotWasm { .. } => Some(Remedy::advice(
                "build the source for the target wasm32-wasip2, which makes a component",
            )),
            Self::Truncated { .. } => Some(Remedy::advice("fetch or build the source again")),
            Self::UnknownVersion { .. } => Some(Remedy::advice(
                "use the source's release for this version of modelzoo, or another release of modelzoo",
            )),
            Self::PhaseImport { .. } => Some(Remedy::advice(
                "`load-model` has no network and writes nothing; fetch everything in `download-model`",
            )),
            Self::NoHook { .. } => Some(Remedy::advice(format!(
                "a source exports `modelzoo:source/downloader@{v}`, `modelzoo:source/loader@{v}` or both",
                v = SUPPORTED.first().copied().unwrap_or_default()
            ))),
            Self::ForeignImport { .. } => Some(Remedy::advice(format!(
                "a component may import `wasi:*` and `modelzoo:source` {}, and nothing else",
                SUPPORTED.first().copied().unwrap_or_default()
            ))),
            Self::Malformed { .. } | Self::Unusable { .. } => Some(Remedy::advice(
                "build the source again, and tell its author if that does not help",
            )),
            Self::TooLarge { .. } => Some(Remedy::advice(
                "if you trust the source, raise `limits.component_bytes`",
            )),
            Self::CompileLimit { limit } => Some(Remedy::advice(format!(
                "if you trust the source, raise `limits.{}`",
                limit.setting()
            ))),
            Self::CompilerCrashed { .. } => Some(Remedy::advice(
                "nothing of it was run; try again with more free memory, and tell the source's author and modelzoo's if that does not help",
            )),
            Self::NoCompiler { .. } => Some(Remedy::Diagnose),
            Self::Io { .. } | Self::Engine { .. } => None,
        }
    }
}

/// What compiling took too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CompileLimit {
    /// More than this many bytes: [`Limits::compile_memory_bytes`](crate::Limits).
    Memory(u64),
    /// More than this time: [`Limits::compile_wall`](crate::Limits).
    Time(Duration),
}

impl CompileLimit {
    /// The field of [`Limits`](crate::Limits) that sets it.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Memory(_) => "compile_memory_bytes",
            Self::Time(_) => "compile_wall",
        }
    }
}

impl fmt::Display for CompileLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "{bytes} bytes of memory"),
            Self::Time(time) => write!(f, "{} s", time.as_secs_f64()),
        }
    }
}

/// The names in backticks, or `nothing`; the first few of a long list.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let mut out = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        out.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    out
}
