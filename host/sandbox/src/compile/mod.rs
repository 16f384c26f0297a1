//! Where components are compiled.
//!
//! wasmtime does not promise that compiling ends soon or takes little memory, whatever the
//! component. In a process of its own the system can see to both; and a crash of the compiler's
//! is the end of that process only. See [`Compiler::Child`].

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
#[cfg(unix)]
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::engine::unusable;
use crate::error::Error;
use crate::limits::Limits;

pub(crate) mod cache;
#[cfg(unix)]
mod child;
#[cfg(unix)]
mod parent;

#[cfg(unix)]
pub use child::compile_child;

/// Where components are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compiler {
    /// In this process. Only the component's size is limited.
    #[default]
    InProcess,
    /// In a process of its own for each component, with [`Limits::compile_memory_bytes`] and
    /// [`Limits::compile_wall`], few open files, and on Linux behind a wall
    /// that leaves it no file and no port ([`WallStatus`](crate::WallStatus)). Where processes
    /// have no such limits, on Windows, it is [`InProcess`](Self::InProcess) all the same.
    ///
    /// The program, an absolute path, must be built with the same version of this crate. It calls [`compile_child`]
    /// with what follows `args`; `modelzoo-compile` of this crate does nothing else.
    Child {
        /// The program.
        program: PathBuf,
        /// Its arguments; two numbers are added.
        args: Vec<OsString>,
        /// All of its environment: what it takes to start the program, and how its allocator
        /// is to behave. One that takes memory before it is needed meets the limit early.
        env: Vec<(OsString, OsString)>,
    },
}

impl Compiler {
    /// Compiles a component for engines with the settings of `engine`.
    pub(crate) fn compile(
        &self,
        engine: &wasmtime::Engine,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Vec<u8>, Error> {
        match self {
            #[cfg(unix)]
            Self::Child { program, args, env } => {
                let mut command = Command::new(program);
                command.args(args).env_clear().envs(env.iter().cloned());
                parent::compile(command, bytes, limits)
            }
            _ => engine.precompile_component(bytes).map_err(|e| unusable(&e)),
        }
    }

    /// Whether compiling is limited, on this system.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        cfg!(unix) && matches!(self, Self::Child { .. })
    }
}

/// What compiling took too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CompileLimit {
    /// More than this many bytes: [`Limits::compile_memory_bytes`].
    Memory(u64),
    /// More than this time: [`Limits::compile_wall`].
    Time(Duration),
}

impl CompileLimit {
    /// The field of [`Limits`] that it is.
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

/// The first byte of what the child answers with; compiled code, or a reason, follows.
#[cfg(unix)]
mod answer {
    /// The code follows.
    pub(super) const CODE: u8 = b'+';
    /// The component cannot be compiled; the reason follows.
    pub(super) const UNUSABLE: u8 = b'-';
    /// There was not enough memory.
    pub(super) const MEMORY: u8 = b'm';
}

/// What a program does that [`Compiler::Child`] names: on this system it is never started.
#[cfg(not(unix))]
pub fn compile_child(_args: impl Iterator<Item = OsString>) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
