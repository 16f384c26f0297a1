use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;
use crate::console::Console;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  modelzoo completions bash > ~/.local/share/bash-completion/completions/modelzoo"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, console: &Console) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "modelzoo", &mut script);
    let mut out = console.raw_stdout();
    out.write_all(&script)?;
    Ok(out.flush().map(|()| ExitCode::SUCCESS)?)
}
