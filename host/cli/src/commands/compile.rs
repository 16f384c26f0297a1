//! The process that compiles components: this program, which starts itself again.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use modelzoo::sandbox::Compiler;

/// The first argument of that process. Users do not type it, and no help lists it.
const COMPILE: &str = "__compile-component";

/// How components are compiled: by this program, in a process of its own.
pub(crate) fn compiler() -> Compiler {
    match program() {
        Ok(program) => Compiler::Child {
            program,
            args: vec![COMPILE.into()],
            env: environment(),
        },
        Err(e) => {
            tracing::warn!("compiling has no limits, since this program cannot find itself: {e}");
            Compiler::InProcess
        }
    }
}

/// The search path for this program's libraries, without which it might not start, and a setting of
/// its allocator: memory when it is needed, instead of a gibibyte at a time.
fn environment() -> Vec<(OsString, OsString)> {
    let libraries = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];
    let mut environment: Vec<(OsString, OsString)> = libraries
        .into_iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
        .collect();
    environment.push(("MIMALLOC_ARENA_EAGER_COMMIT".into(), "0".into()));
    environment
}

fn program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        // Also when its file has been replaced by another version meanwhile.
        let own = PathBuf::from("/proc/self/exe");
        if own.exists() {
            return Ok(own);
        }
    }
    std::env::current_exe()
}

/// Compiles a component and returns the exit status, if this is the process for it.
pub(crate) fn run_child() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == COMPILE).then(|| modelzoo::sandbox::compile_child(args))
}
