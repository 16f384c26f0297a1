//! The process that compiles one component: it limits itself, reads the component from standard
//! input, and writes the code to standard output.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::answer;
use crate::confinement::Wall;
use crate::engine::{config, unusable};

/// Standard input, output and error, and some to spare for the program's own needs.
const OPEN_FILES: u64 = 16;

/// How much of the memory there is for each thread at least.
const THREAD_BYTES: u64 = 64 << 20;

/// What a program does that [`Compiler::Child`](crate::Compiler::Child) names. `args` are those
/// that follow the ones given there: the memory in bytes, and the time in seconds that all
/// threads together may compute.
///
/// Meant to be called before the program does anything else, while it has one thread. It holds
/// for the rest of the process: there is no use for it afterwards but to exit.
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
            .ok_or_else(|| io::Error::other("this is for modelzoo itself, and not to be called"))
    };
    let (memory, seconds) = (number()?, number()?);
    confine(memory, seconds)?;

    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    let engine = wasmtime::Engine::new(&config()).map_err(io::Error::other)?;
    let compiled = engine.precompile_component(&bytes);
    let (kind, rest) = match compiled {
        Ok(code) => (answer::CODE, code),
        Err(e) if e.is::<wasmtime::OutOfMemory>() => (answer::MEMORY, Vec::new()),
        Err(e) => (answer::UNUSABLE, reason(&e)),
    };
    let mut out = io::stdout().lock();
    out.write_all(&[kind])?;
    out.write_all(&rest)?;
    out.flush()
}

fn reason(error: &wasmtime::Error) -> Vec<u8> {
    match unusable(error) {
        crate::Error::Unusable { reason } => reason.into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

/// Gives up everything that compiling does not need.
fn confine(memory: u64, seconds: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // Should modelzoo be killed, nobody wants the answer.
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, OPEN_FILES, OPEN_FILES)?;
    // The limit of all memory that is the process's own. Address space that is only set aside is
    // not counted; the allocator sets a lot aside.
    let limited = limit(Resource::Data, memory, memory);
    if cfg!(target_os = "linux") {
        limited?;
    }
    // The parent looks at the time that passes; this is for a parent that has gone.
    limit(Resource::Cpu, seconds, seconds.saturating_add(1))?;
    // Before there are other threads, which would stay outside.
    Wall::new().raise()?;
    // The threads that compile; and after them no more, and no processes, as far as the system
    // counts them for this user.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let room = usize::try_from(memory / THREAD_BYTES).unwrap_or(usize::MAX);
    rayon::ThreadPoolBuilder::new()
        .num_threads(cores.min(room).max(1))
        .build_global()
        .map_err(io::Error::other)?;
    limit(Resource::Nproc, 0, 0)?;
    Ok(())
}

/// Sets a limit for good, no higher than it is: where the system tells the process, and where it
/// does something about it.
fn limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let at_most = |most: u64| Some(now.maximum.map_or(most, |maximum| maximum.min(most)));
    let limit = Rlimit {
        current: at_most(soft),
        maximum: at_most(hard),
    };
    Ok(setrlimit(resource, limit)?)
}
