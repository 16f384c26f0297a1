//! The process that compiles one component: it limits itself, reads the component from standard
//! input, and writes the code to standard output.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::config::config;
use super::protocol;
use crate::confinement::Confinement;
use crate::error::Error;

/// Standard input, output and error, and some more for the program's own needs.
const OPEN_FILES: u64 = 16;

/// The least memory per compiling thread.
const THREAD_BYTES: u64 = 64 << 20;

/// The entry point of the program that [`Compiler::Child`](crate::Compiler::Child) names. `args`
/// follow the ones given there: the memory in bytes, and the processor time in seconds for all
/// threads together.
///
/// Call it before the program does anything else, while it has one thread, and exit afterwards:
/// the limits hold for the rest of the process.
pub fn compile_child(args: impl Iterator<Item = OsString>) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "{e}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mut args: impl Iterator<Item = OsString>) -> io::Result<()> {
    let mut number = || {
        args.next()
            .and_then(|arg| arg.to_str()?.parse::<u64>().ok())
            .ok_or_else(|| io::Error::other("only modelzoo itself starts this program"))
    };
    let (memory, seconds) = (number()?, number()?);
    confine(memory, seconds)?;

    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    let engine = wasmtime::Engine::new(&config()).map_err(io::Error::other)?;
    let compiled = engine.precompile_component(&bytes);
    let (kind, rest) = match compiled {
        Ok(code) => (protocol::CODE, code),
        Err(e) if e.is::<wasmtime::OutOfMemory>() => (protocol::MEMORY, Vec::new()),
        Err(e) => (protocol::UNUSABLE, Error::reason_of(&e).into_bytes()),
    };
    let mut out = io::stdout().lock();
    out.write_all(&[kind])?;
    out.write_all(&rest)?;
    out.flush()
}

/// Limits the process to what compiling needs.
fn confine(memory: u64, seconds: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // If modelzoo is killed, nobody reads the answer.
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, OPEN_FILES, OPEN_FILES)?;
    // Limits the process's private memory. Address space that is only reserved does not count; the
    // allocator reserves a lot.
    let limited = limit(Resource::Data, memory, memory);
    if cfg!(target_os = "linux") {
        limited?;
    }
    // The parent watches the wall time; this is for a parent that is gone.
    limit(Resource::Cpu, seconds, seconds.saturating_add(1))?;
    // Before there are other threads, which would stay unconfined.
    Confinement::new().apply()?;
    // The threads that compile. After them no more, and no processes, as far as the system counts
    // them for this user.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let room = usize::try_from(memory / THREAD_BYTES).unwrap_or(usize::MAX);
    rayon::ThreadPoolBuilder::new()
        .num_threads(cores.min(room).max(1))
        .build_global()
        .map_err(io::Error::other)?;
    limit(Resource::Nproc, 0, 0)?;
    Ok(())
}

/// Sets the soft limit, at which the system signals the process, and the hard one, at which it
/// acts; neither higher than it was.
fn limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let at_most = |most: u64| Some(now.maximum.map_or(most, |maximum| maximum.min(most)));
    let limit = Rlimit {
        current: at_most(soft),
        maximum: at_most(hard),
    };
    Ok(setrlimit(resource, limit)?)
}
