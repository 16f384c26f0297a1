//! The `modelzoo` command: a model zoo whose sources are remote and untrusted.

mod args;
mod commands;
mod console;
#[cfg(test)]
mod docs;
mod failure;
mod hints;
mod names;
mod progress;
mod table;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::console::Console;
use crate::failure::Failure;

/// Networks allocate and free large blocks all the time; this allocator keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(code) = commands::compile::run_child() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return console::usage(&error),
    };
    let console = Console::new(&cli.global);
    console.init_tracing();
    match run(&cli, &console) {
        Ok(code) => code,
        Err(failure) => failure.report(&console),
    }
}

fn run(cli: &Cli, console: &Console) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::plain(format!("cannot start: {e}")))?;
    runtime.block_on(async {
        match &cli.command {
            Command::List(args) => commands::list::run(args, console),
            Command::Find(args) => commands::find::run(args, console),
            Command::Info(args) => commands::info::run(args, console),
            Command::Download(args) => commands::download::run(args, console).await,
            Command::Apply(args) => commands::apply::run(args, console).await,
            Command::Embed(args) => commands::embed::run(args, console).await,
            Command::View(args) => commands::view::run(args, console),
            Command::Delete(args) => commands::delete::run(args, console),
            Command::ListSources => commands::list_sources::run(console),
            Command::RegisterSource(args) => commands::register_source::run(args, console).await,
            Command::DeleteSource(args) => commands::delete_source::run(args, console),
            Command::UpdateSource(args) => commands::update_source::run(args, console).await,
            Command::Requirements(args) => commands::requirements::run(args, console),
            Command::Inspect(args) => commands::inspect::run(args, console).await,
            Command::Audit(args) => commands::audit::run(args, console),
            Command::Verify(args) => commands::verify::run(args, console).await,
            Command::Doctor => commands::doctor::run(console),
            Command::Du => commands::du::run(console),
            Command::Gc(args) => commands::gc::run(args, console),
            Command::Bundle(args) => commands::bundle::run(args, console).await,
            Command::Completions(args) => commands::completions::run(args, console),
        }
    })
}
