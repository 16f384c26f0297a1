//! WASI 0.2 for guests: enough for the standard libraries of most languages, and nothing that
//! reaches out.
//!
//! There are `wasi:io`, a read-only `wasi:filesystem` with `/model` and `/source`
//! ([`crate::interfaces::wasi::filesystem`]), `wasi:clocks` that tell nothing ([`crate::interfaces::wasi::clocks`]), `wasi:random`
//! that is the same in every run, and `wasi:cli` with no arguments, no environment and an empty
//! standard input; output goes to the log. Every other import of a component is a function that
//! stops it and says its name.

pub(crate) mod clocks;
pub(crate) mod filesystem;
mod stdio;

use std::path::Path;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasData, Linker, ResourceTable, ResourceType};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::{
    cli, clocks as wasi_clocks, filesystem as wasi_filesystem, random,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{FsPerms, WasiCtx};
use wasmtime_wasi_io::bindings::wasi::io;

use crate::interfaces::log::{Messages, Stream};
use crate::interfaces::state::State;
use crate::interfaces::wasi::clocks::{Clocks, HasClocks};
use crate::interfaces::wasi::filesystem::{HasReadOnly, ReadOnly};
use crate::interfaces::wasi::stdio::Output;
use crate::limits::stop::Stop;

/// The interfaces of WASI 0.2 that are linked; everything else stops the guest.
const LINKED: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The start of all randomness; any number will do, and this one must stay.
const SEED: [u8; 32] = *b"modelzoo: the same in every run.";

/// The most random bytes in one call.
const RANDOM_BYTES: u64 = 1 << 20;

/// The WASI of a hook call: the two directories, and the log.
pub(crate) fn context(
    source_dir: &Path,
    model_dir: &Path,
    messages: &Messages,
) -> wasmtime::Result<WasiCtx> {
    let [secure, insecure] = [0, 1].map(|stream| {
        let mut seed = SEED;
        seed[0] ^= stream;
        StdRng::from_seed(seed)
    });
    let mut builder = WasiCtx::builder();
    builder
        // Reads are short and local; handing each to another thread costs more than they do.
        .allow_blocking_current_thread(true)
        .preopened_dir(source_dir, "/source", FsPerms::ReadOnly)?
        .preopened_dir(model_dir, "/model", FsPerms::ReadOnly)?
        .stdout(Output::new(messages.clone(), Stream::Out))
        .stderr(Output::new(messages.clone(), Stream::Err))
        .secure_random(secure)
        .insecure_random(insecure)
        .insecure_random_seed(u128::from_le_bytes(*b"modelzoo: a seed"))
        .max_random_size(RANDOM_BYTES);
    Ok(builder.build())
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

fn clocks(state: &mut State) -> Clocks<'_> {
    Clocks {
        clock: &state.clock,
        table: &mut state.table,
    }
}

/// The file system of a guest.
pub(crate) fn read_only(state: &mut State) -> ReadOnly<'_> {
    ReadOnly {
        inner: WasiFilesystemCtxView {
            ctx: state.wasi.filesystem(),
            table: &mut state.table,
        },
        seen: &mut state.seen,
    }
}

/// Links what guests have of WASI; [`LINKED`] lists the same.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<_, HasTable>(linker, |s| &mut s.table)?;
    io::poll::add_to_linker::<_, HasTable>(linker, |s| &mut s.table)?;
    io::streams::add_to_linker::<_, HasTable>(linker, |s| &mut s.table)?;
    wasi_clocks::wall_clock::add_to_linker::<_, HasClocks>(linker, clocks)?;
    wasi_clocks::monotonic_clock::add_to_linker::<_, HasClocks>(linker, clocks)?;
    wasi_filesystem::types::add_to_linker::<_, HasReadOnly>(linker, read_only)?;
    wasi_filesystem::preopens::add_to_linker::<_, HasReadOnly>(linker, read_only)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, |s| s.wasi.random())?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, |s| s.wasi.random())?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |s| s.wasi.random())?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    Ok(())
}

/// Whether hooks have an interface of WASI, by the name and version of a component's import. A call
/// of any other stops the hook.
pub fn is_linked(import: &str) -> bool {
    import.split_once('@').is_some_and(|(interface, version)| {
        LINKED.contains(&interface) && version.starts_with("0.2.")
    })
}

/// Makes every import of `component` that is not linked a function that stops the guest.
/// `ours` are the names of our own interfaces that are linked.
pub(crate) fn forbid_the_rest(
    linker: &mut Linker<State>,
    component: &Component,
    ours: &[&str],
) -> wasmtime::Result<()> {
    let engine = component.engine();
    let ty = component.component_type();
    let known = known_resources(component);
    for (import, item) in ty.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        if is_linked(import) || ours.contains(&import) {
            continue;
        }
        let mut stub = linker.instance(import)?;
        for (name, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let interface = import.to_owned();
                    let function = name.to_owned();
                    stub.func_new(name, move |_, _, _, _| {
                        Err(Stop::Forbidden {
                            interface: interface.clone(),
                            function: function.clone(),
                        }
                        .into())
                    })?;
                }
                ComponentItem::Resource(resource) => {
                    let known = known.iter().find(|(guest, _)| *guest == resource);
                    let host = known.map_or(ResourceType::host::<Nothing>(), |(_, host)| *host);
                    stub.resource(name, host, |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A resource of an interface that is not linked; there are none of it.
enum Nothing {}

/// The resources of linked interfaces, as the component knows them and as the host does.
/// Interfaces that are not linked use them, too, and must mean the same ones.
fn known_resources(component: &Component) -> Vec<(ResourceType, ResourceType)> {
    let engine = component.engine();
    let mut known = Vec::new();
    for (import, item) in component.component_type().imports(engine) {
        let (interface, _) = import.split_once('@').unwrap_or((import, ""));
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        if !is_linked(import) {
            continue;
        }
        for (name, item) in instance.exports(engine) {
            if let ComponentItem::Resource(guest) = item.ty
                && let Some(host) = host_resource(interface, name)
            {
                known.push((guest, host));
            }
        }
    }
    known
}

/// The host's type of a resource that a linked interface defines.
fn host_resource(interface: &str, name: &str) -> Option<ResourceType> {
    Some(match (interface, name) {
        ("wasi:io/error", "error") => ResourceType::host::<wasmtime::Error>(),
        ("wasi:io/poll", "pollable") => ResourceType::host::<DynPollable>(),
        ("wasi:io/streams", "input-stream") => ResourceType::host::<DynInputStream>(),
        ("wasi:io/streams", "output-stream") => ResourceType::host::<DynOutputStream>(),
        ("wasi:filesystem/types", "descriptor") => ResourceType::host::<Descriptor>(),
        _ => return None,
    })
}
