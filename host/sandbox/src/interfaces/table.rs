//! The table of interfaces and the phases that have them. The linker, the check at registration and
//! `inspect` read it, and nothing else.

use serde::{Deserialize, Serialize};
use wasmtime::component::Linker;
use wasmtime_wasi::cli::WasiCli;
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi_io::bindings::wasi::io;

use super::name::InterfaceName;
use super::state::{Download, Load, State};
use super::wasi::HasTable;
use super::wasi::clocks::HasClocks;
use super::wasi::filesystem::HasFilesystem;
use super::{artifacts, deployment, fetch, log, types};

/// Adds an interface to the linker of a phase.
pub(super) type Link<P> = fn(&mut Linker<State<P>>) -> wasmtime::Result<()>;

/// An interface that guests can import.
pub(super) struct Interface {
    /// `package/interface`; the versions are those of [`InterfaceName::is_supported`].
    path: &'static str,
    phases: Phases,
}

/// The phases that have an interface, and how it is linked there.
enum Phases {
    Both(Link<Download>, Link<Load>),
    Download(Link<Download>),
}

/// A row of an interface that both phases have.
macro_rules! both {
    ($path:literal, $link:expr) => {
        Interface {
            path: $path,
            phases: Phases::Both($link, $link),
        }
    };
}

/// A row of an interface that only `download-model` has.
macro_rules! download {
    ($path:literal, $link:expr) => {
        Interface {
            path: $path,
            phases: Phases::Download($link),
        }
    };
}

/// Every interface that the host links.
#[rustfmt::skip]
pub(super) static INTERFACES: &[Interface] = &[
    both!("modelzoo:source/types", |l| types::add_to_linker(l, State::types)),
    both!("modelzoo:source/log", |l| log::add_to_linker(l, State::log)),
    both!("modelzoo:source/deployment", deployment::add_to_linker),
    download!("modelzoo:source/fetch", |l| fetch::add_to_linker(l, State::fetch)),
    download!("modelzoo:source/artifacts", |l| artifacts::add_to_linker(l, State::artifacts)),

    both!("wasi:io/error", |l| io::error::add_to_linker::<_, HasTable>(l, |s| s.wasi.table())),
    both!("wasi:io/poll", |l| io::poll::add_to_linker::<_, HasTable>(l, |s| s.wasi.table())),
    both!("wasi:io/streams", |l| io::streams::add_to_linker::<_, HasTable>(l, |s| s.wasi.table())),
    both!("wasi:clocks/wall-clock", |l| p2::clocks::wall_clock::add_to_linker::<_, HasClocks>(l, |s| s.wasi.clocks())),
    both!("wasi:clocks/monotonic-clock", |l| p2::clocks::monotonic_clock::add_to_linker::<_, HasClocks>(l, |s| s.wasi.clocks())),
    both!("wasi:filesystem/types", |l| p2::filesystem::types::add_to_linker::<_, HasFilesystem>(l, |s| s.wasi.filesystem())),
    both!("wasi:filesystem/preopens", |l| p2::filesystem::preopens::add_to_linker::<_, HasFilesystem>(l, |s| s.wasi.filesystem())),
    both!("wasi:random/random", |l| p2::random::random::add_to_linker::<_, WasiRandom>(l, |s| s.wasi.random())),
    both!("wasi:random/insecure", |l| p2::random::insecure::add_to_linker::<_, WasiRandom>(l, |s| s.wasi.random())),
    both!("wasi:random/insecure-seed", |l| p2::random::insecure_seed::add_to_linker::<_, WasiRandom>(l, |s| s.wasi.random())),
    both!("wasi:cli/environment", |l| p2::cli::environment::add_to_linker::<_, WasiCli>(l, |s| s.wasi.cli())),
    both!("wasi:cli/exit", |l| p2::cli::exit::add_to_linker::<_, WasiCli>(l, |s| s.wasi.cli())),
    both!("wasi:cli/stdin", |l| p2::cli::stdin::add_to_linker::<_, WasiCli>(l, |s| s.wasi.cli())),
    both!("wasi:cli/stdout", |l| p2::cli::stdout::add_to_linker::<_, WasiCli>(l, |s| s.wasi.cli())),
    both!("wasi:cli/stderr", |l| p2::cli::stderr::add_to_linker::<_, WasiCli>(l, |s| s.wasi.cli())),
    both!("wasi:cli/terminal-input", |l| p2::cli::terminal_input::add_to_linker::<_, WasiCli>(l, |s| s.wasi.cli())),
    both!("wasi:cli/terminal-output", |l| p2::cli::terminal_output::add_to_linker::<_, WasiCli>(l, |s| s.wasi.cli())),
    both!("wasi:cli/terminal-stdin", |l| p2::cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, |s| s.wasi.cli())),
    both!("wasi:cli/terminal-stdout", |l| p2::cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, |s| s.wasi.cli())),
    both!("wasi:cli/terminal-stderr", |l| p2::cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, |s| s.wasi.cli())),
];

impl Interface {
    /// The interface that an import names, if the host links it in that version.
    pub(super) fn find(import: &str) -> Option<&'static Self> {
        let name = InterfaceName::parse(import)?;
        if !name.is_supported() {
            return None;
        }
        INTERFACES.iter().find(|i| i.path == name.path)
    }

    /// How it is linked for `download-model`, if that hook has it.
    pub(super) fn for_download(&self) -> Option<Link<Download>> {
        match self.phases {
            Phases::Both(link, _) | Phases::Download(link) => Some(link),
        }
    }

    /// How it is linked for `load-model`, if that hook has it.
    pub(super) fn for_load(&self) -> Option<Link<Load>> {
        match self.phases {
            Phases::Both(_, link) => Some(link),
            Phases::Download(_) => None,
        }
    }
}

/// Who answers the calls of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportAnswer {
    /// The host, in every hook.
    Host,
    /// The host in `download_model`; in `load_model` a call ends the hook.
    DownloadOnly,
    /// Nobody: a call ends the hook.
    Trap,
}

impl ImportAnswer {
    /// For the name of an import, with its version.
    pub(crate) fn of(import: &str) -> Self {
        match Interface::find(import).map(|interface| &interface.phases) {
            Some(Phases::Both(..)) => Self::Host,
            Some(Phases::Download(_)) => Self::DownloadOnly,
            None => Self::Trap,
        }
    }
}
