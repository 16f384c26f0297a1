//! Where components are compiled, and where the compiled code is kept.
//!
//! wasmtime does not promise that compiling ends soon or needs little memory, whatever the
//! component. In a process of its own the system limits both, and a crash of the compiler ends
//! that process only. See [`Compiler::Child`].

pub(crate) mod cache;
#[cfg(unix)]
mod child;
pub(crate) mod config;
#[cfg(unix)]
mod parent;
#[cfg(unix)]
mod protocol;

use std::ffi::OsString;
use std::path::PathBuf;
#[cfg(unix)]
use std::process::Command;

use crate::error::Error;
use crate::limits::Limits;

#[cfg(unix)]
pub use child::compile_child;

/// Where components are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compiler {
    /// In this process. Only the component's size is limited.
    #[default]
    InProcess,
    /// In a process of its own for each component, with [`Limits::compile_memory_bytes`] and
    /// [`Limits::compile_wall`], few open files, and on Linux confined to no file and no port
    /// ([`ConfinementStatus`](crate::ConfinementStatus)). On Windows, where processes have no such
    /// limits, it is the same as [`InProcess`](Self::InProcess).
    ///
    /// The program, an absolute path, must be built with the same version of this crate. It calls
    /// [`compile_child`] with the arguments that follow `args`; `modelzoo-compile` of this crate
    /// does nothing else.
    Child {
        /// The program.
        program: PathBuf,
        /// Its arguments; two numbers are appended.
        args: Vec<OsString>,
        /// All of its environment: what the program needs to start, and the settings of its
        /// allocator. One that takes memory in advance reaches the limit early.
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
        #[cfg(unix)]
        if let Self::Child { program, args, env } = self {
            let mut command = Command::new(program);
            command.args(args).env_clear().envs(env.iter().cloned());
            return parent::compile(command, bytes, limits);
        }
        #[cfg(not(unix))]
        let _ = limits;
        engine
            .precompile_component(bytes)
            .map_err(|e| Error::unusable(&e))
    }

    /// Whether compiling is limited, on this system.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        cfg!(unix) && matches!(self, Self::Child { .. })
    }
}

/// The entry point of the program that [`Compiler::Child`] names: on this system it is never
/// started.
#[cfg(not(unix))]
pub fn compile_child(_args: impl Iterator<Item = OsString>) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
